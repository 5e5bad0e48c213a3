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

from sam.backends.blobs import Blob, Box, apart, centre, gap, union
from sam.backends.likeness import alike, colours

U8 = NDArray[np.uint8]

PIECE_GAP = 0.12  # of an object's side (the root of its area): how far apart its pieces may lie
PIECE_DRIFT = 0.5  # of an object's side: how far its pieces may move against each other
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


def join_pieces(images: Sequence[U8], found: list[list[Found]]) -> list[list[Found]]:
    """Make one track of two that are pieces of one individual, say behind a post: never far apart, never moving against
    each other, and of one colour or seen in one blob."""
    outlines = [_outlines(frame) for frame in found]
    together: dict[tuple[int, int], list[int]] = {}
    for t, here in enumerate(outlines):
        for a in here:
            for b in here:
                if a < b:
                    together.setdefault((a, b), []).append(t)
    name: dict[int, int] = {}
    for (a, b), frames in sorted(together.items()):
        if _pieces([(images[t], outlines[t][a], outlines[t][b]) for t in frames]):
            name[b] = name.get(a, a)
    return [[Found(one.blob, _renamed(one.shares, name)) for one in frame] for frame in found]


def _renamed(shares: Sequence[Share], name: dict[int, int]) -> list[Share]:
    owners: dict[int, U8] = {}
    for share in shares:
        track = name.get(share.track, share.track)
        owners[track] = share.mask | owners[track] if track in owners else share.mask
    return [Share(track, mask) for track, mask in owners.items()]


def _outlines(frame: Sequence[Found]) -> dict[int, tuple[Box, U8]]:
    """Each track's box and mask in one frame."""
    parts: dict[int, list[Blob]] = {}
    for found in frame:
        for share in found.shares:
            parts.setdefault(share.track, []).append(Blob(found.blob.box, share.mask, found.blob.area))
    return {track: union(owned) for track, owned in parts.items()}


def _pieces(pairs: list[tuple[U8, tuple[Box, U8], tuple[Box, U8]]]) -> bool:
    """Whether two outlines, given with their picture in each frame that shows both, are pieces of one object."""
    side = np.sqrt(max(cv2.countNonZero(mask) for _, a, b in pairs for mask in (a[1], b[1])))
    reach = PIECE_GAP * side + 3
    if any(gap(a[0], b[0]) > reach for _, a, b in pairs):
        return False
    offsets = np.array([centre(*a) - centre(*b) for _, a, b in pairs])
    if np.ptp(offsets, axis=0).max() > PIECE_DRIFT * side:
        return False
    distance = np.array([apart(a, b) for _, a, b in pairs])
    common = [alike(colours(image, *a), colours(image, *b)) for image, a, b in pairs]
    return bool(distance.max() <= reach and (distance.min() < 1.5 or np.median(common) > PIECE_COLOURS))
