"""The frames of one window on their way to the tracker: held in memory, or, of a long window, decoded when asked for.

A long window is decoded twice: once for the true place and time of every frame, without keeping a picture, and once
while it is tracked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.stages.feed import Fed
from pipeline.stages.source_frames import SourceFrames
from video.reader import open_reader
from video.types import Frame, Video, Window

LONG_BYTES = 512 * 2**20  # frames that take more than this are not held


@dataclass(frozen=True, slots=True)
class WindowFrames:
    """T frames. positions: (T,) int64 on the grid, ascending. indices: (T,) int64 in the file. times_s: (T,) float64.
    corrupt: which of them the decoder flagged, counted from 0. images: T pictures (h, w, 3) uint8 for the tracker."""

    positions: NDArray[np.int64]
    indices: NDArray[np.int64]
    times_s: NDArray[np.float64]
    corrupt: tuple[int, ...]
    images: Sequence[NDArray[np.uint8]]


def is_long(window: Window) -> bool:
    """Whether a window's frames at full size take more memory than is held."""
    video = window.clips[0].video
    return 3 * video.width * video.height * len(window.positions) > LONG_BYTES


def in_memory(frames: Sequence[Fed]) -> WindowFrames:
    """Frames that are decoded already."""
    return _table([_place(fed.frame) for fed in frames], [fed.small for fed in frames])


@contextmanager
def decoded_when_asked(window: Window, video: Video, reader: str, max_side: int | None) -> Iterator[WindowFrames]:
    """The frames of a window, of which few are in memory at a time. Raises UnreadableVideo.

    video: the window's, with the path of a file of this machine.
    """
    grid = window.clips[0].grid
    with open_reader(video, reader) as opened:
        places = [_place(frame) for frame in opened.read(grid, [window.positions])]
    with SourceFrames(video, reader, [place[0] for place in places], max_side, grid) as images:
        yield _table(places, images)


_Place = tuple[int, int, float, bool]


def _place(frame: Frame) -> _Place:
    return frame.position, frame.index, frame.time_s, frame.corrupt


def _table(places: Sequence[_Place], images: Sequence[NDArray[np.uint8]]) -> WindowFrames:
    return WindowFrames(
        np.array([place[0] for place in places], np.int64),
        np.array([place[1] for place in places], np.int64),
        np.array([place[2] for place in places], np.float64),
        tuple(n for n, place in enumerate(places) if place[3]),
        images,
    )
