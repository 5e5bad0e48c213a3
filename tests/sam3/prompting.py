"""What every tracker of points, boxes and masks promises, whatever its masks look like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam.session import SAMSession
from sam.tracker import Tracker
from sam.types import FrameMasks, Prompt, SessionFrames

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
