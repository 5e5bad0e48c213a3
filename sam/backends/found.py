"""From a model's masks to `FrameMasks`: source resolution, boxes recomputed, empty masks dropped.

Models compute their boxes before they take overlapping pixels away from a mask, so theirs may be too large, or frame a
mask that has become empty: they are never used.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.backends.motion import enlarge
from sam.types import FrameMasks, Mask, SessionFrames


def gather(
    frame: int, ids: Sequence[int], scores: Sequence[float], masks: NDArray[np.bool_], frames: SessionFrames
) -> FrameMasks:
    """The objects of one frame, by ascending id.

    masks: (n, h, w) bool at the size of `frames.images`; those that are disjoint there stay so at the source's size.
    """
    found: list[tuple[int, Mask, float]] = []
    for object_id, score, plane in zip(ids, scores, masks, strict=True):
        mask = at_source(plane, frames.width, frames.height)
        if mask is not None:
            found.append((int(object_id), mask, round(float(score), 4)))
    found.sort(key=lambda each: each[0])
    return FrameMasks(frame, *(tuple(column) for column in zip(*found, strict=True))) if found else nothing(frame)


def nothing(frame: int) -> FrameMasks:
    """A frame without objects."""
    return FrameMasks(frame, (), (), ())


def at_source(plane: NDArray[np.bool_], width: int, height: int) -> Mask | None:
    """A (h, w) mask at the source's size; None if it is empty there. Works on the mask's own box only."""
    if plane.shape == (height, width):
        return Mask.encode(plane)
    small = np.ascontiguousarray(plane).view(np.uint8)
    x, y, w, h = cv2.boundingRect(small)
    if w == 0 or h == 0:
        return None
    return enlarge(small[y : y + h, x : x + w], (x, y), plane.shape, (width, height))
