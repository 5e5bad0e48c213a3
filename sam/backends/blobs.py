"""Connected foreground regions: found in a score, cut where they are thin, and the geometry of boxes and masks.

A box is (x0, y0, x1, y1), half-open, in pixels of the tracker's picture; a mask is uint8 of its box, 1 on the object.
Nothing here knows about time or colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Pixels = TypeVar("Pixels", bound=np.generic)

SPECK = 12  # pixels below which foreground is noise
HOLE = 0.02  # of a blob's area: smaller holes are filled
EDGE = 0.45  # of the strongest score nearby: a pixel below is blur beside the object, not the object
NECKS = (0.06, 0.09, 0.12)  # of a blob's side (the root of its area): half the width of what joins two bodies
SLIM = 0.75  # width by height: what is slimmer is one upright body
BODY = 0.2  # of a blob's area: the smallest part that can be a body of its own


@dataclass(frozen=True, slots=True)
class Blob:
    """Foreground of one frame that touches, or a body cut from it."""

    box: Box
    mask: U8
    area: int


def find_blobs(score: U8, least: float) -> list[Blob]:
    """The connected regions of a (h, w) score that reach `least`, with sharp edges, no specks and no small holes."""
    peak = cv2.dilate(score, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    need = cv2.max(cv2.convertScaleAbs(peak, alpha=EDGE), least)
    solid = cv2.medianBlur(cv2.compare(score, need, cv2.CMP_GT), 3)
    solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    contours, tree = cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for i, contour in enumerate(contours):
        parent = int(tree[0, i, 3])
        if parent >= 0 and cv2.contourArea(contour) < HOLE * cv2.contourArea(contours[parent]):
            cv2.drawContours(solid, contours, i, 255, cv2.FILLED)
    return _components(solid, (0, 0), SPECK)


def bodies(blob: Blob) -> list[Blob]:
    """The blob cut into two or more bodies where it is thin, each pixel with the nearest; [blob] if it is of one piece.

    Erosion with a growing disc, until at least two parts remain that would each be a body. What is slim and upright
    stays whole: a person has a waist.
    """
    if blob.mask.shape[1] < SLIM * blob.mask.shape[0]:
        return [blob]
    padded = cv2.copyMakeBorder(blob.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    for neck in NECKS:
        radius = max(1, round(neck * np.sqrt(blob.area)))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        parts = _components(cv2.erode(padded, disc), (0, 0), 1)
        if len(parts) < 2:
            continue
        full = np.zeros_like(padded)
        for part in parts:
            alone = np.zeros_like(padded)
            view(alone, part.box)[:] = part.mask
            if cv2.countNonZero(cv2.dilate(alone, disc)) >= BODY * blob.area:
                full |= alone
        if len(_components(full, (0, 0), 1)) >= 2:
            return _nearest(blob, full)
    return [blob]


def _nearest(blob: Blob, cores: U8) -> list[Blob]:
    """The blob's pixels shared out to the nearest of the cores, given on the blob's box with a border of 1."""
    _, labels = cv2.distanceTransformWithLabels(1 - cores, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    labels = np.where(blob.mask > 0, labels[1:-1, 1:-1], 0)
    parts = []
    for label in np.unique(labels[labels > 0]).tolist():
        plane = (labels == label).view(np.uint8)
        x, y, w, h = (int(v) for v in cv2.boundingRect(plane))
        mask = np.ascontiguousarray(plane[y : y + h, x : x + w])
        box = moved((x, y, x + w, y + h), blob.box[0], blob.box[1])
        parts.append(Blob(box, mask, int(cv2.countNonZero(mask))))
    return parts


def _components(solid: U8, origin: tuple[int, ...], least: int) -> list[Blob]:
    """The connected regions of a mask whose top-left pixel lies at `origin`, of at least that many pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8, ltype=cv2.CV_16U)
    found = []
    for i, (x, y, w, h, area) in enumerate(stats.tolist()):
        if i and area >= least:
            mask = (labels[y : y + h, x : x + w] == i).view(np.uint8)
            found.append(Blob(moved((x, y, x + w, y + h), origin[0], origin[1]), mask, area))
    return found


def view(plane: NDArray[Pixels], box: Box) -> NDArray[Pixels]:
    """The part of a plane or picture in a box, without a copy."""
    return plane[box[1] : box[3], box[0] : box[2]]


def moved(box: Box, dx: int, dy: int) -> Box:
    return box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy


def common_pixels(a: tuple[Box, U8], b: tuple[Box, U8]) -> int:
    """Pixels in both of two masks, either of which may lie partly outside the picture."""
    x0, y0, x1, y1 = max(a[0][0], b[0][0]), max(a[0][1], b[0][1]), min(a[0][2], b[0][2]), min(a[0][3], b[0][3])
    if x0 >= x1 or y0 >= y1:
        return 0
    one, other = (view(mask, (x0 - box[0], y0 - box[1], x1 - box[0], y1 - box[1])) for box, mask in (a, b))
    return int(cv2.countNonZero(one & other))


def union(blobs: Sequence[Blob]) -> tuple[Box, U8]:
    """The box and mask of at least one blob together; a blob's own mask, not a copy, if it is alone."""
    if len(blobs) == 1:
        return blobs[0].box, blobs[0].mask
    boxes = np.array([blob.box for blob in blobs])
    x0, y0, x1, y1 = (int(v) for v in (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)))
    plane = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for blob in blobs:
        view(plane, moved(blob.box, -x0, -y0))[blob.mask > 0] = 1
    return (x0, y0, x1, y1), plane


def centre(box: Box, mask: U8) -> NDArray[np.float64]:
    """The centre of gravity (x, y) of a mask."""
    moments = cv2.moments(mask, binaryImage=True)
    area = max(moments["m00"], 1.0)
    return np.array([box[0] + moments["m10"] / area, box[1] + moments["m01"] / area])


def gap(a: Box, b: Box) -> int:
    """Pixels between two boxes along the axis on which they are farther apart; 0 if they touch."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3], 0)


def apart(a: tuple[Box, U8], b: tuple[Box, U8]) -> float:
    """The smallest distance between the pixels of two masks."""
    boxes = np.array([a[0], b[0]])
    x0, y0, x1, y1 = (int(v) for v in (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)))
    plane = np.ones((y1 - y0, x1 - x0), np.uint8)
    view(plane, moved(a[0], -x0, -y0))[a[1] > 0] = 0
    distance = cv2.distanceTransform(plane, cv2.DIST_L2, 3)
    return float(view(distance, moved(b[0], -x0, -y0))[b[1] > 0].min())
