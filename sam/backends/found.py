"""From a model's masks to `FrameMasks`: source resolution, boxes recomputed, empty masks dropped.

Models compute their boxes before they take overlapping pixels away from a mask, so theirs may be too large, or frame a
mask that has become empty: they are never used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.backends.motion import enlarge
from sam.types import FrameMasks, Mask, SessionFrames


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a frame's mask that holds all of its object. plane: (h, w) bool. origin: (x, y) of it in the frame."""

    plane: NDArray[np.bool_]
    origin: tuple[int, int] = (0, 0)


def gather(
    frame: int, ids: Sequence[int], scores: Sequence[float], masks: NDArray[np.bool_], frames: SessionFrames
) -> FrameMasks:
    """The objects of one frame, by ascending id.

    masks: (n, h, w) bool at the size of `frames.images`; those that are disjoint there stay so at the source's size.
    """
    cuts = [Cut(plane) for plane in masks]
    return gather_cuts(frame, ids, scores, cuts, masks.shape[1:], (frames.width, frames.height))


def gather_cuts(
    frame: int,
    ids: Sequence[int],
    scores: Sequence[float],
    cuts: Sequence[Cut],
    seen: tuple[int, ...],
    source: tuple[int, int],
) -> FrameMasks:
    """The same from parts of the masks. seen: (h, w) of the frame they are parts of. source: (width, height)."""
    found: list[tuple[int, Mask, float]] = []
    for object_id, score, cut in zip(ids, scores, cuts, strict=True):
        mask = _at_source(cut, seen, source)
        if mask is not None:
            found.append((int(object_id), mask, round(float(score), 4)))
    found.sort(key=lambda each: each[0])
    return FrameMasks(frame, *(tuple(column) for column in zip(*found, strict=True))) if found else nothing(frame)


def nothing(frame: int) -> FrameMasks:
    """A frame without objects."""
    return FrameMasks(frame, (), (), ())


def at_source(plane: NDArray[np.bool_], width: int, height: int) -> Mask | None:
    """A (h, w) mask at the source's size; None if it is empty there. Works on the mask's own box only."""
    return _at_source(Cut(plane), plane.shape, (width, height))


def _at_source(cut: Cut, seen: tuple[int, ...], source: tuple[int, int]) -> Mask | None:
    if tuple(seen) == (source[1], source[0]):
        return Mask.encode(cut.plane, cut.origin)
    small = np.ascontiguousarray(cut.plane).view(np.uint8)
    x, y, w, h = cv2.boundingRect(small)
    if w == 0 or h == 0:
        return None
    place = (x + cut.origin[0], y + cut.origin[1])
    return enlarge(small[y : y + h, x : x + w], place, seen, source)
