"""What likeness proves: the curve through pairs of which tracking says what they are."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.linking.appearance import Embedded, Evidence, curve_of, evidence, vectors_of
from pipeline.linking.calibration import AT_LEAST, AT_MOST, NEEDED, Curve, fitted, likeness
from pipeline.linking.shared_frames import Shared
from pipeline.linking.tracklets import Tracklet
from pipeline.linking.whitening import DIRECTIONS, Whitening

values = st.floats(-5, 12, allow_nan=False)
many = st.integers(NEEDED, 60).flatmap(lambda n: arrays(np.float64, n, elements=values))
LINE = np.linspace(-6, 13, 40)


def bells(n: int, same: float, different: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(same, spread, n), rng.normal(different, spread, n)


def test_two_bells_of_one_width_give_their_likelihood_ratio() -> None:
    """Of N(5, 1) and N(3, 1) it is 2 x - 8; more of one kind does not move it."""
    same, different = bells(20_000, 5, 3, 1)
    curve = fitted(same, different[:4000])
    assert curve is not None
    assert (curve.slope, curve.offset) == pytest.approx((2, -8), rel=0.05)
    assert curve.ratio(np.array([4.0, 5.0, -50.0, 50.0])) == pytest.approx([0, 2, AT_LEAST, AT_MOST], abs=0.1)


def test_a_herd_that_looks_alike_makes_likeness_worth_nothing() -> None:
    same, different = bells(500, 4, 4, 1)
    curve = fitted(same, different)
    assert curve is not None and np.abs(curve.ratio(np.linspace(2, 6, 9))).max() < 0.4
    assert fitted(different - 1, different) == Curve(0.0, 0.0), "those of one individual are even less alike"
    assert fitted(np.ones(50), np.ones(50)) == Curve(0.0, 0.0)


def test_pairs_without_overlap_are_told_apart_but_not_infinitely() -> None:
    curve = fitted(np.linspace(5, 6, 30), np.linspace(1, 2, 30))
    assert curve is not None and np.isfinite([curve.slope, curve.offset]).all()
    assert curve.ratio(np.array([5.5]))[0] > 2 > -2 > curve.ratio(np.array([1.5]))[0]
    assert curve.ratio(np.array([3.5]))[0] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(("same", "different"), [(NEEDED - 1, 100), (100, NEEDED - 1), (0, 0)])
def test_too_few_pairs_give_no_curve(same: int, different: int) -> None:
    assert fitted(np.arange(same, dtype=float), np.arange(different, dtype=float)) is None


@settings(max_examples=40)
@given(many, many)
def test_more_likeness_never_speaks_against_and_bounds_hold(same: np.ndarray, different: np.ndarray) -> None:
    curve = fitted(same, different)
    assert curve is not None
    ratio = curve.ratio(LINE)
    assert (np.diff(ratio) >= 0).all() and ratio.min() >= AT_LEAST and ratio.max() <= AT_MOST


@settings(max_examples=40)
@given(many, many, st.floats(0.2, 5), st.floats(-3, 3), st.randoms())
def test_units_and_order_do_not_matter(
    same: np.ndarray, different: np.ndarray, scale: float, shift: float, random: object
) -> None:
    one = fitted(same, different)
    rng = np.random.default_rng(random.randrange(1000))  # type: ignore[attr-defined]
    other = fitted(rng.permutation(same) * scale + shift, rng.permutation(different) * scale + shift)
    assert one is not None and other is not None
    assert other.ratio(LINE * scale + shift) == pytest.approx(one.ratio(LINE), abs=0.02)


def test_likeness_grows_with_the_cosine_and_is_finite_for_equal_vectors() -> None:
    found = likeness(np.array([-1.0, 0.0, 0.9, 0.99, 1.0, 1.0 + 1e-6]))
    assert (np.diff(found) >= 0).all() and np.isfinite(found).all()
    assert found[1] == 0 and found[2] == pytest.approx(np.log(10))


# -- of tracklets -----------------------------------------------------------------------------------------------------


def unit(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def tracklet(window: int, object_id: int, frames: range = range(4), crops: int = 1) -> Tracklet:
    at = np.array([10 * window + n for n in frames])
    names = tuple(f"{window}/{object_id}/{n}" for n in range(crops))
    boxes = np.tile(np.array([10, 10, 50, 50], np.float32), (len(at), 1))
    return Tracklet("v.mp4", (200, 100), f"w{window:03}", "cow", object_id, names, at, at / 25, boxes, None)


def test_the_vectors_of_a_tracklet_are_the_means_of_its_halves() -> None:
    herd = [tracklet(0, 1, crops=2), tracklet(0, 2), tracklet(0, 3)]
    crops = {
        "0/1/0": np.stack([unit(0.0), unit(0.2)]),
        "0/1/1": np.stack([unit(1.0), unit(1.2)]),
        "0/2/0": unit(0.5)[None],
    }
    two, one, none = vectors_of(herd, crops, Whitening(np.zeros(2, np.float32), np.eye(2, dtype=np.float32)))
    assert two == pytest.approx(np.stack([unit(0.1), unit(1.1)]), abs=1e-6), "the earlier crop and the later one"
    assert one == pytest.approx(unit(0.5)[None]) and none is None
    assert vectors_of(herd, crops, None) == [None] * 3, "pictures that are all equal show nobody"


def test_evidence_is_what_tracking_is_sure_of() -> None:
    herd = [tracklet(0, 1), tracklet(0, 2), tracklet(0, 3, range(5, 9)), tracklet(1, 1), tracklet(1, 2)]
    angles = [(0.0, 0.1), (1.0, 1.1), (2.0, 2.1), (0.2, 0.3)]
    vectors = [np.stack([unit(a), unit(b)]) for a, b in angles] + [unit(0.0)[None]]
    sure, doubtful = Shared(0, 3, 0.8, "masks"), Shared(1, 3, 0.4, "masks")
    found = evidence(herd, [sure, doubtful, Shared(2, 3, 0.9, "boxes")], vectors)
    within, across = 1 - np.cos(0.1), 1 - np.cos(0.3)
    assert np.exp(-found.same) == pytest.approx([within] * 4 + [across], rel=1e-2)
    apart = sorted([1 - np.cos(1.1), 1 - np.cos(0.9)])
    assert np.sort(np.exp(-found.different)) == pytest.approx(apart, rel=1e-3), "0/1 and 0/2 alone share a frame"


def test_chains_are_compared_by_the_means_of_their_halves() -> None:
    curve = Curve(1.0, -1.0)
    vectors = [np.stack([unit(0.0), unit(0.4)]), unit(1.0)[None], None, np.stack([unit(0.5), unit(2.0)])]
    looks = Embedded(vectors, curve)
    assert [looks.knows(n) for n in range(4)] == [True, True, False, True]
    found = looks.ratio([[0], [0, 1], []], [[3], [], [1]])
    three = np.mean([unit(0.0), unit(0.4), unit(1.0)], axis=0)
    lean = np.arctan2(three[1], three[0])
    expected = {(0, 0): 1.25 - 0.2, (0, 2): 1.0 - 0.2, (1, 0): 1.25 - lean, (1, 2): 1.0 - lean}
    for at, angle in expected.items():
        assert found[at] == pytest.approx(-np.log(1 - np.cos(angle)) - 1, abs=1e-4), at
    assert not found[2].any() and not found[:, 1].any(), "who was never pictured is neither like nor unlike"
    assert not Embedded(vectors, None).ratio([[0]], [[3]]).any()


def test_a_video_with_few_pairs_borrows_and_a_dataset_with_few_says_so(caplog: pytest.LogCaptureFixture) -> None:
    same, different = bells(100, 5, 3, 1)
    rich, poor = Evidence(same, different), Evidence(same[:5], different[:5])
    assert curve_of("a.mp4", rich, Evidence(same - 9, different)) == fitted(same, different), "its own come first"
    assert curve_of("a.mp4", poor, rich) == fitted(same, different)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert curve_of("a.mp4", poor, poor) is None
    assert "a.mp4: link.embedding cannot learn here what likeness proves: the dataset has 5 pairs" in caplog.text


# -- whitening --------------------------------------------------------------------------------------------------------


def herd_of(rng: np.random.Generator, individuals: int, crops: int, size: int = 24) -> list[np.ndarray]:
    """Per individual and crop both halves: who it is lies in the first three numbers, pose in others, all are alike."""
    who = np.zeros((individuals, size))
    who[:, :3] = rng.normal(0, 1, (individuals, 3))
    pose = np.full(size, 0.1)
    pose[3:8] = 3.0
    noise = rng.normal(0, 1, (individuals, crops, 2, size)) * pose
    return [(50 + who[i] + noise[i, n]).astype(np.float32) for i in range(individuals) for n in range(crops)]


def test_what_changes_within_a_track_counts_less() -> None:
    crops = herd_of(np.random.default_rng(0), 6, 20)
    whitening = Whitening.of(iter(crops))
    assert whitening is not None and whitening.matrix.shape == (24, DIRECTIONS)

    def apart(vectors: list[np.ndarray]) -> float:
        """Share of crops whose later half is nearer to the earlier half of its own individual than to all others'."""
        units = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors]
        early, late = (np.stack([v[half] for v in units]) for half in (0, 1))
        cosine = early @ late.T
        np.fill_diagonal(cosine, -2)
        return float((cosine.argmax(axis=1) // 20 == np.arange(120) // 20).mean())

    plain, white = apart(crops), apart([whitening(crop) for crop in crops])
    assert plain < 0.4 < 0.8 < white


def test_whitening_does_not_depend_on_units_order_or_offset() -> None:
    crops = herd_of(np.random.default_rng(1), 4, 10)
    one, other = Whitening.of(crops), Whitening.of([(7 * c + 3).astype(np.float32) for c in crops[::-1]])
    assert one is not None and other is not None
    a, b = (
        np.concatenate([one(c) for c in crops]),
        np.concatenate([other((7 * c + 3).astype(np.float32)) for c in crops]),
    )
    assert a @ a.T == pytest.approx(b @ b.T, rel=1e-2, abs=0.5)


def test_there_is_nothing_to_whiten_in_one_picture_or_in_equal_ones() -> None:
    assert Whitening.of([]) is None
    assert Whitening.of([np.ones((1, 8), np.float32)]) is None
    assert Whitening.of([np.ones((2, 8), np.float32)] * 5) is None
    still = [np.repeat(np.eye(4, dtype=np.float32)[n : n + 1], 2, axis=0) for n in range(4)]
    found = Whitening.of(still)
    assert found is not None and np.isfinite(found.matrix).all(), "nothing moves, so all directions count alike"
