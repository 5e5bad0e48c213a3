"""The quality card: every figure on cases that can be worked out by hand, and its limits for any input."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.extractor import CropConfig, Placement, place_object, render_crop
from pipeline.records import Figures, PixelFigures
from pipeline.stages.quality import mask_figures, pixel_figures
from sam.types import Mask
from tests.pipeline.making import a_track, block

SIZE = (200, 100)
CONFIG = CropConfig(size=64, margin=0.0)


def placed(masks: dict[int, Mask], frames: int | None = None, config: CropConfig = CONFIG) -> Placement:
    placement = place_object(a_track(masks), 0, frames or max(masks) + 1, config)
    assert placement is not None
    return placement


def figures(masks: dict[int, Mask], others: Any = (), **more: Any) -> Figures:
    return mask_figures(placed(masks, **more), SIZE, 0, others)


def pixels(masks: dict[int, Mask], frames: list[np.ndarray], config: CropConfig = CONFIG) -> PixelFigures:
    placement = placed(masks, len(frames), config)
    (pictures,) = render_crop(placement, frames, config).values()
    return pixel_figures(placement, frames, pictures)


# -- masks ------------------------------------------------------------------------------------------------------------


def test_a_steady_walk_does_not_jitter_and_a_jump_to_and_fro_does() -> None:
    assert figures({n: block(5 * n, 10, 40, 20) for n in range(8)}).jitter == 0
    to_and_fro = {n: block(10 + 8 * (n % 2), 10, 40, 20) for n in range(8)}
    assert figures(to_and_fro).jitter == pytest.approx(8 / 40)
    gaps = {n: mask for n, mask in to_and_fro.items() if n % 3 != 2}
    assert figures(gaps).jitter == 0, "no three frames in a row"


def test_drift_counts_doublings_whichever_way() -> None:
    sides = [20, 20, 20, 30, 30, 30, 40, 40, 40]
    grows = {n: block(10, 10, side, 10) for n, side in enumerate(sides)}
    shrinks = {n: block(10, 10, side, 10) for n, side in enumerate(reversed(sides))}
    assert figures(grows).scale_drift == figures(shrinks).scale_drift == pytest.approx(1)
    assert figures({0: block(0, 0, 10, 10), 1: block(0, 0, 40, 40)}).scale_drift == 0, "too short to tell"


def test_masks_overlap_where_they_lie() -> None:
    moved = {n: block(10 * n, 10, 40, 20) for n in range(4)}
    assert figures(moved).mask_iou == pytest.approx(30 / 50)
    apart = {0: block(0, 0, 10, 10), 1: block(50, 50, 10, 10), 2: block(0, 0, 10, 10)}
    assert figures(apart).mask_iou == 0
    assert figures({0: block(0, 0, 10, 10), 2: block(0, 0, 10, 10)}).mask_iou == 1, "never two in a row"


def test_foreign_is_the_share_of_the_window_that_others_cover() -> None:
    own = dict.fromkeys(range(4), block(50, 20, 40, 40))
    half = [[block(70, 20, 200, 10)], [block(70, 20, 20, 10), block(70, 20, 20, 10)], [block(150, 20, 40, 40)], []]
    share = 20 * 10 / (40 * 40)
    assert figures(own, half).foreign == pytest.approx((share + share) / 4), "what covers twice counts once"
    assert figures(own).foreign == 0


def test_a_window_beyond_the_picture_counts_as_far_as_there_is_one() -> None:
    own = dict.fromkeys(range(2), block(0, 40, 40, 20))
    wide = CropConfig(size=64, margin=0.5)
    (x0, _, x1, _) = (int(v) for v in placed(own, config=wide).windows[0])
    assert x0 < 0
    everything = [[block(0, 0, 200, 100)]] * 2
    assert figures(own, everything, config=wide).foreign == 1 and x1 == 60


# -- pixels -----------------------------------------------------------------------------------------------------------


def test_sharpness_is_the_objects_own_and_not_its_outlines() -> None:
    flat = np.zeros((100, 200, 3), np.uint8)
    flat[20:60, 50:90] = 200
    masks = dict.fromkeys(range(3), block(50, 20, 40, 40))
    assert pixels(masks, [flat] * 3).sharpness == 0
    noise = np.random.default_rng(0).normal(128, 20, flat.shape).clip(0, 255).astype(np.uint8)
    soft = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)
    sharp, blurred = pixels(masks, [noise] * 3).sharpness, pixels(masks, [soft] * 3).sharpness
    assert sharp > 10 * blurred > 0


def test_exposure_counts_the_objects_pixels_alone() -> None:
    frame = np.full((100, 200, 3), 255, np.uint8)
    frame[20:60, 50:90] = 102
    frame[20:30, 50:90] = 0
    look = pixels(dict.fromkeys(range(2), block(50, 20, 40, 40)), [frame] * 2)
    assert look.clipped == pytest.approx(0.25) and look.luma == pytest.approx(0.75 * 102 / 255)


def test_motion_is_the_change_inside_the_crop_not_the_way_through_the_picture() -> None:
    frames, masks = [], {}
    for n in range(6):
        frame = np.zeros((100, 200, 3), np.uint8)
        frame[20:60, 10 + 10 * n : 50 + 10 * n] = 100
        frames.append(frame)
        masks[n] = block(10 + 10 * n, 20, 40, 40)
    per_frame = CropConfig(size=64, margin=0.0, scale="frame")
    assert pixels(masks, frames, per_frame).motion == 0, "the crop follows"
    blinking = [np.full((100, 200, 3), 50 + 51 * (n % 2), np.uint8) for n in range(6)]
    still = dict.fromkeys(range(6), block(50, 20, 40, 40))
    assert pixels(still, blinking).motion == pytest.approx(51 / 255)
    alternate = {n: still[n] for n in (0, 2, 4)}
    assert pixels(alternate, blinking).motion == 0, "frames that do not follow each other are not compared"


def test_a_hair_has_no_inside() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (100, 200, 3)).astype(np.uint8)
    assert pixels({0: block(50, 20, 40, 1)}, [noise]).sharpness == 0


@st.composite
def tracks(draw: st.DrawFn) -> dict[int, Mask]:
    seen = draw(st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True))
    boxes = st.tuples(st.integers(0, 150), st.integers(0, 70), st.integers(1, 50), st.integers(1, 30))
    return {n: block(*draw(boxes)) for n in sorted(seen)}


@given(own=tracks(), other=tracks(), seed=st.integers(0, 9))
@settings(max_examples=40)
def test_every_figure_stays_within_its_range(own: dict[int, Mask], other: dict[int, Mask], seed: int) -> None:
    others = [[other[n]] if n in other else [] for n in range(12)]
    found = figures(own, others, frames=12)
    assert 0 <= found.mask_iou <= 1 and 0 <= found.foreign <= 1 and found.jitter >= 0 and found.scale_drift >= 0
    frames = list(np.random.default_rng(seed).integers(0, 255, (12, 100, 200, 3)).astype(np.uint8))
    look = pixels(own, frames)
    assert look.sharpness >= 0 and all(0 <= value <= 1 for value in (look.luma, look.clipped, look.motion))
    assert look == pixels(own, frames), "the same for the same pixels"
