"""Phrases to boxes: as good as trying every choice, and quick where there are many."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam.assign import assign, box_iou

CORNERS = st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 6), st.integers(1, 6))
BOXES = st.lists(CORNERS, min_size=0, max_size=6).map(
    lambda each: np.array([(x, y, x + w, y + h) for x, y, w, h in each], float).reshape(-1, 4)
)


def best(scores: np.ndarray, clash: np.ndarray, row: int = 0, taken: tuple[int, ...] = ()) -> float:
    """The greatest total of the phrases from `row` on, by trying everything."""
    if row == len(scores):
        return 0.0
    total = best(scores, clash, row + 1, taken)
    for box in range(scores.shape[1]):
        if scores[row, box] > 0 and box not in taken and not any(clash[box, other] for other in taken):
            total = max(total, scores[row, box] + best(scores, clash, row + 1, (*taken, box)))
    return total


def check(scores: np.ndarray, boxes: np.ndarray, overlap: float) -> float:
    """Assign, check the rules, and return the total."""
    found = assign(scores, boxes, overlap)
    assert len(found) == len(scores)
    chosen = [box for box in found if box is not None]
    assert len(set(chosen)) == len(chosen)
    ious = box_iou(boxes)
    assert all(ious[a, b] <= overlap for n, a in enumerate(chosen) for b in chosen[:n])
    pairs = [scores[phrase, box] for phrase, box in enumerate(found) if box is not None]
    assert all(score > 0 for score in pairs)
    return float(sum(pairs))


@settings(max_examples=150)
@given(BOXES, st.integers(0, 4), st.sampled_from([0.0, 0.3, 0.5, 0.9]), st.data())
def test_no_choice_is_better(boxes: np.ndarray, phrases: int, overlap: float, data: st.DataObject) -> None:
    values = st.integers(-2, 10).map(lambda tenths: tenths / 10)
    scores = data.draw(arrays(float, (phrases, len(boxes)), elements=values))
    clash = box_iou(boxes) > overlap
    assert check(scores, boxes, overlap) == pytest.approx(best(scores, clash), abs=1e-9)


def test_two_modest_boxes_beat_one_strong_one_between_them() -> None:
    boxes = np.array([[0, 0, 10, 10], [6, 0, 16, 10], [12, 0, 22, 10]])
    scores = np.array([[0.6, 0.9, 0.1], [0.1, 0.8, 0.6]])
    assert assign(scores, boxes, 0.2) == [0, 2]
    assert assign(scores, boxes, 0.9) == [1, 2]


def test_asking_twice_gives_two_the_surer_first() -> None:
    boxes = np.array([[0, 0, 5, 5], [10, 0, 15, 5], [20, 0, 25, 5]])
    koala = [0.4, 0.9, 0.7]
    assert assign(np.array([koala, koala]), boxes, 0.5) == [1, 2]
    assert assign(np.array([koala] * 5), boxes, 0.5) == [1, 2, 0, None, None]


def test_what_is_not_allowed_is_not_chosen() -> None:
    boxes = np.array([[0, 0, 5, 5], [10, 0, 15, 5]])
    assert assign(np.array([[np.nan, 0.0], [-1.0, 0.2]]), boxes, 0.5) == [None, 1]
    assert assign(np.zeros((0, 2)), boxes, 0.5) == []
    assert assign(np.zeros((2, 0)), np.zeros((0, 4)), 0.5) == [None, None]


@pytest.mark.parametrize(
    ("scores", "boxes", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), r"one column per box, got scores.shape = \(2, 3\) and 2 boxes"),
        (np.full((1, 1), 1.5), np.array([[0, 0, 1, 1]]), "a score is at most 1, got 1.5"),
        (np.ones((1, 1)), np.array([[5, 0, 1, 1]]), "x0 < x1 and y0 < y1"),
    ],
)
def test_nonsense_is_refused(scores: np.ndarray, boxes: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        assign(scores, boxes, 0.5)


@pytest.mark.parametrize("size", [12, 40, 90])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("equal", [1, 5], ids=["all differ", "five of each"])
def test_many_phrases_and_boxes_are_quick(size: int, overlap: float, equal: int) -> None:
    """20 phrases, 100 boxes, from far apart to all over each other."""
    rng = np.random.default_rng(size)
    corners = rng.uniform(0, 100, (100, 2))
    boxes = np.hstack([corners, corners + rng.uniform(size / 2, size, (100, 2))])
    scores = np.repeat(rng.uniform(0, 1, (20 // equal, 100)), equal, axis=0)
    began = time.process_time()
    total = check(scores, boxes, overlap)
    assert time.process_time() - began < 20  # a second at most
    assert total > 0
