"""What every model tracker promises about a window, whatever it found in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sam.memory import ModelTracker
from sam.session import SAMSession
from sam.tracker import Tracker
from sam.types import FrameMasks, Prompt, SessionFrames


def run(tracker: Tracker, frames: SessionFrames, *texts: str, disjoint: bool = True) -> list[FrameMasks]:
    """Track a window and check everything that does not depend on what is in it; returns the results by frame.

    disjoint: whether the tracker promises that objects of one text share no pixel.
    """
    with SAMSession(tracker, frames) as session:
        for text in texts:
            session.add_prompt(Prompt(text=text))
        seen = list(session.propagate())
    assert [s.frame for s in seen] == list(range(len(frames)))
    assert isinstance(tracker, ModelTracker)
    names = dict(tracker.found_by)
    assert set(names.values()) <= set(texts)
    first: dict[int, float] = {}
    for result in seen:
        assert list(result.object_ids) == sorted(set(result.object_ids))
        assert set(result.object_ids) <= set(names)
        for object_id, score in zip(result.object_ids, result.scores, strict=True):
            assert 0 <= score <= 1
            assert first.setdefault(object_id, score) == score  # of the first detection, in every frame
        for text in texts:
            _check_layer(result, [i for i in result.object_ids if names[i] == text], frames, disjoint)
    return seen


def _check_layer(result: FrameMasks, ids: Sequence[int], frames: SessionFrames, disjoint: bool) -> None:
    """Masks of one text: none empty, boxes tight and inside the source, no pixel twice if they are disjoint."""
    total = np.zeros((frames.height, frames.width), int)
    for object_id in ids:
        mask = result.masks[result.object_ids.index(object_id)]
        plane = mask.full(frames.width, frames.height)
        ys, xs = np.nonzero(plane)
        assert mask.area == len(xs) > 0
        assert mask.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        total += plane
    assert total.max() <= 1 or not disjoint
