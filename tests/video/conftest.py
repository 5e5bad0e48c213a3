"""Footage made once per session, when the first test asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.video.cases import CASES
from video.source import Found, probe
from video.types import Video


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """made(name, make): the path of a file that `make` has written, the first time it is asked for."""
    folder = tmp_path_factory.mktemp("footage")
    done: dict[str, Path] = {}

    def get(name: str, make: Callable[[Path], object]) -> Path:
        if name not in done:
            make(folder / name)
            done[name] = folder / name
        return done[name]

    return get


@pytest.fixture(scope="session")
def footage(made: Callable[[str, Callable[[Path], object]], Path]) -> Callable[[str], Video]:
    """footage(name): one of the files of `cases.py`, probed."""
    known: dict[str, Video] = {}

    def get(name: str) -> Video:
        if name not in known:
            path = made(name + CASES[name].suffix, CASES[name].make)
            known[name] = probe(Found(str(path), path.name))
        return known[name]

    return get
