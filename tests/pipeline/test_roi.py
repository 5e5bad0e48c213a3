"""Regions of interest: which boxes count, and what is said about a file that makes no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.roi import Regions, load_regions

Box = tuple[int, int, int, int]
LEFT = [[0, 0], [100, 0], [100, 100], [0, 100]]
CORNER = [[0, 0], [50, 0], [0, 50]]


@pytest.fixture
def region_file(tmp_path: Path) -> Path:
    return tmp_path / "roi.json"


def load(path: Path, content: Any) -> Regions:
    path.write_text(json.dumps(content))
    return load_regions(path)


def around(x: int, y: int) -> Box:
    return (x - 5, y - 5, x + 5, y + 5)


def test_without_a_file_everything_counts() -> None:
    assert load_regions(None).share("any.mp4", [around(5, 5), None]) == 1.0


def test_the_share_is_of_the_boxes_that_are_visible(region_file: Path) -> None:
    regions = load(region_file, {"*": {"keep": [LEFT]}})
    inside, outside = around(50, 50), around(150, 50)
    assert regions.share("a.mp4", [inside, outside, None, inside, None]) == pytest.approx(2 / 3)
    assert regions.share("a.mp4", [outside]) == 0.0
    assert regions.share("a.mp4", [None, None]) == 1.0, "nothing visible is nothing outside"


def test_the_centre_decides_and_the_edge_counts(region_file: Path) -> None:
    regions = load(region_file, {"*": {"keep": [LEFT]}})
    assert regions.share("a.mp4", [(60, 40, 140, 60)]) == 1.0, "centre on the edge"
    assert regions.share("a.mp4", [(61, 40, 141, 60)]) == 0.0, "half a pixel beyond it"


def test_ignore_wins_over_keep(region_file: Path) -> None:
    regions = load(region_file, {"*": {"keep": [LEFT], "ignore": [CORNER]}})
    assert regions.share("a.mp4", [around(10, 10), around(80, 80)]) == 0.5


def test_ignore_alone_keeps_the_rest(region_file: Path) -> None:
    regions = load(region_file, {"*": {"ignore": [LEFT]}})
    assert regions.share("a.mp4", [around(50, 50), around(150, 50)]) == 0.5


def test_several_polygons_add_up(region_file: Path) -> None:
    right = [[x + 200, y] for x, y in LEFT]
    regions = load(region_file, {"*": {"keep": [LEFT, right]}})
    assert regions.share("a.mp4", [around(50, 50), around(150, 50), around(250, 50)]) == pytest.approx(2 / 3)


def test_the_first_pattern_that_matches_is_the_cameras(region_file: Path) -> None:
    regions = load(region_file, {"farm1/cam1*": {"keep": [LEFT]}, "farm1/*": {"ignore": [LEFT]}})
    boxes = [around(50, 50), None]
    assert regions.share("farm1/cam1_0900.mp4", boxes) == 1.0
    assert regions.share("farm1/cam2_0900.mp4", boxes) == 0.0
    assert regions.share("farm2/cam1_0900.mp4", boxes) == 1.0, "no pattern: no region"


def test_polygons_need_not_be_convex(region_file: Path) -> None:
    horseshoe = [[0, 0], [90, 0], [90, 90], [60, 90], [60, 30], [30, 30], [30, 90], [0, 90]]
    regions = load(region_file, {"*": {"keep": [horseshoe]}})
    assert regions.share("a.mp4", [around(45, 60)]) == 0.0
    assert regions.share("a.mp4", [around(15, 60), around(75, 60), around(45, 15)]) == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([LEFT], "must map a pattern to polygons"),
        ({"cam*": LEFT}, "'cam\\*' must have keep and/or ignore"),
        ({"cam*": {}}, "'cam\\*' must have keep and/or ignore"),
        ({"cam*": {"keeps": [LEFT]}}, "'cam\\*' must have keep and/or ignore"),
        ({"cam*": {"keep": [[[0, 0], [1, 1]]]}}, "not 3 or more \\[x,y\\] points: \\[\\[0, 0\\], \\[1, 1\\]\\]"),
        ({"cam*": {"keep": [LEFT, [[0, 0, 0]] * 3]}}, "not 3 or more"),
        ({"cam*": {"ignore": [[[0, 0], [1], [2, 2]]]}}, "not 3 or more"),
        ({"cam*": {"keep": LEFT}}, "not 3 or more"),
        ({"cam*": {"keep": [[["a", "b"]] * 3]}}, "not 3 or more"),
    ],
)
def test_a_file_that_makes_no_sense_names_file_pattern_and_value(content: Any, message: str, region_file: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(region_file, content)
    assert f"select.roi={region_file}" in str(caught.value)


def test_a_file_that_is_not_json_or_not_there_is_named(region_file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_regions(region_file)
    region_file.write_text("{keep: all}")
    with pytest.raises(ConfigError, match="is not JSON"):
        load_regions(region_file)
    region_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not JSON"):
        load_regions(region_file)


@pytest.mark.parametrize("content", [{"*": {"keep": 5}}, {"*": {"keep": None}}, {"*": {"ignore": True}}])
def test_a_value_that_is_no_list_is_refused(content: Any, region_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"select\.roi="):
        load(region_file, content)


def test_a_number_that_is_no_place_is_refused(region_file: Path) -> None:
    region_file.write_text('{"*": {"keep": [[[0, 0], [NaN, 0], [0, 9]]]}}')
    with pytest.raises(ConfigError, match="not 3 or more"):
        load_regions(region_file)
