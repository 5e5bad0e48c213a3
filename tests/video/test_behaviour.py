"""Footage with behaviours: what the truth says an individual does is what its outline does."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from video.scenes import SceneTruth, load_bouts, render_scene
from video.synthetic.behaviour import BEHAVIOURS, Bout


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[SceneTruth, list[Bout]]:
    """A minute of four cows at five frames a second."""
    path = tmp_path_factory.mktemp("scene") / "a b.mp4"
    truth = render_scene(path, 8, 60, 320, 180, fps=5, cows=4, people=0, behaviours=True)
    return truth, load_bouts(path)


def test_every_behaviour_occurs_and_nobody_does_two_things_at_once(scene: tuple[SceneTruth, list[Bout]]) -> None:
    truth, bouts = scene
    seconds = Counter[str]()
    busy: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(truth.frames, int))
    for bout in bouts:
        assert 0 <= bout.start < bout.end <= truth.frames and bout.individual in truth.names
        seconds[bout.behaviour] += bout.end - bout.start
        busy[bout.individual][bout.start : bout.end] += 1
    assert set(seconds) == set(BEHAVIOURS) and min(seconds.values()) > 10
    assert all(frames.max() == 1 for frames in busy.values())


def test_those_who_walk_move_and_those_who_stand_do_not(scene: tuple[SceneTruth, list[Bout]]) -> None:
    """Steps of the box's centre, in box widths a second, and how much the box's proportion changes."""
    truth, bouts = scene
    steps: dict[str, list[float]] = defaultdict(list)
    shapes: dict[str, list[float]] = defaultdict(list)
    for bout in bouts:
        who = truth.names.index(bout.individual)
        rows = [n for f in range(bout.start, bout.end) for n in truth.rows(f) if truth.individual[n] == who]
        rows = [n for n in rows if truth.visible(n) > 0.9]
        if len(rows) < 10:
            continue
        boxes = truth.boxes[rows].astype(float)
        wide, tall = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        centre = (boxes[:, 0] + boxes[:, 2]) / 2
        steps[bout.behaviour].append(float(np.abs(np.diff(centre)).mean() * 5 / wide.mean()))
        shapes[bout.behaviour].append(float(np.std(wide / tall)))
    assert min(steps["walk"]) > 2 * max(steps["stand"])
    assert min(shapes["turn"]) > 2 * max(shapes["stand"]), "seen from the front it is half as wide"


def test_the_same_seed_gives_the_same_behaviours_and_none_without(tmp_path: Path) -> None:
    options = {"seconds": 4, "width": 64, "height": 64, "fps": 5}
    for name in ("a", "b"):
        render_scene(tmp_path / f"{name}.mp4", 3, **options, behaviours=True)
    assert load_bouts(tmp_path / "a.mp4") == load_bouts(tmp_path / "b.mp4") != []
    render_scene(tmp_path / "c.mp4", 3, **options)
    assert not (tmp_path / "c.behaviours.csv").exists()
