"""From a mask to clicks that name its object to a tracker."""

from __future__ import annotations

import cv2
import numpy as np

from sam.types import Mask

APART = 25.0  # pixels between two seeds of an object


def seeds(mask: Mask, count: int = 2, apart: float = APART) -> list[tuple[int, int]]:
    """Up to `count` pixels (x, y) of the source inside the mask, none closer than `apart` to another; at least one.

    The first is the centroid if it lies inside the mask, else the pixel farthest from the mask's border; each other one
    is the pixel farthest from the border among those far enough from the seeds before it. The frame's border counts as
    the mask's. The same mask gives the same seeds.
    """
    if count < 1 or apart < 0:
        raise ValueError(f"count is at least 1 and apart at least 0, got {count} and {apart:g}")
    plane = mask.decode()
    depth = cv2.distanceTransform(cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]  # fmt: skip  # noqa: E501
    ys, xs = np.nonzero(plane)
    x, y = round(float(xs.mean())), round(float(ys.mean()))
    found = [(x, y)] if plane[y, x] else [_deepest(depth)]
    rows, columns = np.ogrid[: plane.shape[0], : plane.shape[1]]
    far = np.ones(plane.shape, bool)
    while True:
        x, y = found[-1]
        far &= (columns - x) ** 2 + (rows - y) ** 2 >= apart**2
        left = np.where(far, depth, 0)
        if len(found) == count or not left.any():
            return [(x + mask.box[0], y + mask.box[1]) for x, y in found]
        found.append(_deepest(left))


def _deepest(depth: np.ndarray) -> tuple[int, int]:
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return int(x), int(y)
