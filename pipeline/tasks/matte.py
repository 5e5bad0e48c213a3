"""A frame and a mask -> the pictures people ask for: binary, highlighted, greenscreen, and with transparency.

A plane is (height, width) uint8, 1 on the object. Every function leaves what it is given as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stages.resampling import spread
from pipeline.tasks.overlay import paint
from sam.types import Mask

GREEN = (0, 255, 0)
REACH = 6  # pixels around the object in which its colours go on under full transparency

Picture = NDArray[np.uint8]


def union(masks: Iterable[Mask], width: int, height: int) -> Picture:
    """The plane of all masks together."""
    plane = np.zeros((height, width), np.uint8)
    for mask in masks:
        x0, y0, x1, y1 = mask.box
        part = plane[y0:y1, x0:x1]
        np.maximum(part, mask.decode(), out=part)
    return plane


def styled(style: str, rgb: Picture, objects: Sequence[tuple[int, Mask]]) -> Picture:
    """One of the styles: binary (H, W), 0 or 255; highlighted and greenscreen (H, W, 3) RGB.

    objects: (object id, mask).
    """
    height, width = rgb.shape[:2]
    if style == "highlighted":
        return paint(rgb, objects, [""] * len(objects))
    plane = union((mask for _, mask in objects), width, height)
    if style == "binary":
        return plane * np.uint8(255)
    green = np.full_like(rgb, GREEN)
    return np.asarray(cv2.copyTo(rgb, plane, green), np.uint8)


def transparent(rgb: Picture, plane: Picture) -> Picture:
    """(H, W, 4) RGBA with straight alpha, 255 on the object and 0 elsewhere.

    Under alpha 0 lies nothing of the surroundings: the object's own colours go on for a few pixels, so that a codec
    that halves the colour's resolution mixes no foreign colour into its edge, and beyond it is black.
    """
    height, width = plane.shape
    made = np.zeros((height, width, 4), np.uint8)
    x, y, w, h = cv2.boundingRect(plane)
    if w == 0:
        return made
    x0, y0, x1, y1 = max(0, x - REACH), max(0, y - REACH), min(width, x + w + REACH), min(height, y + h + REACH)
    alpha = plane[y0:y1, x0:x1] * np.uint8(255)
    alone = np.asarray(cv2.copyTo(rgb[y0:y1, x0:x1], alpha), np.uint8)
    made[y0:y1, x0:x1, :3] = spread(alone, alpha)
    made[y0:y1, x0:x1, 3] = alpha
    return made


def even(picture: Picture) -> Picture:
    """The picture with even sides, as H.264 needs: an odd last row or column is there twice."""
    height, width = picture.shape[:2]
    if not (height % 2 or width % 2):
        return picture
    return np.asarray(cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
