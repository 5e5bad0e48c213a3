"""A dataset that tests of servers make again and again: as a folder of this machine has it, to be compared with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest

from pipeline.build import Build
from tests.pipeline.composing import loaded
from tests.remote.making import SMALL
from tests.serving import Faults, Served
from tests.serving_buckets import Bucket, serving_buckets
from video import connection, store
from video.scenes import render_scene

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "farmer", "AWS_SECRET_ACCESS_KEY": "hay", "FSSPEC_GS_TOKEN": "anon"}
COUNT = itertools.count()


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of 2 s, of which every second shard takes one."""
    folder = tmp_path_factory.mktemp("footage")
    for n, name in enumerate(("cam1.mp4", "cam 2.mp4")):
        render_scene(folder / name, seed=50 + 2 * n, seconds=2, width=160, height=96, cows=1, people=1)
    return folder


@pytest.fixture(scope="session")
def local(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset as a folder of this machine."""
    out = tmp_path_factory.mktemp("local") / "cows"
    assert (
        Build(loaded(f"videos={footage}", f"out={out}", *SMALL, "exports=[videofolder,webdataset]")).run().status == 0
    )
    return out


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No waiting between tries, and no known hosts but those of the test."""
    monkeypatch.setattr(connection, "BACK_OFF_S", 0.005)
    monkeypatch.setattr(store, "_folders", set())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, Served]]:
    """One server of each kind for all tests: clients are kept by what they were made with."""
    with serving_buckets("s3") as s3, serving_buckets("gs") as gs, pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", s3.url)
        patch.setenv("STORAGE_EMULATOR_HOST", gs.url)
        patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # a client of another test knows nothing of these
        yield {"s3": s3, "gs": gs}


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, servers: dict[str, Served], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of its own for each test, in both kinds of store."""
    server = servers[request.param]
    server.faults = Faults()
    made = Bucket(request.param, server, f"farm-{next(COUNT)}")
    if request.param == "gs":
        monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=_at_once))
    for seen in (server.asked, server.sent, server.taken):
        seen.clear()
    return made


async def _at_once(seconds: float) -> None:
    """Instead of what gcsfs waits between its own tries."""
