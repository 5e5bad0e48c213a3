"""Which proposed masks of a picture are objects: pure functions of masks and scores.

A model that segments everything proposes each thing several times, its parts, and specks. `select` leaves whole things,
each once, the largest first, and says of every other proposal why it was left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from sam.image import ImageMask
from sam.types import Mask, Prompt, iou, shared_area

KNOWN = 0.5  # a proposal of which this share is followed already is not new


@dataclass(frozen=True, slots=True)
class Rules:
    """When a proposal is no object.

    min_area: connected pieces of fewer pixels are taken out of it, and nothing may be left. max_share: it covers more
    of the picture, so it is the place. duplicate: its IoU with a surer one is higher. nested: more of it lies inside a
    larger one. max_objects: so many larger ones are there.
    """

    min_area: int = 500
    max_share: float = 0.95
    duplicate: float = 0.9
    nested: float = 0.9
    max_objects: int = 3

    def __post_init__(self) -> None:
        if self.min_area < 1 or self.max_objects < 1:
            raise ValueError(f"min_area and max_objects are at least 1, got {self.min_area} and {self.max_objects}")
        for name in ("max_share", "duplicate", "nested"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is above 0 and at most 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Selected:
    """objects: what is left, the largest first, without its specks. numbers: of their proposals. left_out: proposal
    number -> why."""

    objects: tuple[ImageMask, ...]
    numbers: tuple[int, ...]
    left_out: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proposed:
    """What was proposed on a frame of a window and what became of it.

    size: (width, height) of the picture that `proposals` and `selected` are of. prompts: one for each selected object,
    in the same order, in source pixels.
    """

    frame: int
    size: tuple[int, int]
    proposals: tuple[ImageMask, ...]
    selected: Selected
    prompts: tuple[Prompt, ...]


@runtime_checkable
class ProposingTracker(Protocol):
    """A tracker that names its objects itself, by clicks; its config says `names_objects = True`.

    on_proposed: is told what it proposed, frame by frame.
    """

    on_proposed: Callable[[Proposed], None] | None


def select_new(
    proposals: Sequence[ImageMask], size: tuple[int, int], rules: Rules, followed: Sequence[Mask]
) -> Selected:
    """The objects among the proposals that are not among those `followed`, masks of the same picture.

    So many that no more than `rules.max_objects` are there together; those followed are never given up.
    """
    every = select(proposals, size, replace(rules, max_objects=max(1, len(proposals))))
    covered = np.zeros((size[1], size[0]), np.uint8)
    for mask in followed:
        covered |= mask.full(*size)
    left_out = dict(every.left_out)
    new: list[tuple[int, ImageMask]] = []
    room = max(0, rules.max_objects - len(followed))
    for number, each in zip(every.numbers, every.objects, strict=True):
        x0, y0, x1, y1 = each.mask.box
        shared = int(np.count_nonzero(covered[y0:y1, x0:x1] & each.mask.decode()))
        if shared >= KNOWN * each.mask.area:
            left_out[number] = "is followed already"
        elif len(new) == room:
            left_out[number] = f"{rules.max_objects} others are there"
        else:
            new.append((number, each))
    return Selected(tuple(each for _, each in new), tuple(n for n, _ in new), dict(sorted(left_out.items())))


def select(proposals: Sequence[ImageMask], size: tuple[int, int], rules: Rules) -> Selected:
    """The objects among the proposals of a picture of `size` (width, height)."""
    left_out: dict[int, str] = {}
    candidates: list[tuple[int, ImageMask]] = []
    for number, proposal in enumerate(proposals):
        mask = without_specks(proposal.mask, rules.min_area)
        if mask is None:
            left_out[number] = f"no piece of {rules.min_area} pixels"
        elif mask.area > rules.max_share * size[0] * size[1]:
            left_out[number] = f"covers {mask.area / (size[0] * size[1]):.0%} of the picture"
        else:
            candidates.append((number, ImageMask(mask, proposal.score)))
    single = _single(candidates, rules.duplicate, left_out)
    whole = _whole(single, rules.nested, left_out)
    for number, each in whole[rules.max_objects :]:
        left_out[number] = f"{rules.max_objects} are larger than its {each.mask.area} pixels"
    kept = whole[: rules.max_objects]
    return Selected(tuple(each for _, each in kept), tuple(n for n, _ in kept), dict(sorted(left_out.items())))


def without_specks(mask: Mask, min_area: int) -> Mask | None:
    """The mask without its 8-connected pieces of fewer than `min_area` pixels; None if nothing is left."""
    plane = mask.decode()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(plane, connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= min_area
    large[0] = False  # the ground
    if large[1:count].all():
        return mask
    return Mask.encode(large[labels], mask.box[:2])


def _single(
    candidates: Sequence[tuple[int, ImageMask]], duplicate: float, left_out: dict[int, str]
) -> list[tuple[int, ImageMask]]:
    """Each thing once: of near duplicates the one with the highest score, then the larger, then the first."""
    kept: list[tuple[int, ImageMask]] = []
    for number, each in sorted(candidates, key=lambda c: (-c[1].score, -c[1].mask.area, c[0])):
        twin = next((other for other, known in kept if iou(each.mask, known.mask) > duplicate), None)
        if twin is None:
            kept.append((number, each))
        else:
            left_out[number] = f"the same as proposal {twin}"
    return kept


def _whole(
    candidates: Sequence[tuple[int, ImageMask]], nested: float, left_out: dict[int, str]
) -> list[tuple[int, ImageMask]]:
    """Whole things, the largest first: what lies inside a larger one is a part of it."""
    kept: list[tuple[int, ImageMask]] = []
    for number, each in sorted(candidates, key=lambda c: (-c[1].mask.area, c[0])):
        area = each.mask.area
        around = next((other for other, known in kept if shared_area(each.mask, known.mask) > nested * area), None)
        if around is None:
            kept.append((number, each))
        else:
            left_out[number] = f"a part of proposal {around}"
    return kept
