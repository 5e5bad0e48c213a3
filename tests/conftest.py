"""What all tests start from, and footage that the end-to-end tests share: made once per session and process, small,
with animals that really move."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from video.scenes import render_scene

os.environ["COLUMNS"] = "120"  # tables are as wide as the terminal, and pytest-xdist says that it has 80 columns
# Other tests, and what else the machine does, may hold up any example.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

NAMES = ("farm1/cam1_20260601_0900.mp4", "farm1/cam2_20260601_1215.mp4", "farm2/cam1_20260601_1530.mp4")


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of two farms, 8 s each, 320 x 192 at 25 frames a second: two clips of 20 frames by default."""
    folder = tmp_path_factory.mktemp("footage")
    for seed, name in enumerate(NAMES):
        render_scene(folder / name, seed=50 + seed, seconds=8, width=320, height=192, cows=2, people=1)
    return folder
