"""Every example in docs/prompts.md runs as it stands, with a tiny SAM2 in place of the large one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.clicks import read_prompts
from pipeline.task_options import SegmentConfig
from sam.backends.grounded_sam2 import GroundedSam2Config
from sam.backends.grounding import phrases_of
from sam.backends.sam2 import Sam2Config
from sam.types import Prompt
from tests.pipeline.composing import loaded
from video.encoder import EncodeConfig, encode

PAGE = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for line in PAGE.splitlines() if line.startswith("python main.py")]
WIDTH, HEIGHT, COUNT = 640, 480, 60


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cows.mp4 and truck.jpg."""
    folder = tmp_path_factory.mktemp("examples")
    floor = np.random.default_rng(0).integers(60, 90, (HEIGHT, WIDTH, 3), np.uint8)

    def picture(t: int) -> np.ndarray:
        image = floor.copy()
        cv2.circle(image, (210 + t, 350), 60, (200, 60, 50), -1)
        return cv2.circle(image, (400 - t, 150), 50, (50, 70, 210), -1)

    fast = EncodeConfig(preset="ultrafast")
    encode(folder / "cows.mp4", (picture(t) for t in range(COUNT)), Fraction(25), fast, size=(WIDTH, HEIGHT))
    cv2.imwrite(str(folder / "truck.jpg"), picture(0)[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def weights(prompted: dict[str, Path]) -> Path:
    return prompted["sam2"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, place: Path) -> Iterator[dict[str, Any]]:
    monkeypatch.chdir(place)
    known: dict[str, Any] = {}
    yield known
    if "tracker" in known:
        known["tracker"].__exit__(None, None, None)


def test_every_example_runs(names: dict[str, Any], weights: Path) -> None:
    large = 'weights="facebook/sam2.1-hiera-large"'
    assert large in EXAMPLES[0] and len(EXAMPLES) == 7
    seen: list[dict[str, Any]] = []
    for code in EXAMPLES:
        exec(code.replace(large, f'weights={str(weights)!r}, device="cpu"'), names)
        seen.append(dict(names))
    _, picture, points, parts, boxes, several, _ = seen
    assert len(picture["masks"]) == 3
    assert sorted(points["before"]) == sorted(points["after"]) == list(range(COUNT))
    assert points["shown"].frame == 50 and points["after"][50].masks == points["shown"].masks
    assert [s.frame for s in parts["forward"]] == list(range(50, 56))
    assert [s.frame for s in parts["backward"]] == list(range(50, 44, -1))
    assert [t.object_id for t in boxes["tracks"]] == [4]
    assert [t.object_id for t in several["tracks"]] == [2] and several["seen"].frame == 20


def test_every_command_is_understood(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clicked = [line for line in COMMANDS if "task=segment" in line]
    assert (len(clicked), len(COMMANDS)) == (5, 10)
    monkeypatch.chdir(place)
    (listed,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (place / "clicks.json").write_text(listed)
    prompts = [read_prompts(loaded(*shlex.split(line)[2:]).segment) for line in clicked]
    assert prompts[0] == ()
    assert prompts[1] == (Prompt(object_id=1, points=((210, 350), (250, 220)), labels=(1, 1)),)
    assert prompts[2] == (Prompt(object_id=1, frame=20, box=(300, 0, 500, 400)),)
    assert [(p.object_id, p.frame, p.labels) for p in prompts[3]] == [(1, 0, (1,)), (2, 20, ()), (1, 50, (0,))]
    assert read_prompts(SegmentConfig(clicks=listed)) == prompts[3]


def test_the_commands_by_text_ask_for_a_class_and_for_two_things() -> None:
    given = [loaded(*shlex.split(line)[2:]) for line in COMMANDS if "tracker=grounded_sam2" in line]
    assert [settings.prompts for settings in given] == [("cow",), ("koala, parrot",)]
    assert [phrases_of(settings.prompts[0]) for settings in given] == [["cow"], ["koala", "parrot"]]
    assert {type(settings.tracker) for settings in given} == {GroundedSam2Config}


def test_the_table_of_the_tracker_by_text_has_its_defaults() -> None:
    rows = re.findall(r"^\| `tracker\.(\w+)` \| `?([^|`]+?)`? \|", PAGE, re.MULTILINE)
    plain = GroundedSam2Config()
    assert {name: value for name, value in rows} == {
        name: "null" if (value := getattr(plain, name)) is None else str(value) for name, _ in rows
    }
    own = {field.name for field in fields(GroundedSam2Config)} - {field.name for field in fields(Sam2Config)}
    assert own | {"weights"} == {name for name, _ in rows}
