"""A dataset of any size as a build leaves it, without a build: an index, and a few crop videos that its rows share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pipeline.index import FAILURES, REJECTED, SAMPLES
from pipeline.layout import Layout
from pipeline.records import FIGURES
from pipeline.tables import write_table
from video.encoder import EncodeConfig, encode

FRAMES, STRIDE, RATE = 16, 5, 25
BATCH = 5000  # rows that are made at once


def synthetic_dataset(root: Path, count: int, files: int = 24, individuals: int = 10, side: int = 224) -> Layout:
    """Write `count` crops of windows of 16 frames, one after the other in videos of 200 windows, each of which shows
    `individuals`. files: crop videos that are made; rows take them in turn. side: of a crop, pixels."""
    layout = Layout(root, root / "tracks")
    paths = [layout.root / "crops" / f"shared{n}" / f"{n}.mp4" for n in range(min(files, count))]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        encode(
            path, _pictures(number, side), Fraction(RATE, STRIDE), EncodeConfig(preset="ultrafast"), size=(side, side)
        )
    names = [layout.relative(path) for path in paths]
    rng = np.random.default_rng(5)
    tables = [
        pa.Table.from_pylist(
            [_row(n, individuals, names, side, rng) for n in range(start, min(count, start + BATCH))], schema=SAMPLES
        )
        for start in range(0, count, BATCH)
    ]
    write_table(layout.samples, pa.concat_tables(tables))
    write_table(layout.rejected, REJECTED.empty_table())
    write_table(layout.failures, FAILURES.empty_table())
    return layout


def _row(number: int, individuals: int, paths: list[str], side: int, rng: np.random.Generator) -> dict[str, Any]:
    place, who = divmod(number, individuals)
    video, window = divmod(place, 200)
    first = window * FRAMES * STRIDE
    frames = [first + n * STRIDE for n in range(FRAMES)]
    x, y = 40 + 110 * who, 100 + 2 * (window % 50)
    boxes = [[x + n, y, x + n + 100, y + 80] for n in range(FRAMES)]
    name = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    clip = hashlib.sha256(f"{video} {window}".encode()).hexdigest()[:16]
    figures = {figure: float(rng.random()) for figure in FIGURES}
    figures |= {"side": float(rng.integers(30, 300)), "sharpness": float(rng.gamma(4, 8))}
    return figures | {
        "sample_id": name,
        "path": paths[number % len(paths)],
        "split": ("train", "train", "train", "val", "test")[video % 5],
        "individual_id": f"{video:04d}{who:04d}",
        "video": f"barn/cam{video % 3}_{video:04d}.mp4",
        "video_fingerprint": f"{video:016x}",
        "clip_id": clip,
        "window_id": clip,
        "track_key": "0" * 16,
        "tracker": "synthetic",
        "object_id": who,
        "prompt": ("cow", "calf")[who % 2],
        "first_score": float(rng.random()),
        "start_frame": first,
        "stride": STRIDE,
        "num_frames": FRAMES,
        "fps": RATE / STRIDE,
        "frame_indices": frames,
        "timestamps_s": [frame / RATE for frame in frames],
        "boxes": boxes,
        "crop_windows": boxes,
        "visible": [True] * FRAMES,
        "source_width": 1920,
        "source_height": 1080,
        "size": side,
        "background": "blur",
        "variants": [],
        "degraded": False,
        "corrected": False,
        "sha256": name * 2,
        "size_bytes": 20000,
        "phash": "0" * 16,
    }


def _pictures(number: int, side: int) -> Iterator[np.ndarray]:
    """A disc of its own colour on a ground of its own, on its way to the right, with its number."""
    rng = np.random.default_rng(number)
    ground, colour = (tuple(int(v) for v in rng.integers(low, low + 90, 3)) for low in (40, 150))
    for t in range(FRAMES):
        image = np.full((side, side, 3), ground, np.uint8)
        cv2.circle(image, (side // 4 + t * side // 32, side // 2), side // 6, colour, -1, cv2.LINE_AA)
        cv2.putText(
            image, str(number), (side // 12, side // 5), cv2.FONT_HERSHEY_SIMPLEX, side / 224, (255, 255, 255), 2
        )
        yield image
