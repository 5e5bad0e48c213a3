"""Mattes: alpha is the mask, and nothing of the surroundings is left under it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tasks.matte import GREEN, REACH, even, styled, transparent, union
from sam.types import Mask
from tests.pipeline.making import block

WIDTH, HEIGHT = 61, 47
PLACE, COAT = (10, 250, 30), (200, 0, 90)  # the object has no green at all


def scene(plane: np.ndarray) -> np.ndarray:
    return np.where(plane[..., None] > 0, np.uint8(COAT), np.uint8(PLACE))


@st.composite
def planes(draw: st.DrawFn) -> np.ndarray:
    """Some ellipses anywhere, also over the border or none at all."""
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(draw(st.integers(0, 3))):
        centre = draw(st.integers(-5, WIDTH + 5)), draw(st.integers(-5, HEIGHT + 5))
        cv2.ellipse(plane, centre, (draw(st.integers(0, 20)), draw(st.integers(0, 20))), 0, 0, 360, 1, -1)
    return plane


@given(planes())
def test_alpha_is_the_mask_and_hides_the_place(plane: np.ndarray) -> None:
    rgb = scene(plane)
    before = rgb.copy(), plane.copy()
    made = transparent(rgb, plane)
    assert np.array_equal(made[..., 3], plane * 255)
    assert np.array_equal(made[plane > 0][:, :3], rgb[plane > 0])
    assert not made[..., 1].any()  # the place's green is nowhere, not even under full transparency
    far = cv2.dilate(plane, np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)) == 0
    assert not made[far].any()
    near = (cv2.dilate(plane, np.ones((3, 3), np.uint8)) > 0) & (plane == 0)
    assert (made[near] == (*COAT, 0)).all()  # the object's colours go on beyond its edge
    assert np.array_equal(rgb, before[0]) and np.array_equal(plane, before[1])


@given(planes())
def test_masks_that_overlap_are_one(plane: np.ndarray) -> None:
    masks = [m for m in (Mask.encode(plane), block(3, 4, 20, 9), block(10, 0, 5, 30)) if m is not None]
    truth = np.maximum.reduce([m.full(WIDTH, HEIGHT) for m in masks])
    assert np.array_equal(union(masks, WIDTH, HEIGHT), truth)
    objects = list(enumerate(masks))
    rgb = scene(plane)
    assert np.array_equal(styled("binary", rgb, objects), truth * 255)
    green = styled("greenscreen", rgb, objects)
    assert np.array_equal(green, np.where(truth[..., None] > 0, rgb, np.uint8(GREEN)))


def test_nothing_seen_is_an_empty_matte() -> None:
    rgb = scene(np.zeros((HEIGHT, WIDTH), np.uint8))
    assert not styled("binary", rgb, []).any()
    assert (styled("greenscreen", rgb, []) == GREEN).all()
    assert np.array_equal(styled("highlighted", rgb, []), rgb)
    assert not transparent(rgb, union([], WIDTH, HEIGHT)).any()


@pytest.mark.parametrize(("width", "height"), [(61, 47), (60, 47), (61, 46), (60, 46)])
def test_even_sides_repeat_the_last_row_and_column(width: int, height: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = even(rgb)
    assert made.shape == (height + height % 2, width + width % 2, 3)
    assert np.array_equal(made[:height, :width], rgb)
    assert np.array_equal(made[-1, :width], rgb[-1]) and np.array_equal(made[:height, -1], rgb[:, -1])
