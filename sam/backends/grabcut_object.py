"""One object of `tracker=grabcut`: what was said of it, its mask in the frames seen so far, and a step to the next.

A step finds how far the object has gone (template matching), bends its outline along (optical flow: T. Kroeger et al.,
Fast optical flow using dense inverse search, 2016), and cuts it anew in a narrow band. Where nothing looks like it any
more it is taken to be hidden, and looked for around its last place until it is found again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sam.backends.blobs import U8, Box, view
from sam.backends.cutting import Point, banded, by_box, by_points, corrected, cut

BINS = 8  # of each channel of a colour histogram
BAND = 0.09  # of an object's side: how far its outline may move by one cut
MOVES = 0.6  # of an object's side, plus `STEP`: how far it is looked for from one frame to the next
STEP = 12.0  # pixels
FARTHEST = 3.0  # of an object's side: how far it is looked for when it has been hidden for long
PRESENT = 0.62  # likeness of colours from which it is there
AGAIN = 0.72  # and from which it is there again after it was hidden
GROWTH = 1.6  # of the area, from one frame to the next; more is a leak into the background
LOOKS = 4  # looks from frames with prompts that are kept


@dataclass(frozen=True, slots=True)
class Seen:
    """An object in one frame. plane: (h, w) uint8 at the frames' size; empty where it is hidden. score: 0 to 1."""

    plane: U8
    score: float


@dataclass(slots=True)
class State:
    """Where an object was seen last, on its way through the frames. frame: of the last step."""

    frame: int
    image: U8
    plane: U8
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Clicks:
    """What was said of an object on one frame, in the frames' pixels. mask: (h, w) uint8 that it started from."""

    inside: tuple[Point, ...]
    outside: tuple[Point, ...]
    box: tuple[float, float, float, float] | None = None
    mask: U8 | None = None


class FollowedObject:
    """See the module docstring. said: frame -> clicks; seen: frame -> the mask on frames with clicks."""

    def __init__(self) -> None:
        self.said: dict[int, Clicks] = {}
        self.seen: dict[int, Seen] = {}
        self._looks: dict[int, U8] = {}

    @property
    def prompted(self) -> list[int]:
        """Frames with a prompt, ascending."""
        return sorted(self.said)

    def say(self, frame: int, clicks: Clicks, image: U8, before: U8 | None) -> Seen:
        """Take clicks in on a frame. before: the mask there so far, which points correct; None starts anew."""
        if clicks.mask is not None and before is None:
            plane = clicks.mask
        elif before is not None and before.any():
            plane = corrected(image, before, clicks.inside, clicks.outside)
        elif clicks.box is not None:
            plane = by_box(image, clicks.box, clicks.inside, clicks.outside)
        elif clicks.inside:
            plane = by_points(image, clicks.inside, clicks.outside)
        else:
            plane = np.zeros(image.shape[:2], np.uint8)
        self.said[frame] = clicks
        self.seen[frame] = Seen(plane, 1.0)
        self._looks.pop(frame, None)
        if plane.any():
            self._looks[frame] = colours(image, plane)
        return self.seen[frame]

    def start(self, frame: int, image: U8) -> State:
        """Where to step from, on a frame with a prompt."""
        return State(frame, image, self.seen[frame].plane)

    def step(self, state: State, frame: int, image: U8) -> Seen:
        """The object in the next frame, in either direction; moves the state there."""
        if not state.plane.any():
            state.frame, state.image = frame, image
            return Seen(state.plane, 0.0)
        moved = self._carried(state, image)
        plane = cut(image, banded(moved, BAND * _side(moved)), rounds=2)
        if cv2.countNonZero(plane) > GROWTH * cv2.countNonZero(moved):
            plane = moved
        need = AGAIN if state.hidden else PRESENT
        likeness = self._likeness(image, plane)
        state.frame = frame
        if likeness < need or cv2.countNonZero(plane) < 0.25 * cv2.countNonZero(state.plane):
            state.hidden += 1  # the last look stays what is looked for
            return Seen(np.zeros_like(plane), likeness)
        state.image, state.plane, state.hidden = image, plane, 0
        return Seen(plane, likeness)

    def _carried(self, state: State, image: U8) -> U8:
        """The last mask moved to where the object is now, and bent along with it."""
        height, width = image.shape[:2]
        side = _side(state.plane)
        box = _around(state.plane, 2)
        away = int(min(FARTHEST * side, (MOVES * side + STEP) * (1 + 0.5 * state.hidden)))
        area = max(0, box[0] - away), max(0, box[1] - away), min(width, box[2] + away), min(height, box[3] + away)
        template, weights = view(state.image, box), view(state.plane, box)
        dx, dy = _shift(view(image, area), template, weights, (box[0] - area[0], box[1] - area[1]))
        edge = round(0.2 * side) + 6
        roi = _grown(box, edge, width, height)
        before = _patch(state.image, roi)
        now = _patch(image, (roi[0] + dx, roi[1] + dy, roi[2] + dx, roi[3] + dy))
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST) if min(before.shape[:2]) >= 24 else None
        mask = _patch(state.plane, roi).astype(np.float32)
        if flow is not None and not state.hidden:
            vectors = flow.calc(_grey(now), _grey(before), None)
            rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
            vectors = np.clip(vectors, -0.25 * side, 0.25 * side)
            mask = cv2.remap(mask, columns + vectors[..., 0], rows + vectors[..., 1], cv2.INTER_LINEAR)
        return _placed((mask > 0.5).astype(np.uint8), (roi[0] + dx, roi[1] + dy), (height, width))

    def _likeness(self, image: U8, plane: U8) -> float:
        """How alike the colours are to the object's on the frames with prompts, 0 to 1."""
        if not plane.any() or not self._looks:
            return 0.0
        here = colours(image, plane)
        looks = [*self._looks.values()][-LOOKS:]
        return max(1 - float(cv2.compareHist(here, look, cv2.HISTCMP_BHATTACHARYYA)) for look in looks)


def colours(image: U8, plane: U8) -> U8:
    """The colour histogram of a mask, blurred a little, adding up to one: (bins, bins, bins) float32."""
    histogram = cv2.calcHist([image], [0, 1, 2], plane, [BINS] * 3, [0, 256] * 3)
    for axis in range(3):
        histogram = histogram + 0.5 * (_slid(histogram, axis, 1) + _slid(histogram, axis, -1))
    return np.asarray(histogram / max(float(histogram.sum()), 1e-6), np.float32)


def _slid(histogram: U8, axis: int, by: int) -> U8:
    moved = np.roll(histogram, by, axis)
    edge = [slice(None)] * 3
    edge[axis] = slice(0, 1) if by > 0 else slice(-1, None)
    moved[tuple(edge)] = 0
    return moved


def _shift(search: U8, template: U8, weights: U8, home: tuple[int, int]) -> tuple[int, int]:
    """How far (x, y) a masked template has gone from `home` in the search area."""
    if search.shape[0] < template.shape[0] or search.shape[1] < template.shape[1]:
        return 0, 0
    scale = min(1.0, 64 / max(template.shape[:2]))
    if scale < 1:
        size = max(3, round(template.shape[1] * scale)), max(3, round(template.shape[0] * scale))
        scaled = max(size[0], round(search.shape[1] * scale)), max(size[1], round(search.shape[0] * scale))
        template = np.asarray(cv2.resize(template, size, interpolation=cv2.INTER_AREA), np.uint8)
        search = np.asarray(cv2.resize(search, scaled, interpolation=cv2.INTER_AREA), np.uint8)
        weights = np.asarray(cv2.resize(weights, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    mask = np.repeat(weights[..., None], 3, axis=2).astype(np.float32)
    cost = cv2.matchTemplate(search.astype(np.float32), template.astype(np.float32), cv2.TM_SQDIFF, mask=mask)
    cost = cost / max(float(mask.sum()), 1.0)
    rows, columns = np.mgrid[: cost.shape[0], : cost.shape[1]]
    far = np.hypot(columns / scale - home[0], rows / scale - home[1]) / max(template.shape[:2]) * scale
    at = int(np.argmin(np.nan_to_num(cost, posinf=1e9) + 20 * far**2))
    row, column = divmod(at, cost.shape[1])
    return round(column / scale - home[0]), round(row / scale - home[1])


def _side(plane: U8) -> float:
    return float(np.sqrt(max(1, cv2.countNonZero(plane))))


def _around(plane: U8, more: int) -> Box:
    x, y, w, h = cv2.boundingRect(plane)
    return _grown((x, y, x + w, y + h), more, plane.shape[1], plane.shape[0])


def _grown(box: Box, more: int, width: int, height: int) -> Box:
    return max(0, box[0] - more), max(0, box[1] - more), min(width, box[2] + more), min(height, box[3] + more)


def _patch(picture: U8, box: Box) -> U8:
    """A box of a picture, its edge repeated (a mask's: zero) where the box reaches beyond it."""
    height, width = picture.shape[:2]
    inner = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
    if inner == box:
        return np.ascontiguousarray(view(picture, box))
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        return np.zeros((box[3] - box[1], box[2] - box[0], *picture.shape[2:]), picture.dtype)
    kind = cv2.BORDER_REPLICATE if picture.ndim == 3 else cv2.BORDER_CONSTANT
    sides = inner[1] - box[1], box[3] - inner[3], inner[0] - box[0], box[2] - inner[2]
    return np.asarray(cv2.copyMakeBorder(view(picture, inner), *sides, kind), np.uint8)


def _placed(mask: U8, at: tuple[int, int], shape: tuple[int, int]) -> U8:
    """A mask put into an empty plane at (x, y), what lies beyond cut off."""
    plane = np.zeros(shape, np.uint8)
    x0, y0 = max(0, at[0]), max(0, at[1])
    x1, y1 = min(shape[1], at[0] + mask.shape[1]), min(shape[0], at[1] + mask.shape[0])
    if x0 < x1 and y0 < y1:
        plane[y0:y1, x0:x1] = mask[y0 - at[1] : y1 - at[1], x0 - at[0] : x1 - at[0]]
    return plane


def _grey(image: U8) -> U8:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
