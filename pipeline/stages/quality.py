"""The quality card of a crop: what can be measured on the masks of one object, and on the pixels of its crop.

Every figure is a plain formula, written at its function and listed with its unit in `docs/quality.md`. It judges
nothing: filters do.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.extractor import Placement
from pipeline.records import Figures, PixelFigures
from sam.types import Mask

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]
LOOKED_AT = 5  # frames of a crop whose source pixels are looked at
DARKEST, BRIGHTEST = 3, 252  # luma beyond which a pixel counts as clipped


def mask_figures(
    placement: Placement, size: tuple[int, int], corrupt: int, others: Sequence[Sequence[Mask]] = ()
) -> Figures:
    """What the masks tell. size: (width, height) of the source. corrupt: damaged frames. others: per frame of the
    clip, the masks of every other object."""
    boxes = placement.boxes[placement.visible]
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    touches = (boxes[:, :2] <= 0).any(1) | (boxes[:, 2] >= size[0]) | (boxes[:, 3] >= size[1])
    planes = [None if mask is None else _plane(mask) for mask in placement.masks]
    return Figures(
        visible_share=float(placement.visible.mean()),
        side=float(np.median(sides)),
        area=float(np.median([cv2.countNonZero(plane) for plane in planes if plane is not None])),
        truncated=float(touches.mean()),
        scale_outliers=int(placement.scale_outlier.sum()),
        corrupt_frames=corrupt,
        jitter=_jitter(placement, float(np.median(sides))),
        scale_drift=_drift(sides.astype(np.float64)),
        mask_iou=_overlap(placement.boxes, planes),
        foreign=_foreign(placement, size, others),
    )


def _jitter(placement: Placement, side: float) -> float:
    """Median over every three consecutive visible frames of the distance of the middle box centre from the mean of the
    other two, in sides of the object: 0 for a steady walk, large where the mask jumps to and fro."""
    centres = (placement.boxes[:, :2] + placement.boxes[:, 2:]) / 2.0
    seen = placement.visible
    whole = seen[:-2] & seen[1:-1] & seen[2:]
    off = np.linalg.norm(centres[1:-1] - (centres[:-2] + centres[2:]) / 2, axis=1)[whole]
    return float(np.median(off) / side) if len(off) else 0.0


def _drift(sides: F64) -> float:
    """|log2| of the median side in the last third of the visible frames over that in the first: 1 is twice or half."""
    third = len(sides) // 3
    if third == 0:
        return 0.0
    return float(abs(np.log2(np.median(sides[-third:]) / np.median(sides[:third]))))


def _overlap(boxes: NDArray[np.int32], planes: Sequence[U8 | None]) -> float:
    """Median over consecutive visible frames of the IoU of the masks where they lie; 1 without such frames."""
    found = []
    for n, (a, b) in enumerate(pairwise(planes)):
        if a is not None and b is not None:
            shared = _shared(boxes[n], a, boxes[n + 1], b)
            found.append(shared / (cv2.countNonZero(a) + cv2.countNonZero(b) - shared))
    return float(np.median(found)) if found else 1.0


def _foreign(placement: Placement, size: tuple[int, int], others: Sequence[Sequence[Mask]]) -> float:
    """Mean over the visible frames of the share of the window, as far as it lies in the picture, that other tracked
    objects cover. It shows with every background but black."""
    found = []
    for n in np.flatnonzero(placement.visible).tolist():
        x0, y0, x1, y1 = (int(v) for v in placement.windows[n])
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, size[0]), min(y1, size[1])
        here = [mask for mask in (others[n] if others else ()) if _meet(mask.box, (x0, y0, x1, y1))]
        plane = np.zeros((max(y1 - y0, 1), max(x1 - x0, 1)), np.uint8)
        for mask in here:
            bx0, by0, bx1, by1 = mask.box
            left, top, right, bottom = max(bx0, x0), max(by0, y0), min(bx1, x1), min(by1, y1)
            plane[top - y0 : bottom - y0, left - x0 : right - x0] |= _plane(mask)[
                top - by0 : bottom - by0, left - bx0 : right - bx0
            ]
        found.append(cv2.countNonZero(plane) / plane.size if here else 0.0)
    return float(np.mean(found))


def _meet(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _shared(box_a: NDArray[np.int32], a: U8, box_b: NDArray[np.int32], b: U8) -> int:
    """Pixels that two masks of the source, each given in its box, have in common."""
    x0, y0 = np.maximum(box_a[:2], box_b[:2])
    x1, y1 = np.minimum(box_a[2:], box_b[2:])
    if x0 >= x1 or y0 >= y1:
        return 0
    part_a = a[y0 - box_a[1] : y1 - box_a[1], x0 - box_a[0] : x1 - box_a[0]]
    part_b = b[y0 - box_b[1] : y1 - box_b[1], x0 - box_b[0] : x1 - box_b[0]]
    return cv2.countNonZero(cv2.bitwise_and(part_a, part_b))


@lru_cache(maxsize=256)
def _plane(mask: Mask) -> U8:
    """A mask in its box, not to be written to: every object of a window looks at those of all others."""
    return mask.decode()


def pixel_figures(placement: Placement, frames: Sequence[U8], pictures: U8) -> PixelFigures:
    """What the pixels tell. frames: the clip's N source frames (H, W, 3) uint8 RGB. pictures: (N, S, S, 3) uint8 RGB,
    the crop as it is written.

    Sharpness and exposure come from up to five visible frames, spread evenly: of the object's own pixels in the source,
    before any resizing.
    """
    looks = [_look(frames[n], mask) for n in looked_at(placement) if (mask := placement.masks[n]) is not None]
    sharpness, luma, clipped = np.median(np.array(looks), axis=0).tolist()
    return PixelFigures(sharpness=sharpness, luma=luma, clipped=clipped, motion=_motion(placement, pictures))


def looked_at(placement: Placement) -> list[int]:
    """Up to five visible frames of the clip, spread evenly."""
    seen = np.flatnonzero(placement.visible)
    return [int(n) for n in seen[np.linspace(0, len(seen) - 1, min(len(seen), LOOKED_AT)).round().astype(int)]]


def _look(frame: U8, mask: Mask) -> tuple[float, float, float]:
    """Sharpness: the standard deviation of the Laplacian (3 x 3) of the luma inside the mask, its rim left out, so that
    the outline does not count (focus measure of Pech-Pacheco et al. 2000). Mean luma, 0..1. Share of clipped pixels."""
    x0, y0, x1, y1 = mask.box
    local = mask.decode()
    grey = cv2.cvtColor(np.ascontiguousarray(frame[y0:y1, x0:x1]), cv2.COLOR_RGB2GRAY)
    inner = cv2.erode(local, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    edges = cv2.Laplacian(grey, cv2.CV_16S)
    spread = float(cv2.meanStdDev(edges, mask=inner)[1][0, 0]) if inner.any() else 0.0
    own = grey[local > 0]
    clipped = np.count_nonzero((own < DARKEST) | (own > BRIGHTEST)) / own.size
    return spread, float(own.mean()) / 255, clipped


def _motion(placement: Placement, pictures: U8) -> float:
    """Mean absolute difference of consecutive frames of the crop, 0..1, over the boxes of the object in both, averaged
    over the pairs of frames that show it."""
    size = pictures.shape[1]
    found = []
    for n in range(len(pictures) - 1):
        if placement.visible[n] and placement.visible[n + 1]:
            x0, y0, x1, y1 = _in_crop(placement, [n, n + 1], size)
            before, after = pictures[n, y0:y1, x0:x1], pictures[n + 1, y0:y1, x0:x1]
            found.append(cv2.norm(before, after, cv2.NORM_L1) / (before.size * 255))
    return float(np.mean(found)) if found else 0.0


def _in_crop(placement: Placement, frames: Sequence[int], size: int) -> tuple[int, int, int, int]:
    """The box around the object in these frames, in pixels of the crop; at least one pixel."""
    corners = []
    for n in frames:
        window, box = placement.windows[n].astype(np.float64), placement.boxes[n]
        scale = size / (window[2] - window[0])
        corners.append([*((box[:2] - window[:2]) * scale), *((box[2:] - window[:2]) * scale)])
    places = np.array(corners)
    low = np.clip(np.floor(places[:, :2].min(0)), 0, size - 1).astype(int)
    high = np.clip(np.ceil(places[:, 2:].max(0)), low + 1, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
