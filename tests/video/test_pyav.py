"""What only the PyAV reader does: leaving packets out, jumping, surviving damage, and following colour tags."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.video.cases import CASES
from tests.video.footage import beheaded, colored, damaged, number_of, shuffled, truncated
from video.errors import UnreadableVideo
from video.reader import open_reader
from video.readers import facts
from video.readers.pyav import PyavReader
from video.source import Found, probe
from video.types import Grid, Video

Footage = Callable[[str], Video]
Made = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any file, as in a fresh process."""
    monkeypatch.setattr(facts, "_known", type(facts._known)())


def video_of(path: Path) -> Video:
    return probe(Found(str(path), path.name))


def plainly(path: Path) -> list[tuple[int, bool]]:
    """(number, corrupt) of every frame as PyAV gives them to whoever just decodes all."""
    shown = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            shown += [(number_of(f.to_ndarray(format="rgb24")), f.is_corrupt) for f in frames]
    return shown


SKIPPING = ["b-frames", "gop-30", "one-gop", "open-gop", "open-gop-mkv", "mkv", "uneven", "hevc", "hevc-open-gop"]


@pytest.mark.parametrize("name", [*SKIPPING, "hevc-layers", "edit-list", "av1", "ts"])
@pytest.mark.parametrize("stride", [2, 4, 5, 13])
def test_pictures_are_identical_with_and_without_skipping(footage: Footage, name: str, stride: int) -> None:
    video = footage(name)
    with PyavReader(video, skip=True) as fast, PyavReader(video, skip=False) as slow:
        for spans in ([range(0, 200)], [range(1, 3), range(8, 11)]):
            pairs = zip(fast.read(Grid(stride), spans), slow.read(Grid(stride), spans), strict=True)
            assert all(a.index == b.index and np.array_equal(a.rgb, b.rgb) for a, b in pairs)


@pytest.mark.parametrize("name", SKIPPING)
def test_unwanted_frames_that_nothing_refers_to_are_not_decoded(footage: Footage, name: str) -> None:
    with PyavReader(footage(name)) as reader:
        assert len(list(reader.read(Grid(4), [range(200)]))) == 30
        assert reader.stats.skipped >= 30
        assert reader.stats.decoded <= 120 - reader.stats.skipped


@pytest.mark.parametrize("name", ["b-frames", "mkv", "ts", "hevc"])
def test_reading_on_decodes_nothing_twice(footage: Footage, name: str) -> None:
    with PyavReader(footage(name), threads=2) as reader:
        for start in range(0, 120, 10):
            assert len(list(reader.read(Grid(), [range(start, start + 10)]))) == 10
        assert reader.stats.decoded <= 121  # the first frame may be decoded once more to learn when the video begins


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("name", ["b-frames", "gop-30", "mkv", "open-gop", "fragmented"])
def test_a_frame_far_ahead_costs_its_group_of_pictures(footage: Footage, name: str) -> None:
    with PyavReader(footage(name), threads=2) as reader:
        assert [f.index for f in reader.read(Grid(), [range(2), range(85, 86)])] == [0, 1, 85]
        assert reader.stats.decoded < 45
        before = reader.stats.decoded
        assert [f.index for f in reader.read(Grid(), [range(44, 45)])] == [44]
        assert reader.stats.decoded - before < 45


@pytest.mark.usefixtures("forgotten")
def test_numbers_are_exact_where_a_file_cannot_be_sought(footage: Footage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("video.readers.decoder.Decoder.seek", lambda self, stamp: False)
    with PyavReader(footage("b-frames")) as reader:
        for start in (100, 30, 90):
            assert [(f.index, number_of(f.rgb)) for f in reader.read(Grid(), [range(start, start + 2)])] == [
                (start, start),
                (start + 1, start + 1),
            ]


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("start", [0, 50])
def test_timestamps_that_lie_are_found_out(made: Made, start: int) -> None:
    path = made("shuffled.mp4", shuffled)
    with PyavReader(video_of(path)) as reader:
        frames = [(f.position, f.index, number_of(f.rgb)) for f in reader.read(Grid(), [range(start, 500)])]
    assert frames == [(k, k, k) for k in range(start, 120)]


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("start", [0, 30])
def test_frames_before_the_first_that_can_be_decoded_do_not_count(made: Made, start: int) -> None:
    path = made("beheaded.mkv", beheaded)
    truth = [number for number, _ in plainly(path)]
    assert truth[0] >= 40 and len(truth) > 60
    with PyavReader(video_of(path)) as reader:
        frames = [(f.index, number_of(f.rgb), f.time_s) for f in reader.read(Grid(), [range(start, 500)])]
    assert [(index, number) for index, number, _ in frames] == list(enumerate(truth))[start:]
    assert frames[0][2] == pytest.approx(start / 30, abs=1e-3)


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_a_file_that_stops_early_just_ends(made: Made, threads: int) -> None:
    path = made("truncated.mp4", truncated)
    truth = plainly(path)
    with PyavReader(video_of(path), threads) as reader:
        frames = list(reader.read(Grid(), [range(500)]))
        assert [number_of(f.rgb) for f in frames[:50]] == list(range(50))
        assert 50 < len(frames) == len(truth) < 90
        assert list(reader.read(Grid(), [range(100, 110)])) == []
        assert [f.index for f in reader.read(Grid(), [range(20, 22)])] == [20, 21]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("start", [0, 45])
def test_damage_is_flagged_counted_and_survived(made: Made, start: int, threads: int) -> None:
    path = made("damaged.mp4", damaged)
    assert any(corrupt or number != k for k, (number, corrupt) in enumerate(plainly(path)))
    with PyavReader(video_of(path), threads) as reader:
        frames = list(reader.read(Grid(), [range(start, 500)]))
        assert reader.stats.corrupt >= sum(f.corrupt for f in frames) > 0
    # Numbers hold before and after the damage, and no picture that suffered from it passes for a good one.
    assert {f.index for f in frames} >= {*range(start, 56), *range(80, 120)}
    assert all(number_of(f.rgb) == f.index for f in frames if not f.corrupt)
    assert all(f.corrupt == (56 < f.index < 80) for f in frames)


def test_a_resized_picture_keeps_the_size_of_the_video(footage: Footage) -> None:
    video = footage("resized")
    with PyavReader(video) as reader:
        sizes = {f.rgb.shape for f in reader.read(Grid(10), [range(12)])}
    assert sizes == {(video.height, video.width, 3)}


def rgb_of(yuv: tuple[int, int, int], red: float, blue: float, full: bool) -> NDArray[np.float64]:
    """The colour by the definition of a matrix, given the weights of red and blue in its luma."""
    y, u, v = (float(c) for c in yuv)
    luma = y if full else (y - 16) * 255 / 219
    u, v = ((c - 128) * (1 if full else 255 / 224) for c in (u, v))
    r, b = luma + 2 * (1 - red) * v, luma + 2 * (1 - blue) * u
    return np.clip([r, (luma - red * r - blue * b) / (1 - red - blue), b], 0, 255)


@pytest.mark.parametrize(
    ("matrix", "range_", "red", "blue", "said"),
    [
        (2, 0, 0.299, 0.114, "bt601 limited (untagged)"),
        (6, 1, 0.299, 0.114, "bt601 limited (tagged)"),
        (1, 1, 0.2126, 0.0722, "bt709 limited (tagged)"),
        (1, 2, 0.2126, 0.0722, "bt709 full (tagged)"),
        (5, 2, 0.299, 0.114, "bt601 full (tagged)"),
        (2, 2, 0.299, 0.114, "bt601 full (matrix untagged)"),
        (9, 1, 0.2627, 0.0593, "bt2020 limited (tagged)"),
    ],
)
@pytest.mark.parametrize("yuv", [(81, 90, 200), (145, 60, 60), (180, 140, 110)])
def test_colours_follow_the_tags(
    tmp_path: Path, yuv: tuple[int, int, int], matrix: int, range_: int, red: float, blue: float, said: str
) -> None:
    video = video_of(colored(tmp_path / "flat.mp4", yuv, matrix, range_))
    assert video.color == said
    with PyavReader(video) as reader:
        (frame,) = reader.read(Grid(), [range(1)])
    assert np.abs(frame.rgb - rgb_of(yuv, red, blue, full=range_ == 2)).max() < 4


def test_a_file_that_went_away_is_unreadable(footage: Footage, tmp_path: Path) -> None:
    video = footage("plain")
    gone = Video(**{k: getattr(video, k) for k in Video.__slots__} | {"path": str(tmp_path / "gone.mp4")})
    with pytest.raises(UnreadableVideo, match=r"gone\.mp4: the file does not exist"):
        open_reader(gone)


def test_every_case_is_numbered_the_way_it_should(footage: Footage) -> None:
    """Counting everything is always right but slow; only files whose timestamps do not tell may need it."""
    counted = set()
    for name in CASES:
        with PyavReader(footage(name)) as reader:
            next(iter(reader.read(Grid(), [range(60)])))
            list(reader.read(Grid(), [range(500)]))
            if not reader._facts.ordered:
                counted.add(name)
    assert counted == {n for n in CASES if n.startswith(("ts", "mpeg", "mjpeg", "h264-avi", "edits-back"))}
