"""Small values for tests of the pipeline: a video that is not on disk, its clips and windows, tracks, samples, records.

Every function takes only what a test cares about and fills in the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from pipeline.records import ChunkRecord, CropFile, Figures, PixelFigures, Sample
from pipeline.track_store import WindowTracks
from sam.types import Mask, Track
from video.types import Chunk, Clip, Grid, Video, Window

FIGURES = Figures(
    visible_share=0.9,
    side=50.0,
    area=900.0,
    truncated=0.0,
    scale_outliers=0,
    corrupt_frames=0,
    jitter=0.01,
    scale_drift=0.1,
    mask_iou=0.8,
    foreign=0.05,
)
PIXELS = PixelFigures(sharpness=12.0, luma=0.4, clipped=0.01, motion=0.03)


def a_video(**changes: Any) -> Video:
    """A video of 400 frames, 200 x 100, at 25 frames a second."""
    video = Video(
        path="/data/farm/cam1.mp4",
        name="farm/cam1.mp4",
        fingerprint="0123456789abcdef",
        width=200,
        height=100,
        rotation=0,
        fps=Fraction(25),
        frames=400,
        duration=16.0,
        codec="h264 yuv420p",
        color="bt601 limited (untagged)",
        size_bytes=1000,
    )
    return replace(video, **changes)


def a_clip(start: int = 0, num_frames: int = 4, stride: int = 4, video: Video | None = None) -> Clip:
    return Clip(video or a_video(), Grid(stride=stride), start, num_frames)


def a_chunk(*windows: Window) -> Chunk:
    windows = windows or (Window((a_clip(),)), Window((a_clip(4),)))
    return Chunk.of(*windows)


def block(x: int, y: int, width: int, height: int) -> Mask:
    """A filled rectangle."""
    mask = Mask.encode(np.ones((height, width), np.uint8), (x, y))
    assert mask is not None
    return mask


def a_track(masks: dict[int, Mask], object_id: int = 1, prompt: str = "cow", score: float = 0.5) -> Track:
    """masks: by session frame, ascending."""
    return Track(object_id, prompt, np.array(list(masks), np.int32), tuple(masks.values()), score)


def found_in(
    window: Window, *tracks: Track, positions: Sequence[int] | None = None, start_s: float = 0.0, **changes: Any
) -> WindowTracks:
    """What tracking a window came to. positions: grid positions that were decoded; all of them unless said."""
    at = np.array(window.positions if positions is None else positions, np.int64)
    clip = window.clips[0]
    indices = at * clip.grid.stride
    times = start_s + indices / float(clip.video.fps)
    return WindowTracks(window.id, at, indices, times, changes.pop("corrupt", ()), tracks, **changes)


def a_sample(sample_id: str = "a", **changes: Any) -> Sample:
    """A kept sample of four frames with one crop, hidden in the third frame."""
    clip = a_clip()
    sample = Sample(
        sample_id=sample_id,
        video=clip.video.name,
        video_fingerprint=clip.video.fingerprint,
        recorded_at=None,
        clip_id=clip.id,
        window_id="window",
        track_key="key",
        tracker="motion",
        object_id=1,
        prompt="cow",
        first_score=0.5,
        start_frame=0,
        stride=4,
        num_frames=4,
        fps=6.25,
        frame_indices=(0, 4, 8, 12),
        timestamps_s=(0.0, 0.16, 0.32, 0.48),
        boxes=((10, 10, 60, 60), (12, 10, 62, 60), None, (16, 10, 66, 60)),
        crop_windows=((5, 5, 65, 65), (7, 5, 67, 65), (9, 5, 69, 65), (11, 5, 71, 65)),
        source_width=200,
        source_height=100,
        degraded=False,
        duplicate_of=None,
        figures=FIGURES,
        pixels=PIXELS,
        colours=None,
        phash="0123456789abcdee",
        files=(crop_file(sample_id),),
    )
    return replace(sample, **changes)


def crop_file(sample_id: str, background: str = "black") -> CropFile:
    return CropFile(background, f"crops/clip/{sample_id}.mp4", "f" * 64, 1234)


def a_record(*samples: Sample, **changes: Any) -> ChunkRecord:
    record = ChunkRecord("ab" * 12, "chunk", "farm/cam1.mp4", ("clip",), samples, (), ())
    return replace(record, **changes)
