"""Masks without shared pixels: to whom a pixel goes, and what a session makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam.backends.file import FileConfig
from sam.disjoint import disjoint
from sam.session import SAMSession
from sam.types import FrameMasks, Mask, Prompt, SessionFrames, shared_area

W, H = 60, 40


def block(x0: int, y0: int, x1: int, y1: int) -> Mask:
    mask = Mask.encode(np.ones((y1 - y0, x1 - x0), np.uint8), (x0, y0))
    assert mask is not None
    return mask


def seen(*rows: tuple[int, Mask, float]) -> FrameMasks:
    return FrameMasks(3, *(tuple(column) for column in zip(*rows, strict=True)))


def test_the_surer_object_keeps_shared_pixels_and_of_equals_the_smaller() -> None:
    large, small = block(0, 0, 30, 30), block(20, 20, 40, 40)
    found = disjoint(seen((1, large, 0.9), (2, small, 0.8)))
    assert found.masks[0] == large and found.masks[1].area == 400 - 100
    found = disjoint(seen((1, large, 0.8), (2, small, 0.8)))
    assert found.masks[1] == small and found.masks[0].area == 900 - 100
    assert found.object_ids == (1, 2) and found.scores == (0.8, 0.8) and found.frame == 3
    inside = block(5, 5, 10, 10)
    assert disjoint(seen((1, large, 0.9), (2, inside, 0.1))).object_ids == (1,)
    assert disjoint(seen((1, large, 0.9), (2, inside, 0.9))).masks[1] == inside


boxes = st.tuples(st.integers(0, W - 2), st.integers(0, H - 2), st.integers(1, 30), st.integers(1, 30)).map(
    lambda b: (b[0], b[1], min(W, b[0] + b[2]), min(H, b[1] + b[3]))
)


@given(st.lists(st.tuples(boxes, st.sampled_from([0.2, 0.5, 0.9])), max_size=6))
@settings(max_examples=60)
def test_nothing_is_shared_and_nothing_lost(objects: list[tuple[tuple[int, int, int, int], float]]) -> None:
    before = seen(*((n, block(*box), score) for n, (box, score) in enumerate(objects))) if objects else None
    if before is None:
        return
    after = disjoint(before)
    assert all(shared_area(a, b) == 0 for n, a in enumerate(after.masks) for b in after.masks[:n])
    union = [np.bitwise_or.reduce([m.full(W, H) for m in each.masks]) for each in (before, after)]
    assert np.array_equal(*union)
    assert disjoint(after) is after


@pytest.mark.parametrize("apart", [False, True])
def test_a_session_gives_them_apart_when_it_is_asked_to(apart: bool, tmp_path: object) -> None:
    (tmp_path / "v.txt").write_text("1,1,0,0,30,30\n1,2,20,20,20,20\n")  # type: ignore[operator]
    image = np.zeros((H, W, 3), np.uint8)
    frames = SessionFrames([image], np.array([0]), np.array([0.0]), W, H, "v.mp4")
    with (
        FileConfig(str(tmp_path)).build() as tracker,
        SAMSession(tracker, frames, disjoint=apart) as session,
    ):
        session.add_prompt(Prompt(text="cow"))
        first, second = session.tracks()
    assert shared_area(first.masks[0], second.masks[0]) == (0 if apart else 100)
