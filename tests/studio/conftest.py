"""One studio and one video for the tests that leave no trace in either; what pictures are taken of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.studio.serving import Served, film, serving

SIZE = (320, 180)
COUNT = 40


@pytest.fixture(scope="session")
def cows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of 320 x 180: a red disc from (60, 60) going right, a blue one from (260, 130) going left."""
    path = tmp_path_factory.mktemp("footage") / "cows.mp4"
    return film(path, COUNT, SIZE, [((60, 60), (3, 0)), ((260, 130), (-3, 0))])


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("studio"), max_sessions=30) as served:
        yield served


@pytest.fixture
def demo() -> Path | None:
    """A dataset to take pictures of, with its videos: STUDIO_DATASET; None: one that the test makes."""
    named = os.environ.get("STUDIO_DATASET")
    return Path(named) if named else None


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where the pictures go: STUDIO_PICTURES, or nowhere that stays."""
    named = os.environ.get("STUDIO_PICTURES")
    return Path(named) if named else tmp_path
