"""The colours of an object: a small embedding that tells individuals apart, measured when their crop is rendered.

A histogram of RGB in 6 x 6 x 6 bins of the object's own pixels, relative to how bright the whole picture is and spread
over neighbouring bins, so that a cloud does not change an animal. It is kept as text with the sample, and depends on no
crop setting: it sees the source's pixels.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.extractor import Placement
from pipeline.stages.quality import looked_at
from sam.backends.likeness import colours

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
BINS = 6
BRIGHTNESS = 100.0  # mean 8-bit level that every picture is brought to
ENOUGH = 10_000  # pixels of a box that are looked at, about: of larger ones every second, third, ...


def measure(placement: Placement, frames: Sequence[U8]) -> str:
    """The mean histogram of up to five visible frames, as base64 of 216 bytes.

    frames: the clip's N source frames (H, W, 3) uint8 RGB. A byte holds the square root of a share, 255 for all.
    """
    found = []
    for n in looked_at(placement):
        mask = placement.masks[n]
        assert mask is not None
        x0, y0, x1, y1 = mask.box
        plane = mask.decode()
        step = max(1, int(np.sqrt(plane.size / ENOUGH)))
        part = np.ascontiguousarray(frames[n][y0:y1:step, x0:x1:step])
        lit = cv2.convertScaleAbs(part, alpha=BRIGHTNESS / max(float(frames[n][::16, ::16].mean()), 1.0))
        found.append(colours(lit, (0, 0, part.shape[1], part.shape[0]), np.ascontiguousarray(plane[::step, ::step])))
    shares = spread(np.mean(found, axis=0))
    return base64.b64encode((np.sqrt(shares) * 255).round().astype(np.uint8).tobytes()).decode()


def decode(text: str) -> F32:
    """(216,) shares that add up to 1, from what `measure` wrote; raises ValueError for anything else."""
    roots = np.frombuffer(base64.b64decode(text, validate=True), np.uint8).astype(np.float32)
    if roots.shape != (BINS**3,) or not roots.any():
        raise ValueError(f"colours are {BINS**3} bytes in base64, got {len(roots)}")
    return np.asarray(roots**2 / (roots**2).sum(), np.float32)


def spread(shares: NDArray[np.floating]) -> F32:
    """(216,) shares, a quarter of each gone to either neighbour along every axis; what would leave the cube stays."""
    cube: F32 = np.asarray(shares, np.float32).reshape((BINS,) * 3)
    for axis in range(3):
        padded = np.pad(cube, [(1, 1) if axis == k else (0, 0) for k in range(3)], mode="edge")
        before, after = (np.take(padded, range(k, k + BINS), axis=axis) for k in (0, 2))
        cube = np.asarray(cube / 2 + (before + after) / 4, np.float32)
    return np.asarray(cube.ravel() / cube.sum(), np.float32)


def likeness(a: F32, b: F32) -> NDArray[np.float64]:
    """(n, m) Bhattacharyya coefficients of (n, 216) and (m, 216) shares: 1 for equal colours, 0 for none in common."""
    return np.asarray(np.minimum(np.sqrt(a) @ np.sqrt(b).T, 1.0), np.float64)
