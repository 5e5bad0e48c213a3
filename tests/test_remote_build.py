"""Footage on servers: the same dataset as from files of this machine, whatever the connection does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.build import Build
from tests.pipeline.composing import loaded
from tests.running import contents
from tests.serving import Served, serving_http
from video import remote
from video.scenes import render_scene

STABLE = ("crops", "tracks", "samples.parquet", "rejected.parquet", "failures.parquet", "splits.parquet")
SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5", "exports=[]")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BACK_OFF_S", 0.01)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders, three videos of 2 s; one has a space in its name."""
    folder = tmp_path_factory.mktemp("served")
    for seed, name in enumerate(("barn/cam 1_20260601_0900.mp4", "barn/cam2_20260601_1215.mp4", "yard/cam3.mp4")):
        (folder / name).parent.mkdir(exist_ok=True)
        render_scene(folder / name, seed=50 + seed, seconds=2, width=160, height=96, cows=1, people=1)
    return folder


@pytest.fixture(scope="module")
def local(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What files of this machine give."""
    out = tmp_path_factory.mktemp("local")
    assert Build(loaded(f"videos={footage}", f"out={out}", *SMALL)).run().status == 0
    return contents(out, *STABLE)


@pytest.fixture
def web(footage: Path) -> Iterator[Served]:
    with serving_http(footage) as served:
        yield served


def build(tmp_path: Path, *words: str) -> dict[str, bytes]:
    settings = loaded(f"out={tmp_path}/out", f"cache.path={tmp_path}/cache", *SMALL, *words)
    assert Build(settings).run().status == 0
    return contents(tmp_path / "out", *STABLE)


def test_http_gives_the_same_bytes(web: Served, tmp_path: Path, local: dict[str, bytes]) -> None:
    assert build(tmp_path, f"videos={web.url}/") == local
