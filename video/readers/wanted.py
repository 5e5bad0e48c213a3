"""Which frames of a video are wanted: grid positions against display indices and times.

Pure arithmetic, exact throughout: times are integers in ticks of the stream's time base, rates are fractions. Never
touches a file. A position of an fps grid is the frame shown at that moment: the last whose time is not later, where
a tolerance of half a tick, and never above half a millisecond, undoes the rounding of containers that store
milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction

from video.types import Grid

ROUNDING = Fraction(1, 2000)  # seconds


class Wanted:
    """Grid positions, as merged ascending ranges. Times are ticks of `tick` seconds from the first displayed frame."""

    def __init__(self, grid: Grid, positions: Sequence[range], tick: Fraction) -> None:
        self._stride = grid.stride
        # Positions per tick; None for a stride.
        self._rate = None if grid.fps is None else grid.fps * tick
        self._tolerance = min(Fraction(1, 2), ROUNDING / tick)
        self._starts: list[int] = []
        self._stops: list[int] = []
        for span in sorted(_ascending(p) for p in positions if len(p)):
            if self._stops and span[0] <= self._stops[-1]:
                self._stops[-1] = max(self._stops[-1], span[1])
            else:
                self._starts.append(span[0])
                self._stops.append(span[1])

    @property
    def first(self) -> int | None:
        """The lowest wanted position, or None when nothing is wanted."""
        return self._starts[0] if self._starts else None

    def drop_until(self, position: int) -> None:
        """Want nothing before `position` any more."""
        while self._stops and self._stops[0] <= position:
            del self._starts[0], self._stops[0]
        if self._starts:
            self._starts[0] = max(self._starts[0], position)

    def shown(self, index: int, time: int, until: int) -> range:
        """All grid positions that a frame answers: `index` frames before it, shown from tick `time` up to `until`."""
        if self._rate is None:
            return range(index // self._stride, index // self._stride + (index % self._stride == 0))
        return range(self._at(time), self._at(until))

    def among(self, shown: range) -> list[int]:
        """Those of the positions that are wanted, ascending."""
        found: list[int] = []
        at = max(0, bisect_right(self._starts, shown.start) - 1)
        while at < len(self._starts) and self._starts[at] < shown.stop:
            found += range(max(shown.start, self._starts[at]), min(shown.stop, self._stops[at]))
            at += 1
        return found

    def done(self, index: int, until: int) -> bool:
        """Whether nothing is wanted after the frame `index`, which is shown up to tick `until`."""
        if not self._stops:
            return True
        last = self._stops[-1] - 1
        return last * self._stride <= index if self._rate is None else last < self._at(until)

    def begins_before(self, index: int, time: int) -> bool:
        """Whether the lowest wanted frame may be displayed before the frame `index` shown at tick `time`."""
        first = self._starts[0]
        return first * self._stride < index if self._rate is None else first < self._at(time)

    def target(self) -> tuple[int | None, int | None]:
        """The lowest wanted frame as (index, None) of a stride, or as (None, tick) of an fps grid."""
        if self._rate is None:
            return self._starts[0] * self._stride, None
        return None, int(self._starts[0] / self._rate + self._tolerance)

    def _at(self, time: int) -> int:
        """The lowest position whose moment is not before `time`, within the tolerance."""
        assert self._rate is not None
        return max(0, -int(-((time - self._tolerance) * self._rate) // 1))


def _ascending(span: range) -> tuple[int, int]:
    if span.step != 1 or span.start < 0:
        raise ValueError(f"positions are ranges from 0 upwards with step 1, got {span}")
    return span.start, span.stop
