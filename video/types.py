"""What the video package hands out: a video, the clips cut from it, and the windows and chunks they are read in.

Everything here is a plain value. A time is in seconds from the first displayed frame of the file, a frame index
counts displayed frames from 0, and sizes are pixels as displayed (the rotation tag applied).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import overload

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

    @overload
    def seconds(self, position: int, video: Video) -> float: ...
    @overload
    def seconds(self, position: NDArray[np.int64], video: Video) -> NDArray[np.float64]: ...
    def seconds(self, position: int | NDArray[np.int64], video: Video) -> float | NDArray[np.float64]:
        """Estimated time of a grid position, or of many, in seconds from the first frame."""
        rate, steps = (video.fps, position * self.stride) if self.fps is None else (self.fps, position)
        return steps * rate.denominator / rate.numerator  # what the float of the Fraction is, ten times as fast

    def positions(self, video: Video) -> int:
        """How many grid positions the header promises."""
        if self.fps is not None:
            return int(video.frames / video.fps * self.fps)
        return -(-video.frames // self.stride)


def clip_names(video: Video, grid: Grid, num_frames: int) -> Callable[[int], str]:
    """What makes the id of such a clip from its start."""
    place, length = f"{video.fingerprint[:12]}-{grid}-", f"-n{num_frames}"
    return lambda start: f"{place}{start:07d}{length}"


def window_name(lead: int, clips: Iterable[str]) -> str:
    """The id of a window of these clips (ids)."""
    return digest("window", lead, *clips)


def reach(starts: Sequence[int], num_frames: int, lead: int) -> range:
    """The grid positions of a window whose clips start at `starts`, ascending; those beyond the end of the video are
    simply not there."""
    return range(max(0, starts[0] - lead), starts[-1] + num_frames + lead)


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
        return clip_names(self.video, self.grid, self.num_frames)(self.start)


@dataclass(frozen=True, slots=True)
class Window:
    """What one tracking session sees: clips of one video and length, in order, with `lead` more positions on either
    side."""

    clips: tuple[Clip, ...]
    lead: int = 0
    id: str = field(init=False, repr=False, compare=False)  # made once: it is asked for again and again

    def __post_init__(self) -> None:
        if len(self.clips) != 1 and len({(c.video.fingerprint, c.grid, c.num_frames) for c in self.clips}) != 1:
            raise ValueError(f"a window holds clips of one video, grid and length, got {len(self.clips)} clips")
        object.__setattr__(self, "id", window_name(self.lead, (c.id for c in self.clips)))

    @property
    def positions(self) -> range:
        return reach([c.start for c in self.clips], self.clips[0].num_frames, self.lead)

    @property
    def start(self) -> int:
        return self.positions.start

    @property
    def stop(self) -> int:
        """One past the last grid position."""
        return self.positions.stop


@dataclass(frozen=True, slots=True)
class Chunk:
    """The unit of work: up to `MAX_WINDOWS_PER_CHUNK` windows of one video, decoded in one pass.

    It knows where its clips start and makes windows and clips when they are asked for: a plan of a million windows is
    30,000 of these. starts: per window, the grid positions at which its clips start, ascending.
    """

    video: Video
    grid: Grid
    num_frames: int
    starts: tuple[tuple[int, ...], ...]
    lead: int = 0
    id: str = field(init=False, repr=False, compare=False)
    _names: str = field(init=False, repr=False, compare=False)  # of its windows in one string: a fifth of their memory

    def __post_init__(self) -> None:
        if not 1 <= len(self.starts) <= MAX_WINDOWS_PER_CHUNK or not all(self.starts):
            raise ValueError(
                f"a chunk holds 1 to {MAX_WINDOWS_PER_CHUNK} windows of one or more clips, "
                f"got {len(self.starts)} with {[len(starts) for starts in self.starts]} clips"
            )
        name = clip_names(self.video, self.grid, self.num_frames)
        ids = [window_name(self.lead, map(name, starts)) for starts in self.starts]
        object.__setattr__(self, "_names", "".join(ids))
        object.__setattr__(self, "id", digest("chunk", *ids))

    @classmethod
    def of(cls, *windows: Window) -> Chunk:
        """The chunk of these windows. Raises ValueError where they are not of one video, grid, length and lead."""
        if len({(w.clips[0].video.fingerprint, w.clips[0].grid, w.clips[0].num_frames, w.lead) for w in windows}) != 1:
            raise ValueError(f"a chunk holds windows of one video, grid, length and lead, got {len(windows)} windows")
        clip = windows[0].clips[0]
        starts = tuple(tuple(c.start for c in w.clips) for w in windows)
        return cls(clip.video, clip.grid, clip.num_frames, starts, windows[0].lead)

    @property
    def window_ids(self) -> tuple[str, ...]:
        size = len(self._names) // len(self.starts)
        return tuple(self._names[n : n + size] for n in range(0, len(self._names), size))

    @property
    def windows(self) -> tuple[Window, ...]:
        return tuple(
            Window(tuple(Clip(self.video, self.grid, start, self.num_frames) for start in starts), self.lead)
            for starts in self.starts
        )

    @property
    def spans(self) -> list[range]:
        """The grid positions of every window."""
        return [reach(starts, self.num_frames, self.lead) for starts in self.starts]

    @property
    def clips(self) -> int:
        return sum(map(len, self.starts))

    @property
    def clip_ids(self) -> Iterator[str]:
        """Of all clips, in order."""
        name = clip_names(self.video, self.grid, self.num_frames)
        return (name(start) for starts in self.starts for start in starts)

    @property
    def frames(self) -> int:
        """Frames in its windows; one that lies in two is counted twice."""
        return sum(map(len, self.spans))

    @property
    def seconds(self) -> float:
        """Seconds of footage in its windows."""
        return self.frames / float(self.grid.fps or self.video.fps / self.grid.stride)


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
