"""What every reader promises: frames by the number of displayed frames before them, with their true times.

Only frames that are asked for are converted to RGB, and one is in memory at a time. A reader never resamples time,
never writes, and never guesses: what it cannot read truthfully it refuses with `UnreadableVideo`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from video.types import Frame, Grid, Video


@dataclass(slots=True)
class ReadStats:
    """What a reader has done since it was opened.

    decoded: frames decoded. skipped: packets passed over because nothing asked for needs them. corrupt: frames marked
    as corrupt, and packets that no frame came of.
    """

    decoded: int = 0
    skipped: int = 0
    corrupt: int = 0


class VideoReader(ABC):
    """One open video. A context manager; not to be used from two threads at once."""

    def __init__(self, video: Video) -> None:
        self.video = video
        self.stats = ReadStats()

    @abstractmethod
    def read(self, grid: Grid, positions: Sequence[range]) -> Iterator[Frame]:
        """The frames at these grid positions: each position once, ascending, however the ranges overlap.

        Positions past the end are not yielded; the caller decides whether a clip is then too short. A frame so
        damaged that nothing comes out of the decoder is not yielded either, and keeps its number; one is marked
        corrupt when it, or another since the last intact keyframe that it may build on, is damaged. Where the picture
        changes its size within the file, frames are stretched to the size of the video. Calls with later positions
        on an open reader go on from where the last one stopped. Raises UnreadableVideo.
        """

    @abstractmethod
    def spread(self, count: int, max_side: int | None) -> list[NDArray[np.uint8]]:
        """About `count` pictures spread evenly over the video, in order: what a background model is built from.

        Each is (height, width, 3) uint8 RGB as displayed, downscaled so that its longer side is at most `max_side`.
        The same for the same file; fewer than `count` only when the video has fewer frames. Raises UnreadableVideo.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file. Reading afterwards is an error; closing again is not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def shrink(rgb: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """The picture downscaled by area so that its longer side is at most `max_side`; never enlarged."""
    height, width = rgb.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return rgb
    scale = max_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
