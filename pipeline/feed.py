"""Frames, decoded ahead of whoever needs them, in a queue that is bounded in bytes.

One thread decodes and scales; the caller takes whole spans. Frames that two spans share are decoded once. Leaving the
block stops the thread at its next frame.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from video.reader import VideoReader, shrink
from video.types import Frame, Grid

AHEAD_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Fed:
    """A decoded frame and what the tracker sees of it: the same picture, scaled down to the tracker's `max_side`."""

    frame: Frame
    small: NDArray[np.uint8]


class FrameFeed:
    """Feeds the frames of ascending spans of grid positions.

    small_side: longer side of `Fed.small`; None for the frame itself. Raises what the reader raises, from `take`.
    """

    def __init__(self, reader: VideoReader, grid: Grid, spans: Sequence[range], small_side: int | None) -> None:
        self._read = (reader, grid, spans)
        self._small_side = small_side
        self._ready: deque[Fed] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._stopped = self._ended = False
        self._error: BaseException | None = None
        self._held: deque[Fed] = deque()
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()
        self._ready.clear()
        self._held.clear()

    def take(self, span: range) -> list[Fed]:
        """The frames at these positions, as many as the video has. Spans must ascend; earlier frames are let go."""
        while self._held and self._held[0].frame.position < span.start:
            self._held.popleft()
        while not self._held or self._held[-1].frame.position < span.stop - 1:
            fed = self._next()
            if fed is None:
                break
            if fed.frame.position >= span.start:
                self._held.append(fed)
        return [fed for fed in self._held if fed.frame.position < span.stop]

    def _next(self) -> Fed | None:
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            if self._ready:
                fed = self._ready.popleft()
                self._bytes -= fed.frame.rgb.nbytes
                self._changed.notify_all()
                return fed
            if self._error is not None:
                raise self._error
            return None

    def _decode(self) -> None:
        try:
            for fed in self._frames():
                with self._changed:
                    while self._ready and self._bytes + fed.frame.rgb.nbytes > AHEAD_BYTES and not self._stopped:
                        self._changed.wait()
                    if self._stopped:
                        return
                    self._ready.append(fed)
                    self._bytes += fed.frame.rgb.nbytes
                    self._changed.notify_all()
        except BaseException as error:  # handed to the thread that takes
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _frames(self) -> Iterator[Fed]:
        reader, grid, spans = self._read
        for frame in reader.read(grid, spans):
            yield Fed(frame, shrink(frame.rgb, self._small_side))
