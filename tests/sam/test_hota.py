"""HOTA against cases worked out by hand."""

from __future__ import annotations

import math

import pytest

from sam.hota import THRESHOLDS, Hota, hota
from tests.pipeline.making import block

A, B = block(0, 0, 10, 10), block(50, 0, 10, 10)
HALF = block(0, 0, 10, 5)  # IoU 0.5 with A


def test_equal_tracks_under_other_names_are_perfect() -> None:
    truth = [{1: A, 2: B}] * 4
    assert hota(truth, [{7: A, 3: B}] * 4) == Hota(1.0, 1.0, 1.0)


def test_a_track_cut_in_two_halves_its_association() -> None:
    found = hota([{1: A}] * 4, [{1: A}] * 2 + [{2: A}] * 2)
    assert (found.det, found.ass, found.hota) == pytest.approx((1.0, 0.5, math.sqrt(0.5)))


def test_two_tracks_that_swap_half_way() -> None:
    found = hota([{1: A, 2: B}] * 4, [{1: A, 2: B}] * 2 + [{1: B, 2: A}] * 2)
    assert (found.det, found.ass) == pytest.approx((1.0, 2 / 6)), "2 of 4 + 4 - 2 frames for each pair"


def test_what_is_missed_and_what_is_too_much_lowers_detection() -> None:
    found = hota([{1: A, 2: B}] * 2, [{1: A}, {1: A, 9: block(90, 0, 5, 5)}])
    assert (found.det, found.ass) == pytest.approx((2 / (4 + 3 - 2), 1.0))


def test_a_coarse_mask_counts_up_to_its_iou() -> None:
    share = (THRESHOLDS <= 0.5 + 1e-9).mean()
    assert share == pytest.approx(10 / 19)
    found = hota([{1: A}] * 3, [{1: HALF}] * 3)
    assert (found.det, found.ass, found.hota) == pytest.approx((share, share, share))


def test_nothing_found_is_zero_and_nothing_at_all_is_refused() -> None:
    assert hota([{1: A}], [{}]) == Hota(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="got none in either"):
        hota([{}], [{}])
    with pytest.raises(ValueError, match="argument 2"):
        hota([{1: A}], [])
