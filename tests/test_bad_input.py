"""Bad input, odd input and bad surroundings: one bad file never stops the others, and each failure names its reason."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline.writing
from tests.running import Done, rows, run
from tests.video import footage as make

Run = Callable[..., Done]
CLIPS = ("clip.num_frames=5", "clip.stride=4", "crop.size=32", "filters.size.min_side=8", "exports=[]", "prompt=thing")


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: run(capfd, monkeypatch, *arguments)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


def build(go: Run, videos: Path, *more: str) -> Done:
    """Build with boxes made elsewhere: every video shows one thing that walks, whatever its pixels are."""
    tracks = videos.parent / "boxes"
    tracks.mkdir(exist_ok=True)
    lines = "".join(f"{n + 1},1,{20 + n // 2},20,60,50,1,-1,-1,-1\n" for n in range(600))
    for video in videos.rglob("*"):
        (tracks / f"{video.stem}.txt").write_text(lines)
    out = videos.parent / "out"
    return go(f"videos={videos}", f"out={out}", "tracker=file", f"tracker.path={tracks}", *CLIPS, *more)


def good(videos: Path, name: str = "good.mp4", shift: int = 0) -> Path:
    return make.write(videos / name, range(shift, shift + 60))


ODD = {
    "odd_size.mp4": lambda p: make.write(p, range(60), pixels="yuv444p", size=(161, 127)),
    "grey.mp4": lambda p: make.write(p, range(60), pixels="gray"),
    "hevc.mp4": lambda p: make.write(p, range(60), codec="libx265", options={"x265-params": make.X265}),
    "av1.mp4": lambda p: make.write(p, range(60), codec="libsvtav1", options={"preset": "12"}),
    "ten_bit.mp4": lambda p: make.write(p, range(60), pixels="yuv420p10le"),
    "vp9.webm": lambda p: make.write(p, range(60), codec="libvpx-vp9", options=make.VP9),
    "stream.ts": lambda p: make.write(p, range(60)),
    "four_k.mp4": lambda p: make.write(p, range(60), size=(3840, 2160)),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_video_is_good_video(name: str, videos: Path, go: Run) -> None:
    ODD[name](videos / name)
    done = build(go, videos)
    assert done.status == 0, done.text
    samples = rows(videos.parent / "out" / "samples.parquet")
    assert [s["start_frame"] for s in samples] == [0, 20, 40]
    assert all((videos.parent / "out" / s["path"]).is_file() for s in samples)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text.mp4": (lambda p: p.write_text("this is not a video"), "not a video|cannot be"),
    "nothing.mp4": (lambda p: p.write_bytes(b""), "empty|0 bytes|zero"),
    "audio.mp4": (make.sound, "no video|audio|sound"),
    "short.mp4": (lambda p: make.write(p, range(12)), r"shorter than one clip: 3 sampled frames of the 5"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_among_good_ones_is_named_and_the_others_are_done(name: str, videos: Path, go: Run) -> None:
    make_bad, reason = BAD[name]
    make_bad(videos / name)
    good(videos)
    done = build(go, videos)
    assert done.status == 3, done.text
    (failure,) = rows(videos.parent / "out" / "failures.parquet")
    assert failure["video"] == name
    assert re.search(reason, failure["error"], re.IGNORECASE), failure
    assert name in done.text
    assert {s["video"] for s in rows(videos.parent / "out" / "samples.parquet")} == {"good.mp4"}


@pytest.mark.parametrize("name", BAD)
def test_only_bad_files_start_nothing(name: str, videos: Path, go: Run) -> None:
    BAD[name][0](videos / name)
    done = build(go, videos)
    assert done.status == 2 and name in done.text and "none of the 1 videos can be used" in done.text


def test_a_truncated_file_gives_what_it_has_and_says_so(videos: Path, go: Run) -> None:
    good(videos)
    make.truncated(videos / "cut.mp4")
    done = build(go, videos)
    assert done.status == 3, done.text
    failures = rows(videos.parent / "out" / "failures.parquet")
    assert {f["video"] for f in failures} == {"cut.mp4"}
    samples = rows(videos.parent / "out" / "samples.parquet")
    assert len([s for s in samples if s["video"] == "good.mp4"]) == 3


def test_a_damaged_file_keeps_going_and_counts_the_damage(videos: Path, go: Run) -> None:
    make.damaged(videos / "damaged.mp4")
    done = build(go, videos)
    assert done.status in (0, 3), done.text
    samples = rows(videos.parent / "out" / "samples.parquet")
    refused = rows(videos.parent / "out" / "rejected.parquet")
    assert sum(s["corrupt_frames"] for s in samples) > 0 or any(r["reason"] == "short" for r in refused)


def test_the_same_bytes_twice_are_one_video(videos: Path, go: Run) -> None:
    shutil.copyfile(good(videos, "a.mp4"), videos / "b.mp4")
    done = build(go, videos)
    assert done.status == 0, done.text
    assert {s["video"] for s in rows(videos.parent / "out" / "samples.parquet")} == {"a.mp4"}
    (listed,) = rows(videos.parent / "out" / "rejected.parquet")
    assert (listed["video"], listed["reason"]) == ("b.mp4", "duplicate of a.mp4")


def test_a_mended_file_is_tried_again(videos: Path, go: Run) -> None:
    good(videos)
    (videos / "late.mp4").write_bytes(b"not there yet")
    assert build(go, videos).status == 3
    make.write(videos / "late.mp4", range(100, 160))
    done = build(go, videos)
    assert done.status == 0, done.text
    assert len({s["video"] for s in rows(videos.parent / "out" / "samples.parquet")}) == 2


def test_failures_are_left_alone_when_asked_to(videos: Path, go: Run) -> None:
    good(videos)
    (videos / "bad.mp4").write_bytes(b"not a video at all")
    assert build(go, videos).status == 3
    assert build(go, videos, "retry_failed=false").status == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [("{}/none", "none"), ("{}/empty", "empty"), ("{}/*.mp4", r"\*\.mp4"), ("s3://bucket/x.mp4", "s3://bucket")],
)
def test_a_source_without_videos_starts_nothing(source: str, message: str, tmp_path: Path, go: Run) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    done = go(f"videos={source.format(tmp_path)}", f"out={out}", "tracker=motion", "prompt=cow")
    assert done.status == 2 and re.search(message, done.text), done.text
    assert "Traceback" not in done.text
    assert not (out / "samples.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("crop.siz=3",), "did you mean crop.size?"),
        (("clip.stride=abc",), "clip.stride"),
        (("clip.stride=0",), "clip.stride must be at least 1, got 0"),
        (("crop.size=7",), "crop.size must be an even number"),
        (("encode.crf=99",), "encode.crf must be from 1 to 51, got 99"),
        (("tracker=sam4",), "tracker must be one of"),
        (("reader=opencv",), "reader must be one of pyav, decord, got 'opencv'"),
        (("exports=[zip]",), "exports must be one of"),
        (("task=bild",), "task must be one of"),
        (("shard.index=3", "shard.count=2"), "shard.index must be from 0"),
        (("select.hours=[6]",), "select.hours must be two hours"),
        (("select.roi=/none.json",), "select.roi=/none.json cannot be read"),
        (("split.by=(cam",), "split.by"),
        (("videos=/data/a (1).mp4",), "'videos=\"/data/a (1).mp4\"'"),
        (("prompt=[]",), "prompt=..."),
        (("clip.fps=1000",), "is more than its own"),
    ],
)
def test_a_wrong_setting_is_one_clear_message(arguments: tuple[str, ...], message: str, videos: Path, go: Run) -> None:
    make.write(videos / "long.mp4", range(100))
    out = videos.parent / "out"
    done = go(f"videos={videos}", f"out={out}", "prompt=cow", "tracker=motion", *arguments)
    assert done.status == 2, done.text
    assert message in done.text
    assert "Traceback" not in done.text and len(done.text.splitlines()) <= 4
    assert not (out / "crops").exists()


def test_what_is_missing_comes_in_one_message(go: Run) -> None:
    done = go()
    assert done.status == 2
    assert all(f"{key}=..." in done.text for key in ("videos", "prompt"))


def test_a_dataset_task_without_a_dataset_says_how_to_make_one(tmp_path: Path, go: Run) -> None:
    done = go("task=export", f"out={tmp_path}/none")
    assert done.status == 2 and "build one first" in done.text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_cannot_take_more_stops_with_the_fix(
    number: int, videos: Path, go: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(videos)
    real, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 8:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(pipeline.writing.os, "fsync", fsync)
    done = build(go, videos)
    assert done.status == 3, done.text
    assert ("no space left" if number == errno.ENOSPC else "cannot be written") in done.text
    assert "Traceback" not in done.text
    monkeypatch.setattr(pipeline.writing.os, "fsync", real)
    again = build(go, videos)
    assert again.status == 0 and len(rows(videos.parent / "out" / "samples.parquet")) == 3, again.text
    assert not list((videos.parent / "out").rglob("*.part"))


def test_an_out_that_cannot_be_a_folder_starts_nothing(videos: Path, go: Run) -> None:
    good(videos)
    (videos.parent / "out").write_text("a file")
    done = build(go, videos)
    assert done.status == 2 and "out=" in done.text and "Traceback" not in done.text


def test_names_with_spaces_brackets_and_accents(videos: Path, go: Run) -> None:
    good(videos, "étable [1] (matin) 100%.mp4")
    done = build(go, videos, "exports=[videofolder,videomae]")
    assert done.status == 0, done.text
    assert {s["video"] for s in rows(videos.parent / "out" / "samples.parquet")} == {"étable [1] (matin) 100%.mp4"}
