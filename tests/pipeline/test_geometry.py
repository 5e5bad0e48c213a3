"""What every window must be, whatever the boxes: square, around the box, wide enough, steady."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.stages.geometry import OUTLIER_RATIO, smooth, square_windows

Boxes = tuple[NDArray[np.int32], NDArray[np.bool_]]


@st.composite
def clips(draw: st.DrawFn) -> Boxes:
    """Any boxes inside any frame, visible in any non-empty set of frames; invisible rows hold rubbish."""
    width, height = draw(st.integers(16, 4096)), draw(st.integers(16, 2160))
    frames = draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    largest = draw(st.floats(0.01, 1))
    size = np.maximum(1, rng.uniform(0, largest, (frames, 2)) * (width, height)).astype(np.int32)
    start = (rng.uniform(0, 1, (frames, 2)) * ((width, height) - size + 1)).astype(np.int32)
    visible = rng.random(frames) < draw(st.floats(0, 1))
    visible[draw(st.integers(0, frames - 1))] = True
    boxes = np.concatenate([start, start + size], axis=1).astype(np.int32)
    boxes[~visible] = -12345
    return boxes, visible


margins = st.floats(0, 5)
scales = st.sampled_from(("track", "frame"))


def longest(boxes: NDArray[np.int32]) -> NDArray[np.int32]:
    return (boxes[:, 2:] - boxes[:, :2]).max(axis=1)


@given(clip=clips(), margin=margins, scale=scales, min_side=st.integers(1, 500))
def test_windows_are_square_around_the_box_and_wide_enough(
    clip: Boxes, margin: float, scale: str, min_side: int
) -> None:
    boxes, visible = clip
    placed = square_windows(boxes, visible, margin=margin, scale=scale, min_side=min_side)
    windows = placed.windows
    assert windows.dtype == np.int32 and windows.shape == boxes.shape and placed.scale_outlier.dtype == np.bool_

    sides = windows[:, 2] - windows[:, 0]
    assert (sides == windows[:, 3] - windows[:, 1]).all()
    assert (sides >= min_side).all()

    held = visible & ~placed.scale_outlier if scale == "track" else visible
    assert (windows[held, :2] <= boxes[held, :2]).all() and (windows[held, 2:] >= boxes[held, 2:]).all()
    assert (sides[held] >= (1 + 2 * margin) * longest(boxes[held]) - 1e-3).all()
    if scale == "track":
        assert len(set(sides.tolist())) == 1
        assert sides[0] <= max(min_side, (1 + 2 * margin) * longest(boxes[held]).max() + 1)


@given(clip=clips(), margin=margins)
def test_outliers_are_marked_and_their_window_stays_within_the_box(clip: Boxes, margin: float) -> None:
    boxes, visible = clip
    placed = square_windows(boxes, visible, margin=margin, scale="track")
    median = np.median(longest(boxes[visible]))
    expected = [
        bool(seen) and side > OUTLIER_RATIO * median for seen, side in zip(visible, longest(boxes), strict=True)
    ]
    assert placed.scale_outlier.tolist() == expected
    for window, box in zip(placed.windows[expected], boxes[expected], strict=True):
        for axis in (0, 1):
            one, other = window[[axis, axis + 2]], box[[axis, axis + 2]]
            inner, outer = (one, other) if other[1] - other[0] > one[1] - one[0] else (other, one)
            assert outer[0] <= inner[0] and inner[1] <= outer[1]


@given(clip=clips(), margin=margins, scale=scales, shift=st.tuples(st.integers(-5000, 5000), st.integers(-5000, 5000)))
def test_windows_move_with_the_boxes(clip: Boxes, margin: float, scale: str, shift: tuple[int, int]) -> None:
    boxes, visible = clip
    step = np.array(shift * 2, np.int32)
    here = square_windows(boxes, visible, margin=margin, scale=scale).windows
    there = square_windows(boxes + step, visible, margin=margin, scale=scale).windows
    assert np.abs(there - step - here).max() <= 1  # 1: a rounding tie may fall to the other side


@given(
    side=st.integers(1, 300), corner=st.tuples(st.integers(0, 2000), st.integers(0, 2000)), margin=margins, scale=scales
)
def test_a_still_object_has_a_still_window(side: int, corner: tuple[int, int], margin: float, scale: str) -> None:
    box = np.array([*corner, corner[0] + side, corner[1] + max(1, side // 2)], np.int32)
    visible = np.array([False, True, True, False, False, True] * 3)
    windows = square_windows(np.tile(box, (18, 1)), visible, margin=margin, scale=scale).windows
    assert (windows == windows[0]).all()


@given(seed=st.integers(0, 2**32), frames=st.integers(12, 60), jitter=st.integers(2, 12))
def test_jitter_is_stilled(seed: int, frames: int, jitter: int) -> None:
    rng = np.random.default_rng(seed)
    corner = np.stack([100 + 6 * np.arange(frames), np.full(frames, 300)], axis=1) + rng.integers(
        -jitter, jitter + 1, (frames, 2)
    )
    boxes = np.concatenate([corner, corner + 100], axis=1).astype(np.int32)
    windows = square_windows(boxes, np.ones(frames, np.bool_), margin=0.5, scale="track").windows

    def shake(path: NDArray[np.int32]) -> int:
        return int(np.abs(np.diff(path, n=2, axis=0)).sum())

    assert shake(windows[:, :2]) < 0.5 * shake(boxes[:, :2])


@given(frames=st.integers(1, 50), speed=st.floats(-50, 50), start=st.floats(-1000, 1000), seed=st.integers(0, 2**32))
def test_smoothing_keeps_steady_movement_and_has_no_direction(
    frames: int, speed: float, start: float, seed: int
) -> None:
    line = (start + speed * np.arange(frames))[:, None]
    np.testing.assert_allclose(smooth(line), line, atol=1e-6)
    path = np.random.default_rng(seed).normal(size=(frames, 2))
    np.testing.assert_allclose(smooth(path[::-1])[::-1], smooth(path), atol=1e-9)


@pytest.mark.parametrize("scale", ["track", "frame"])
def test_gaps_are_crossed_in_a_straight_line_and_ends_are_held(scale: str) -> None:
    boxes = np.zeros((7, 4), np.int32)
    boxes[1], boxes[5] = (0, 0, 20, 20), (40, 80, 60, 100)
    visible = np.isin(np.arange(7), (1, 5))
    windows = square_windows(boxes, visible, margin=0.0, scale=scale).windows
    if scale == "frame":
        assert windows[:, :2].tolist() == [[0, 0], [0, 0], [10, 20], [20, 40], [30, 60], [40, 80], [40, 80]]
    else:
        assert (np.diff(windows[1:6], axis=0) >= 0).all()
        assert windows[3].tolist() == [20, 40, 40, 60]


def test_one_swallowed_neighbour_neither_widens_the_crop_nor_pulls_it_away() -> None:
    boxes = np.tile(np.array([100, 100, 140, 160], np.int32), (9, 1))
    clean = square_windows(boxes, np.ones(9, np.bool_), margin=0.1, scale="track")
    boxes[4] = (100, 100, 300, 160)
    swallowed = square_windows(boxes, np.ones(9, np.bool_), margin=0.1, scale="track")
    assert np.flatnonzero(swallowed.scale_outlier).tolist() == [4]
    others = np.arange(9) != 4
    assert (swallowed.windows[others] == clean.windows[others]).all()
    assert swallowed.windows[4].tolist() == [100, 94, 172, 166]  # moved just inside the wide box, no wider


def test_a_margin_that_is_exact_on_paper_adds_no_pixel() -> None:
    boxes = np.array([[0, 0, 100, 50]], np.int32)
    for margin, side in ((0.1, 120), (0.15, 130), (0.0, 100), (0.333, 167)):
        window = square_windows(boxes, np.array([True]), margin=margin, scale="track").windows[0]
        assert window[2] - window[0] == side


@pytest.mark.parametrize(
    ("boxes", "visible", "scale", "message"),
    [
        (np.zeros((2, 4)), [False, False], "track", "visible in no frame"),
        (np.zeros((2, 4)), [True, False], "track", "empty"),
        (np.zeros((2, 4)), [True], "track", "visible is"),
        (np.zeros((2, 3)), [True, True], "track", "boxes are"),
        (np.ones((1, 4)), [True], "clip", "scale must be one of track, frame"),
    ],
)
def test_impossible_input_is_refused(boxes: NDArray[np.int32], visible: list[bool], scale: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        square_windows(boxes.astype(np.int32), np.array(visible), margin=0.1, scale=scale)
