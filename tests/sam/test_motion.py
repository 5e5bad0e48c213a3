"""The embedded tracker: how well it does on scenes it was never tuned on, and what it does at the edges."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest

from sam.backends.background import Background, _sorted
from sam.backends.motion import MotionConfig
from sam.errors import TrackingFailed
from sam.metrics import total
from sam.types import iou
from tests.sam.scoring import HELD_OUT, Scene, disc_frames, session_frames, tracks_of

RED, BLUE = (200, 50, 40), (40, 60, 190)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("scenes")
    size = {"width": 640, "height": 360, "cows": 3, "people": 1}
    return [Scene.render(folder / f"{seed}.mp4", seed, seconds=30, **size) for seed in HELD_OUT]


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute of a processor, drawing the scenes included
def test_floors_on_held_out_scenes(scenes: list[Scene]) -> None:
    scores = []
    for scene in scenes:
        config = MotionConfig()
        tracker = config.build()
        tracker.prepare(scene.context(config.context))
        scores.append(total(scene.score(window, tracks_of(tracker, window)) for window in scene.windows()))
    score, each = total(scores), ", ".join(f"{one.iou:.3f}/{one.idf1:.3f}" for one in scores)
    assert score.truths > 2000
    assert score.iou >= 0.7, f"mean mask IoU {score.iou:.3f}, IoU/IDF1 of each scene {each}"
    assert score.idf1 >= 0.85, f"IDF1 {score.idf1:.3f}, IoU/IDF1 of each scene {each}"


def crossing(count: int = 20) -> list[np.ndarray]:
    """A red disc goes right and a blue one left; they pass, half hiding each other, in the middle."""
    red = [(40 + 12 * t, 84) for t in range(count)]
    blue = [(280 - 12 * t, 96) for t in range(count)]
    return disc_frames(count, [red, blue], [RED, BLUE])


def prepared(images: list[np.ndarray], **options: object) -> object:
    tracker = MotionConfig(**options).build()
    empty = disc_frames(len(images), [], [])
    tracker.prepare([*images, *empty])
    return tracker


def test_ids_stay_through_a_crossing() -> None:
    images = crossing()
    tracks = tracks_of(prepared(images), session_frames(images))
    assert [len(track.frames) for track in tracks] == [20, 20]
    going_right = [track.boxes[-1, 0] > track.boxes[0, 0] for track in tracks]
    assert sorted(going_right) == [False, True]
    for track, right in zip(tracks, going_right, strict=True):
        centres = track.boxes[:, ::2].mean(axis=1)
        truth = 40 + 12 * np.arange(20) if right else 280 - 12 * np.arange(20)
        assert np.abs(centres - truth).max() < 12


def test_an_object_that_stops_is_kept() -> None:
    stops = [(40 + 10 * min(t, 8), 90) for t in range(24)]
    images = disc_frames(24, [stops], [RED])
    (track,) = tracks_of(prepared(images), session_frames(images))
    assert track.frames.tolist() == list(range(24))
    assert 0.9 < track.masks[-1].area / (np.pi * 16.5**2) < 1.1
    assert 0.9 < track.first_score <= 1


def test_a_short_absence_keeps_the_id_and_a_long_one_does_not_invent_masks() -> None:
    walk = [(30 + 12 * t, 90) if t not in (8, 9) else None for t in range(20)]
    images = disc_frames(20, [walk], [BLUE])
    (track,) = tracks_of(prepared(images), session_frames(images))
    assert track.frames.tolist() == [t for t in range(20) if t not in (8, 9)]


def test_what_passes_behind_a_post_is_one_object() -> None:
    images = disc_frames(24, [[(70 + 6 * t, 90) for t in range(24)]], [RED])
    post = slice(158, 163)
    empty = disc_frames(1, [], [])[0]
    for image in images:
        image[:, post] = empty[:, post]
    (track,) = tracks_of(prepared(images), session_frames(images))
    assert track.frames.tolist() == list(range(24))
    parted = track.masks[15].full(320, 180)[:, 148:172].any(axis=0)
    assert parted.tolist() == [*[True] * 10, *[False] * 5, *[True] * 9]


def test_two_that_meet_at_a_post_stay_two() -> None:
    red = [(40 + 10 * min(t, 9), 90) for t in range(24)]
    blue = [(290 - 10 * min(t, 10), 94) for t in range(24)]
    images = disc_frames(24, [red, blue], [RED, BLUE])
    tracks = tracks_of(prepared(images), session_frames(images))
    assert [len(track.frames) for track in tracks] == [24, 24]


def test_a_place_that_was_mostly_hidden_is_no_noisier() -> None:
    """Where the context shows the place in few of its frames, a pixel need not differ by more to be of an object."""
    colours = np.random.default_rng(3).integers(0, 256, (44, 3)).tolist()
    hidden = [disc_frames(1, [[(160, 90)]], [tuple(colour)])[0] for colour in colours]
    background = Background.learn([*hidden, *disc_frames(18, [], [])])
    for weight in background.weight:
        assert weight[80:100, 150:170].mean() > 0.4 * np.median(weight)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 48])
def test_planes_are_sorted(count: int) -> None:
    stack = np.random.default_rng(count).integers(0, 256, (count, 5, 7, 3), np.uint8)
    assert (_sorted(stack) == np.sort(stack, axis=0)).all()


def test_nothing_moves_nothing_is_found() -> None:
    images = disc_frames(20, [], [])
    tracker = MotionConfig().build()
    tracker.prepare(images)
    assert tracks_of(tracker, session_frames(images)) == []


def test_works_without_prepare_and_with_few_context_frames() -> None:
    images = crossing()
    for context in (None, images[:2]):
        tracker = MotionConfig().build()
        if context is not None:
            tracker.prepare(context)
        assert len(tracks_of(tracker, session_frames(images))) == 2


def test_one_frame_alone_has_no_objects() -> None:
    assert tracks_of(MotionConfig().build(), session_frames(crossing()[:1])) == []


def test_changing_light_is_not_motion() -> None:
    images = disc_frames(20, [], [])
    ramp = np.linspace(1, 0.6, 320, dtype=np.float32)[None, :, None]
    clouded = [np.clip(im * (1 - (1 - ramp) * t / 19), 0, 255).astype(np.uint8) for t, im in enumerate(images)]
    tracker = MotionConfig().build()
    tracker.prepare(images)
    assert tracks_of(tracker, session_frames(clouded)) == []


@pytest.mark.parametrize("shadows", [True, False])
def test_shadows_are_left_out_unless_wanted(shadows: bool) -> None:
    images = disc_frames(20, [], [])
    shade = np.ones((20, 180, 320, 1), np.float32)
    for t in range(20):
        cv2.ellipse(shade[t, ..., 0], (60 + 10 * t, 90), (40, 24), 0, 0, 360, 0.65, -1)
        shade[t, ..., 0] = cv2.GaussianBlur(shade[t, ..., 0], (0, 0), 3)
    shaded = [(im * s).astype(np.uint8) for im, s in zip(images, shade, strict=True)]
    tracker = MotionConfig(shadows=shadows).build()
    tracker.prepare(images)
    assert bool(tracks_of(tracker, session_frames(shaded))) is not shadows


def test_masks_come_at_source_size() -> None:
    images = crossing()
    tracker = prepared(images)
    small = tracks_of(tracker, session_frames(images))
    large = tracks_of(tracker, session_frames(images, scale=3))
    assert len(small) == len(large) == 2
    for a, b in zip(small, large, strict=True):
        assert b.masks[0].area == pytest.approx(9 * a.masks[0].area, rel=0.05)
        assert np.abs(b.boxes - 3 * a.boxes).max() <= 3
        shrunk = cv2.resize(b.masks[0].full(960, 540), (320, 180), interpolation=cv2.INTER_AREA)
        assert iou(a.masks[0], type(a.masks[0]).encode(shrunk > 0)) > 0.85


def test_a_moving_camera_is_reported_once_per_video(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(1)
    world = cv2.resize(rng.uniform(0, 255, (60, 200, 3)).astype(np.float32), (1000, 300), interpolation=cv2.INTER_CUBIC)
    world = np.clip(world, 0, 255).astype(np.uint8)
    images = [world[20:200, 12 * t : 12 * t + 320].copy() for t in range(40)]
    tracker = MotionConfig().build()
    tracker.prepare(images)
    with caplog.at_level(logging.WARNING):
        tracks_of(tracker, session_frames(images[:20], "panned.mp4"))
        tracks_of(tracker, session_frames(images[20:], "panned.mp4"))
    assert [record.message.startswith("panned.mp4: the camera seems to move") for record in caplog.records] == [True]


@pytest.mark.slow
def test_no_warning_for_a_fixed_camera(scenes: list[Scene], caplog: pytest.LogCaptureFixture) -> None:
    tracker = MotionConfig().build()
    with caplog.at_level(logging.WARNING):
        for scene in scenes:
            tracks_of(tracker, scene.window(20))
    assert not caplog.records


def test_a_background_of_another_size_is_refused() -> None:
    tracker = MotionConfig().build()
    tracker.prepare(crossing())
    with pytest.raises(TrackingFailed, match=r"320x180 frames, but the window of video.mp4 has 160x90"):
        tracks_of(tracker, session_frames([np.zeros((90, 160, 3), np.uint8)] * 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_side": 8}, "max_side"),
        ({"context": -1}, "context"),
        ({"threshold": 0.5}, "threshold"),
        ({"min_area": 2.0}, "min_area"),
        ({"max_objects": 0}, "max_objects"),
    ],
)
def test_bad_options_name_the_key(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=rf"tracker\.{message}|tracker\.\w+, .*{message}|and tracker\.{message}"):
        MotionConfig(**options)


def test_identity_says_what_decides_the_masks() -> None:
    assert MotionConfig().build().identity() == MotionConfig().build().identity()
    assert MotionConfig(threshold=5).build().identity() != MotionConfig().build().identity()
