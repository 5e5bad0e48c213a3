"""The four click strings: written, read back, and refused with their file where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.click_strings import from_strings, to_strings
from pipeline.clicks import read_prompts
from pipeline.errors import ConfigError
from pipeline.task_options import SegmentConfig
from sam.types import Prompt

PROMPTS = (
    Prompt(object_id=1, points=((210, 350), (250.5, 220)), labels=(1, 1)),
    Prompt(object_id=2, points=((400, 150),), labels=(1,)),
    Prompt(object_id=1, frame=50, points=((82, 410),), labels=(0,)),
)
STRINGS = {
    "click_coordinates": "[210,350],[250.5,220],[400,150],[82,410]",
    "click_labels": "1,1,1,0",
    "click_frames": "0,0,0,50",
    "click_object_ids": "obj_1,obj_1,obj_2,obj_1",
    "num_points": 4,
}


def test_clicks_are_written_as_four_strings() -> None:
    assert to_strings(PROMPTS) == STRINGS
    with pytest.raises(ValueError, match="only points of numbered objects"):
        to_strings([Prompt(object_id=1, box=(0, 0, 5, 5))])
    with pytest.raises(ValueError, match="only points of numbered objects"):
        to_strings([Prompt(points=((1, 1),), labels=(1,))])


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "clicks.json"
    file.write_text(json.dumps(STRINGS))
    assert read_prompts(SegmentConfig(clicks=str(file))) == PROMPTS
    assert read_prompts(SegmentConfig(clicks=STRINGS)) == PROMPTS


def test_names_without_numbers_are_numbered() -> None:
    given = {
        "click_coordinates": "[1,2],[3,4],[5,6]",
        "click_labels": "1,1,0",
        "click_frames": "0,0,0",
        "click_object_ids": "cow, calf,cow",
    }
    assert from_strings(given, "x") == [
        {"object": 1, "frame": 0, "points": [[1, 2], [5, 6]], "labels": [1, 0]},
        {"object": 2, "frame": 0, "points": [[3, 4]], "labels": [1]},
    ]
    assert [e["object"] for e in from_strings(given | {"click_object_ids": "a1,b1,c"}, "x")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"click_labels": "1,1"}, "got 4 coordinates, 2 labels, 4 frames and 4 objects"),
        ({"click_labels": None}, "has no text under click_labels"),
        ({"click_frames": "0,0,0,x"}, "click strings are lists such as"),
        ({"click_coordinates": "[1,2],[3"}, "click strings are lists such as"),
        ({"click_labels": "1,1,1,3"}, "a label is 1"),
        ({"click_coordinates": "1,2,3,4"}, "are 2 numbers in source pixels, got 1"),
    ],
)
def test_strings_that_do_not_go_together_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    file.write_text(json.dumps(STRINGS | change))
    with pytest.raises(ConfigError, match=message):
        read_prompts(SegmentConfig(clicks=str(file)))
