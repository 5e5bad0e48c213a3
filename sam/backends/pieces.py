"""Tracks that are pieces of one individual, and the parts of blobs that tracks are made of.

A post in front of a cow makes two tracks of it, and so does a coat that blends with the ground. `join_pieces` looks at
whole tracks of a window and puts such pieces together; it never takes a track apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.backends.blobs import Blob, Box, apart, centre, gap, moved, union, view
from sam.backends.likeness import alike, colours

U8 = NDArray[np.uint8]

PIECE_GAP = 0.12  # of an object's side (the root of its area): how far apart its pieces may lie
PIECE_DRIFT = 0.5  # of an object's side: how far its pieces may move against each other
FATE_GAP, FATE_WAY = 0.4, 0.5  # of an object's side: the gap between pieces that travel together at least so far
POST_LENGTH, POST_SHARE = 0.5, 0.6  # of the smaller one's side and of the frames: how far and how often a post parts
SCRAPS = 1.5  # how much larger a common blob is than the tracks alone ever were, when those were scraps of one
POST_SWAY = 4  # pixels that a post may seem to move
PIECE_COLOURS = 0.3  # how much of their colours pieces have in common that are never seen in one blob


@dataclass(slots=True)
class Share:
    """A part of a blob: whose it is (a track number) and which pixels of the blob's box."""

    track: int
    mask: U8


@dataclass(frozen=True, slots=True)
class Found:
    """A blob of one frame and the tracks that share its pixels."""

    blob: Blob
    shares: list[Share]


Outline = tuple[Box, U8]
Pair = tuple[U8, Outline, Outline]  # a picture and two outlines in it


def join_pieces(images: Sequence[U8], found: list[list[Found]]) -> list[list[Found]]:
    """Make one track of those that are pieces of one individual, see `_one_body`.

    A piece goes to the largest track that it is a piece of, so that two large ones never meet through a small one.
    """
    seen = [outlines(frame) for frame in found]
    sizes: dict[int, int] = {}
    together: dict[tuple[int, int], list[int]] = {}
    for t, here in enumerate(seen):
        for a, (_, mask) in here.items():
            sizes[a] = sizes.get(a, 0) + cv2.countNonZero(mask)
            for b in here:
                if a < b:
                    together.setdefault((a, b), []).append(t)
    clean = _clean_areas(found)
    parent: dict[int, int] = {}
    for pair, frames in sorted(together.items()):
        small, large = sorted(pair, key=lambda track: (sizes[track], -track))
        if sizes[large] <= sizes.get(parent.get(small, -1), 0):
            continue
        shown = [(images[t], seen[t][small], seen[t][large]) for t in frames]
        if _one_body(shown, [found[t] for t in frames], small, large, clean):
            parent[small] = large
    name = {}
    for track in sizes:
        root = track
        while root in parent:
            root = parent[root]
        name[track] = root
    return [[Found(one.blob, _renamed(one.shares, name)) for one in frame] for frame in found]


def _renamed(shares: Sequence[Share], name: dict[int, int]) -> list[Share]:
    owners: dict[int, U8] = {}
    for share in shares:
        track = name[share.track]
        owners[track] = share.mask | owners[track] if track in owners else share.mask
    return [Share(track, mask) for track, mask in owners.items()]


def outlines(frame: Sequence[Found]) -> dict[int, Outline]:
    """Each track's box and mask in one frame."""
    parts: dict[int, list[Blob]] = {}
    for found in frame:
        for share in found.shares:
            parts.setdefault(share.track, []).append(Blob(found.blob.box, share.mask, found.blob.area))
    return {track: union(owned) for track, owned in parts.items()}


def _one_body(pairs: list[Pair], frames: Sequence[Sequence[Found]], a: int, b: int, clean: dict[int, int]) -> bool:
    """Whether two tracks are pieces of one individual; the arguments are for the frames that show both.

    They never are when they are seen far apart. They are when their common blob is much larger than all its tracks ever
    were alone, which were scraps of somebody who came into view; when a post parts them; or by `_travel_as_one`.
    """
    side = np.sqrt(max(cv2.countNonZero(mask) for _, one, two in pairs for mask in (one[1], two[1])))
    if any(gap(one[0], two[0]) > FATE_GAP * side + 3 for _, one, two in pairs):
        return False
    common = [_common(frame, a, b) for frame in frames]
    growth = [one.blob.area / max(1, sum(clean.get(s.track, 0) for s in one.shares)) for one in common if one]
    if len(growth) >= 3 and np.median(growth) > SCRAPS:
        return True
    apart_pairs = [pair[1:] for pair, one in zip(pairs, common, strict=True) if one is None]
    return _parted_by_post(apart_pairs) or _travel_as_one(pairs, side)


def _travel_as_one(pairs: list[Pair], side: float) -> bool:
    """Whether two outlines keep their places to each other, and either touch or have common colours, or travel together
    (the Gestalt law of common fate), which allows for a wider gap. side: of the larger one, in pixels."""
    first, second = (np.array([centre(*pair[i]) for pair in pairs]) for i in (1, 2))
    drift = np.ptp(first - second, axis=0).max()
    if drift > PIECE_DRIFT * side:
        return False
    distance = np.array([apart(a, b) for _, a, b in pairs])
    travelled = min(np.ptp(first, axis=0).max(), np.ptp(second, axis=0).max())
    if travelled > 3 * drift and travelled > FATE_WAY * side and distance.max() <= FATE_GAP * side + 3:
        return True
    if distance.max() > PIECE_GAP * side + 3:
        return False
    common = [alike(colours(image, *a), colours(image, *b)) for image, a, b in pairs]
    return bool(distance.min() < 1.5 or np.median(common) > PIECE_COLOURS)


def _clean_areas(found: Sequence[Sequence[Found]]) -> dict[int, int]:
    """The largest area at which each track is seen in blobs of its own."""
    areas: dict[int, int] = {}
    for frame in found:
        shared = {share.track for one in frame if len(one.shares) > 1 for share in one.shares}
        for track, (_, mask) in outlines([one for one in frame if len(one.shares) == 1]).items():
            if track not in shared:
                areas[track] = max(areas.get(track, 0), cv2.countNonZero(mask))
    return areas


def _common(frame: Sequence[Found], a: int, b: int) -> Found | None:
    """The largest blob that two tracks share in one frame."""
    common = [one for one in frame if {a, b} <= {share.track for share in one.shares}]
    return max(common, key=lambda one: one.blob.area, default=None)


def _parted_by_post(pairs: Sequence[tuple[Outline, Outline]]) -> bool:
    """Whether the gap between two outlines is narrow, long and straight, and stays in its place while they move."""
    if len(pairs) < 2:
        return False
    side = np.sqrt(max(cv2.countNonZero(mask) for a, b in pairs for mask in (a[1], b[1])))
    reach = int(PIECE_GAP * side + 3) // 2 + 1
    gaps = [found for a, b in pairs if (found := _gap_between(a, b, reach)) is not None]
    if len(gaps) < max(2, POST_SHARE * len(pairs)):
        return False
    sizes = np.array(gaps)[:, 2:] - np.array(gaps)[:, :2]
    middles = (np.array(gaps)[:, 2:] + np.array(gaps)[:, :2]) / 2
    across = int(np.median(sizes[:, 1]) > np.median(sizes[:, 0])) ^ 1  # 0: an upright post
    return bool(np.ptp(np.percentile(middles[:, across], [10, 90])) <= POST_SWAY)


def _gap_between(a: Outline, b: Outline, reach: int) -> Box | None:
    """The box of the gap between two outlines that face each other within 2 * reach; None if it is short or crooked."""
    if gap(a[0], b[0]) > 2 * reach:
        return None
    boxes = np.array([a[0], b[0]])
    x0, y0 = (boxes[:, :2].min(axis=0) - reach).tolist()
    x1, y1 = (boxes[:, 2:].max(axis=0) + reach).tolist()
    near = []
    for box, mask in (a, b):
        plane = np.zeros((y1 - y0, x1 - x0), np.uint8)
        view(plane, moved(box, -x0, -y0))[:] = mask
        near.append((plane, cv2.dilate(plane, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))))
    between = near[0][1] & near[1][1] & ~(near[0][0] | near[1][0])
    x, y, w, h = cv2.boundingRect(between)
    least = POST_LENGTH * np.sqrt(min(cv2.countNonZero(a[1]), cv2.countNonZero(b[1])))
    if max(w, h) < max(least, 2 * min(w, h)):
        return None
    return x0 + x, y0 + y, x0 + x + w, y0 + y + h
