"""No pixel in two masks of a frame: which object it belongs to, for any tracker.

As SAM3 does it with its own masks, whole objects have a rank, and a pixel goes to the highest ranked that claims it.
The rank is the tracker's score in that frame; of equal scores the smaller object comes first, since what stands in
front of something larger is what a box or a loose mask of the larger one swallows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam.types import FrameMasks, Mask


def disjoint(seen: FrameMasks) -> FrameMasks:
    """The objects of a frame without shared pixels, by id as before; one that keeps no pixel is left out."""
    order = sorted(range(len(seen.masks)), key=lambda n: (-seen.scores[n], seen.masks[n].area, seen.object_ids[n]))
    kept: dict[int, Mask] = {}
    for n in order:
        left = without(seen.masks[n], list(kept.values()))
        if left is not None:
            kept[n] = left
    if all(kept.get(n) is mask for n, mask in enumerate(seen.masks)):
        return seen
    rows = [(seen.object_ids[n], kept[n], seen.scores[n]) for n in sorted(kept)]
    return FrameMasks(seen.frame, *(tuple(column) for column in zip(*rows, strict=True)))


def without(mask: Mask, others: Sequence[Mask]) -> Mask | None:
    """A mask less others, the very same if they share nothing; None if nothing is left."""
    x0, y0, x1, y1 = mask.box
    plane = None
    for other in others:
        left, top = max(x0, other.box[0]), max(y0, other.box[1])
        right, bottom = min(x1, other.box[2]), min(y1, other.box[3])
        if left >= right or top >= bottom:
            continue
        theirs = other.decode()[top - other.box[1] : bottom - other.box[1], left - other.box[0] : right - other.box[0]]
        plane = mask.decode() if plane is None else plane
        mine = plane[top - y0 : bottom - y0, left - x0 : right - x0]
        mine[theirs > 0] = 0
    if plane is None or int(np.count_nonzero(plane)) == mask.area:
        return mask
    return Mask.encode(plane, (x0, y0))
