"""Splits: groups stay together and never change sides."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.groups import grouping, groups
from pipeline.labels import Label
from pipeline.layout import Layout
from pipeline.settings import SPLITS, SplitConfig
from pipeline.split import Span, Splits, assign, planned_splits, settle, unused_patterns
from tests.pipeline.making import a_video
from video.types import Video


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "tracks")


def named(name: str, **more: Any) -> Video:
    return a_video(name=name, fingerprint=f"{name:_<16}", **more)


def group_of(name: str, by: str) -> str:
    return grouping(SplitConfig(by=by))(named(name))


def split_videos(clips: dict[str, int], config: SplitConfig, layout: Layout) -> dict[str, str]:
    """Plan and settle; the split of every video by name."""
    videos = {named(name): count for name, count in clips.items()}
    splits = planned_splits(videos, config, layout)
    settle(splits, list(videos), config, layout)
    return {name: span.split for name, (span,) in splits.spans.items()}


def counts(placed: dict[str, str], weights: dict[str, int]) -> dict[str, int]:
    return {split: sum(weights[g] for g, s in placed.items() if s == split) for split in SPLITS}


@given(weights=st.lists(st.integers(1, 50), min_size=3, max_size=60))
def test_shares_are_kept_as_well_as_whole_groups_allow(weights: list[int]) -> None:
    by_group = {f"g{n}": weight for n, weight in enumerate(weights)}
    placed = assign(by_group, SplitConfig(), {}, {g: [g] for g in by_group})
    held = counts(placed, by_group)
    assert set(placed) == set(by_group)
    assert all(held.values()), "three groups or more leave no split empty"
    assert all(held[s] <= share * sum(weights) + max(weights) for s, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True))


@given(heavy=st.lists(st.integers(1, 9), min_size=1, max_size=6), idle=st.integers(0, 6))
def test_groups_without_a_clip_fill_no_split(heavy: list[int], idle: int) -> None:
    """A budget of clips may leave videos out: then val must not be what holds none of them."""
    weights = {f"g{n}": weight for n, weight in enumerate(heavy)} | {f"a{n}": 0 for n in range(idle)}
    placed = assign(weights, SplitConfig(), {}, {g: [g] for g in weights})
    assert set(placed) == set(weights)
    assert sum(many > 0 for many in counts(placed, weights).values()) == min(3, len(heavy))
    alone = {group: weight for group, weight in weights.items() if weight}
    assert assign(alone, SplitConfig(), {}, {g: [g] for g in alone}).items() <= placed.items()


def test_a_hundred_equal_groups_meet_the_shares_exactly() -> None:
    weights = {f"g{n}": 10 for n in range(100)}
    assert counts(assign(weights, SplitConfig(), {}, {g: [g] for g in weights}), weights) == {
        "train": 800,
        "val": 100,
        "test": 100,
    }


def test_nobody_changes_sides_when_videos_are_added(layout: Layout) -> None:
    first = split_videos({f"v{n}.mp4": 10 for n in range(10)}, SplitConfig(), layout)
    second = split_videos({f"v{n}.mp4": 10 for n in range(40)}, SplitConfig(), layout)
    assert {name: second[name] for name in first} == first
    third = split_videos({f"v{n}.mp4": 10 for n in range(5)}, SplitConfig(), layout)
    assert third == {name: first[name] for name in third}
    assert split_videos({f"v{n}.mp4": 10 for n in range(40)}, SplitConfig(), layout) == second


def test_the_plan_keeps_nothing(layout: Layout) -> None:
    planned_splits({named("a.mp4"): 1, named("b.mp4"): 1}, SplitConfig(), layout)
    assert not layout.splits.exists()


def test_groups_come_from_video_folder_or_expression() -> None:
    assert group_of("farm1/cam2/a.mp4", "video") == "farm1/cam2/a.mp4"
    assert group_of("farm1/cam2/a.mp4", "folder") == "farm1/cam2"
    assert group_of("farm1/cam2/a.mp4", "(farm[0-9]+)/") == "farm1"
    with pytest.raises(ConfigError, match=r"finds no group in the video 'barn/a\.mp4'"):
        group_of("barn/a.mp4", "(farm[0-9]+)/")
    with pytest.raises(ConfigError, match="not a regular expression"):
        group_of("a.mp4", "(farm")
    with pytest.raises(ConfigError, match="with a \\(group\\)"):
        group_of("a.mp4", "camera")


def test_one_group_is_never_cut(layout: Layout) -> None:
    clips = {f"farm{f}/cam{c}.mp4": 5 for f in range(3) for c in range(4)}
    placed = split_videos(clips, SplitConfig(by="(farm[0-9]+)/"), layout)
    for farm in range(3):
        assert len({placed[name] for name in clips if name.startswith(f"farm{farm}/")}) == 1


def test_fixed_assignment_wins_and_must_agree(layout: Layout) -> None:
    clips = {"farm1/a.mp4": 1, "farm2/a.mp4": 1, "farm3/a.mp4": 1, "farm3/b.mp4": 1}
    placed = split_videos(clips, SplitConfig(by="folder", assign={"farm3/*": "test"}), layout)
    assert placed["farm3/a.mp4"] == placed["farm3/b.mp4"] == "test"
    with pytest.raises(ConfigError, match=r"group 'farm3' to test \('farm3/a\*' fits .*to train \('farm3/b\*' fits"):
        split_videos(clips, SplitConfig(by="folder", assign={"farm3/a*": "test", "farm3/b*": "train"}), layout)


def test_a_split_without_a_share_stays_empty() -> None:
    weights = {f"g{n}": 1 for n in range(20)}
    placed = assign(weights, SplitConfig(fractions=[0.5, 0.5, 0.0]), {}, {g: [g] for g in weights})
    assert counts(placed, weights) == {"train": 10, "val": 10, "test": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": [0.8, 0.1]}, "three shares"),
        ({"fractions": [0.8, 0.1, 0.2]}, "add up to 1"),
        ({"assign": {"a*": "dev"}}, "one of train, val, test, got 'dev'"),
        ({"embargo": -1}, "split.embargo must be 0 or more seconds, got -1"),
    ],
)
def test_wrong_values_name_key_and_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConfig(**options)  # type: ignore[arg-type]


def test_two_patterns_that_send_one_video_to_two_splits_are_both_named(layout: Layout) -> None:
    for by in ("video", "time"):
        config = SplitConfig(by=by, assign={"farm3/*": "test", "*/night.mp4": "train"})
        said = r"the video 'farm3/night.mp4' to test \('farm3/\*' fits .*\) and to train \('\*/night.mp4' fits"
        with pytest.raises(ConfigError, match=said):
            planned_splits({named("farm3/night.mp4"): 1}, config, layout)


def test_patterns_that_fit_no_video_are_listed() -> None:
    config = SplitConfig(assign={"farm3/*": "test", "farm1/*": "train"})
    assert unused_patterns([named("farm1/a.mp4")], config) == ["farm3/*"]


def test_every_video_without_a_group_is_named_at_once() -> None:
    videos = [named(name) for name in ("farm1/a.mp4", "barn/a.mp4", "barn/b.mp4")]
    with pytest.raises(ConfigError, match=r"'barn/a\.mp4'.*'barn/b\.mp4'"):
        groups(videos, SplitConfig(by="(farm[0-9]+)/"))
    with pytest.raises(ConfigError, match="and so for 2 more videos"):
        groups([named(f"v{n}.mp4") for n in range(7)], SplitConfig(by="day"))


# -- labels -----------------------------------------------------------------------------------------------------------


def label(text: str | None, video: str, seconds: float = 10.0, start: float = 0.0) -> Label:
    return Label(text, "", "", video, named(video).fingerprint, start, start + seconds)


def test_every_label_is_shared_out_like_the_clips(layout: Layout) -> None:
    """Ten of 100 videos turn; the shares of clips alone would send them anywhere."""
    names = [f"v{n:02}.mp4" for n in range(100)]
    labels = [label("turning" if n % 10 == 3 else "lying", name) for n, name in enumerate(names)]
    clips = {named(name): 10 for name in names}
    placed = planned_splits(clips, SplitConfig(), layout, lambda: labels)
    for which, many in (("turning", 10), ("lying", 90)):
        of = [placed.spans[x.video][0].split for x in labels if x.label == which]
        assert {s: of.count(s) for s in SPLITS} == {"train": many * 0.8, "val": many * 0.1, "test": many * 0.1}
    plain = planned_splits(clips, SplitConfig(stratify=False), layout, lambda: labels)
    turning = [plain.spans[x.video][0].split for x in labels if x.label == "turning"]
    assert {s: turning.count(s) for s in SPLITS} != {"train": 8, "val": 1, "test": 1}


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from("abc")), min_size=12, max_size=40))
def test_stratified_or_not_groups_stay_whole_and_no_split_is_empty(found: list[tuple[int, str]]) -> None:
    weights = {f"g{n}": weight for n, (weight, _) in enumerate(found)}
    strata = {f"g{n}": {which: float(weight)} for n, (weight, which) in enumerate(found)}
    placed = assign(weights, SplitConfig(), {}, {g: [g] for g in weights}, strata)
    assert set(placed) == set(weights) and all(counts(placed, weights).values())
    assert placed == assign(weights, SplitConfig(), {}, {g: [g] for g in weights}, dict(reversed(strata.items())))
    kept = assign(weights, SplitConfig(), {"g0": "test", "g1": "test"}, {g: [g] for g in weights}, strata)
    assert kept["g0"] == kept["g1"] == "test", "a label changes nobody's side"


def test_a_label_that_was_taken_back_counts_no_more(layout: Layout) -> None:
    videos = {named(f"v{n}.mp4"): 1 for n in range(20)}
    given = [label("turning", f"v{n}.mp4") for n in range(10)]
    back = [label(None, f"v{n}.mp4") for n in range(10)]
    plain = planned_splits(videos, SplitConfig(), layout)
    assert planned_splits(videos, SplitConfig(), layout, lambda: [*given, *back]) == plain
    assert planned_splits(videos, SplitConfig(), layout, lambda: given) != plain


def test_labels_are_not_asked_for_once_everything_is_settled(layout: Layout) -> None:
    split_videos({"a.mp4": 1}, SplitConfig(), layout)
    planned_splits({named("a.mp4"): 1}, SplitConfig(), layout, lambda: pytest.fail("asked"))


# -- other groups -----------------------------------------------------------------------------------------------------


def test_a_day_is_a_group_and_needs_the_recording_time() -> None:
    day = grouping(SplitConfig(by="day"))
    assert day(named("a.mp4", recorded_at=datetime(2026, 5, 4, 23, 59))) == "2026-05-04"
    with pytest.raises(ConfigError, match=r"select.time_pattern finds none in 'a\.mp4'"):
        day(named("a.mp4"))


def test_groups_from_a_table(tmp_path: Path) -> None:
    table = tmp_path / "herds.csv"
    table.write_text(
        "\ufeffvideo,group,note\nbarn/cam1*,north,x\nbarn/*,south,\nbarn/cam12.mp4,east,\n", encoding="utf-8"
    )
    group = grouping(SplitConfig(by=str(table)))
    assert [group(named(f"barn/{n}.mp4")) for n in ("cam10", "cam2", "cam12")] == ["north", "south", "east"]
    with pytest.raises(ConfigError, match=r"herds.csv has no group for the video 'field/a.mp4': add a line"):
        group(named("field/a.mp4"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("video,herd\na,b\n", "it lacks group"), ("", "it lacks video"), (None, "cannot be read as a table")],
)
def test_a_table_that_is_none_is_refused_by_name(text: str | None, message: str, tmp_path: Path) -> None:
    table = tmp_path / "herds.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        grouping(SplitConfig(by=str(table)))
    assert "herds.csv" in str(caught.value)


def test_a_table_that_moved_keeps_its_assignments(layout: Layout, tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "herds.csv").write_text("video,group\n" + "".join(f"v{n}.mp4,h{n}\n" for n in range(9)))
    first = split_videos({f"v{n}.mp4": 1 for n in range(3)}, SplitConfig(by=f"{tmp_path}/here/herds.csv"), layout)
    again = split_videos({f"v{n}.mp4": 1 for n in range(9)}, SplitConfig(by=f"{tmp_path}/there/herds.csv"), layout)
    assert {name: again[name] for name in first} == first


# -- one video in stretches -------------------------------------------------------------------------------------------


def in_time(layout: Layout, **options: Any) -> Splits:
    return planned_splits({named("a.mp4", duration=1000.0): 9}, SplitConfig(by="time", **options), layout)


def test_a_video_is_cut_by_the_shares_and_borders_are_kept_free(layout: Layout) -> None:
    splits = in_time(layout, embargo=10)
    assert splits.spans["a.mp4"] == (Span(0, 800, "train"), Span(800, 900, "val"), Span(900, math.inf, "test"))
    seen = {first: splits.of("a.mp4", first, first + 5) for first in (0, 785, 786, 799, 805, 810, 884, 886, 910, 2000)}
    assert list(seen.values()) == ["train", "train", None, None, None, "val", "val", None, "test", "test"]
    assert splits.distance("a.mp4", 790, 795) == 5 and splits.distance("a.mp4", 795, 805) == 0
    settle(splits, [named("a.mp4")], SplitConfig(by="time"), layout)
    assert not layout.splits.exists(), "the shares say it all"


def test_a_video_that_is_assigned_is_not_cut(layout: Layout) -> None:
    assert in_time(layout, assign={"a*": "test"}).of("a.mp4", 0, 999) == "test"


@given(
    borders=st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
    embargo=st.floats(0, 50),
    first=st.floats(0, 1000),
    second=st.floats(0, 1000),
    lasts=st.floats(0, 100),
)
def test_what_lies_in_two_splits_is_twice_the_embargo_apart(
    borders: list[float], embargo: float, first: float, second: float, lasts: float
) -> None:
    ends = [0.0, *(1000 * sum(borders[: n + 1]) / sum(borders) for n in range(3))]
    splits = Splits({"a": tuple(Span(ends[n], ends[n + 1], SPLITS[n]) for n in range(3))}, embargo)
    early, late = sorted((first, second))
    one, two = splits.of("a", early, early + lasts), splits.of("a", late, late + lasts)
    if one is not None and two is not None and one != two:
        assert late - (early + lasts) >= 2 * embargo - 1e-9


def test_splits_that_stay_empty_are_named(layout: Layout) -> None:
    splits = planned_splits({named("a.mp4"): 5, named("b.mp4"): 5}, SplitConfig(), layout)
    assert len(splits.without_videos((0.8, 0.1, 0.1))) == 1 and splits.without_videos((1, 0, 0)) in ([], ["train"])
    assert in_time(layout).without_videos((0.8, 0.1, 0.1)) == []
