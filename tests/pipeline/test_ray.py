"""executor=ray: the same dataset as one process, on a cluster of this machine, whoever dies on the way."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline.build import Build
from pipeline.errors import ConfigError
from pipeline.executors.on_ray import OnRay
from tests.pipeline.composing import loaded
from tests.pipeline.mortal import Mortal, made

SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5")
RAY = ("executor=ray", "executor.cpus=1", "executor.workers=2")
VICTIM = "farm1/cam2_20260601_1215.mp4"


@pytest.mark.slow
def test_lost_actors_are_replaced_and_the_bytes_are_those_of_one_process(
    footage: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = loaded(f"videos={footage}", f"out={tmp_path}/alone", *SMALL)
    assert Build(alone).run().status == 0
    settings = loaded(f"videos={footage}", f"out={tmp_path}/ray", *SMALL, *RAY)
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    mortal = Mortal(**asdict(settings.tracker), folder=str(deaths), victim=VICTIM)  # type: ignore[call-overload]
    assert Build(replace(settings, tracker=mortal)).run().status == 0
    assert f"{VICTIM}: a Ray worker was lost (ActorDiedError); the chunk is tried again" in caplog.text
    assert made(settings.out) == made(alone.out)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, footage: Path, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"EXTRAS=ray.*executor=processes needs nothing more"):
        Build(loaded(f"videos={footage}", f"out={tmp_path}", *SMALL, *RAY)).run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, r"executor\.workers must be at least 1.*got 0"),
        ({"cpus": 0}, r"executor\.cpus must be more than 0, got 0"),
        ({"gpus": -1}, r"executor\.gpus must be 0 or more, got -1"),
    ],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnRay(**options)  # type: ignore[arg-type]


def test_workers_fit_the_cluster() -> None:
    settings = loaded("videos=/a", "prompt=cow", "tracker=sam3_hf")
    room = {"CPU": 16.0, "GPU": 2.0}
    assert OnRay()._gpus(settings, room) == 1 and OnRay()._fitting(room, 1.0) == 2
    assert OnRay(gpus=0.5)._fitting(room, 0.5) == 4
    assert OnRay()._gpus(loaded("videos=/a", "prompt=cow", "tracker=motion"), room) == 0
    assert OnRay(cpus=4)._fitting(room, 0.0) == 4
    with pytest.raises(ConfigError, match="16 CPUs and 2 GPUs, too few"):
        OnRay(cpus=32)._fitting(room, 0.0)
