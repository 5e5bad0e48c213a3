"""The trackers of points, boxes and masks, and what every one promises. A new one adds a line to `MODELS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sam.backends.sam2 import Sam2Config
from sam.backends.sam3_tracker import Sam3TrackerConfig
from sam.session import SAMSession
from sam.tracker import Tracker
from sam.types import FrameMasks, Prompt, SessionFrames
from tests.sam3.footage import Footage

MODELS: dict[str, Callable[[str], Any]] = {
    "sam2": lambda weights: Sam2Config(device="cpu", weights=weights),
    "edgetam": lambda weights: Sam2Config(device="cpu", weights=weights),
    "sam3_tracker": lambda weights: Sam3TrackerConfig(device="cpu", weights=weights),
}
CLICK = ((26.0, 28.0),)  # in the red thing of frame 0
BOX = (108.0, 60.0, 148.0, 100.0)  # the green thing of frame 0

Objects = dict[int, dict[int, tuple[object, float]]]


def follow(tracker: Tracker, frames: SessionFrames, prompts: Sequence[Prompt]) -> list[FrameMasks]:
    """Track a window and check everything that does not depend on what is in it; returns the results by frame."""
    with SAMSession(tracker, frames) as session:
        named = {session.add_prompt(prompt) for prompt in prompts}
        seen = list(session.propagate())
    assert [one.frame for one in seen] == list(range(len(frames)))
    for one in seen:
        assert list(one.object_ids) == sorted(set(one.object_ids))
        assert set(one.object_ids) <= named
        assert all(0 <= score <= 1 for score in one.scores)
        for mask in one.masks:
            plane = mask.full(frames.width, frames.height)
            ys, xs = np.nonzero(plane)
            assert mask.area == len(xs) > 0
            assert mask.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    return seen


def by_object(seen: Sequence[FrameMasks]) -> Objects:
    """object id -> frame -> mask and score."""
    found: Objects = {}
    for one in seen:
        for number, mask, score in zip(one.object_ids, one.masks, one.scores, strict=True):
            found.setdefault(number, {})[one.frame] = (mask, score)
    return found


def prompts(footage: Footage, frame: int = 0) -> list[Prompt]:
    """A mask, a box and a box with points, of three objects."""
    return [
        Prompt(mask=footage.truth[frame, 0], frame=frame, object_id=4),
        Prompt(box=BOX, frame=frame, object_id=2),
        Prompt(box=BOX, points=CLICK, labels=(0,), frame=frame, object_id=9),
    ]
