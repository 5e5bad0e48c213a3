"""The index: every object is kept or refused with a reason; equal records give equal bytes in any order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.filters.blur import Blur
from pipeline.filters.drift import Drift
from pipeline.filters.exposure import Exposure
from pipeline.filters.filter import Filter, Refusal, filters
from pipeline.filters.flicker import Flicker
from pipeline.filters.foreign import Foreign
from pipeline.filters.gap import Gap
from pipeline.filters.jitter import Jitter
from pipeline.filters.near_duplicate import NearDuplicate
from pipeline.filters.roi import Roi
from pipeline.filters.score import Score
from pipeline.filters.size import Size
from pipeline.filters.still import Still
from pipeline.filters.truncated import Truncated
from pipeline.filters.visible import Visible
from pipeline.index import FAILURES, REJECTED, SAMPLES, Index, build
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.records import FIGURES as FIGURE_NAMES
from pipeline.records import ChunkRecord, Failure, Rejection, Sample
from pipeline.roi import Regions
from pipeline.split import Span, Splits
from tests.pipeline.making import FIGURES, PIXELS, a_record, a_sample, crop_file

ANYWHERE = Regions()
SPLITS = Splits({f"farm/cam{n}.mp4": (Span(0.0, math.inf, split),) for n, split in ((1, "train"), (2, "val"))})
SIZE = [Size(min_side=32)]


def made(*records: ChunkRecord, by: Sequence[Filter] = SIZE, **more: Any) -> Index:
    return build(records, Judge(by, ANYWHERE, SPLITS), 224, **more)


def judge(sample: Sample, by: Sequence[Filter], regions: Regions) -> Refusal | None:
    return Judge(by, regions, SPLITS).refusal(sample)


def sized(side: float, name: str = "a", **changes: Any) -> Sample:
    return a_sample(name, figures=replace(FIGURES, side=side), **changes)


# -- the filters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "figures", "in_roi", "refusal"),
    [
        (Visible(min_share=0.5), {"visible_share": 0.49}, 1.0, Refusal("visible", 0.49, 0.5)),
        (Visible(min_share=0.5), {"visible_share": 0.5}, 1.0, None),
        (Size(min_side=32), {"side": 31.5}, 1.0, Refusal("size", 31.5, 32)),
        (Size(min_side=32), {"side": 32.0}, 1.0, None),
        (Truncated(max_share=0.25), {"truncated": 0.3}, 1.0, Refusal("truncated", 0.3, 0.25)),
        (Truncated(max_share=0.25), {"truncated": 0.25}, 1.0, None),
        (Roi(min_share=0.5), {}, 0.4, Refusal("roi", 0.4, 0.5)),
        (Roi(min_share=0.5), {}, 0.5, None),
        (Jitter(max_sides=0.2), {"jitter": 0.21}, 1.0, Refusal("jitter", 0.21, 0.2)),
        (Jitter(max_sides=0.2), {"jitter": 0.2}, 1.0, None),
        (Drift(max_octaves=1), {"scale_drift": 1.1}, 1.0, Refusal("drift", 1.1, 1)),
        (Drift(max_octaves=1), {"scale_drift": 1.0}, 1.0, None),
        (Flicker(min_iou=0.3), {"mask_iou": 0.2}, 1.0, Refusal("flicker", 0.2, 0.3)),
        (Flicker(min_iou=0.3), {"mask_iou": 0.3}, 1.0, None),
        (Foreign(max_share=0.3), {"foreign": 0.4}, 1.0, Refusal("foreign", 0.4, 0.3)),
        (Foreign(max_share=0.3), {"foreign": 0.3}, 1.0, None),
    ],
)
def test_a_filter_refuses_with_reason_value_and_threshold(
    options: Filter, figures: dict[str, float], in_roi: float, refusal: Refusal | None
) -> None:
    sample = a_sample(figures=replace(FIGURES, **figures))  # type: ignore[arg-type]
    assert options.refuse(sample, in_roi) == refusal


@pytest.mark.parametrize(
    ("options", "pixels", "refusal"),
    [
        (Blur(min_sharpness=4), {"sharpness": 3.9}, Refusal("blur", 3.9, 4)),
        (Blur(min_sharpness=4), {"sharpness": 4.0}, None),
        (Exposure(max_clipped=0.5), {"clipped": 0.6}, Refusal("exposure", 0.6, 0.5)),
        (Exposure(max_clipped=0.5), {"clipped": 0.5}, None),
        (Still(min_motion=0.01), {"motion": 0.009}, Refusal("still", 0.009, 0.01)),
        (Still(min_motion=0.01), {"motion": 0.01}, None),
    ],
)
def test_a_filter_of_pixels_refuses_once_they_are_known(
    options: Filter, pixels: dict[str, float], refusal: Refusal | None
) -> None:
    assert options.refuse(a_sample(pixels=replace(PIXELS, **pixels)), 1.0) == refusal
    assert options.refuse(a_sample(pixels=None), 1.0) is None


@pytest.mark.parametrize(
    ("times", "value"),
    [((0.0, 0.1, 0.2, 0.3), None), ((0.0, 0.1, 0.5, 0.6), None), ((0.0, 0.1, 0.55, 0.65), 4.5), ((7.0,), None)],
)
def test_a_hole_in_time_is_measured_in_the_usual_step(times: tuple[float, ...], value: float | None) -> None:
    refusal = Gap(max_steps=4.0001).refuse(a_sample(timestamps_s=times), 1.0)
    assert (refusal and refusal.value) == (value and pytest.approx(value))


def test_the_score_is_the_trackers() -> None:
    assert Score(min_score=0.6).refuse(a_sample(first_score=0.5), 1.0) == Refusal("score", 0.5, 0.6)
    assert Score(min_score=0.5).refuse(a_sample(first_score=0.5), 1.0) is None


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (Visible, {"min_share": 1.1}, "filters.visible.min_share must be from 0 to 1, got 1.1"),
        (Size, {"min_side": -1}, "filters.size.min_side must be 0 or more, got -1"),
        (Truncated, {"max_share": -0.1}, "filters.truncated.max_share must be from 0 to 1, got -0.1"),
        (Roi, {"min_share": 2}, "filters.roi.min_share must be from 0 to 1, got 2"),
        (Jitter, {"max_sides": -1}, "filters.jitter.max_sides must be 0 or more, got -1"),
        (Drift, {"max_octaves": float("nan")}, "filters.drift.max_octaves must be 0 or more, got nan"),
        (Flicker, {"min_iou": 1.5}, "filters.flicker.min_iou must be from 0 to 1, got 1.5"),
        (Foreign, {"max_share": 2}, "filters.foreign.max_share must be from 0 to 1, got 2"),
        (Gap, {"max_steps": 0.5}, "filters.gap.max_steps must be 1 or more, got 0.5"),
        (Blur, {"min_sharpness": -1}, "filters.blur.min_sharpness must be 0 or more, got -1"),
        (Exposure, {"max_clipped": 7}, "filters.exposure.max_clipped must be from 0 to 1, got 7"),
        (Still, {"min_motion": -1}, "filters.still.min_motion must be from 0 to 1, got -1"),
        (Score, {"min_score": 2}, "filters.score.min_score must be from 0 to 1, got 2"),
    ],
)
def test_an_impossible_threshold_is_refused_by_name(options: Any, values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(**values)


def test_the_registry_holds_every_filter_of_the_folder() -> None:
    always = {"gap": Gap, "roi": Roi, "size": Size, "visible": Visible}
    chosen = [Blur, Drift, Exposure, Flicker, Foreign, Jitter, Score, Still, Truncated]
    named = {options.__name__.lower(): options for options in chosen}
    assert filters() == always | named | {"near_duplicate": NearDuplicate}
    assert [name for name, options in filters().items() if options().enabled] == list(always)


def test_the_first_filter_that_refuses_gives_the_reason() -> None:
    small_and_hidden = a_sample(figures=replace(FIGURES, side=5.0, visible_share=0.1))
    assert judge(small_and_hidden, [Visible(), Size()], ANYWHERE) == Refusal("visible", 0.1, 0.5)
    assert judge(small_and_hidden, [Size(), Visible()], ANYWHERE) == Refusal("size", 5.0, 32)
    assert judge(small_and_hidden, [], ANYWHERE) is None


def test_a_duplicate_is_refused_before_any_filter_sees_it() -> None:
    assert judge(sized(5.0, duplicate_of=7), SIZE, ANYWHERE) == Refusal("duplicate_of_prompt", 7.0, None)
    assert judge(sized(5.0, duplicate_of=0), SIZE, ANYWHERE) == Refusal("duplicate_of_prompt", 0.0, None)
    assert judge(sized(50.0, duplicate_of=7), [], ANYWHERE) == Refusal("duplicate_of_prompt", 7.0, None)


def test_a_filter_of_ones_own_is_asked_like_the_others() -> None:
    @dataclass
    class Area:
        enabled: bool = True

        def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
            return Refusal("area", sample.figures.area, 1000.0) if sample.figures.area < 1000 else None

    assert judge(a_sample(), [Area()], ANYWHERE) == Refusal("area", 900.0, 1000.0)


# -- the tables -------------------------------------------------------------------------------------------------------


def test_kept_and_refused_are_all_there_is() -> None:
    index = made(a_record(sized(50, "big"), sized(20, "small"), sized(50, "twin", duplicate_of=3)))
    assert index.samples["sample_id"].to_pylist() == ["big"]
    refused = {r["sample_id"]: r for r in index.rejected.to_pylist()}
    assert set(refused) == {"small", "twin"}
    assert (refused["small"]["reason"], refused["small"]["value"], refused["small"]["threshold"]) == ("size", 20, 32)
    assert refused["small"]["clip_id"] and refused["small"]["prompt"] == "cow" and refused["small"]["object_id"] == 1
    assert (refused["twin"]["reason"], refused["twin"]["value"]) == ("duplicate_of_prompt", 3)
    assert refused["twin"]["threshold"] is None
    assert (refused["small"]["side"], refused["small"]["first_score"]) == (20, 0.5), "what another threshold would keep"


def test_an_admitted_object_whose_crop_failed_is_a_failure_and_no_sample() -> None:
    failure = Failure("farm/cam1.mp4", "clip", "crop", "broken")
    index = made(a_record(sized(50, files=()), failures=(failure,)))
    assert index.samples.num_rows == index.rejected.num_rows == 0
    assert index.failures.to_pylist() == [
        {"video": "farm/cam1.mp4", "clip_id": "clip", "stage": "crop", "error": "broken"}
    ]


def test_whole_videos_and_short_clips_are_listed_too() -> None:
    short = Rejection("farm/cam1.mp4", "clip", None, None, None, "short", 3.0, 4.0)
    double = Rejection("farm/cam9.mp4", None, None, None, None, "duplicate of farm/cam1.mp4", None, None)
    broken = Failure("farm/cam8.mp4", None, "probe", "not a video")
    index = made(a_record(short=(short,)), rejections=[double], failures=[broken])
    assert [r["reason"] for r in index.rejected.to_pylist()] == ["short", "duplicate of farm/cam1.mp4"]
    assert index.failures["video"].to_pylist() == ["farm/cam8.mp4"]


def test_the_split_is_joined_by_video() -> None:
    index = made(a_record(sized(50, "a")), a_record(sized(50, "b", video="farm/cam2.mp4")))
    assert dict(zip(*(index.samples[c].to_pylist() for c in ("sample_id", "split")), strict=True)) == {
        "a": "train",
        "b": "val",
    }


def shuffled() -> list[Sample]:
    return [
        sized(50, "e", video="farm/cam2.mp4"),
        sized(50, "d", start_frame=80, clip_id="later", object_id=1),
        sized(50, "c", start_frame=8, prompt="cow", object_id=1),
        sized(50, "b", start_frame=8, prompt="calf", object_id=12),
        sized(50, "a", start_frame=8, prompt="calf", object_id=2),
    ]


def test_rows_are_sorted_by_video_time_prompt_and_number() -> None:
    assert made(a_record(*shuffled())).samples["sample_id"].to_pylist() == ["a", "b", "c", "d", "e"]


def test_refused_rows_are_sorted_too() -> None:
    rejected = made(a_record(*(replace(s, duplicate_of=1) for s in shuffled()))).rejected
    assert rejected["sample_id"].to_pylist() == ["c", "a", "b", "d", "e"]


def test_equal_records_give_equal_bytes_in_any_order(tmp_path: Path) -> None:
    samples = [*shuffled(), *(replace(s, sample_id=f"{s.sample_id}x", duplicate_of=1) for s in shuffled())]
    for name, order in (("one", samples), ("two", samples[::-1])):
        index = made(*(a_record(s, failures=(Failure(s.video, None, "crop", s.sample_id),)) for s in order))
        index.write(Layout(tmp_path / name, tmp_path))
    for table in ("samples.parquet", "rejected.parquet"):
        assert (tmp_path / "one" / table).read_bytes() == (tmp_path / "two" / table).read_bytes(), table


def test_a_row_says_everything_about_its_crop(tmp_path: Path) -> None:
    files = (crop_file("a"), crop_file("a", "mask"))
    index = made(a_record(sized(50, files=files, recorded_at="2026-06-01T09:00:00")))
    index.write(Layout(tmp_path, tmp_path))
    (row,) = pq.read_table(tmp_path / "samples.parquet").to_pylist()
    assert row["boxes"] == [[10, 10, 60, 60], [12, 10, 62, 60], None, [16, 10, 66, 60]]
    assert row["visible"] == [True, True, False, True]
    assert row["crop_windows"][3] == [11, 5, 71, 65]
    assert row["frame_indices"] == [0, 4, 8, 12] and row["timestamps_s"] == [0.0, 0.16, 0.32, 0.48]
    assert (row["path"], row["background"], row["size"], row["size_bytes"]) == (files[0].path, "black", 224, 1234)
    assert row["variants"] == [{"background": "mask", "path": files[1].path, "sha256": "f" * 64}]
    assert (row["recorded_at"], row["split"], row["sha256"]) == ("2026-06-01T09:00:00", "train", "f" * 64)
    assert {name: row[name] for name in FIGURE_NAMES} == pytest.approx(
        {name: a_sample().figure(name) for name in FIGURE_NAMES}
    )


def test_a_grid_in_frames_per_second_has_no_stride() -> None:
    assert made(a_record(sized(50, stride=None))).samples["stride"].to_pylist() == [None]


def test_the_types_are_fixed_also_for_empty_tables(tmp_path: Path) -> None:
    made().write(Layout(tmp_path, tmp_path))
    for name, schema in (("samples", SAMPLES), ("rejected", REJECTED), ("failures", FAILURES)):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        assert table.num_rows == 0 and table.schema.equals(schema), name
    kinds = {name: SAMPLES.field(name).type for name in SAMPLES.names}
    assert kinds["boxes"] == kinds["crop_windows"] == pa.list_(pa.list_(pa.int32()))
    assert kinds["visible"] == pa.list_(pa.bool_())
    assert kinds["frame_indices"] == pa.list_(pa.int64()) and kinds["timestamps_s"] == pa.list_(pa.float64())
    nullable = [name for name in SAMPLES.names if SAMPLES.field(name).nullable]
    assert nullable == ["label", "individual_id", "link_confidence", "recorded_at", "stride"]
