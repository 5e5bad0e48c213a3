"""The figures of `sam.metrics`, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sam.metrics import Score, TruthMask, evaluate, total
from sam.types import Mask, Track

SIZE = (100, 100)


def square(x: int, y: int = 10, w: int = 10, h: int = 10) -> Mask:
    mask = Mask.encode(np.ones((h, w), np.uint8), (x, y))
    assert mask is not None
    return mask


def track(number: int, masks: dict[int, Mask]) -> Track:
    return Track(number, "cow", np.array(sorted(masks), np.int32), tuple(masks[t] for t in sorted(masks)), 1.0)


def truth(*frames: dict[int, Mask]) -> list[dict[int, TruthMask]]:
    return [{i: TruthMask(mask) for i, mask in frame.items()} for frame in frames]


def test_perfect_tracks_score_one() -> None:
    frames = truth({1: square(0), 2: square(50)}, {1: square(5), 2: square(45)})
    tracks = [track(7, {0: square(0), 1: square(5)}), track(9, {0: square(50), 1: square(45)})]
    assert evaluate(tracks, frames, SIZE) == Score(iou_sum=4.0, matches=4, truths=4, predictions=4)


def test_a_shifted_mask_counts_its_iou() -> None:
    score = evaluate([track(1, {0: square(5)})], truth({1: square(0)}), SIZE)
    assert score.iou == pytest.approx(50 / 150)
    assert score.idf1 == 0  # below one half it is no match: a miss and a false alarm


def test_a_missed_frame_and_a_missed_object_count_zero() -> None:
    frames = truth({1: square(0), 2: square(50)}, {1: square(0), 2: square(50)})
    score = evaluate([track(1, {0: square(0)})], frames, SIZE)
    assert score.iou == pytest.approx(1 / 4)
    assert score.idf1 == pytest.approx(2 * 1 / (4 + 1))


def test_a_switch_of_identities_costs_idf1() -> None:
    left, right = square(0), square(50)
    frames = truth(*[{1: left, 2: right}] * 4)
    swapped = [track(1, {0: left, 1: left, 2: left, 3: right}), track(2, {0: right, 1: right, 2: right, 3: left})]
    score = evaluate(swapped, frames, SIZE)
    assert score.matches == 6
    assert score.idf1 == pytest.approx(6 * 2 / 16)
    assert score.iou == pytest.approx(6 / 8)


def test_a_track_broken_in_two_keeps_its_longer_part() -> None:
    frames = truth(*[{1: square(0)}] * 5)
    broken = [track(1, {t: square(0) for t in (0, 1)}), track(2, {t: square(0) for t in (2, 3, 4)})]
    score = evaluate(broken, frames, SIZE)
    assert (score.matches, score.truths, score.predictions) == (3, 5, 5)
    assert score.idf1 == pytest.approx(0.6)


def test_a_false_track_costs_idf1_but_not_iou() -> None:
    score = evaluate([track(1, {0: square(0)}), track(2, {0: square(70)})], truth({1: square(0)}), SIZE)
    assert score.iou == 1
    assert score.idf1 == pytest.approx(2 / 3)


def test_tiny_and_hidden_truth_is_neither_missed_nor_wanted() -> None:
    frames = [{1: TruthMask(square(0, w=2, h=2)), 2: TruthMask(square(50), visible=0.2), 3: TruthMask(square(80))}]
    alone = evaluate([track(3, {0: square(80)})], frames, SIZE)
    assert alone == Score(1.0, 1, 1, 1)
    found = evaluate([track(2, {0: square(50)}), track(3, {0: square(80)})], frames, SIZE)
    assert found == alone
    beside = evaluate([track(2, {0: square(56)}), track(3, {0: square(80)})], frames, SIZE)
    assert beside.predictions == 2  # 40 % on what does not count is not mostly on it


def test_nothing_to_find() -> None:
    assert evaluate([], truth({}, {}), SIZE).idf1 == 1
    assert evaluate([], truth({}, {}), SIZE).iou == 1
    assert evaluate([track(1, {0: square(0)})], truth({}), SIZE).idf1 == 0


def test_windows_add_up() -> None:
    score = total([Score(1.0, 1, 2, 2), Score(2.0, 2, 2, 4)])
    assert score.iou == pytest.approx(3 / 4)
    assert score.idf1 == pytest.approx(2 * 3 / 10)
    assert total([]).idf1 == 1
