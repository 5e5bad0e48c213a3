"""One studio and one video for the tests that leave no trace in either."""

from __future__ import annotations

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
