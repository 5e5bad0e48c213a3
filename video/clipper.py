"""The clipper: which clips are cut from a video, and how they are grouped for tracking and decoding.

`plan` works on the header alone and never opens a file. A clip's place on the video's single sampling grid decides its
id, its window and its chunk, so nothing about one video ever changes another's plan, and choosing fewer clips never
renames the others. The header's frame count is an estimate: a clip that turns out to lie beyond the true end is
refused as short when it is decoded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import compress, groupby

import numpy as np
from numpy.typing import NDArray

from video.errors import UnreadableVideo
from video.types import MAX_WINDOWS_PER_CHUNK, Chunk, Grid, Video

SAMPLINGS = ("all", "random", "spread")


@dataclass
class ClipConfig:
    """How clips are cut.

    num_frames frames each, every `stride`-th source frame, or `fps` of them a second. The next clip starts `hop`
    sampled frames after the last one (null: num_frames, so clips do not overlap).
    """

    num_frames: int = 20
    stride: int = 4
    fps: float | None = None
    hop: int | None = None
    sampling: str = "all"  # all | random: `per_video` clips of each video, without replacement | spread: `total` of all
    per_video: int = 10
    total: int | None = None  # spread: a budget over cameras, hours and activity
    seed: int = 0
    per_window: int = 1  # consecutive clips tracked in one session: identities last longer, start-up is paid once
    lead: int = 0  # sampled frames tracked before and after a window, never cropped
    whole: bool = False  # the whole video as one clip
    spans: str | None = None  # a table of spans of videos (CSV, BORIS): clips from these alone
    save: bool = False  # also write each clip as an H.264 file

    def __post_init__(self) -> None:
        for key, least in (("num_frames", 1), ("stride", 1), ("per_video", 1), ("per_window", 1), ("lead", 0)):
            if getattr(self, key) < least:
                raise ValueError(f"clip.{key} must be at least {least}, got {getattr(self, key)}")
        if self.hop is not None and self.hop < 1:
            raise ValueError(f"clip.hop must be at least 1, or null for clips that do not overlap, got {self.hop}")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"clip.fps must be above 0 and at most 1000, got {self.fps}")
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"clip.sampling must be one of {', '.join(SAMPLINGS)}, got {self.sampling!r}")
        if self.sampling == "spread" and self.total is None:
            raise ValueError("clip.sampling=spread needs a budget: clip.total, such as clip.total=1000 clips")
        if self.sampling != "spread" and self.total is not None:
            raise ValueError(
                f"clip.total={self.total} is the budget of clip.sampling=spread, got clip.sampling={self.sampling}"
            )
        if self.total is not None and self.total < 1:
            raise ValueError(f"clip.total must be at least 1 clip, got {self.total}")
        if self.sampling != "all" and self.per_window > 1:
            raise ValueError(
                f"clip.per_window={self.per_window} needs consecutive clips; use clip.sampling=all or clip.per_window=1"
            )

        if self.spans is not None and (self.sampling != "all" or self.per_window > 1 or self.whole):
            raise ValueError(
                "clip.spans cuts single clips where something happens: it goes with clip.sampling=all, "
                "clip.per_window=1 and clip.whole=false only"
            )

    @property
    def window_frames(self) -> int:
        """Frames of a window that is tracked, unless the video is shorter; with `whole` that is not known: 1."""
        if self.whole:
            return 1
        return self.num_frames + (self.per_window - 1) * (self.hop or self.num_frames) + 2 * self.lead

    @property
    def grid(self) -> Grid:
        if self.fps is not None:
            return Grid(fps=Fraction(self.fps).limit_denominator(1001))
        return Grid(stride=self.stride)


@dataclass(frozen=True, slots=True)
class Places:
    """The clips of one video that can be cut, without making any of them: where each of them starts on the grid,
    ascending; as a `range` they are all there are. step: from one number to the next, of the numbers on the grid that
    windows and chunks go by."""

    video: Video
    grid: Grid
    num_frames: int
    starts: range | tuple[int, ...]
    step: int

    def first_s(self) -> NDArray[np.float64]:
        """When each clip begins, seconds."""
        return self.grid.seconds(np.array(self.starts, np.int64), self.video)

    def last_s(self) -> NDArray[np.float64]:
        """When the last frame of each is shown."""
        return self.grid.seconds(np.array(self.starts, np.int64) + self.num_frames - 1, self.video)


def plan(
    video: Video,
    config: ClipConfig,
    hours: tuple[float, float] | None = None,
    spans: Sequence[tuple[float, float]] | None = None,
) -> list[Chunk]:
    """The chunks of one video, in order; see `places` and `chunks`."""
    return chunks(places(video, config, hours, spans), config)


def places(
    video: Video,
    config: ClipConfig,
    hours: tuple[float, float] | None = None,
    spans: Sequence[tuple[float, float]] | None = None,
) -> Places:
    """The clips of one video.

    hours: keep clips that start within [first, second) o'clock; may wrap midnight. spans: only the clips of these
    seconds [start, end), see `starts_of_span`. With clip.sampling=spread these are all clips that could be taken: which
    of them are is decided over all videos (`video.spread`). Raises UnreadableVideo when the video cannot give such
    clips: a rate above its own, no recording time for `hours`, or too short for one clip.
    """
    grid = config.grid
    if grid.fps is not None and grid.fps > video.fps * Fraction(1001, 1000):
        raise UnreadableVideo(
            f"{video.name}: clip.fps={config.fps:g} is more than its own {float(video.fps):g} frames a second"
        )
    found: range | tuple[int, ...] = ()
    step = config.hop or config.num_frames
    if spans is None:
        found = _all_starts(video, grid, config)
    else:
        step = config.num_frames  # they begin anywhere: by where they lie, one more moves no other to another chunk
        found = tuple(sorted({start for span in spans for start in starts_of_span(video, config, span)}))
    every = Places(video, grid, grid.positions(video) if config.whole else config.num_frames, found, step)
    if hours is not None:
        found = tuple(compress(found, _in_hours(every, hours)))
    if config.sampling == "random" and len(found) > config.per_video:
        draw = random.Random(f"{config.seed}/{video.fingerprint}")
        found = tuple(sorted(draw.sample(found, config.per_video)))
    return replace(every, starts=found)


def chunks(places: Places, config: ClipConfig) -> list[Chunk]:
    """The chunks of these clips. Their boundaries lie on the grid, so one clip more or less changes one chunk."""
    grouped = _grouped(places.starts, places.step, config)
    return [Chunk(places.video, places.grid, places.num_frames, starts, config.lead) for starts in grouped]


def starts_of_span(video: Video, config: ClipConfig, span: tuple[float, float]) -> list[int]:
    """Where the clips of the seconds [start, end) start on the grid: one after the other, `hop` apart, all frames in
    the span; or a single one around the middle of a span too short for that, if at least half of its frames lie in it.
    None beyond the video."""
    grid, length = config.grid, config.num_frames
    rate = float(grid.fps or video.fps / grid.stride)
    first, stop = math.ceil(span[0] * rate - 1e-6), math.ceil(span[1] * rate - 1e-6)
    starts = list(range(first, stop - length + 1, config.hop or length))
    if not starts and 2 * (stop - first) >= length:
        starts = [max(0, (first + stop - length) // 2)]
    available = grid.positions(video)
    return [start for start in starts if start + length <= available]


def _all_starts(video: Video, grid: Grid, config: ClipConfig) -> range:
    available = grid.positions(video)
    if config.whole:
        return range(1)
    if available < config.num_frames:
        raise UnreadableVideo(
            f"{video.name}: shorter than one clip: {available} sampled frames of the {config.num_frames} "
            f"that clip.num_frames asks for ({video.duration:.1f} s)"
        )
    return range(0, available - config.num_frames + 1, config.hop or config.num_frames)


def _in_hours(places: Places, hours: tuple[float, float]) -> NDArray[np.bool_]:
    """Which of the clips start within [first, second) o'clock."""
    if places.video.recorded_at is None:
        raise UnreadableVideo(
            f"{places.video.name}: select.hours needs its recording time, and select.time_pattern finds none in its "
            "name"
        )
    second_of_day = daytime(places.video.recorded_at, places.first_s())
    hour = second_of_day // 3600 + second_of_day // 60 % 60 / 60 + second_of_day % 60 / 3600
    first, second = hours
    after, before = hour >= first, hour < second
    return after & before if first <= second else after | before


def daytime(recorded_at: datetime, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The whole seconds since midnight, so many seconds after a recording began."""
    began = recorded_at - recorded_at.replace(hour=0, minute=0, second=0, microsecond=0)
    part, whole = np.modf(seconds)
    later = whole.astype(np.int64) * 10**6 + np.rint(part * 10**6).astype(np.int64)  # as `timedelta` rounds
    seconds_since: NDArray[np.int64] = (began // timedelta(microseconds=1) + later) // 10**6
    return seconds_since % 86400


def _grouped(starts: range | tuple[int, ...], step: int, config: ClipConfig) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Chunks of windows of clips. A window and a chunk are numbered by their place on the grid, not in the list, so
    that one clip less moves no other clip; randomly drawn clips lie far apart and share chunks in order."""
    many = config.per_window * MAX_WINDOWS_PER_CHUNK
    if isinstance(starts, range) or config.sampling == "random":  # nothing is left out, or nothing is numbered
        for first in range(0, len(starts), many):
            yield _windows(starts[first : first + many], step, config.per_window)
        return
    for _, group in groupby(starts, lambda start: start // step // many):
        yield _windows(tuple(group), step, config.per_window)


@lru_cache(maxsize=4096)  # of the videos with one grid: half of what a plan of a million windows would hold
def _windows(starts: range | tuple[int, ...], step: int, per_window: int) -> tuple[tuple[int, ...], ...]:
    """Windows of consecutive clips, that lie `step` apart."""
    if per_window == 1:
        return tuple((start,) for start in starts)
    return tuple(tuple(group) for _, group in groupby(starts, lambda start: start // step // per_window))
