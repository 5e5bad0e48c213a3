"""Measuring tracks: one draft per object and clip, with figures that can be checked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.extractor import CropConfig
from pipeline.filters.size import Size
from pipeline.filters.still import Still
from pipeline.filters.visible import Visible
from pipeline.judge import Judge
from pipeline.roi import Region, Regions
from pipeline.split import Span, Splits
from pipeline.stages.measure import Draft, Measure, is_short
from pipeline.track_store import WindowTracks, degraded_key
from tests.pipeline.making import PIXELS, a_clip, a_track, a_video, block, crop_file, found_in
from video.clipper import ClipConfig
from video.types import Window

CLIP = a_clip()
WINDOW = Window((CLIP,))


def measure(
    *found: WindowTracks, window: Window = WINDOW, regions: Regions | None = None, made: Any = None, **settings: Any
) -> list[Draft]:
    """Drafts of a window, one `found` per prompt. Only what `Measure` reads is in the settings."""
    chosen: dict[str, Any] = {
        "clip": ClipConfig(num_frames=4),
        "crop": CropConfig(size=64),
        "filters": {"size": Size(min_side=10), "visible": Visible(min_share=0.5)},
        "tracker_name": "motion",
    }
    stand_in: Any = SimpleNamespace(**(chosen | settings))
    options = list(stand_in.filters.values())
    everything = Splits({a_video().name: (Span(0.0, math.inf, "train"),)})
    judge = Judge([f for f in options if f.enabled], regions or Regions(), everything)
    return Measure(stand_in, judge, made or {}).drafts(window, found, [f"key{n}" for n in range(9)])


def test_figures_by_hand() -> None:
    """Boxes of 30 x 20, 40 x 20 (touching the left edge), hidden, 50 x 20 (touching the bottom)."""
    track = a_track({0: block(10, 10, 30, 20), 1: block(0, 10, 40, 20), 3: block(20, 80, 50, 20)})
    (draft,) = measure(found_in(WINDOW, track, corrupt=(1, 2)))
    figures = draft.sample.figures
    assert figures.visible_share == 0.75
    assert figures.side == 40.0, "the median of 30, 40, 50"
    assert figures.area == 800.0, "the median of 600, 800, 1000"
    assert figures.truncated == pytest.approx(2 / 3)
    assert figures.scale_outliers == 0
    assert figures.corrupt_frames == 2


def test_area_counts_pixels_and_side_the_box() -> None:
    picture = np.zeros((30, 20), np.uint8)
    picture[:, :2] = picture[:2, :] = 1
    angle = type(block(0, 0, 1, 1)).encode(picture, (50, 20))
    assert angle is not None
    (draft,) = measure(found_in(WINDOW, a_track({0: angle, 1: angle, 2: angle})))
    assert draft.sample.figures.side == 30.0
    assert draft.sample.figures.area == 30 * 2 + 18 * 2


@pytest.mark.parametrize(
    ("box", "touches"),
    [
        ((0, 40, 20, 20), True),
        ((1, 40, 20, 20), False),
        ((40, 0, 20, 20), True),
        ((180, 40, 20, 20), True),
        ((179, 40, 20, 20), False),
        ((40, 80, 20, 20), True),
        ((40, 79, 20, 20), False),
    ],
)
def test_the_border_is_the_last_pixel(box: tuple[int, int, int, int], touches: bool) -> None:
    (draft,) = measure(found_in(WINDOW, a_track(dict.fromkeys(range(4), block(*box)))))
    assert draft.sample.figures.truncated == float(touches)


def test_a_swallowed_neighbour_is_counted() -> None:
    masks = {0: block(10, 10, 20, 20), 1: block(10, 10, 20, 20), 2: block(10, 10, 90, 20), 3: block(10, 10, 20, 20)}
    (draft,) = measure(found_in(WINDOW, a_track(masks)))
    assert draft.sample.figures.scale_outliers == 1


def test_a_draft_names_everything_it_comes_from() -> None:
    video = a_video(recorded_at=datetime(2026, 6, 1, 9))
    clip = a_clip(8, video=video)
    window = Window((clip,))
    track = a_track({0: block(10, 10, 30, 20), 2: block(14, 10, 30, 20)}, object_id=7, prompt="calf", score=0.25)
    (draft,) = measure(found_in(window, track, start_s=0.5, degraded=True), window=window)
    sample = draft.sample
    assert (sample.video, sample.video_fingerprint) == (video.name, video.fingerprint)
    assert (sample.clip_id, sample.window_id, sample.track_key) == (clip.id, window.id, degraded_key("key0"))
    assert (sample.tracker, sample.object_id, sample.prompt, sample.first_score) == ("motion", 7, "calf", 0.25)
    assert (sample.start_frame, sample.stride, sample.num_frames) == (32, 4, 4)
    assert sample.frame_indices == (32, 36, 40, 44)
    assert sample.timestamps_s == pytest.approx((1.78, 1.94, 2.10, 2.26))
    assert sample.fps == pytest.approx(25 / 4)
    assert sample.boxes == ((10, 10, 40, 30), None, (14, 10, 44, 30), None)
    assert len(sample.crop_windows) == 4 and all(w[2] - w[0] == w[3] - w[1] == 36 for w in sample.crop_windows)
    assert (sample.source_width, sample.source_height, sample.degraded) == (200, 100, True)
    assert sample.recorded_at == "2026-06-01T09:00:00" and sample.files == () and draft.clip is clip


def test_the_rate_is_the_true_one() -> None:
    found = found_in(WINDOW, a_track({0: block(10, 10, 30, 20)}))
    slow = replace(found, times_s=np.array([0.0, 0.1, 0.7, 1.5]))
    (draft,) = measure(slow, filters={})
    assert draft.sample.fps == pytest.approx(3 / 1.5)


def test_one_frame_has_the_nominal_rate() -> None:
    clip = a_clip(num_frames=1)
    window = Window((clip,))
    (draft,) = measure(found_in(window, a_track({0: block(0, 0, 9, 9)})), window=window, clip=ClipConfig(num_frames=1))
    assert draft.sample.fps == pytest.approx(25 / 4)


def test_a_window_with_lead_and_two_clips_gives_each_clip_its_own_part() -> None:
    """Session frames 0-1 and 10-11 are lead; clips are frames 2-5 and 6-9."""
    window = Window((a_clip(4), a_clip(8)), lead=2)
    both = a_track({n: block(10 + n, 10, 20, 20) for n in range(12)}, object_id=1)
    second = a_track({n: block(100, 10, 20, 20) for n in (8, 9, 10)}, object_id=2)
    outside = a_track({n: block(150, 10, 20, 20) for n in (0, 1, 10, 11)}, object_id=3)
    drafts = measure(found_in(window, both, second, outside), window=window)
    assert [(d.clip.start, d.sample.object_id) for d in drafts] == [(4, 1), (8, 1), (8, 2)]
    assert [d.sample.start_frame for d in drafts] == [16, 32, 32]
    assert drafts[0].sample.boxes[0] == (12, 10, 32, 30) and drafts[1].sample.boxes[0] == (16, 10, 36, 30)
    assert drafts[2].sample.boxes == (None, None, (100, 10, 120, 30), (100, 10, 120, 30))
    assert len({d.sample.sample_id for d in drafts}) == 3


def test_damage_counts_for_the_clip_that_shows_it() -> None:
    window = Window((a_clip(4), a_clip(8)), lead=2)
    track = a_track({n: block(10, 10, 20, 20) for n in range(12)})
    drafts = measure(found_in(window, track, corrupt=(0, 5, 6, 7, 11)), window=window)
    assert [d.sample.figures.corrupt_frames for d in drafts] == [1, 2]


def test_a_short_clip_gives_no_draft_and_the_whole_one_before_it_does() -> None:
    window = Window((a_clip(0), a_clip(4)))
    track = a_track({n: block(10, 10, 20, 20) for n in range(6)})
    found = found_in(window, track, positions=range(6))
    assert [d.clip.start for d in measure(found, window=window)] == [0]
    assert [d.clip.start for d in measure(found, window=window, clip=ClipConfig(num_frames=4, whole=True))] == [0, 4]


def test_a_damaged_clip_is_short_however_long_the_video_goes_on() -> None:
    window = Window((a_clip(0), a_clip(4)))
    track = a_track({n: block(10, 10, 20, 20) for n in range(7)})
    drafts = measure(found_in(window, track, positions=(0, 1, 3, 4, 5, 6, 7)), window=window)
    assert [d.clip.start for d in drafts] == [4]


@pytest.mark.parametrize(
    ("frames", "whole", "short"), [(4, False, False), (3, False, True), (3, True, False), (0, True, True)]
)
def test_what_is_short(frames: int, whole: bool, short: bool) -> None:
    assert is_short(CLIP, range(5, 5 + frames), whole) is short


def test_a_window_that_failed_gives_nothing() -> None:
    assert measure(found_in(WINDOW, error="out of memory")) == []


def test_one_failed_prompt_leaves_the_other() -> None:
    good = found_in(WINDOW, a_track(dict.fromkeys(range(4), block(10, 10, 20, 20))))
    assert [d.sample.track_key for d in measure(found_in(WINDOW, error="failed"), good)] == ["key1"]


def test_a_second_prompt_finds_the_same_cow_once() -> None:
    cow = dict.fromkeys(range(4), block(10, 10, 40, 40))
    first = found_in(WINDOW, a_track(cow, 1, "cow", 0.9))
    second = found_in(
        WINDOW, a_track(cow, 4, "animal", 0.5), a_track(dict.fromkeys(range(4), block(120, 10, 40, 40)), 5)
    )
    drafts = measure(first, second)
    assert [(d.sample.object_id, d.sample.duplicate_of, d.wanted) for d in drafts] == [
        *((1, None, True), (4, 1, False)),
        (5, None, True),
    ]


SMALL: Callable[[], WindowTracks] = lambda: found_in(WINDOW, a_track(dict.fromkeys(range(4), block(10, 10, 8, 8))))  # noqa: E731


def test_a_refused_object_is_measured_and_not_wanted() -> None:
    (draft,) = measure(SMALL())
    assert draft.sample.figures.side == 8.0 and not draft.wanted
    (draft,) = measure(SMALL(), filters={"size": Size(enabled=False, min_side=10)})
    assert draft.wanted, "a filter that is off refuses nobody"


def test_the_region_decides_what_is_wanted() -> None:
    nowhere = Region((), (np.array([[0, 0], [50, 0], [50, 50], [0, 50]], np.float32),))
    (draft,) = measure(SMALL(), filters={}, regions=Regions((("*", nowhere),)))
    assert draft.wanted, "without the filter the region refuses nobody"
    from pipeline.filters.roi import Roi

    (draft,) = measure(SMALL(), filters={"roi": Roi()}, regions=Regions((("*", nowhere),)))
    assert not draft.wanted


def test_a_crop_that_is_there_is_kept_and_not_made_again() -> None:
    track = a_track(dict.fromkeys(range(4), block(10, 10, 20, 20)))
    (fresh,) = measure(found_in(WINDOW, track))
    files = (crop_file("a"),)
    made = replace(fresh.sample, files=files, pixels=PIXELS)
    (again,) = measure(found_in(WINDOW, track), made={made.sample_id: made})
    assert fresh.wanted and not again.wanted and again.sample == made


def test_a_crop_that_its_pixels_refused_is_not_rendered_again() -> None:
    track = a_track(dict.fromkeys(range(4), block(10, 10, 20, 20)))
    (fresh,) = measure(found_in(WINDOW, track), filters={"still": Still(True, 0.1)})
    assert fresh.wanted, "its pixels are not known yet"
    made = {fresh.sample.sample_id: replace(fresh.sample, pixels=PIXELS)}
    (again,) = measure(found_in(WINDOW, track), made=made, filters={"still": Still(True, 0.1)})
    assert not again.wanted
    (admitted,) = measure(found_in(WINDOW, track), made=made, filters={"still": Still(True, 0.01)})
    assert admitted.wanted


def test_other_objects_of_the_window_count_as_foreign() -> None:
    cow = a_track(dict.fromkeys(range(4), block(10, 10, 40, 40)), 1)
    calf = a_track(dict.fromkeys(range(4), block(50, 10, 8, 40)), 2)
    drafts = measure(found_in(WINDOW, cow, calf), crop=CropConfig(size=64, margin=0.5), filters={})
    assert drafts[0].sample.figures.foreign == pytest.approx(8 * 40 / (70 * 70)), "10 pixels lie outside the picture"
    twins = measure(found_in(WINDOW, cow), found_in(WINDOW, replace(cow, first_score=0.1)), filters={})
    assert [d.sample.figures.foreign for d in twins] == [0, 0]


def test_a_sample_id_depends_on_track_clip_and_number_alone() -> None:
    track = a_track(dict.fromkeys(range(4), block(10, 10, 20, 20)))
    (one,) = measure(found_in(WINDOW, track))
    (other,) = measure(found_in(WINDOW, track), crop=CropConfig(size=128, margin=0.5), filters={})
    assert one.sample.sample_id == other.sample.sample_id
    (renumbered,) = measure(found_in(WINDOW, replace(track, object_id=2)))
    assert one.sample.sample_id != renumbered.sample.sample_id
    _, (second_prompt,) = None, measure(found_in(WINDOW), found_in(WINDOW, track))
    assert one.sample.sample_id != second_prompt.sample.sample_id


def test_others_are_hidden_only_when_asked_for_and_never_a_twin_of_the_object() -> None:
    own, other = {n: block(10, 10, 40, 40) for n in range(4)}, {n: block(30, 20, 40, 40) for n in (0, 2)}
    tracks = found_in(WINDOW, a_track(own), a_track(other, object_id=2))
    kept = measure(tracks, found_in(WINDOW, a_track(own, prompt="calf")))
    assert all(draft.placement.hidden == () for draft in kept)
    black = measure(tracks, found_in(WINDOW, a_track(own, prompt="calf")), crop=CropConfig(size=64, foreign="black"))
    boxes = [[[m.box for m in frame] for frame in draft.placement.hidden] for draft in black]
    assert boxes[0] == [[(30, 20, 70, 60)], [], [(30, 20, 70, 60)], []]
    assert boxes[1] == [[(10, 10, 50, 50)]] * 4, "once, though two prompts found it"
