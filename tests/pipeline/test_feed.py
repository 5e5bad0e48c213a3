"""The feed: frames decoded ahead, bounded in bytes over all feeds, each once, and a thread that always ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from pipeline.stages.feed import Budget, Fed, FrameFeed
from tests.pipeline.making import a_video
from video.errors import UnreadableVideo, VideoError
from video.readers.contract import VideoReader
from video.types import Frame, Grid

HEIGHT, WIDTH = 40, 60
FRAME_BYTES = HEIGHT * WIDTH * 3


class FakeReader(VideoReader):
    """Gives the frames of `count` positions, less the `lost` ones; fails at `broken`."""

    def __init__(self, count: int = 100, lost: Sequence[int] = (), broken: int | None = None) -> None:
        super().__init__(a_video(width=WIDTH, height=HEIGHT))
        self.count, self.lost, self.broken = count, set(lost), broken
        self.read_positions: list[int] = []
        self.asked: list[list[range]] = []

    def read(self, grid: Grid, positions: Sequence[range]) -> Iterator[Frame]:
        self.asked.append(list(positions))
        for position in sorted({p for span in positions for p in span}):
            if position >= self.count:
                return
            if position == self.broken:
                raise UnreadableVideo("cam1.mp4: damaged here")
            self.read_positions.append(position)
            if position not in self.lost:
                picture = np.full((HEIGHT, WIDTH, 3), position, np.uint8)
                yield Frame(position, position * grid.stride, position / 5, picture)

    def spread(self, count: int, max_side: int | None) -> list[np.ndarray]:
        raise NotImplementedError

    def close(self) -> None: ...


@contextmanager
def a_feed(
    reader: FakeReader, *spans: range, side: int | None = None, budget: Budget | None = None
) -> Iterator[FrameFeed]:
    """A feed, and a thread that fills it as `Ahead` does."""
    frames = FrameFeed(budget or Budget())

    def fill() -> None:
        try:
            frames.fill(Fed.of(frame, side) for frame in reader.read(Grid(stride=2), spans))
            frames.end()
        except VideoError as error:
            frames.end(error)

    thread = threading.Thread(target=fill, name="decode")
    thread.start()
    try:
        yield frames
    finally:
        frames.close()
        thread.join()


def settled(value: Callable[[], object], seconds: float = 0.15) -> object:
    """What a value is once it has not changed for a while."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.005)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


def decoding() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "decode"]


def test_spans_come_whole_and_in_order() -> None:
    spans = [range(0, 4), range(4, 8), range(20, 23)]
    with a_feed(FakeReader(), *spans) as frames:
        for span in spans:
            taken = frames.take(span)
            assert [fed.frame.position for fed in taken] == list(span)
            assert all((fed.frame.rgb == fed.frame.position).all() for fed in taken)
            assert [fed.frame.index for fed in taken] == [2 * p for p in span]


def test_frames_that_spans_share_are_decoded_once_and_are_the_same() -> None:
    reader = FakeReader()
    with a_feed(reader, range(0, 8), range(4, 12), range(6, 14)) as frames:
        first, second, third = frames.take(range(0, 8)), frames.take(range(4, 12)), frames.take(range(6, 14))
    assert reader.read_positions == list(range(14)) and len(reader.asked) == 1
    assert all(a is b for a, b in zip(first[4:], second[:4], strict=True))
    assert all(a is b for a, b in zip(second[2:], third[:6], strict=True))


def test_a_span_inside_an_earlier_one_is_given_without_reading_on() -> None:
    with a_feed(FakeReader(), range(0, 8), range(2, 5)) as frames:
        frames.take(range(0, 8))
        assert [fed.frame.position for fed in frames.take(range(2, 5))] == [2, 3, 4]


def test_frames_that_were_passed_are_let_go() -> None:
    with a_feed(FakeReader(), range(0, 8), range(8, 12)) as frames:
        frames.take(range(0, 8))
        frames.take(range(8, 12))
        assert [fed.frame.position for fed in frames._held] == [8, 9, 10, 11]


def test_a_span_that_nobody_takes_is_passed_over() -> None:
    with a_feed(FakeReader(), range(0, 4), range(4, 8), range(8, 12)) as frames:
        frames.take(range(0, 4))
        assert [fed.frame.position for fed in frames.take(range(8, 12))] == [8, 9, 10, 11]


def test_the_end_of_the_video_gives_what_there_is() -> None:
    with a_feed(FakeReader(count=10), range(0, 8), range(8, 16), range(16, 24)) as frames:
        assert len(frames.take(range(0, 8))) == 8
        assert [fed.frame.position for fed in frames.take(range(8, 16))] == [8, 9]
        assert frames.take(range(16, 24)) == []
        assert frames.take(range(16, 24)) == [], "and goes on saying so"


def test_lost_frames_are_missing_and_nothing_shifts() -> None:
    with a_feed(FakeReader(lost=[2, 3, 7, 8]), range(0, 4), range(4, 8), range(8, 12)) as frames:
        assert [fed.frame.position for fed in frames.take(range(0, 4))] == [0, 1]
        assert [fed.frame.position for fed in frames.take(range(4, 8))] == [4, 5, 6]
        assert [fed.frame.position for fed in frames.take(range(8, 12))] == [9, 10, 11]


def test_what_is_decoded_ahead_is_bounded_in_bytes() -> None:
    reader, budget = FakeReader(), Budget(5 * FRAME_BYTES)
    with a_feed(reader, range(0, 50), budget=budget) as frames:
        assert settled(lambda: len(reader.read_positions)) == 6, "five wait, and one waits to be let in"
        assert budget.used == 5 * FRAME_BYTES
        frames.take(range(0, 3))
        assert settled(lambda: len(reader.read_positions)) == 9
        assert budget.used == 5 * FRAME_BYTES
        assert len(frames.take(range(3, 50))) == 47
        assert budget.used == 0


def test_two_feeds_share_one_bound() -> None:
    first, second, budget = FakeReader(), FakeReader(), Budget(5 * FRAME_BYTES)
    with a_feed(first, range(0, 3), budget=budget) as one:
        assert settled(lambda: budget.used) == 3 * FRAME_BYTES
        with a_feed(second, range(0, 50), budget=budget) as other:
            assert settled(lambda: len(second.read_positions)) == 3, "two wait, and one waits to be let in"
            assert budget.used == 5 * FRAME_BYTES
            one.take(range(0, 2))
            assert settled(lambda: len(second.read_positions)) == 5
            one.close()
            assert settled(lambda: len(second.read_positions)) == 6, "what nobody took leaves room, too"
            assert budget.used == 5 * FRAME_BYTES
            other.close()
            assert budget.used == 0


def test_the_tracker_s_own_picture_takes_room_too() -> None:
    (frame,) = FakeReader().read(Grid(), [range(1)])
    assert Fed.of(frame, None).nbytes == FRAME_BYTES and Fed.of(frame, WIDTH // 2).nbytes == FRAME_BYTES * 5 // 4


def test_a_frame_larger_than_the_bound_still_gets_through() -> None:
    with a_feed(FakeReader(), range(0, 20), budget=Budget(FRAME_BYTES // 2)) as frames:
        assert len(frames.take(range(0, 20))) == 20


def test_the_tracker_sees_a_smaller_picture_and_the_crop_the_full_one() -> None:
    with a_feed(FakeReader(), range(0, 2), side=30) as frames:
        (fed, _) = frames.take(range(0, 2))
    assert fed.small.shape == (20, 30, 3) and fed.frame.rgb.shape == (HEIGHT, WIDTH, 3)
    with a_feed(FakeReader(), range(0, 1)) as frames:
        (fed,) = frames.take(range(0, 1))
    assert fed.small is fed.frame.rgb, "without a limit it is the same array"


def test_an_error_reaches_whoever_takes_after_the_good_frames() -> None:
    with (
        pytest.raises(UnreadableVideo, match="damaged here"),
        a_feed(FakeReader(broken=6), range(0, 4), range(4, 8)) as frames,
    ):
        assert len(frames.take(range(0, 4))) == 4
        frames.take(range(4, 8))
    assert not decoding()


def test_an_error_that_nobody_meets_is_nobodys() -> None:
    with a_feed(FakeReader(broken=6), range(0, 4), range(4, 8)) as frames:
        assert len(frames.take(range(0, 4))) == 4
    assert not decoding()


def test_closing_early_stops_the_thread() -> None:
    reader, budget = FakeReader(count=10_000), Budget(3 * FRAME_BYTES)
    began = time.monotonic()
    with a_feed(reader, range(0, 10_000), budget=budget) as frames:
        frames.take(range(0, 2))
        assert len(decoding()) == 1
    assert not decoding() and time.monotonic() - began < 5
    assert len(reader.read_positions) < 20
    assert not frames._ready and not frames._held and not budget.used, "and no frame is held any longer"
