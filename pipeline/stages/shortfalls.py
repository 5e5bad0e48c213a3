"""What a window could not give: clips that turned out too short, tracking that failed, and files that end early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.records import Failure, Rejection
from pipeline.stages.measure import is_short
from pipeline.track_store import WindowTracks
from video.types import Window

TRUNCATED_BELOW = 0.98  # a file that ends before this share of what its header promises was cut off


def short_clips(window: Window, found: Sequence[WindowTracks], whole: bool) -> Iterator[Rejection]:
    """Clips that turned out to have fewer frames than they need. found: per prompt."""
    for tracks in found[:1]:
        for clip in window.clips:
            frames = tracks.frames_of(clip)
            if is_short(clip, frames, whole):
                name, have, needed = clip.video.name, float(len(frames)), float(clip.num_frames)
                yield Rejection(name, clip.id, None, None, None, "short", have, needed)


def window_failures(window: Window, found: Sequence[WindowTracks]) -> Iterator[Failure]:
    """Clips of windows that could not be tracked, and a file that ends long before its header says. found: as above."""
    for tracks in found:
        if tracks.error is not None:
            for clip in window.clips:
                yield Failure(clip.video.name, clip.id, "track", tracks.error)
    for tracks in found[:1]:
        clip = window.clips[-1]
        promised = min(clip.stop, clip.grid.positions(clip.video))
        if (tracks.positions[-1] + 1 if len(tracks.positions) else 0) < promised * TRUNCATED_BELOW - 1:
            yield Failure(
                clip.video.name, None, "decode", f"the file ends before the {clip.video.duration:.1f} s it promises"
            )
