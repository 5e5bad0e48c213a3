"""Frames, decoded ahead of whoever needs them, in queues that are bounded in bytes together.

A thread fills one feed after another; another thread takes whole spans from one feed after another. Frames that two
spans share are decoded once. What waits in all feeds of a `Budget` is counted as one, so the next chunk is decoded as
soon as the frames of this one leave room.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from video.readers.contract import shrink
from video.types import Frame

AHEAD_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Fed:
    """A decoded frame and what the tracker sees of it: the same picture, scaled down to the tracker's `max_side`."""

    frame: Frame
    small: NDArray[np.uint8]

    @classmethod
    def of(cls, frame: Frame, max_side: int | None) -> Fed:
        """max_side: the longer side of `small`; None for the frame itself."""
        return cls(frame, shrink(frame.rgb, max_side))

    @property
    def nbytes(self) -> int:
        return self.frame.rgb.nbytes + (0 if self.small is self.frame.rgb else self.small.nbytes)


class Budget:
    """How many bytes may wait in several feeds together. `changed` is the lock of all of them."""

    def __init__(self, limit: int = AHEAD_BYTES) -> None:
        self.limit = limit
        self.used = 0
        self.changed = threading.Condition()


class FrameFeed:
    """The frames of ascending spans of grid positions, on their way from one thread to another."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._changed = budget.changed
        self._ready: deque[Fed] = deque()
        self._closed = self._ended = False
        self._error: BaseException | None = None
        self._held: deque[Fed] = deque()

    # -- the thread that decodes --------------------------------------------------------------------------------------

    def fill(self, frames: Iterator[Fed]) -> None:
        """Put all frames in, each as soon as there is room for it; returns early once the feed is closed.

        A frame larger than the budget gets in when nothing else waits. Raises what making the frames raises.
        """
        for fed in frames:
            with self._changed:
                while self._budget.used and self._budget.used + fed.nbytes > self._budget.limit and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                self._ready.append(fed)
                self._budget.used += fed.nbytes
                self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """There will be no more frames. error: why not; whoever takes beyond the frames that are there gets it."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    # -- the thread that takes ----------------------------------------------------------------------------------------

    def take(self, span: range) -> list[Fed]:
        """The frames at these positions, as many as there are. Spans must ascend; earlier frames are let go."""
        while self._held and self._held[0].frame.position < span.start:
            self._held.popleft()
        while not self._held or self._held[-1].frame.position < span.stop - 1:
            fed = self._next()
            if fed is None:
                break
            if fed.frame.position >= span.start:
                self._held.append(fed)
        return [fed for fed in self._held if fed.frame.position < span.stop]

    def close(self) -> None:
        """Let all frames go; `fill` stops at its next frame."""
        with self._changed:
            self._closed = True
            self._budget.used -= sum(fed.nbytes for fed in self._ready)
            self._ready.clear()
            self._held.clear()
            self._changed.notify_all()

    def _next(self) -> Fed | None:
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            if self._ready:
                fed = self._ready.popleft()
                self._budget.used -= fed.nbytes
                self._changed.notify_all()
                return fed
            if self._error is not None:
                raise self._error
            return None
