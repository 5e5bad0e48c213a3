"""One conformance suite for every reader and kind of file: each frame is the right one, with its number and time."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

import pytest

from tests.video.cases import CASES
from tests.video.footage import number_of
from video.errors import UnreadableVideo, VideoError
from video.reader import open_reader
from video.types import Frame, Grid, Video

HAS_DECORD = importlib.util.find_spec("decord") is not None
needs_decord = pytest.mark.skipif(not HAS_DECORD, reason="the decord extra is not installed")
READ = [
    pytest.param(reader, name, id=f"{reader}-{name}", marks=[needs_decord] if reader == "decord" else [])
    for reader in ("pyav", "decord")
    for name, case in CASES.items()
    if reader == "pyav" or not case.decord
]
REFUSED = [name for name, case in CASES.items() if case.decord]

Footage = Callable[[str], Video]


def expected(name: str, grid: Grid, positions: Sequence[range]) -> list[tuple[int, int]]:
    """(position, index) of the frames a reader must give."""
    case = CASES[name]
    pairs = []
    for position in sorted({p for span in positions for p in span}):
        index = (
            position * grid.stride
            if grid.fps is None
            else case.shown_at(
                position / grid.fps + Fraction(1, 2000 if "mkv" in name or ".webm" in case.suffix else 10**9)
            )
        )
        if index is not None and index < len(case.numbers):
            pairs.append((position, index))
    return pairs


def check(name: str, video: Video, frames: Iterable[Frame], grid: Grid, positions: Sequence[range]) -> None:
    case = CASES[name]
    seen = []
    for frame in frames:
        assert frame.rgb.shape == (video.height, video.width, 3) and frame.rgb.flags.c_contiguous
        assert number_of(frame.rgb) == case.numbers[frame.index]
        assert frame.time_s == pytest.approx(float(case.time(frame.index)), abs=6e-4)
        assert not frame.corrupt
        seen.append((frame.position, frame.index))
    assert seen == expected(name, grid, positions)


@pytest.mark.parametrize(("reader", "name"), READ)
def test_in_order(footage: Footage, reader: str, name: str) -> None:
    video = footage(name)
    for grid in (Grid(), Grid(4), Grid(7)):
        with open_reader(video, reader) as opened:
            positions = [range(0, 500)]
            check(name, video, opened.read(grid, positions), grid, positions)


@pytest.mark.parametrize(("reader", "name"), READ)
def test_gaps_overlaps_and_what_lies_past_the_end(footage: Footage, reader: str, name: str) -> None:
    video = footage(name)
    for grid, positions in [
        (Grid(), [range(3, 9), range(5, 12), range(2, 4), range(45, 47), range(55, 56), range(110, 130)]),
        (Grid(4), [range(11, 14), range(0, 2), range(25, 40)]),
        (Grid(), [range(500, 520)]),
        (Grid(), []),
    ]:
        with open_reader(video, reader) as opened:
            check(name, video, opened.read(grid, positions), grid, positions)


@pytest.mark.parametrize(("reader", "name"), READ)
def test_by_time(footage: Footage, reader: str, name: str) -> None:
    video = footage(name)
    with open_reader(video, reader) as opened:
        for grid, positions in [
            (Grid(fps=Fraction(10)), [range(0, 7), range(12, 100)]),
            (Grid(fps=Fraction(7, 3)), [range(3, 40)]),
        ]:
            check(name, video, opened.read(grid, positions), grid, positions)


@pytest.mark.parametrize(("reader", "name"), READ)
def test_any_sequence_of_reads(footage: Footage, reader: str, name: str) -> None:
    video = footage(name)
    dice = random.Random(name)
    with open_reader(video, reader) as opened:
        for _ in range(12 if reader == "pyav" else 5):
            grid = Grid(dice.choice([1, 1, 2, 4, 9]))
            starts = [dice.randrange(len(CASES[name].numbers) // grid.stride) for _ in range(dice.randint(1, 3))]
            positions = [range(s, s + dice.randint(1, 6)) for s in starts]
            if dice.random() < 0.3:  # a caller that stops half-way
                frames = opened.read(grid, positions)
                first = next(frames)
                assert number_of(first.rgb) == CASES[name].numbers[first.index]
                frames.close()  # type: ignore[attr-defined]
            else:
                check(name, video, opened.read(grid, positions), grid, positions)


@needs_decord
@pytest.mark.parametrize("name", REFUSED)
def test_decord_refuses_what_it_reads_wrongly(footage: Footage, name: str) -> None:
    with pytest.raises(UnreadableVideo, match=rf"decord .*{CASES[name].decord}.*reader=pyav reads it"):
        open_reader(footage(name), "decord")


@needs_decord
@pytest.mark.parametrize("name", ["b-frames", "turned-90", "odd", "mkv"])
def test_readers_give_the_same_pixels(footage: Footage, name: str) -> None:
    video = footage(name)
    with open_reader(video, "pyav") as one, open_reader(video, "decord") as other:
        for a, b in zip(one.read(Grid(5), [range(9)]), other.read(Grid(5), [range(9)]), strict=True):
            assert (abs(a.rgb.astype(int) - b.rgb) <= 1).all()


@pytest.mark.parametrize("name", CASES)
def test_spread_covers_the_video_in_order(footage: Footage, name: str) -> None:
    video = footage(name)
    numbers = CASES[name].numbers
    for count in (2, 9):
        with open_reader(video) as opened:
            pictures = opened.spread(count, 100)
            again = opened.spread(count, 100)
        seen = [number_of(p) for p in pictures]
        order = [list(numbers).index(number) for number in seen]
        assert len(order) == count and order == sorted(set(order))
        assert order[-1] >= len(numbers) // 2 or count == 2
        assert all(max(p.shape[:2]) == 100 for p in pictures)
        assert all((a == b).all() for a, b in zip(pictures, again, strict=True))


def test_a_reader_that_does_not_exist_is_named_with_those_that_do(footage: Footage) -> None:
    with pytest.raises(VideoError, match=r"'opencv'.*pyav, decord"):
        open_reader(footage("plain"), "opencv")


def test_decord_missing_says_what_to_install(footage: Footage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "decord", None)
    with pytest.raises(VideoError, match="make setup EXTRAS=decord"):
        open_reader(footage("plain"), "decord")
