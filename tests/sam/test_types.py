"""Masks, prompts and tracks as plain values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sam.types import FrameMasks, Mask, Prompt, Track, iou

PLANES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(0, 1))


@given(PLANES)
def test_a_mask_comes_back_as_it_was(plane: np.ndarray) -> None:
    mask = Mask.encode(plane)
    if not plane.any():
        assert mask is None
        return
    assert mask is not None
    height, width = plane.shape
    assert np.array_equal(mask.full(width, height), plane)
    assert mask.area == plane.sum()
    ys, xs = np.nonzero(plane)
    assert mask.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), "the box is tight and half-open"


@given(PLANES, st.integers(0, 40), st.integers(0, 40))
def test_an_origin_moves_the_mask(plane: np.ndarray, x: int, y: int) -> None:
    plane[0, 0] = 1
    there, here = Mask.encode(plane, (x, y)), Mask.encode(plane)
    assert there is not None and here is not None
    assert there.counts == here.counts
    assert there.box == tuple(np.add(here.box, (x, y, x, y)).tolist())


@given(PLANES, PLANES, st.integers(-5, 5), st.integers(-5, 5))
def test_iou_is_that_of_full_planes(a: np.ndarray, b: np.ndarray, x: int, y: int) -> None:
    a[0, 0] = b[0, 0] = 1
    first, second = Mask.encode(a, (10, 10)), Mask.encode(b, (10 + x, 10 + y))
    assert first is not None and second is not None
    full = [m.full(48, 48) for m in (first, second)]
    assert iou(first, second) == pytest.approx(np.sum(full[0] & full[1]) / np.sum(full[0] | full[1]))
    assert iou(first, second) == iou(second, first)
    assert iou(first, first) == 1.0


def test_bool_and_byte_masks_are_equal() -> None:
    plane = np.zeros((5, 6), np.uint8)
    plane[1:3, 2:5] = 255
    assert Mask.encode(plane) == Mask.encode(plane.astype(bool))


def test_a_prompt_knows_its_kinds() -> None:
    assert Prompt(text="cow").kinds == {"text"}
    assert Prompt(points=((1, 2),), labels=(1,), box=(0, 0, 5, 5)).kinds == {"points", "box"}
    with pytest.raises(ValueError, match="needs a text, points, a box or a mask"):
        Prompt()
    with pytest.raises(ValueError, match="got 1 points and 2 labels"):
        Prompt(points=((1, 2),), labels=(1, 0))


def test_rows_that_do_not_fit_together_are_refused() -> None:
    mask = Mask.encode(np.ones((2, 2), np.uint8))
    assert mask is not None
    with pytest.raises(ValueError, match="go together"):
        FrameMasks(0, (1,), (mask, mask), (0.5,))
    with pytest.raises(ValueError, match="repeat within frame 3"):
        FrameMasks(3, (1, 1), (mask, mask), (0.5, 0.5))
    with pytest.raises(ValueError, match="one mask per frame, got 2 and 1"):
        Track(1, "cow", np.array([0, 1], np.int32), (mask,), 0.5)
    assert Track(1, "cow", np.array([4], np.int32), (mask,), 0.5).boxes.tolist() == [[0, 0, 2, 2]]
