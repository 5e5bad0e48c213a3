"""Where to cut: the boxes of one object through a clip -> one square window per frame. Pure functions on arrays.

It never sees a picture, a mask or a file, never distorts (every window is exactly square in source pixels) and never
looks at the size of the frame: a window may reach beyond it. Boxes and windows are (x0, y0, x1, y1), half-open, in
source pixels as displayed. The same boxes give the same windows, to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCALES = ("track", "frame")
OUTLIER_RATIO = 1.8  # a box this much larger than the median one has most likely swallowed a neighbour
SMOOTHING_FRAMES = 2.0  # Gaussian sigma of the centre's path: stills the jitter of masks, follows a walking animal

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Windows:
    """windows: (N, 4) int32, square, half-open source pixels. scale_outlier: (N,) bool, the boxes (visible ones only)
    whose longer side is over `OUTLIER_RATIO` times the median longer side."""

    windows: NDArray[np.int32]
    scale_outlier: NDArray[np.bool_]


def square_windows(
    boxes: NDArray[np.int32], visible: NDArray[np.bool_], *, margin: float, scale: str, min_side: int = 1
) -> Windows:
    """One square window per frame of a clip.

    scale="track": one side for the whole clip, ceil((1 + 2 margin) x the longest side of the visible boxes that are no
    outliers). The centre follows the box centres, interpolated over gaps, held before the first and after the last
    visible frame, and smoothed symmetrically in time; then each window is moved as little as needed for the visible
    box to lie inside. The side stays constant on outlier frames too: such a box says nothing about where the object
    is either, so the path is interpolated there, and then moved only as far as to lie within the box wherever the box
    is larger than the window.

    scale="frame": each visible frame has its own box's centre and ceil((1 + 2 margin) x its longer side), unsmoothed;
    side and centre are interpolated over gaps. Outliers are marked, and contained like any other box.

    Args:
        boxes: (N, 4) int32; rows where the object is not visible are ignored.
        visible: (N,) bool.
        margin: fraction of the longer side added on each side.
        min_side: no window is smaller, in source pixels.

    Raises:
        ValueError: nothing is visible, a visible box is empty, or the shapes or the scale are wrong.
    """
    _check(boxes, visible, scale)
    seen = boxes[visible].astype(np.float64)
    longest = np.maximum(seen[:, 2] - seen[:, 0], seen[:, 3] - seen[:, 1])
    outlier = np.zeros(len(boxes), np.bool_)
    outlier[visible] = longest > OUTLIER_RATIO * np.median(longest)

    per_track = scale == "track"
    trusted = visible & ~outlier if per_track else visible
    centres = _fill_gaps((boxes[trusted, :2].astype(np.float64) + boxes[trusted, 2:]) / 2, trusted)
    if per_track:
        centres = smooth(centres)
        sides = np.full(len(boxes), _side(longest[trusted[visible]].max(keepdims=True), margin, min_side)[0])
    else:
        sides = _fill_gaps(_side(longest, margin, min_side)[:, None].astype(np.float64), trusted)[:, 0]
        sides = np.ceil(sides).astype(np.int64)

    # A hair above one half: the smoothing's rounding errors must not make the window of a still object flicker.
    corners = np.floor(centres - sides[:, None] / 2 + (0.5 + 1e-6)).astype(np.int64)
    corners[visible] = _clamp(corners[visible], boxes[visible].astype(np.int64), sides[visible])
    windows = np.concatenate([corners, corners + sides[:, None]], axis=1).astype(np.int32)
    return Windows(windows=windows, scale_outlier=outlier)


def smooth(path: Floats, sigma: float = SMOOTHING_FRAMES) -> Floats:
    """Smooth an (N, D) path along its first axis by a Gaussian-weighted straight line around every frame.

    In the middle this is the plain Gaussian. Near the ends, where only one side is known, the fitted line keeps a
    steady movement exact, while reflecting or renormalising would drag the ends behind it. Symmetric in time.
    """
    if len(path) < 3:
        return path.copy()
    radius = min(int(np.ceil(3 * sigma)), len(path) - 1)
    offsets = np.arange(-radius, radius + 1, dtype=np.float64)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)

    def moment(values: Floats, power: int) -> Floats:
        # The sum over neighbours j of w(j - i) (j - i)^power values[j]; convolve flips its kernel, hence the [::-1].
        return np.convolve(values, (kernel * offsets**power)[::-1], mode="full")[radius : radius + len(values)]

    ones = np.ones(len(path))
    s0, s1, s2 = (moment(ones, power) for power in range(3))
    columns = [(s2 * moment(c, 0) - s1 * moment(c, 1)) / (s0 * s2 - s1**2) for c in path.T]
    return np.stack(columns, axis=1)


def _check(boxes: NDArray[np.int32], visible: NDArray[np.bool_], scale: str) -> None:
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    if boxes.ndim != 2 or boxes.shape[1] != 4 or visible.shape != (len(boxes),):
        raise ValueError(f"boxes are (N, 4) and visible is (N,), got {boxes.shape} and {visible.shape}")
    if not visible.any():
        raise ValueError("the object is visible in no frame: there is nothing to place a window around")
    if (boxes[visible, 2:] <= boxes[visible, :2]).any():
        raise ValueError("a visible box is empty")


def _side(longest: Floats, margin: float, min_side: int) -> NDArray[np.int64]:
    # The small subtraction keeps 100 * 1.2 = 120.00000000000001 from becoming 121.
    return np.maximum(np.ceil((1 + 2 * margin) * longest - 1e-6), min_side).astype(np.int64)


def _fill_gaps(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """(K, D) values at the K known of N frames -> (N, D), linear in between, held at the ends."""
    frames = np.arange(len(known), dtype=np.float64)
    return np.stack([np.interp(frames, frames[known], column) for column in values.T], axis=1)


def _clamp(corners: NDArray[np.int64], boxes: NDArray[np.int64], sides: NDArray[np.int64]) -> NDArray[np.int64]:
    """Move (n, 2) window corners as little as needed: the box inside the window or, on an axis where the box is the
    larger one, the window inside the box."""
    one, other = boxes[:, 2:] - sides[:, None], boxes[:, :2]
    return np.clip(corners, np.minimum(one, other), np.maximum(one, other))
