"""Mean mask IoU and IDF1, on cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sam.metrics import Score, TruthMask, evaluate, total
from sam.types import Mask, Track

SIZE = (100, 100)


def square(x: int, y: int = 10, side: int = 10) -> Mask:
    mask = Mask.encode(np.ones((side, side), np.uint8), (x, y))
    assert mask is not None
    return mask


def track(object_id: int, masks: dict[int, Mask]) -> Track:
    return Track(object_id, "cow", np.array(list(masks), np.int32), tuple(masks.values()), 1.0)


def seen(*masks: Mask | None) -> list[dict[int, TruthMask]]:
    return [{1: TruthMask(mask)} if mask is not None else {} for mask in masks]


def test_a_perfect_track_scores_one() -> None:
    masks = {n: square(n) for n in range(4)}
    score = evaluate([track(9, masks)], seen(*masks.values()), SIZE)
    assert (score.iou, score.idf1) == (1.0, 1.0)


def test_a_shifted_track_scores_its_overlap() -> None:
    score = evaluate([track(9, {0: square(2), 1: square(2)})], seen(square(0), square(0)), SIZE)
    assert score.iou == pytest.approx(80 / 120)
    assert score.idf1 == 1.0


def test_a_missed_frame_counts_zero_and_lowers_idf1() -> None:
    score = evaluate([track(9, {0: square(0)})], seen(square(0), square(0)), SIZE)
    assert score.iou == pytest.approx(0.5)
    assert score.idf1 == pytest.approx(2 * 1 / (2 + 1))


def test_an_identity_switch_halves_both() -> None:
    tracks = [track(1, {0: square(0), 1: square(0)}), track(2, {2: square(0), 3: square(0)})]
    score = evaluate(tracks, seen(*[square(0)] * 4), SIZE)
    assert score.iou == pytest.approx(0.5)
    assert score.idf1 == pytest.approx(2 * 2 / (4 + 4))


def test_a_false_track_lowers_idf1_alone() -> None:
    tracks = [track(1, {0: square(0)}), track(2, {0: square(60)})]
    score = evaluate(tracks, seen(square(0)), SIZE)
    assert score.iou == 1.0 and score.idf1 == pytest.approx(2 / 3)


def test_below_half_an_overlap_is_no_match() -> None:
    score = evaluate([track(1, {0: square(5)})], seen(square(0)), SIZE)
    assert score.iou == pytest.approx(50 / 150) and score.idf1 == 0.0


def test_what_hardly_shows_is_neither_missed_nor_wanted() -> None:
    truth = [{1: TruthMask(square(0)), 2: TruthMask(square(50), visible=0.1), 3: TruthMask(square(80, side=1))}]
    nothing_more = evaluate([track(1, {0: square(0)})], truth, SIZE)
    found_too = evaluate([track(1, {0: square(0)}), track(2, {0: square(50)})], truth, SIZE)
    assert nothing_more == found_too == Score(1.0, 1, 1, 1)


def test_windows_add_up_and_nothing_to_find_is_perfect() -> None:
    assert evaluate([], [{}, {}], SIZE).idf1 == evaluate([], [{}], SIZE).iou == 1.0
    both = total([Score(1.0, 1, 1, 1), Score(0.0, 0, 3, 1)])
    assert both.iou == pytest.approx(1 / 4) and both.idf1 == pytest.approx(2 / 6)
