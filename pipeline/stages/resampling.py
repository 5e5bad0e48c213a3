"""Square pictures at other sizes: one to one, shrunk by area, enlarged by Lanczos; how far a mask covers a pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def spread(picture: Picture, plane: Picture) -> Picture:
    """Continue the object's colours a few pixels beyond its edge, so that nothing that looks around finds a cliff.

    picture: (h, w, 3) uint8, black where plane, (h, w) of 0 and 255, is 0. From 6 pixels off the object it stays black.
    """
    reach = (11, 11)  # the kernel looks 4 source pixels far, from up to 1 pixel outside
    colour = cv2.boxFilter(picture, cv2.CV_32F, reach, normalize=False, borderType=cv2.BORDER_CONSTANT)
    weight = cv2.boxFilter(plane, cv2.CV_32F, reach, normalize=False, borderType=cv2.BORDER_CONSTANT)
    filled = cv2.divide(colour, cv2.cvtColor(weight, cv2.COLOR_GRAY2RGB), scale=255, dtype=cv2.CV_8U)
    return array(cv2.copyTo(picture, plane, filled))


def resize(picture: Picture, size: int) -> Picture:
    """Square to square: a copy at the same size, area when shrinking, Lanczos when enlarging. In float: OpenCV is twice
    as fast there as in uint8, and rounds once."""
    side = picture.shape[0]
    if side == size:
        return picture
    if side > size:
        resized = cv2.resize(picture.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    else:
        resized = cv2.max(enlarge(picture, size), 0.0)
    return array(cv2.convertScaleAbs(resized))  # the fastest of OpenCV's rounding, saturating conversions


def enlarge(picture: Picture, size: int) -> NDArray[np.float32]:
    enlarged = cv2.resize(picture.astype(np.float32), (size, size), interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(enlarged, np.float32)


def covered(plane: Picture, size: int) -> Picture:
    """(side, side) of 0 and 255 -> (size, size) uint8: how much of each pixel is covered. Never rings."""
    interpolation = cv2.INTER_AREA if plane.shape[0] > size else cv2.INTER_LINEAR
    return array(cv2.resize(plane, (size, size), interpolation=interpolation))


def faded(picture: NDArray[np.float32] | Picture, coverage: Picture) -> Picture:
    """picture x coverage / 255, rounded: exactly 0 without coverage, unchanged with full coverage."""
    weight = cv2.cvtColor(coverage, cv2.COLOR_GRAY2RGB)
    return array(cv2.multiply(picture, weight, scale=1 / 255, dtype=cv2.CV_8U))


def array(picture: object) -> Picture:
    return np.asarray(picture, np.uint8)
