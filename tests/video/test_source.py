"""What `videos=` may name and what comes of it, and what a file says of itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.cases import CASES
from tests.video.footage import sound, truncated, write
from video import probe as probing
from video.errors import SourceError, UnreadableVideo
from video.source import Found, find, matches, probe, recorded_at, unique
from video.types import Video

Footage = Callable[[str], Video]
Made = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture
def barn(tmp_path: Path) -> Path:
    """Empty files: finding never opens them."""
    for name in (
        "b.mp4",
        "cam1/a.mp4",
        "cam1/deep/c.MKV",
        "cam2/a.mp4",
        "cam1_0600.mp4",
        "notes.md",
        ".hidden.mp4",
        ".trash/x.mp4",
        "a [1].mp4",
    ):
        path = tmp_path / "barn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "barn"


def names(*args: object, **kwargs: object) -> list[str]:
    return [f.name for f in find(*args, **kwargs)]  # type: ignore[arg-type]


def test_a_folder_is_searched_recursively_in_one_order(barn: Path) -> None:
    assert names([str(barn)]) == [
        "a [1].mp4",
        "b.mp4",
        "cam1/a.mp4",
        "cam1/deep/c.MKV",
        "cam1_0600.mp4",
        "cam2/a.mp4",
    ]


def test_a_file_is_named_by_its_base_name(barn: Path) -> None:
    assert find([str(barn / "cam1" / "a.mp4")]) == [Found(str(barn / "cam1" / "a.mp4"), "a.mp4")]


def test_a_file_may_have_any_extension_and_glob_characters(barn: Path) -> None:
    assert names([str(barn / "a [1].mp4"), str(barn / "notes.md")]) == ["a [1].mp4", "notes.md"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("cam*/*.mp4", ["cam1/a.mp4", "cam2/a.mp4"]),
        ("**/a.mp4", ["cam1/a.mp4", "cam2/a.mp4"]),
        ("cam1/**", ["a.mp4", "deep/c.MKV"]),
        ("cam[2]/*", ["cam2/a.mp4"]),
    ],
)
def test_a_glob_names_files_relative_to_its_fixed_part(barn: Path, pattern: str, expected: list[str]) -> None:
    assert names([f"{barn}/{pattern}"]) == expected


def test_home_is_expanded(barn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(barn))
    assert names(["~/cam1"]) == ["a.mp4", "deep/c.MKV"]
    assert names(["~/cam*/a.mp4"]) == ["cam1/a.mp4", "cam2/a.mp4"]


def test_a_list_file_is_relative_to_itself(barn: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.mp4"
    outside.touch()
    listing = barn / "videos.txt"
    listing.write_text(f"# night\n\n cam1/a.mp4 \n../outside.mp4\n{barn}/b.mp4\ncam1/../b.mp4\n", encoding="utf-8")
    assert names([str(listing)]) == ["b.mp4", "cam1/a.mp4", "outside.mp4"]


def test_a_file_named_twice_is_there_once(barn: Path) -> None:
    (barn / "link.mp4").symlink_to(barn / "b.mp4")
    assert names([str(barn / "b.mp4"), str(barn / "*.mp4"), str(barn / "b.mp4")]) == [
        "a [1].mp4",
        "b.mp4",
        "cam1_0600.mp4",
    ]


def test_files_of_the_same_name_are_told_apart_by_their_folders(barn: Path) -> None:
    found = find([str(barn / "cam1"), str(barn / "cam2"), str(barn / "b.mp4")])
    assert [f.name for f in found] == ["b.mp4", "cam1/a.mp4", "cam2/a.mp4", "deep/c.MKV"]
    assert [f.path for f in found][1] == str(barn / "cam1" / "a.mp4")


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["cam1*"], [], ["cam1/a.mp4", "cam1/deep/c.MKV", "cam1_0600.mp4"]),
        (["deep"], [], ["cam1/deep/c.MKV"]),
        (["a.mp4"], [], ["cam1/a.mp4", "cam2/a.mp4"]),
        (["cam1/deep"], [], ["cam1/deep/c.MKV"]),
        (["*.mp4"], ["cam*"], ["a [1].mp4", "b.mp4"]),
        ([], ["cam1", "*0600*", "a*"], ["b.mp4"]),
    ],
)
def test_include_and_exclude(barn: Path, include: list[str], exclude: list[str], expected: list[str]) -> None:
    assert names([str(barn)], include, exclude) == expected


def test_patterns_tell_case_apart_on_every_machine() -> None:
    assert not matches("Cam1/a.mp4", "cam1*")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{barn}/nothing.mp4", r"nothing\.mp4: there is no such file or folder"),
        ("{barn}/*.mov", r"\*\.mov: the glob matches no file"),
        ("{barn}/.trash/empty", r"empty: the folder holds no video.*\.mp4"),
        ("{barn}/none.txt", r"none\.txt: the list names no video"),
        ("{barn}/gone.txt", r"gone\.txt, line 2: there is no file .*missing\.mp4"),
        ("rtsp://camera/1", r"rtsp://camera/1: rtsp:// is none of the kinds of URL that can be read: .*https.*s3"),
        ("{barn}/remote.txt", r"remote\.txt, line 1: rtsp://camera/a\.mp4: rtsp:// is none of"),
    ],
)
def test_a_wrong_source_is_named_with_the_reason(barn: Path, value: str, said: str) -> None:
    (barn / ".trash" / "empty").mkdir()
    (barn / "none.txt").write_text("# nothing\n\n", encoding="utf-8")
    (barn / "gone.txt").write_text("b.mp4\nmissing.mp4\n", encoding="utf-8")
    (barn / "remote.txt").write_text("rtsp://camera/a.mp4\n", encoding="utf-8")
    with pytest.raises(SourceError, match=said):
        find([value.format(barn=barn)])


def test_nothing_left_or_nothing_given_is_an_error(barn: Path) -> None:
    with pytest.raises(SourceError, match=r"select\.include=\['cow\*'\].*none of 6 videos.*'a \[1\]\.mp4'"):
        find([str(barn)], ["cow*"])
    with pytest.raises(SourceError, match=r"nothing given"):
        find([])


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("cam1/20240131_063000.mp4", "%Y%m%d_%H%M%S", datetime(2024, 1, 31, 6, 30)),
        ("barn 2024-01-31 06.30.05 (2).mp4", "%Y-%m-%d %H.%M.%S", datetime(2024, 1, 31, 6, 30, 5)),
        ("GX010012_20240131.mp4", "%Y%m%d", datetime(2024, 1, 31)),
        ("99999999_20240131.mp4", "%Y%m%d", datetime(2024, 1, 31)),
        ("day_20240131/0630.mp4", "%Y%m%d/%H%M", datetime(2024, 1, 31, 6, 30)),
        ("day_20240131/0630.mp4", "%Y%m%d", None),
        ("cam_20240231.mp4", "%Y%m%d", None),
        ("cam.mp4", "%H%M", None),
        ("cam 2024-1-5 6h7.mp4", "%Y-%m-%d %Hh%M", datetime(2024, 1, 5, 6, 7)),
        ("cam120240131.mp4", "%Y%m%d", datetime(2024, 1, 31)),
        ("100%_0630.mp4", "%%_%H%M", datetime(1900, 1, 1, 6, 30)),
    ],
)
def test_the_start_is_read_from_anywhere_in_the_name(name: str, pattern: str, expected: datetime | None) -> None:
    assert recorded_at(name, pattern) == expected


@pytest.mark.parametrize("pattern", ["%Q%H", "cam%", "no directive"])
def test_a_pattern_that_is_none_is_named(pattern: str) -> None:
    with pytest.raises(SourceError, match=rf"select\.time_pattern='{pattern}'"):
        recorded_at("cam_0630.mp4", pattern)


@pytest.mark.parametrize("name", CASES)
def test_probe_tells_the_truth_and_never_promises_too_little(footage: Footage, name: str) -> None:
    video, case = footage(name), CASES[name]
    assert (video.width, video.height, video.rotation) == (*case.size, case.rotation)
    assert (video.codec, video.color) == (case.codec, case.color)
    shown = len(case.numbers)
    # Matroska tells the rate of its first frames, which is too much here; an edit list needs the index, since PyAV 16.
    exact = name != "uneven-mkv" and ("edit" not in name or hasattr(av.stream.Stream, "index_entries"))
    assert video.frames == shown if exact else shown <= video.frames < 3 * shown
    assert video.duration == pytest.approx(float(case.time(shown - 1)) + 1 / case.rate, abs=0.04)
    assert video.fps == 30 or "uneven" in name
    assert video.size_bytes == os.path.getsize(video.path) and video.recorded_at is None


def test_average_rate_of_uneven_frames(footage: Footage) -> None:
    assert footage("uneven").fps == Fraction(120) / (CASES["uneven"].time(119) + Fraction(1, 30))


def test_probe_reads_the_start_from_the_name(footage: Footage) -> None:
    video = probe(Found(footage("plain").path, "cam/0630.mp4"), "%H%M")
    assert video.recorded_at == datetime(1900, 1, 1, 6, 30)


def test_length_does_not_rest_on_the_index_that_only_newer_pyav_shows(
    footage: Footage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "_indexed", lambda stream: None)
    for name in ("plain", "uneven", "late", "edit-list", "fragmented"):
        video = footage(name)
        again = probe(Found(video.path, video.name))
        assert again.frames >= video.frames
        assert again.duration == pytest.approx(video.duration, abs=0.04)


def test_a_colon_in_a_name_is_no_protocol(footage: Footage, tmp_path: Path) -> None:
    path = tmp_path / "cam:1 %03d.mp4"
    path.write_bytes(Path(footage("plain").path).read_bytes())
    assert probe(Found(str(path), path.name)).frames == 120


def test_probing_is_quick(footage: Footage) -> None:
    video = footage("b-frames")
    start = time.perf_counter()
    for _ in range(20):
        probe(Found(video.path, video.name))
    assert (time.perf_counter() - start) / 20 < 0.05  # about 2 ms on a free machine


def _empty(path: Path) -> None:
    path.touch()


def _garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 200)


def _cut(path: Path) -> None:
    write(path, range(60))
    path.write_bytes(path.read_bytes()[:-3000])


def _no_pictures(path: Path) -> None:
    """All that a truncated download kept is the index."""
    truncated(path)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("empty.mp4", _empty, r"the file is empty \(0 bytes\)"),
        ("garbage.mp4", _garbage, r"not a video file"),
        ("cut.mp4", _cut, r"'moov' box.*cut off"),
        ("sound.mp4", sound, r"no video stream \(only audio\)"),
        ("header.mp4", _no_pictures, r"no frame of its h264 stream can be decoded"),
        ("text.mp4", lambda path: path.write_text("not a video", encoding="utf-8"), r"not a video file"),
        ("folder.mp4", lambda path: path.mkdir(), r"this is a folder"),
        ("gone.mp4", lambda path: None, r"does not exist"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    made: Made, name: str, make: Callable[[Path], object], said: str
) -> None:
    path = made(name, make)
    with pytest.raises(UnreadableVideo, match=rf"{name}: .*{said}"):
        probe(Found(str(path), path.name))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(UnreadableVideo, match=r"permission to read the file is denied"):
        probe(Found(str(path), path.name))


def test_permission_is_told_apart_from_damage(footage: Footage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UnreadableVideo, match=r"permission to read the file is denied"):
        probe(Found(footage("plain").path, "plain.mp4"))


def test_cover_art_is_no_video(made: Made) -> None:
    def covered(path: Path) -> None:
        with av.open(str(path), "w") as output:
            picture = output.add_stream("mjpeg", rate=1)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic.value
            audio = output.add_stream("aac", rate=16000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            output.mux(picture.encode(av.VideoFrame(64, 64, "yuvj420p")))
            output.mux(picture.encode(None))
            output.mux(audio.encode(frame))
            output.mux(audio.encode(None))

    path = made("cover.mp4", covered)
    with pytest.raises(UnreadableVideo, match="no video stream"):
        probe(Found(str(path), path.name))


def test_the_same_bytes_are_the_same_video(footage: Footage, tmp_path: Path) -> None:
    video = footage("plain")
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(Path(video.path).read_bytes())
    twin = probe(Found(str(copy), copy.name))
    other = footage("mkv")
    assert len(video.fingerprint) == 16 and video.fingerprint == twin.fingerprint != other.fingerprint
    assert unique([video, other, twin]) == ([video, other], [(twin, video)])


def test_fingerprints_see_size_head_and_tail(tmp_path: Path) -> None:
    base = bytes(300_000)
    variants = [base, base + b"\0", b"\1" + base[1:], base[:-1] + b"\1"]
    seen = set()
    for k, data in enumerate(variants):
        (tmp_path / str(k)).write_bytes(data)
        seen.add(probing.fingerprint(str(tmp_path / str(k))))
    assert len(seen) == len(variants)


def test_videos_of_one_fingerprint_keep_the_first(footage: Footage) -> None:
    video = footage("plain")
    again = replace(video, name="z.mp4")
    assert unique([video, again, again])[1] == [(again, video), (again, video)]
