"""executor=ray: the same dataset as one process, on a cluster of this machine, whoever dies on the way."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.build import Build
from pipeline.crew.actor import ActorMember
from pipeline.crew.drive import AHEAD, drive
from pipeline.errors import ConfigError
from pipeline.executors.on_ray import OnRay
from pipeline.footage import survey
from pipeline.job import Job, Outcome
from pipeline.split import Splits
from tests.pipeline.composing import loaded
from tests.pipeline.making import a_chunk, a_clip, a_video
from tests.pipeline.mortal import Mortal, made
from tests.serving import serving_http
from video.types import Window

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


@pytest.mark.slow
def test_footage_on_a_server_gives_the_bytes_of_files(footage: Path, tmp_path: Path) -> None:
    alone = loaded(f"videos={footage}", f"out={tmp_path}/alone", *SMALL)
    assert Build(alone).run().status == 0
    with serving_http(footage) as served:
        settings = loaded(f"videos={served.url}", f"out={tmp_path}/ray", f"cache.path={tmp_path}/cache", *SMALL, *RAY)
        assert Build(settings).run().status == 0
        assert len(served.sent) == 3
    assert made(settings.out) == made(alone.out)


@pytest.fixture
def one_gpu() -> Iterator[Any]:
    """A cluster of this machine that says that it has a GPU."""
    ray = pytest.importorskip("ray")
    ray.init(
        address="local", num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="error"
    )
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_half_a_gpu_each_puts_two_workers_on_one(
    one_gpu: Any, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, most = list[ActorMember](), Counter[str]()
    make, give = ActorMember.__init__, ActorMember.give

    def counted(self: ActorMember, *given: Any) -> None:
        make(self, *given)
        started.append(self)

    def watched(self: ActorMember, job: Job) -> None:
        give(self, job)
        most["queued"] = max(most["queued"], sum(len(member.answers) for member in started))
        most["of one"] = max(most["of one"], len(self.answers))

    monkeypatch.setattr(ActorMember, "__init__", counted)
    monkeypatch.setattr(ActorMember, "give", watched)
    halves = ("executor=ray", "executor.cpus=1", "executor.gpus=0.5", "clip.hop=1")
    settings = loaded(f"videos={footage}", f"out={tmp_path}/out", *SMALL, *halves)
    build = Build(settings)
    jobs = build.jobs(survey(settings, build.ledger))
    running = settings.executor.run(settings, jobs)
    next(running)
    assert len(started) == 2 and one_gpu.available_resources().get("GPU", 0) == 0
    running.close()
    assert len(jobs) >= 3 and most["of one"] <= AHEAD and most["queued"] <= 2 * AHEAD


def test_no_worker_has_more_chunks_than_it_may(tmp_path: Path) -> None:
    """A thousand chunks wait here, not in the cluster."""
    settings = loaded("videos=/a", "prompt=cow", "tracker=motion", f"out={tmp_path}")
    jobs = [job_of(n) for n in range(1000)]
    members = [Idle() for _ in range(3)]
    outcomes = list(drive(settings, jobs, members, lambda at_work: [max(at_work, key=lambda m: len(m.jobs))]))
    assert [len(outcomes), max(member.most for member in members)] == [1000, AHEAD]
    assert {outcome.record_id for outcome in outcomes} == {job.record_id for job in jobs}


class Idle:
    """A worker that is done at once. most: the jobs it had at one time."""

    ready = True

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.most = 0

    def give(self, job: Job) -> None:
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))

    def result(self) -> Outcome:
        return Outcome(self.jobs.pop(0).record_id, 1, 0, (), 1, 0, {})

    def replace(self) -> None:
        raise AssertionError("nobody died")


def job_of(number: int) -> Job:
    video = a_video(name=f"cam{number % 7}", fingerprint=f"{number % 7}" * 16)
    return Job(a_chunk(Window((a_clip(4 * number, video=video),))), ("cow",), ("key",), f"record{number}", Splits({}))


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
        ({"gpus": 1.5}, r"executor\.gpus above 1 must be a whole number of GPUs, got 1\.5"),
    ],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnRay(**options)  # type: ignore[arg-type]


def test_workers_fit_the_nodes() -> None:
    settings = loaded("videos=/a", "prompt=cow", "tracker=sam3_hf")
    one = [{"CPU": 16.0, "GPU": 2.0}]
    assert OnRay()._gpus(settings, one) == 1 and OnRay()._fitting(one, 1.0) == 2
    assert OnRay()._gpus(settings, [{"CPU": 4.0}]) == 0
    assert OnRay(gpus=0.5)._fitting(one, 0.5) == 4
    assert OnRay(gpus=0.4)._fitting(one, 0.4) == 4, "a share is of one GPU"
    assert OnRay()._gpus(loaded("videos=/a", "prompt=cow", "tracker=motion"), one) == 0
    assert OnRay(cpus=4)._fitting(one, 0.0) == 4
    assert OnRay(cpus=0.1)._fitting([{"CPU": 0.3}], 0.0) == 3
    assert OnRay()._fitting([{"CPU": 3.0}, {"CPU": 3.0}, {}], 0.0) == 2, "a worker is on one node"
    assert OnRay()._fitting([*one, {"CPU": 64.0}], 1.0) == 2
    with pytest.raises(ConfigError, match=r"large enough .*cpus=32.*they have 16 CPUs and 2 GPUs, 4 CPUs and 0 GPUs"):
        OnRay(cpus=32)._fitting([*one, {"CPU": 4.0}], 0.0)
