"""Masks keep every pixel through encoding, and the small types refuse what makes no sense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sam.types import FrameMasks, Mask, Prompt, Track, iou

planes = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))
SIZE = (40, 30)


def placed(plane: np.ndarray, x: int, y: int) -> np.ndarray:
    full = np.zeros(SIZE[::-1], np.uint8)
    full[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
    return full


@given(plane=planes, x=st.integers(0, 20), y=st.integers(0, 15))
def test_encode_and_decode_keep_every_pixel(plane: np.ndarray, x: int, y: int) -> None:
    mask = Mask.encode(plane, (x, y))
    if not plane.any():
        assert mask is None
        return
    assert mask is not None
    assert np.array_equal(mask.full(*SIZE), placed(plane, x, y))
    assert mask.area == plane.sum()
    local = mask.decode()
    assert local.any(axis=0)[[0, -1]].all() and local.any(axis=1)[[0, -1]].all()  # the box is tight
    assert local.flags.c_contiguous and local.dtype == np.uint8


@given(a=planes, b=planes, x=st.integers(0, 8), y=st.integers(0, 8))
def test_iou_is_that_of_the_full_planes(a: np.ndarray, b: np.ndarray, x: int, y: int) -> None:
    first, second = Mask.encode(a), Mask.encode(b, (x, y))
    if first is None or second is None:
        return
    one, other = placed(a, 0, 0) > 0, placed(b, x, y) > 0
    assert iou(first, second) == pytest.approx((one & other).sum() / (one | other).sum())
    assert iou(first, second) == iou(second, first)
    assert iou(first, first) == 1


def test_masks_of_255_and_of_views_encode_alike() -> None:
    plane = np.zeros((20, 20), np.uint8)
    plane[3:9, 4:12] = 255
    assert Mask.encode(plane) == Mask.encode(plane > 0) == Mask.encode(np.asfortranarray(plane))
    assert Mask.encode(plane[2:10, 2:14], (2, 2)) == Mask.encode(plane)


def test_a_prompt_names_something() -> None:
    assert Prompt(text="cow").kinds == {"text"}
    assert Prompt(points=((1, 2),), labels=(1,), box=(0, 0, 5, 5)).kinds == {"points", "box"}
    with pytest.raises(ValueError, match="needs a text, points, a box or a mask"):
        Prompt()
    with pytest.raises(ValueError, match="got 1 points and 0 labels"):
        Prompt(points=((1, 2),))


def test_frame_masks_go_together() -> None:
    mask = Mask.encode(np.ones((2, 2), np.uint8))
    assert mask is not None
    with pytest.raises(ValueError, match="got 1, 1, 0"):
        FrameMasks(0, (1,), (mask,), ())
    with pytest.raises(ValueError, match="repeat within frame 3"):
        FrameMasks(3, (1, 1), (mask, mask), (1.0, 1.0))


def test_a_track_has_a_mask_per_frame() -> None:
    mask = Mask.encode(np.ones((2, 3), np.uint8), (4, 5))
    assert mask is not None
    assert Track(1, "cow", np.array([0], np.int32), (mask,), 0.5).boxes.tolist() == [[4, 5, 7, 7]]
    for frames, masks in (([], ()), ([0, 1], (mask,))):
        with pytest.raises(ValueError, match="one mask per frame"):
            Track(1, "cow", np.array(frames, np.int32), masks, 0.5)
