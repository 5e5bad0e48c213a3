"""What an individual looks like, where that picture fits in another frame, and which pixels resemble it.

A `Look` is an outline in one picture. Comparisons are absolute differences of RGB with a cap, so that what hides a part
of an individual does not outweigh the rest. It works on single frames and knows nothing of tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.backends.blobs import Box, moved, view

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

COLOUR = 45.0  # mean difference per channel at which a pixel does not resemble a picture at all
SAMPLES = 160  # pixels of a look that are compared when its place is searched
OUTSIDE = 0.7  # what a pixel counts that would lie outside the picture: neither like nor unlike
LEASH = 0.06  # what the farthest shift of a search costs more than none
STRAY = 0.04  # what a pixel costs per pixel that it lies outside an outline


@dataclass(frozen=True, slots=True)
class Look:
    """The pixels of `image` (h, w, 3) under `mask` in `box`."""

    image: U8
    box: Box
    mask: U8


def colours(image: U8, box: Box, mask: U8) -> F32:
    """A normalised histogram of 6 x 6 x 6 colours under a mask, flattened."""
    counts = cv2.calcHist([np.ascontiguousarray(view(image, box))], [0, 1, 2], mask, [6, 6, 6], [0, 256] * 3).ravel()
    return np.asarray(counts / max(float(counts.sum()), 1.0), np.float32)


def alike(a: F32, b: F32) -> float:
    """What two histograms of `colours` have in common, 0..1."""
    return float(np.minimum(a, b).sum())


def fit(look: Look, image: U8, guess: NDArray[np.int_]) -> NDArray[np.int_]:
    """The shift (dx, dy) of a look that fits `image` best near `guess`: a coarse search, then a fine one."""
    ys, xs = np.nonzero(look.mask)
    reach = int(3 + 0.12 * np.sqrt(len(xs)))
    pick = np.linspace(0, len(xs) - 1, min(len(xs), SAMPLES)).astype(int)
    at = np.stack([xs[pick] + look.box[0], ys[pick] + look.box[1]], axis=1)
    picture = look.image[at[:, 1], at[:, 0]]
    step = max(1, reach // 4)
    span = np.arange(-2 * reach, 2 * reach + 1, step)
    best = _search(picture, at, image, guess, span, span[np.abs(span) <= reach])
    fine = np.arange(1 - step, step)
    return _search(picture, at, image, best, fine, fine) if step > 1 else best


def _search(
    picture: U8,
    at: NDArray[np.intp],
    image: U8,
    guess: NDArray[np.int_],
    across: NDArray[np.int_],
    down: NDArray[np.int_],
) -> NDArray[np.int_]:
    """The best of a grid of shifts around `guess`: the least mean difference, far shifts dearer.

    picture: (n, 3) samples of a look. at: (n, 2) where in the look's own frame they lie, x and y.
    """
    height, width = image.shape[:2]
    shifts = np.stack(np.meshgrid(guess[0] + across, guess[1] + down), axis=-1).reshape(-1, 2)
    u, v = ((at[None, :, i] + shifts[:, None, i]).astype(np.float32) for i in (0, 1))
    there = cv2.remap(image, u, v, cv2.INTER_NEAREST)
    off = cv2.absdiff(there, picture.reshape(1, -1).repeat(len(shifts), axis=0).reshape(there.shape))
    off = cv2.transform(off, np.full((1, 3), 255 / (3 * COLOUR), np.float32))  # 255, where 8 bits end, is the cap
    (left, top), (right, bottom) = at.min(axis=0) + shifts.min(axis=0), at.max(axis=0) + shifts.max(axis=0)
    if left < 0 or top < 0 or right >= width or bottom >= height:
        off[(u < 0) | (u >= width) | (v < 0) | (v >= height)] = round(OUTSIDE * 255)
    mean = cv2.reduce(off, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() / 255
    far = np.hypot(*(shifts - guess).T) / max(1.0, float(across.max()))
    return np.asarray(shifts[np.argmin(mean + LEASH * far**2)])


def unlike(look: Look, shift: NDArray[np.int_], image: U8, box: Box) -> F32:
    """(h, w) of the box in `image`: how little each pixel resembles the look laid there; more outside its outline."""
    dx, dy = int(shift[0]), int(shift[1])
    laid = moved(look.box, dx, dy)
    around = view(image, box)
    outside = np.ones(around.shape[:2], np.uint8)
    cost = np.ones(around.shape[:2], np.float32)
    x0, y0 = max(laid[0], box[0]), max(laid[1], box[1])
    x1, y1 = min(laid[2], box[2]), min(laid[3], box[3])
    if x0 < x1 and y0 < y1:
        mask = look.mask[y0 - laid[1] : y1 - laid[1], x0 - laid[0] : x1 - laid[0]] > 0
        picture = view(look.image, moved((x0, y0, x1, y1), -dx, -dy))
        here = slice(y0 - box[1], y1 - box[1]), slice(x0 - box[0], x1 - box[0])
        off = np.minimum(cv2.absdiff(around[here], picture).sum(axis=2, dtype=np.float32) / (3 * COLOUR), 1)
        cost[here][mask] = off[mask]
        outside[here][mask] = 0
    away = cv2.distanceTransform(outside, cv2.DIST_L2, 3) if not outside.all() else np.full_like(cost, 50.0)
    return np.asarray(cv2.blur(cost + STRAY * away, (5, 5)), np.float32)
