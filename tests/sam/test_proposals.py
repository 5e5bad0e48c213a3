"""Proposals and seeds: whole things, each once, the largest first, and clicks that lie inside them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sam.image import ImageMask
from sam.proposals import Rules, select, select_new, without_specks
from sam.seeds import seeds
from sam.types import Mask, shared_area

SIZE = (200, 120)


def drawn(*boxes: tuple[int, int, int, int], holes: tuple[tuple[int, int, int, int], ...] = ()) -> Mask:
    """Filled rectangles (x0, y0, x1, y1) less others."""
    plane = np.zeros(SIZE[::-1], bool)
    for x0, y0, x1, y1 in boxes:
        plane[y0:y1, x0:x1] = True
    for x0, y0, x1, y1 in holes:
        plane[y0:y1, x0:x1] = False
    mask = Mask.encode(plane)
    assert mask is not None
    return mask


COW = (20, 20, 80, 60)  # 2400 pixels
CALF = (100, 30, 140, 60)  # 1200
DOG = (150, 80, 190, 105)  # 1000
HEAD = (20, 20, 40, 50)  # a part of the cow, 600


def proposed(*masks: Mask, scores: tuple[float, ...] = ()) -> list[ImageMask]:
    return [ImageMask(mask, score) for mask, score in zip(masks, scores or [0.9] * len(masks), strict=True)]


def test_parts_doubles_specks_and_the_place_are_left_out_with_their_reason() -> None:
    almost = (21, 20, 80, 60)
    masks = proposed(
        *(drawn(HEAD), drawn(COW), drawn(almost), drawn((0, 0, 20, 20)), drawn((0, 0, *SIZE)), drawn(DOG), drawn(CALF)),
        scores=(0.99, 0.90, 0.95, 0.9, 0.99, 0.9, 0.9),
    )
    found = select(masks, SIZE, Rules())
    assert [each.mask for each in found.objects] == [drawn(almost), drawn(CALF), drawn(DOG)]
    assert found.left_out == {
        0: "a part of proposal 2",
        1: "the same as proposal 2",
        3: "no piece of 500 pixels",
        4: "covers 100% of the picture",
    }


def test_the_largest_are_kept() -> None:
    masks = proposed(drawn(CALF), drawn(DOG), drawn(COW), drawn((0, 80, 30, 100)))
    found = select(masks, SIZE, Rules(max_objects=2))
    assert [each.mask for each in found.objects] == [drawn(COW), drawn(CALF)]
    assert found.left_out == {1: "2 are larger than its 1000 pixels", 3: "2 are larger than its 600 pixels"}


def test_specks_are_taken_out_of_a_mask_and_its_pieces_stay() -> None:
    mask = drawn(COW, CALF, (0, 0, 10, 10), (199, 119, 200, 120))
    assert without_specks(mask, 500) == drawn(COW, CALF)
    assert without_specks(drawn(COW), 2400) == drawn(COW)
    assert without_specks(drawn(COW), 2401) is None
    (found,) = select(proposed(mask), SIZE, Rules()).objects
    assert found.mask == drawn(COW, CALF)


def test_nothing_proposed_is_nothing_found() -> None:
    assert select([], SIZE, Rules()).objects == ()


def test_rules_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
        Rules(min_area=0)
    with pytest.raises(ValueError, match=r"nested is above 0 and at most 1, got 1\.5"):
        Rules(nested=1.5)


RECTANGLES = st.tuples(st.integers(0, 150), st.integers(0, 90), st.integers(5, 50), st.integers(5, 30))


@settings(max_examples=60)
@given(st.lists(st.tuples(RECTANGLES, st.floats(0, 1)), max_size=8), st.integers(1, 4))
def test_every_proposal_is_kept_or_has_a_reason(drawings: list[tuple[tuple[int, ...], float]], most: int) -> None:
    masks = [ImageMask(drawn((x, y, x + w, y + h)), score) for (x, y, w, h), score in drawings]
    found = select(masks, SIZE, Rules(min_area=100, max_objects=most))
    assert len(found.objects) + len(found.left_out) == len(masks)
    assert len(found.objects) <= most
    areas = [each.mask.area for each in found.objects]
    assert areas == sorted(areas, reverse=True)
    for n, each in enumerate(found.objects):
        assert each.mask.area >= 100
        for larger in found.objects[:n]:
            assert shared_area(each.mask, larger.mask) <= 0.9 * each.mask.area


# -- seeds ------------------------------------------------------------------------------------------------------------


def test_the_centroid_comes_first_if_it_lies_inside() -> None:
    assert seeds(drawn(COW), count=1) == [(50, 40)]
    ring = drawn((20, 20, 90, 90), holes=((40, 40, 70, 70),))
    ((x, y),) = seeds(ring, count=1)
    assert ring.full(*SIZE)[y, x] and (x, y) != (54, 54)


def test_the_deepest_pixel_is_far_from_every_border() -> None:
    """A handle and a bowl: the centroid is in neither, the bowl is deeper."""
    mask = drawn((0, 0, 200, 10), (0, 10, 10, 60), (150, 60, 190, 100), (185, 10, 190, 60))
    ((x, y),) = seeds(mask, count=1)
    assert (x, y) in [(x, y) for x in (169, 170) for y in (79, 80)]


def test_the_frames_border_counts_as_the_masks() -> None:
    ((x, y),) = seeds(drawn((0, 0, 40, 40), (0, 40, 4, 120), (4, 100, 200, 120)), count=1)
    assert x >= 10 and y >= 10


@settings(max_examples=60)
@given(st.lists(RECTANGLES, min_size=1, max_size=4), st.integers(1, 5), st.sampled_from([0.0, 5.0, 25.0]))
def test_seeds_lie_inside_and_apart(rectangles: list[tuple[int, ...]], count: int, apart: float) -> None:
    mask = drawn(*((x, y, x + w, y + h) for x, y, w, h in rectangles))
    plane = mask.full(*SIZE)
    found = seeds(mask, count, apart)
    assert 1 <= len(found) <= count and found == seeds(mask, count, apart)
    assert all(plane[y, x] for x, y in found)
    assert all(np.hypot(x - u, y - v) >= apart for n, (x, y) in enumerate(found) for u, v in found[:n])
    if len(found) < count:  # no pixel is left that is far enough from all
        ys, xs = np.nonzero(plane)
        far = np.all([np.hypot(xs - x, ys - y) >= apart for x, y in found], axis=0)
        assert not far.any() or apart == 0


def test_a_second_seed_is_the_deepest_pixel_far_enough_away() -> None:
    mask = drawn(COW)
    first, second = seeds(mask)
    depth = cv2.distanceTransform(np.pad(mask.full(*SIZE), 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    ys, xs = np.nonzero(mask.full(*SIZE))
    far = np.hypot(xs - first[0], ys - first[1]) >= 25
    assert depth[second[1], second[0]] == depth[ys[far], xs[far]].max()


def test_seeds_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="count is at least 1 and apart at least 0, got 0 and 25"):
        seeds(drawn(COW), count=0)


def test_new_things_are_those_not_followed_yet_within_the_limit() -> None:
    cow, calf, dog = drawn(COW), drawn(CALF), drawn(DOG)
    most_of_it = drawn((30, 20, 80, 60))
    found = select_new(proposed(dog, cow, calf), SIZE, Rules(), [most_of_it])
    assert [each.mask for each in found.objects] == [calf, dog] and found.numbers == (2, 0)
    assert found.left_out == {1: "is followed already"}
    found = select_new(proposed(dog, calf), SIZE, Rules(), [most_of_it, drawn((0, 90, 40, 110))])
    assert [each.mask for each in found.objects] == [calf]
    assert found.left_out == {0: "3 others are there"}
    person = drawn((30, 25, 45, 60))  # in front of a cow that is not followed: the cow is new
    assert select_new(proposed(cow), SIZE, Rules(), [person]).numbers == (0,)
