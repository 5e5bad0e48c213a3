"""What the video package hands out: a video, the clips cut from it, and the windows and chunks they are read in.

Everything here is a plain value. A time is in seconds from the first displayed frame of the file, a frame index
counts displayed frames from 0, and sizes are pixels as displayed (the rotation tag applied).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from video.connection import shown

MAX_WINDOWS_PER_CHUNK = 32


def digest(*parts: object, length: int = 16) -> str:
    """A short hexadecimal name for content: the first `length` digits of the SHA-256 of the parts' reprs."""
    return hashlib.sha256("\x1f".join(map(repr, parts)).encode()).hexdigest()[:length]


@dataclass(frozen=True, slots=True)
class Video:
    """One readable video file.

    `name` is its path relative to the source that named it, with forward slashes: patterns and splits match it.
    `fingerprint` identifies the bytes (size and digests of head and tail), so a moved or renamed file keeps its tracks.
    `frames` and `duration` come from the header and are estimates; only decoding tells the truth.
    `color` says how pixels become RGB: the file's own tags, or the rule for untagged files.
    `path` may be a URL; of a video that was fetched from one it is the file here, and `url` says where it is from.
    """

    path: str
    name: str
    fingerprint: str
    width: int
    height: int
    rotation: int  # degrees clockwise, already applied to width, height and to every frame read
    fps: Fraction  # average display rate
    frames: int
    duration: float
    codec: str
    color: str
    size_bytes: int
    recorded_at: datetime | None = None
    url: str | None = None

    @property
    def origin(self) -> str:
        """Where the video is from, for people: without what is secret in a URL."""
        return shown(self.url or self.path)

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a video needs a size of at least 1x1, got {self.width}x{self.height} for {self.path}")
        if self.rotation not in (0, 90, 180, 270):
            raise ValueError(f"rotation is one of 0, 90, 180, 270, got {self.rotation} for {self.path}")
        if self.fps <= 0:
            raise ValueError(f"fps must be positive, got {self.fps} for {self.path}")


@dataclass(frozen=True, slots=True)
class Grid:
    """The one sampling grid of a video: position g is source frame g*stride, or the frame shown at g/fps seconds."""

    stride: int = 1
    fps: Fraction | None = None

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")
        if self.fps is not None and (self.fps <= 0 or self.stride != 1):
            raise ValueError(f"a grid has either a positive fps or a stride, got {self.fps = }, {self.stride = }")

    def __str__(self) -> str:
        return f"s{self.stride}" if self.fps is None else f"f{float(self.fps):g}"

    def seconds(self, position: int, video: Video) -> float:
        """Estimated time of a grid position, in seconds from the first frame."""
        return float(position / self.fps if self.fps is not None else position * self.stride / video.fps)

    def positions(self, video: Video) -> int:
        """How many grid positions the header promises."""
        if self.fps is not None:
            return int(video.frames / video.fps * self.fps)
        return -(-video.frames // self.stride)


@dataclass(frozen=True, slots=True)
class Clip:
    """`num_frames` consecutive grid positions of one video, from `start` on. Its id is made from content alone."""

    video: Video
    grid: Grid
    start: int
    num_frames: int

    @property
    def stop(self) -> int:
        return self.start + self.num_frames

    @property
    def rate(self) -> float:
        """Nominal frames per second of the clip."""
        return float(self.grid.fps or self.video.fps / self.grid.stride)

    @property
    def id(self) -> str:
        return f"{self.video.fingerprint[:12]}-{self.grid}-{self.start:07d}-n{self.num_frames}"


@dataclass(frozen=True, slots=True)
class Window:
    """What one tracking session sees: consecutive clips of one video, with `lead` more positions on either side."""

    clips: tuple[Clip, ...]
    lead: int = 0
    id: str = field(init=False, repr=False, compare=False)  # made once: planning asks for it again and again

    def __post_init__(self) -> None:
        if len(self.clips) != 1 and len({(c.video.fingerprint, c.grid) for c in self.clips}) != 1:
            raise ValueError(f"a window holds one or more clips of one video and grid, got {len(self.clips)} clips")
        object.__setattr__(self, "id", digest("window", self.lead, *(c.id for c in self.clips)))

    @property
    def start(self) -> int:
        return max(0, self.clips[0].start - self.lead)

    @property
    def stop(self) -> int:
        """One past the last grid position; lead positions beyond the end of the video are simply not there."""
        return max(c.stop for c in self.clips) + self.lead

    @property
    def positions(self) -> range:
        return range(self.start, self.stop)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The unit of work: up to `MAX_WINDOWS_PER_CHUNK` windows of one video, decoded in one pass."""

    video: Video
    grid: Grid
    windows: tuple[Window, ...]
    id: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.windows) <= MAX_WINDOWS_PER_CHUNK:
            raise ValueError(f"a chunk holds 1 to {MAX_WINDOWS_PER_CHUNK} windows, got {len(self.windows)}")
        object.__setattr__(self, "id", digest("chunk", *(w.id for w in self.windows)))

    @property
    def clips(self) -> int:
        return sum(len(w.clips) for w in self.windows)

    @property
    def seconds(self) -> float:
        """Seconds of footage in its windows."""
        return sum(len(w.positions) for w in self.windows) / self.windows[0].clips[0].rate


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    position: on the grid. index: displayed frames before it in the file. time_s: seconds since the first displayed
    frame. rgb: (height, width, 3) uint8, rotated for display. corrupt: the decoder flagged damage in it.
    """

    position: int
    index: int
    time_s: float
    rgb: NDArray[np.uint8]
    corrupt: bool = False
