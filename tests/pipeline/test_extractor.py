"""What a crop must show, checked on pixels: the object undistorted and unmixed, and exactly nothing elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.extractor import BACKGROUNDS, CropConfig, Placement, extract, place_object, render, render_crop
from sam.types import Mask, Track

# pycocotools 2.0.11, which decodes the masks, meets NumPy 2's array protocol with the old signature.

WIDTH, HEIGHT = 160, 120
Picture = NDArray[np.uint8]


def noise(seed: int = 0) -> Picture:
    return np.random.default_rng(seed).integers(1, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def ellipse(center: tuple[int, int], axes: tuple[int, int]) -> Picture:
    return cv2.ellipse(np.zeros((HEIGHT, WIDTH), np.uint8), center, axes, 0, 0, 360, 1, cv2.FILLED)


def encoded(plane: Picture) -> Mask:
    mask = Mask.encode(plane)
    assert mask is not None
    return mask


def flat(plane: Picture, color: tuple[int, int, int], around: tuple[int, int, int]) -> Picture:
    return np.where(plane[..., None] > 0, np.uint8(color), np.uint8(around))


def window(x: int, y: int, side: int) -> NDArray[np.int32]:
    return np.array([x, y, x + side, y + side], np.int32)


def seen_through(plane: Picture, view: NDArray[np.int32]) -> Picture:
    """The (side, side) part of a full-frame plane that a window shows, zeros beyond the frame."""
    x0, y0, x1, y1 = view.tolist()
    pad = max(x1 - x0, WIDTH, HEIGHT) + max(abs(x0), abs(y0))
    return np.pad(plane, pad)[y0 + pad : y1 + pad, x0 + pad : x1 + pad]


def touched(plane: Picture, size: int) -> NDArray[np.bool_]:
    """(size, size): whether an output pixel can show any pixel of a (side, side) plane: the pixels it covers when
    shrinking, one more on each side when enlarging."""
    side = len(plane)
    reach = int(side < size)
    edges = np.arange(size + 1) * side / size
    low = np.clip(np.floor(edges[:-1] + 1e-6).astype(int) - reach, 0, side)
    high = np.clip(np.ceil(edges[1:] - 1e-6).astype(int) + reach, 0, side)
    total = np.pad(plane.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return (total[high][:, high] - total[high][:, low] - total[low][:, high] + total[low][:, low]) > 0


views = st.builds(window, st.integers(-60, 130), st.integers(-60, 100), st.integers(1, 200))
objects = st.builds(
    lambda x, y, w, h, seed: (x, y, np.random.default_rng(seed).random((h, w)) < 0.7),
    st.integers(0, WIDTH - 40),
    st.integers(0, HEIGHT - 40),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
)


@settings(max_examples=60)
@given(view=views, thing=objects, size=st.sampled_from((16, 48, 64, 130)))
def test_black_is_exactly_zero_where_no_object_is(
    view: NDArray[np.int32], thing: tuple[int, int, NDArray[np.bool_]], size: int
) -> None:
    x, y, local = thing
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    plane[y : y + local.shape[0], x : x + local.shape[1]] = local
    mask = Mask.encode(plane)
    picture = render(noise(), view, mask, "black", size)
    assert picture.shape == (size, size, 3) and picture.dtype == np.uint8
    assert not picture[~touched(seen_through(plane, view), size)].any()


@settings(max_examples=60)
@given(view=views, size=st.sampled_from((16, 48, 130)), background=st.sampled_from(BACKGROUNDS))
def test_any_window_renders_and_context_is_black_beyond_the_frame(
    view: NDArray[np.int32], size: int, background: str
) -> None:
    mask = encoded(ellipse((80, 60), (20, 12)))
    assert render(noise(), view, mask, background, size).shape == (size, size, 3)
    beyond = ~touched(seen_through(np.ones((HEIGHT, WIDTH), np.uint8), view), size)
    assert not render(noise(), view, mask, "context", size)[beyond].any()


@pytest.mark.parametrize("side", [36, 64, 90, 128, 151])
def test_a_circle_stays_a_circle(side: int) -> None:
    plane = ellipse((80, 60), (15, 15))
    white = render(noise(), window(80 - side // 2, 60 - side // 2, side), encoded(plane), "mask", 128)
    assert set(np.unique(white).tolist()) == {0, 255}
    _, _, w, h = cv2.boundingRect(white[..., 0])
    assert w == h == pytest.approx(31 * 128 / side, abs=1)
    assert np.count_nonzero(white[..., 0]) == pytest.approx(plane.sum() * (128 / side) ** 2, rel=0.03)


@pytest.mark.parametrize("side", [40, 63, 64, 100])
@pytest.mark.parametrize("background", ["black", "mean", "blur"])
def test_no_colour_of_the_surroundings_bleeds_into_the_object(side: int, background: str) -> None:
    plane = ellipse((80, 60), (15, 10))
    dark, light = (20, 60, 120), (255, 255, 255)
    view = window(80 - side // 2, 60 - side // 2, side)
    for color, around in ((dark, light), (light, dark)):
        picture = render(flat(plane, color, around), view, encoded(plane), background, 64).astype(int)
        shown = (0, 0, 0) if background == "black" else around
        low, high = np.minimum(color, shown), np.maximum(color, shown)
        assert (picture >= low - 2).all() and (picture <= high + 2).all()  # nowhere brighter or darker than both
        inner = cv2.resize(seen_through(plane, view), (64, 64), interpolation=cv2.INTER_NEAREST)
        inner = cv2.erode(inner, np.ones((7, 7), np.uint8)) > 0
        assert inner.any() and np.abs(picture[inner] - color).max() <= 1


@pytest.mark.parametrize("side", [48, 64, 97])
def test_the_inside_of_the_object_is_the_same_with_every_background(side: int) -> None:
    smooth = cv2.GaussianBlur(noise(), (0, 0), 4)
    plane = ellipse((80, 60), (20, 20))
    view = window(80 - side // 2, 60 - side // 2, side)
    context = render(smooth, view, encoded(plane), "context", 64).astype(int)
    center = cv2.resize(seen_through(plane, view), (64, 64), interpolation=cv2.INTER_NEAREST)
    center = cv2.erode(center, np.ones((15, 15), np.uint8)) > 0
    for background in ("black", "mean", "blur"):
        picture = render(smooth, view, encoded(plane), background, 64).astype(int)
        assert np.abs(picture - context)[center].max() <= 1


def cut(
    track: Track, start: int, count: int, frames: list[Picture], config: CropConfig
) -> tuple[Placement, dict[str, Picture]]:
    """Place and render, as the worker does."""
    placement = place_object(track, start, count, config)
    assert placement is not None
    return placement, render_crop(placement, frames, config)


def test_at_source_resolution_pixels_are_the_source_pixels() -> None:
    rgb, plane = noise(), ellipse((80, 60), (9, 6))
    track = Track(1, "cow", np.array([0], np.int32), (encoded(plane),), 1.0)
    config = CropConfig(size=64, variants=["context", "black"], upscale=False)
    placement, crop = cut(track, 0, 1, [rgb], config)
    x0, y0, x1, y1 = placement.windows[0].tolist()
    assert (x1 - x0, y1 - y0) == (64, 64)
    assert abs((x0 + x1) / 2 - 80.5) <= 0.5 and abs((y0 + y1) / 2 - 60.5) <= 0.5
    assert np.array_equal(crop["context"][0], rgb[y0:y1, x0:x1])
    assert np.array_equal(crop["black"][0], (rgb * plane[..., None])[y0:y1, x0:x1])


def test_large_objects_shrink_even_without_upscaling() -> None:
    track = Track(1, "cow", np.array([0], np.int32), (encoded(ellipse((80, 60), (50, 50))),), 1.0)
    placement, crop = cut(track, 0, 1, [noise()], CropConfig(size=32, upscale=False))
    assert placement.windows[0, 2] - placement.windows[0, 0] == 122  # ceil(1.2 * 101)
    assert crop["black"].shape == (1, 32, 32, 3)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_an_object_of_one_pixel_in_a_corner_fills_its_crop(background: str) -> None:
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    plane[0, WIDTH - 1] = 1
    track = Track(1, "fly", np.array([0], np.int32), (encoded(plane),), 1.0)
    placement, crop = cut(track, 0, 1, [flat(plane, (200, 100, 50), (9, 9, 9))], CropConfig(background=background))
    assert placement.windows[0, 2] - placement.windows[0, 0] == 2
    assert crop[background].reshape(-1, 3).max(axis=0).tolist() == pytest.approx(
        [255, 255, 255] if background == "mask" else [200, 100, 50], abs=45 if background == "context" else 1
    )


def test_an_object_cut_by_the_border_stays_centred_in_a_window_larger_than_the_frame() -> None:
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    plane[:, :30] = 1
    track = Track(1, "cow", np.array([0], np.int32), (encoded(plane),), 1.0)
    placement, crop = cut(track, 0, 1, [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)], CropConfig(size=60, margin=0.5))
    assert placement.windows[0].tolist() == [-105, -60, 135, 180]
    columns, rows = (np.flatnonzero(crop["black"][0, ..., 0].any(axis=axis)) for axis in (0, 1))
    assert (columns[0], columns[-1]) == (26, 33) and (rows[0], rows[-1]) == (15, 44)


def test_the_blurred_background_is_smooth_and_holds_no_ghost_of_the_object() -> None:
    plane = ellipse((80, 60), (15, 10))
    half = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    half[:, 80:] = 200
    rgb = np.where(plane[..., None] > 0, np.uint8(255), half)
    picture = render(rgb, window(60, 40, 40), encoded(plane), "blur", 64).astype(int)
    outside = ~touched(seen_through(plane, window(60, 40, 40)), 64)
    assert picture[outside].max() <= 200
    assert np.abs(np.diff(picture[2, :, 0])).max() < 40  # a step of 200 before


def test_the_mean_background_is_the_mean_of_what_is_in_the_frame() -> None:
    plane = ellipse((10, 60), (8, 8))
    rgb = flat(plane, (250, 0, 0), (40, 80, 120))
    picture = render(rgb, window(-10, 40, 40), encoded(plane), "mean", 40)
    assert (picture[:, 0] == (40, 80, 120)).all()


def test_nothing_of_hidden_objects_is_seen_and_the_object_keeps_its_own_pixels() -> None:
    """One to one, so every pixel can be told: black where only the other lies, the source everywhere else."""
    mine, other, far = ellipse((80, 60), (15, 10)), ellipse((92, 60), (12, 8)), ellipse((20, 20), (5, 5))
    rgb, view = noise(), window(60, 40, 40)
    hidden = [encoded(other), encoded(far)]
    alone = seen_through(other, view) > seen_through(mine, view)
    source = rgb[40:80, 60:100]
    context = render(rgb, view, encoded(mine), "context", 40, hidden)
    assert alone.sum() > 90 and not context[alone].any() and (context[~alone] == source[~alone]).all()
    for background in ("black", "mask"):
        plain = render(rgb, view, encoded(mine), background, 40)
        assert (render(rgb, view, encoded(mine), background, 40, hidden) == plain).all()
    assert (render(rgb, view, encoded(mine), "context", 40, [encoded(far)]) == source).all()


@pytest.mark.parametrize("background", ["blur", "mean"])
@pytest.mark.parametrize("size", [24, 40, 64])
def test_hidden_objects_leave_no_trace_in_blur_and_mean(background: str, size: int) -> None:
    mine, other = ellipse((80, 60), (10, 10)), ellipse((92, 70), (9, 8))
    view, hidden = window(60, 40, 40), [encoded(other)]
    pictures = []
    for colour in ((0, 0, 0), (255, 255, 255)):
        rgb = noise()
        rgb[(other > 0) & (mine == 0)] = colour
        pictures.append(render(rgb, view, encoded(mine), background, size, hidden))
    assert (pictures[0] == pictures[1]).all(), "whatever the other looks like"
    rgb = flat(mine, (250, 0, 0), (40, 80, 120))
    rgb[(other > 0) & (mine == 0)] = 255
    outside = ~touched(seen_through(mine, view), size)
    picture = render(rgb, view, encoded(mine), background, size, hidden)
    assert np.abs(picture[outside].astype(int) - (40, 80, 120)).max() <= 5, "and the background goes on behind it"


def test_a_clip_hides_others_frame_by_frame() -> None:
    frames, masks = scene(2)
    hidden = ((), (encoded(ellipse((70, 60), (6, 6))),))
    windows = np.array([window(40, 40, 40)] * 2)
    kept = extract(frames, masks, windows, "context", 40)
    black = extract(frames, masks, windows, "context", 40, hidden=hidden)
    assert (black[0] == kept[0]).all() and (black[1] != kept[1]).any()


def scene(frames: int = 6) -> tuple[list[Picture], list[Mask]]:
    planes = [ellipse((50 + 6 * n, 60), (14, 9)) for n in range(frames)]
    return [noise(n) for n in range(frames)], [encoded(plane) for plane in planes]


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_missing_frames_are_black_or_hold_the_last_picture(background: str) -> None:
    frames, given_masks = scene()
    masks = [mask if n in (1, 2, 4) else None for n, mask in enumerate(given_masks)]
    windows = np.stack([window(40 + 6 * n, 40, 40) for n in range(6)])
    black = extract(frames, masks, windows, background, 32)
    hold = extract(frames, masks, windows, background, 32, missing="hold")
    assert [bool(picture.any()) for picture in black] == [False, True, True, False, True, False]
    for n, source in enumerate((1, 1, 2, 2, 4, 4)):
        assert np.array_equal(hold[n], black[source])
    assert not extract(frames, [None] * 6, windows, background, 32, missing="hold").any()


def test_a_clip_is_cut_out_of_its_session_and_variants_share_windows() -> None:
    frames, masks = scene()
    track = Track(7, "cow", np.array([0, 2, 3, 5], np.int32), tuple(masks[n] for n in (0, 2, 3, 5)), 0.9)
    placement, crop = cut(track, 2, 3, frames[2:5], CropConfig(size=32, variants=["context", "black", "mask"]))
    assert placement.visible.tolist() == [True, True, False]
    assert placement.boxes.tolist() == [list(masks[2].box), list(masks[3].box), [0, 0, 0, 0]]
    assert list(crop) == ["context", "black", "mask"]
    for background, pictures in crop.items():
        other, alone = cut(track, 2, 3, frames[2:5], CropConfig(size=32, background=background))
        assert np.array_equal(other.windows, placement.windows) and np.array_equal(alone[background], pictures)


def test_rendering_leaves_the_source_alone() -> None:
    frames, masks = scene()
    before = [frame.copy() for frame in frames]
    track = Track(7, "cow", np.arange(6, dtype=np.int32), tuple(masks), 0.9)
    for size in (16, 224):
        cut(track, 0, 6, frames, CropConfig(size=size, variants=list(BACKGROUNDS)))
    assert all(np.array_equal(a, b) for a, b in zip(before, frames, strict=True))


def test_a_clip_without_the_object_has_no_place_and_missing_frames_are_refused() -> None:
    frames, masks = scene()
    track = Track(7, "cow", np.array([0], np.int32), (masks[0],), 0.9)
    assert place_object(track, 1, 3, CropConfig()) is None
    with pytest.raises(ValueError, match="expected the clip's 4 frames, got 3"):
        cut(track, 0, 4, frames[:3], CropConfig())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 7}, "crop.size must be an even number of at least 16, got 7"),
        ({"size": 33}, "crop.size must be an even number of at least 16, got 33"),
        ({"margin": -0.1}, "crop.margin must be from 0 to 5, got -0.1"),
        ({"background": "white"}, "crop.background must be one of black, context, blur, mean, mask, got 'white'"),
        ({"scale": "clip"}, "crop.scale must be one of track, frame, got 'clip'"),
        ({"missing": "drop"}, "crop.missing must be one of black, hold, got 'drop'"),
        ({"variants": ["black", "red"]}, "crop.variants must be one of black, context, blur, mean, mask, got 'red'"),
        ({"variants": []}, "crop.variants must name one or more backgrounds, each once"),
        ({"variants": ["black", "black"]}, "crop.variants must name one or more backgrounds, each once"),
    ],
)
def test_settings_are_checked_by_their_full_key(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CropConfig(**values)  # type: ignore[arg-type]
