"""Splits: groups stay together and never change sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.layout import Layout
from pipeline.settings import SPLITS, SplitConfig
from pipeline.split import assign, group_of, planned_splits, split_videos


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "tracks")


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
    planned_splits({"a.mp4": 1, "b.mp4": 1}, SplitConfig(), layout)
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
    with pytest.raises(ConfigError, match="'farm3' to test and train"):
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
    ],
)
def test_wrong_values_name_key_and_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitConfig(**options)  # type: ignore[arg-type]
