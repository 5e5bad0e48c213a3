"""The same thing found by two prompts is kept once; different things are never merged."""

from __future__ import annotations

import pytest

from pipeline.duplicates import SAME, duplicates, overlap
from sam.types import Track
from tests.pipeline.making import a_track, block

HERE, NEARLY, THERE = block(10, 10, 40, 40), block(12, 10, 40, 40), block(100, 10, 40, 40)


def steady(mask: object, object_id: int = 1, score: float = 0.5, frames: range = range(4)) -> Track:
    return a_track(dict.fromkeys(frames, mask), object_id, score=score)  # type: ignore[arg-type]


def test_the_better_score_stays() -> None:
    assert duplicates([[steady(HERE, 1, 0.6)], [steady(HERE, 5, 0.9)]]) == {(0, 1): 5}
    assert duplicates([[steady(HERE, 1, 0.9)], [steady(HERE, 5, 0.6)]]) == {(1, 5): 1}


def test_on_equal_scores_the_earlier_prompt_stays() -> None:
    assert duplicates([[steady(HERE, 9)], [steady(HERE, 1)]]) == {(1, 1): 9}


def test_a_small_difference_is_the_same_thing_and_another_place_is_not() -> None:
    assert overlap(steady(HERE), steady(NEARLY)) == pytest.approx(38 / 42)
    assert duplicates([[steady(HERE)], [steady(NEARLY)]]) == {(1, 1): 1}
    assert duplicates([[steady(HERE)], [steady(THERE)]]) == {}


def test_the_bound_itself_is_the_same_thing() -> None:
    whole, part = block(0, 0, 10, 10), block(0, 0, 10, 8)
    assert overlap(steady(whole), steady(part)) == pytest.approx(SAME)
    assert duplicates([[steady(whole)], [steady(part)]]) == {(1, 1): 1}
    assert duplicates([[steady(whole)], [steady(block(0, 0, 10, 7))]]) == {}


def test_frames_that_show_only_one_of_them_count_against_it() -> None:
    long, short = steady(HERE, frames=range(4)), steady(HERE, frames=range(2))
    assert overlap(long, short) == pytest.approx(0.5)
    assert duplicates([[long], [short]]) == {}
    assert overlap(long, steady(HERE, frames=range(4, 8))) == 0.0


def test_overlap_is_symmetric() -> None:
    one, other = steady(HERE, frames=range(0, 3)), steady(NEARLY, frames=range(1, 5))
    assert overlap(one, other) == overlap(other, one) == pytest.approx(2 * 38 / 42 / 5)


def test_within_one_prompt_nothing_is_merged() -> None:
    assert duplicates([[steady(HERE, 1), steady(HERE, 2)]]) == {}
    assert duplicates([[steady(HERE, 1), steady(HERE, 2)], []]) == {}


def test_three_prompts_keep_one() -> None:
    found = [[steady(HERE, 1, 0.5)], [steady(NEARLY, 2, 0.7)], [steady(HERE, 3, 0.6)]]
    assert duplicates(found) == {(0, 1): 2, (2, 3): 2}


def test_what_was_dropped_drops_nothing_itself() -> None:
    """A chain of neighbours, each like the next: the last is unlike the first, which alone is kept before it."""
    first, middle, last = (
        steady(block(x, 0, 100, 40), n, s) for n, (x, s) in enumerate(((0, 0.9), (8, 0.8), (16, 0.7)))
    )
    assert overlap(first, middle) > SAME and overlap(middle, last) > SAME > overlap(first, last)
    assert duplicates([[first], [middle], [last]]) == {(1, 1): 0}


def test_the_same_object_number_in_two_prompts_is_told_apart() -> None:
    found = [[steady(HERE, 1, 0.9), steady(THERE, 2, 0.1)], [steady(THERE, 1, 0.9), steady(HERE, 2, 0.1)]]
    assert duplicates(found) == {(0, 2): 1, (1, 2): 1}


def test_nothing_found_is_nothing_to_drop() -> None:
    assert duplicates([]) == {} and duplicates([[], []]) == {}
