"""segment_image: what points and boxes name in one picture.

The one way to a mask of a single picture, for notebooks, seeds of a tracker and proposals alike. It has no state and
never tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sam.errors import UnknownPrompt, WrongPrompt
from sam.prompts import check_place
from sam.tracker import Tracker
from sam.types import Mask, Prompt

KINDS = frozenset({"points", "box"})


@dataclass(frozen=True, slots=True)
class ImageMask:
    """One answer. mask: at the picture's size. score: the model's own estimate of the mask's IoU with the truth."""

    mask: Mask
    score: float


@runtime_checkable
class ImageTracker(Protocol):
    """What a tracker offers whose model segments single pictures too."""

    def segment(self, image: NDArray[np.uint8], prompts: Sequence[Prompt], multimask: bool) -> list[list[ImageMask]]:
        """The masks of each prompt, the best first. Prompts have points, a box or both, inside the picture."""
        ...


def segment_image(
    tracker: Tracker, image: NDArray[np.uint8], prompts: Sequence[Prompt], multimask: bool = True
) -> list[list[ImageMask]]:
    """What each prompt names in a picture; encodes the picture once, however many prompts there are.

    Args:
        tracker: an entered tracker=sam2 or sam3_tracker.
        image: (height, width, 3) uint8 RGB.
        prompts: points with labels, a box (x0, y0, x1, y1), or both, in the picture's pixels; each by itself.
        multimask: up to three masks for each (a part, a larger part, the whole); else the one the model settles on.

    Returns:
        For each prompt its masks by descending score; empty masks are left out.

    Raises:
        UnknownPrompt: the tracker segments no pictures, or a prompt is a text or a mask.
        WrongPrompt: a prompt lies outside the picture, or has no point inside the object.
    """
    if not isinstance(tracker, ImageTracker):
        raise UnknownPrompt(f"tracker={tracker.name} segments no single pictures; sam2 and sam3_tracker do")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"a picture is (height, width, 3) uint8, got {image.shape} {image.dtype}")
    for prompt in prompts:
        if prompt.kinds - KINDS:
            raise UnknownPrompt(
                f"a picture is segmented by points and boxes, not by {', '.join(sorted(prompt.kinds - KINDS))}"
            )
        if prompt.kinds == {"points"} and 1 not in prompt.labels:
            raise WrongPrompt("a prompt needs a point inside the object (label 1) or a box")
        check_place(prompt, image.shape[1], image.shape[0])
    return tracker.segment(image, prompts, multimask) if prompts else []
