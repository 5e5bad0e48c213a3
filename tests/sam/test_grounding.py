"""What phrases name among a detector's boxes: exact, without a model."""

from __future__ import annotations

import numpy as np
import pytest

from sam.backends.grounded_sam2 import GroundedSam2Config, spread
from sam.backends.grounding import Candidates, Thresholds, choose, phrases_of
from sam.errors import WrongPrompt

SIDE_BY_SIDE = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]


def candidates(
    boxes: list[list[float]], text_scores: list[list[float]], box_scores: list[list[float]] | None = None
) -> Candidates:
    return Candidates(np.array(boxes, float), np.array(box_scores or text_scores), np.array(text_scores))


def test_commas_separate_phrases_and_dots_do_not() -> None:
    assert phrases_of("Koala,  KOALA") == ["koala", "koala"]
    assert phrases_of("St. Bernard dog") == ["st bernard dog"]
    for text in ("cow,", ", ,", "..", "cow,,calf"):
        with pytest.raises(WrongPrompt, match="has an empty phrase: write one thing, or several with commas"):
            phrases_of(text)


def test_one_phrase_is_a_class() -> None:
    """Every box of it, the surest first."""
    found = choose(["cow"], candidates(SIDE_BY_SIDE, [[0.6, 0.9, 0.55]]), Thresholds())
    assert [each.score for each in found] == [0.9, 0.6, 0.55]
    assert found[0].box == (20, 0, 30, 10) and {each.phrase for each in found} == {"cow"}


def test_of_boxes_that_are_nearly_the_same_the_surest_is_an_object() -> None:
    boxes = [[0, 0, 100, 100], [0, 0, 100, 96], [0, 0, 100, 60]]
    scores = [[0.6, 0.8, 0.7]]
    assert [each.score for each in choose(["cow"], candidates(boxes, scores), Thresholds())] == [0.8, 0.7]
    strict = Thresholds(overlap=0.5)
    assert [each.score for each in choose(["cow"], candidates(boxes, scores), strict)] == [0.8]


def test_both_thresholds_must_be_exceeded() -> None:
    scores = candidates(SIDE_BY_SIDE, [[0.29, 0.4, 0.5]], [[0.9, 0.9, 0.5]])
    assert [each.score for each in choose(["red cow"], scores, Thresholds())] == [0.4]
    assert len(choose(["red cow"], scores, Thresholds(box=0.3, text=0.2))) == 3


def test_several_phrases_get_one_box_each_with_the_greatest_total() -> None:
    """koala 0.8 + parrot 0.9, and a phrase without a box stays without."""
    boxes = [*SIDE_BY_SIDE, [60, 0, 70, 10]]
    scores = [[0.8, 0.6, 0.0, 0.0], [0.0, 0.0, 0.9, 0.7], [0.1, 0.1, 0.1, 0.1]]
    found = choose(["koala", "parrot", "mouse"], candidates(boxes, scores), Thresholds())
    assert [(each.phrase, each.score) for each in found] == [("koala", 0.8), ("parrot", 0.9)]


def test_a_phrase_twice_asks_for_two() -> None:
    scores = [[0.6, 0.9, 0.7]] * 2
    found = choose(["koala", "koala"], candidates(SIDE_BY_SIDE, scores), Thresholds())
    assert [each.score for each in found] == [0.9, 0.7]


def test_every_word_counts_when_phrases_share_one() -> None:
    """The strongest word, cow, is the same in both boxes; red and black tell them apart."""
    boxes = SIDE_BY_SIDE[:2]
    strongest = [[0.9, 0.9], [0.9, 0.9]]
    means = [[0.5, 0.8], [0.7, 0.6]]
    found = choose(["red cow", "black cow"], candidates(boxes, means, strongest), Thresholds())
    assert [(each.phrase, each.box[0]) for each in found] == [("red cow", 20), ("black cow", 0)]


def test_nothing_among_no_boxes() -> None:
    nothing = Candidates(np.zeros((0, 4)), np.zeros((1, 0)), np.zeros((1, 0)))
    assert choose(["cow"], nothing, Thresholds()) == []


def test_frames_looked_at_lie_from_the_first_to_the_last() -> None:
    assert spread(100, 1) == [0]
    assert spread(100, 3) == [0, 50, 99]
    assert spread(2, 5) == [0, 1] and spread(1, 5) == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box_threshold": 1.2}, r"tracker.box_threshold is from 0 to 1, got 1\.2"),
        ({"text_threshold": -1}, "tracker.text_threshold is from 0 to 1, got -1"),
        ({"overlap_threshold": 2}, "tracker.overlap_threshold is from 0 to 1, got 2"),
        ({"prompt_type": "points"}, "tracker.prompt_type must be one of box, point, mask, got 'points'"),
        ({"detect_on": 0}, "tracker.detect_on is a number of frames from 1, got 0"),
        ({"max_objects": 0}, "tracker.max_objects is at least 1 or null, got 0"),
        ({"weights": "sam2.1_hiera_large.pt"}, "of the original SAM2 package; .* loads the same models from facebook"),
        ({"grounding": "groundingdino_swint_ogc.pth"}, "of the original GroundingDINO package; .*grounding-dino-tiny"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroundedSam2Config(**options)  # type: ignore[arg-type]
