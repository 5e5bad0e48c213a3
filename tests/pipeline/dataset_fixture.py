"""A small finished dataset on disk, as a build leaves it: tiny crops made with PyAV and the three index tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.derive import with_classes
from pipeline.index import FAILURES, REJECTED, SAMPLES

# Names that are hard for formats: spaces, umlauts, and words that `datasets` takes for splits.
VIDEOS = {"barn/cam 1.mp4": "train", "barn/test.mp4": "train", "hof/Stall ü.mov": "val", "hof/dev-2 eval.mp4": "test"}
PROMPTS = ("brown cow", "Kälbchen v1.5")
FRAMES = 8
SETTINGS: dict[str, Any] = {
    "videos": "/data/farm",
    "prompt": list(PROMPTS),
    "filters": {"size": {"enabled": True, "min_side": 32}, "visible": {"enabled": True, "min_share": 0.5}},
}


def make_dataset(
    root: Path,
    videos: Mapping[str, str] = VIDEOS,
    prompts: tuple[str, ...] = PROMPTS,
    objects: int = 2,
    variants: tuple[str, ...] = (),
    size: int = 32,
) -> pa.Table:
    """Write crops and tables under `root`; returns the samples as exports get them.

    One clip per video, `objects` per prompt.
    """
    rows = [
        _sample(root, video, split, prompt, number, variants, size)
        for video, split in videos.items()
        for prompt in prompts
        for number in range(1, objects + 1)
    ]
    names = list(videos)
    refused = [_refused(name, 7, "size", 20.0, 32.0) for name in names]
    refused += [_refused(name, 8, "visible", 0.25, 0.5) for name in names[:2]]
    refused += [_refused(name, None, "short", 5.0, 20.0) for name in names[:1]]
    failed = [
        {"video": names[0], "clip_id": None, "stage": "decode", "error": "<b>moov atom</b> not found & so on"}
        for _ in names[:1]
    ]
    return with_classes(write_tables(root, rows, refused, failed), "auto")


def write_tables(
    root: Path, samples: list[dict[str, Any]], rejected: list[dict[str, Any]], failures: list[dict[str, Any]]
) -> pa.Table:
    root.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(samples, schema=SAMPLES)
    pq.write_table(table, root / "samples.parquet")
    pq.write_table(pa.Table.from_pylist(rejected, schema=REJECTED), root / "rejected.parquet")
    pq.write_table(pa.Table.from_pylist(failures, schema=FAILURES), root / "failures.parquet")
    return table


def write_crop(path: Path, size: int, frames: int, seed: int) -> None:
    """A bright blob that crosses noise, black in its first frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"preset": "ultrafast", "threads": "1"})
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for picture in _pictures(size, frames, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _pictures(size: int, frames: int, seed: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(seed)
    hue = [int(v) for v in random.integers(90, 230, 3)]
    ground = cv2.resize(
        random.integers(20, 90, (6, 6, 3)).astype(np.uint8), (size, size), interpolation=cv2.INTER_CUBIC
    )
    for k in range(frames):
        picture = ground.copy() if k else np.zeros_like(ground)
        if k:
            centre = (int(size * (0.3 + 0.4 * k / frames)), int(size * (0.5 + 0.1 * np.sin(k + seed))))
            cv2.ellipse(picture, centre, (size // 3, size // 5), 15 * np.sin(k / 2), 0, 360, hue, -1, cv2.LINE_AA)
            cv2.circle(picture, (centre[0] + size // 3, centre[1] - size // 8), size // 9, hue, -1, cv2.LINE_AA)
        yield picture


def _sample(
    root: Path, video: str, split: str, prompt: str, number: int, variants: tuple[str, ...], size: int
) -> dict[str, Any]:
    clip_id = hashlib.sha256(video.encode()).hexdigest()[:16]
    sample_id = hashlib.sha256(f"{video} {prompt} {number}".encode()).hexdigest()[:20]
    path = f"crops/{clip_id}/{sample_id}.mp4"
    others: list[dict[str, str]] = [
        {"background": v, "path": f"crops/{clip_id}/{sample_id}.{v}.mp4", "sha256": ""} for v in variants
    ]
    for place, name in enumerate([path, *(v["path"] for v in others)]):
        write_crop(root / name, size, FRAMES, int(sample_id[:6], 16) + place)
    for other in others:
        other["sha256"] = hashlib.sha256((root / other["path"]).read_bytes()).hexdigest()
    seen = [k > 0 for k in range(FRAMES)]
    return {
        "sample_id": sample_id,
        "path": path,
        "split": split,
        "label": None,
        "individual_id": sample_id,
        "link_confidence": None,
        "video": video,
        "video_fingerprint": hashlib.sha256(video.encode()).hexdigest(),
        "recorded_at": "2024-05-01T06:00:00" if split != "val" else None,
        "clip_id": clip_id,
        "window_id": clip_id,
        "track_key": clip_id,
        "tracker": "motion",
        "object_id": number,
        "prompt": prompt,
        "first_score": 0.9,
        "start_frame": 1200 * number,
        "stride": 4,
        "num_frames": FRAMES,
        "fps": 5.0,
        "frame_indices": list(range(0, 4 * FRAMES, 4)),
        "timestamps_s": [k / 5 for k in range(FRAMES)],
        "boxes": [[4, 4, 24, 20] if s else None for s in seen],
        "crop_windows": [[0, 0, 32, 32]] * FRAMES,
        "visible": seen,
        "source_width": 640,
        "source_height": 360,
        "size": size,
        "background": "black",
        "variants": others,
        "degraded": False,
        "corrected": False,
        "sha256": hashlib.sha256((root / path).read_bytes()).hexdigest(),
        "phash": sample_id[:16],
        "size_bytes": (root / path).stat().st_size,
        "visible_share": sum(seen) / FRAMES,
        "side": 40.0 + int(sample_id[:2], 16),
        "area": 800.0,
        "truncated": 0.0,
        "scale_outliers": 0,
        "corrupt_frames": 0,
        "jitter": 0.02,
        "scale_drift": 0.1,
        "mask_iou": 0.8,
        "foreign": 0.0,
        "sharpness": 5.0 + number,
        "luma": 0.4,
        "clipped": 0.0,
        "motion": 0.02,
    }


def _refused(video: str, object_id: int | None, reason: str, value: float, threshold: float) -> dict[str, Any]:
    return {
        "video": video,
        "clip_id": "c0ffee",
        "sample_id": None if object_id is None else hashlib.sha256(f"{video} {object_id}".encode()).hexdigest()[:20],
        "object_id": object_id,
        "prompt": None if object_id is None else PROMPTS[0],
        "reason": reason,
        "value": value,
        "threshold": threshold,
    }
