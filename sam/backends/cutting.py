"""An object cut out of one picture by hints, classically: GrabCut around clicks, boxes and earlier masks.

Source: C. Rother, V. Kolmogorov, A. Blake: GrabCut, interactive foreground extraction using iterated graph cuts, 2004,
as OpenCV has it. It knows colours and edges and nothing of things: what a click means is the region around it that
stands out and stays the same when several sizes are tried. The same picture and hints give the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.backends.blobs import Box, view

U8 = NDArray[np.uint8]
Point = tuple[float, float]

SIDE = 120  # the longer side of what is cut, in pixels; more is scaled down
SIZES = (0.025, 0.04, 0.065, 0.105, 0.17, 0.27)  # of the picture's longer side: radii tried around a click
REACH = 2.2  # radii around a click beyond which nothing belongs to the object
ROOM = 0.35  # of a box's longer side: what is looked at around it
SEED = 0.2  # of an object's side: the radius in which a click's label is certain
OPEN = 0.15  # of an outline that may lie where the region was cut off before it stands out less


def by_points(image: U8, inside: Sequence[Point], outside: Sequence[Point]) -> U8:
    """What points alone mean in a picture (h, w, 3) RGB: (h, w) uint8, 1 on the object. At least one is inside."""
    height, width = image.shape[:2]
    tried: list[tuple[float, U8]] = []
    for size in SIZES:
        radius = size * max(height, width)
        near = _near((height, width), inside, radius)
        limit = _near((height, width), inside, REACH * radius)
        hints = np.where(limit > 0, np.where(near > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD), cv2.GC_BGD).astype(np.uint8)
        _seed(hints, inside, outside, SEED * radius)
        plane = _holding(cut(image, hints), inside)
        tried.append((_contrast(image, plane, limit), plane))
    steady = [_overlap(a, b) for (_, a), (_, b) in pairwise(tried)]
    alike = [max(pair) for pair in zip([0.0, *steady], [*steady, 0.0], strict=True)]
    worth = [contrast * same for (contrast, _), same in zip(tried, alike, strict=True)]
    if not any(worth):
        return _near((height, width), inside, 2.0)  # points outside beside every one inside: the pixels clicked
    return corrected(image, tried[int(np.argmax(worth))][1], inside, outside)


def _overlap(a: U8, b: U8) -> float:
    """Intersection over union of two masks; 0 for two empty ones."""
    return cv2.countNonZero(a & b) / max(1, cv2.countNonZero(a | b))


def by_box(image: U8, box: tuple[float, float, float, float], inside: Sequence[Point], outside: Sequence[Point]) -> U8:
    """What a box, with points or without, frames: nothing beyond it, and at least its middle if colours say nothing."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(v) for v in box)
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    hints = np.full((height, width), cv2.GC_BGD, np.uint8)
    hints[y0:y1, x0:x1] = cv2.GC_PR_BGD
    centre, axes = ((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) * 0.84, (y1 - y0) * 0.84)
    cv2.ellipse(hints, (centre, axes, 0), cv2.GC_PR_FGD, cv2.FILLED)
    outer = np.ones_like(hints, np.bool_)
    outer[y0:y1, x0:x1] = False
    hints[outer] = cv2.GC_BGD
    _seed(hints, inside, outside, SEED * min(x1 - x0, y1 - y0) / 2)
    plane = cut(image, hints, room=ROOM)
    if inside:
        plane = _holding(plane, inside)
    if cv2.countNonZero(plane) < 0.08 * (x1 - x0) * (y1 - y0):
        plane = ((hints == cv2.GC_PR_FGD) | (hints == cv2.GC_FGD)).astype(np.uint8)
    return _whole(plane)


def corrected(image: U8, plane: U8, inside: Sequence[Point], outside: Sequence[Point], wide: float = 0.12) -> U8:
    """A mask cut anew along its outline, with points that say what it lacks and what it must not have."""
    if not plane.any():
        return by_points(image, inside, outside) if inside else plane
    side = float(np.sqrt(cv2.countNonZero(plane)))
    hints = banded(plane, wide * side)
    lacking = [p for p in inside if not plane[_at(p, plane)]]
    surplus = [p for p in outside if plane[_at(p, plane)]]
    if lacking:
        part = by_points(image, lacking, [*outside]) if len(lacking) < len(inside) or plane.any() else plane
        hints[(part > 0) & (hints != cv2.GC_FGD)] = cv2.GC_PR_FGD
    if surplus:
        part = _part_of(image, plane, surplus, inside)
        hints[part > 0] = cv2.GC_PR_BGD
    _seed(hints, inside, outside, SEED * side / 2)
    made = cut(image, hints)
    if surplus:
        made[part > 0] = 0
    if inside:
        made = _holding(made, inside) if not lacking else made
    return _whole(made)


def banded(plane: U8, wide: float) -> U8:
    """Hints from a mask: certain deep inside and far outside, open in a band `wide` on either side of its outline."""
    inner = cv2.distanceTransform(cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, 3)
    outer = cv2.distanceTransform((plane == 0).astype(np.uint8), cv2.DIST_L2, 3)
    deep = inner[1:-1, 1:-1] > max(wide, 1.5)
    hints = np.where(plane > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    hints[deep] = cv2.GC_FGD
    hints[outer > max(wide, 1.5)] = cv2.GC_BGD
    return hints


def cut(image: U8, hints: U8, rounds: int = 3, room: float = 0.25) -> U8:
    """(h, w) uint8, 1 on the object, of a picture and GrabCut's hints of the same size. Only what is open is looked at.

    Hints without object or without background come back as they are: there is nothing to cut.
    """
    object_ = (hints == cv2.GC_FGD) | (hints == cv2.GC_PR_FGD)
    box = _window(hints, room)
    if box is None:
        return np.asarray(object_, np.uint8)
    part, known = np.ascontiguousarray(view(image, box)), np.ascontiguousarray(view(hints, box))
    scale = min(1.0, SIDE / max(part.shape[:2]))
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST)
    there = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if there.sum() < 6 or (~there).sum() < 6:  # a mixture of five colours needs that many pixels
        return np.asarray(object_, np.uint8)
    models: list[NDArray[np.float64]] = [np.zeros((1, 65)), np.zeros((1, 65))]
    cv2.setRNGSeed(1)  # GrabCut starts its colour models from random centres
    cv2.grabCut(np.asarray(small, np.uint8), labels, None, models[0], models[1], rounds, cv2.GC_INIT_WITH_MASK)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    large = cv2.resize(found, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_LINEAR) > 0.5
    made = np.zeros(hints.shape, np.uint8)
    view(made, box)[:] = large
    made[hints == cv2.GC_FGD] = 1
    made[hints == cv2.GC_BGD] = 0
    return made


def _window(hints: U8, room: float) -> Box | None:
    """The box of all that is not certainly background, with room around; None when nothing is."""
    x, y, w, h = cv2.boundingRect((hints != cv2.GC_BGD).astype(np.uint8))
    if w == 0:
        return None
    more = round(room * max(w, h)) + 4
    height, width = hints.shape
    return max(0, x - more), max(0, y - more), min(width, x + w + more), min(height, y + h + more)


def _near(shape: tuple[int, int], points: Sequence[Point], radius: float) -> U8:
    plane = np.zeros(shape, np.uint8)
    for x, y in points:
        cv2.circle(plane, (round(x), round(y)), max(1, round(radius)), 1, cv2.FILLED)
    return plane


def _seed(hints: U8, inside: Sequence[Point], outside: Sequence[Point], radius: float) -> None:
    """Make the surroundings of points certain; where discs of both kinds meet, each ends half-way."""
    for points, others, label in ((inside, outside, cv2.GC_FGD), (outside, inside, cv2.GC_BGD)):
        for point in points:
            apart = min((float(np.hypot(point[0] - o[0], point[1] - o[1])) for o in others), default=np.inf)
            at = round(point[0]), round(point[1])
            cv2.circle(hints, at, max(0, round(min(radius, apart / 2 - 1))), label, cv2.FILLED)


def _at(point: Point, plane: NDArray[Any]) -> tuple[int, int]:
    """Row and column of a point."""
    return min(round(point[1]), plane.shape[0] - 1), min(round(point[0]), plane.shape[1] - 1)


def _holding(plane: U8, points: Sequence[Point]) -> U8:
    """The connected parts of a mask that hold a point."""
    _, labels = cv2.connectedComponents(plane, connectivity=8)
    wanted = {int(labels[_at(point, plane)]) for point in points} - {0}
    return np.isin(labels, sorted(wanted)).astype(np.uint8) if wanted else np.zeros_like(plane)


def _whole(plane: U8) -> U8:
    """Without specks (parts below a tenth of the largest) and without holes of less than 4 % of the area."""
    contours, tree = cv2.findContours(plane, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return plane
    made = plane.copy()
    areas = [cv2.contourArea(contour) for contour in contours]
    largest = max(areas)
    for n in range(len(contours)):
        hole = int(tree[0][n][3]) >= 0
        if hole and areas[n] < 0.04 * largest:
            cv2.drawContours(made, contours, n, 1, cv2.FILLED)
        elif not hole and areas[n] < 0.1 * largest:
            cv2.drawContours(made, contours, n, 0, cv2.FILLED)
    return made


def _contrast(image: U8, plane: U8, limit: U8) -> float:
    """How much the colours change across a mask's outline, in mean levels; what `limit` cut off counts less."""
    if not plane.any():
        return 0.0
    side = max(2, round(0.04 * float(np.sqrt(cv2.countNonZero(plane)))))
    x, y, w, h = cv2.boundingRect(plane)
    room = 4 * side + 4
    box = max(0, x - room), max(0, y - room), min(plane.shape[1], x + w + room), min(plane.shape[0], y + h + room)
    image, plane, limit = view(image, box), np.ascontiguousarray(view(plane, box)), view(limit, box)
    kernel = np.ones((3, 3), np.uint8)
    inner = plane & ~cv2.erode(plane, kernel, iterations=side)
    outer = cv2.dilate(plane, kernel, iterations=side) & (plane ^ 1)
    rim = cv2.dilate(plane, kernel) & (plane ^ 1)
    if not (inner.any() and outer.any()):
        return 0.0
    soft = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32)
    within = cv2.blur(soft * inner[..., None], (4 * side + 1,) * 2)
    weight = cv2.blur(inner.astype(np.float32), (4 * side + 1,) * 2)
    beyond = cv2.blur(soft * outer[..., None], (4 * side + 1,) * 2)
    heavy = cv2.blur(outer.astype(np.float32), (4 * side + 1,) * 2)
    on = (rim > 0) & (weight > 1e-4) & (heavy > 1e-4)
    if not on.any():
        return 0.0
    change = np.abs(within[on] / weight[on][:, None] - beyond[on] / heavy[on][:, None]).mean(axis=1)
    off = float((limit[rim > 0] == 0).mean())
    return float(np.minimum(change, 60).mean()) * (1.0 if off < OPEN else 1.0 - off)


def _part_of(image: U8, plane: U8, points: Sequence[Point], keep: Sequence[Point]) -> U8:
    """The part of a mask that looks like its pixels under `points` and hangs together with them."""
    soft = cv2.GaussianBlur(image, (0, 0), 1.5)
    part = np.zeros_like(plane)
    for point in points:
        row, column = _at(point, plane)
        flood = cv2.copyMakeBorder((plane ^ 1).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
        flags = 8 | (1 << 8) | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE
        before = flood.copy()
        cv2.floodFill(soft, flood, (column, row), 0, (24,) * 3, (24,) * 3, flags | (2 << 8))
        part |= ((flood != before)[1:-1, 1:-1]).astype(np.uint8)
    for point in keep:
        part[_at(point, part)] = 0
    return part
