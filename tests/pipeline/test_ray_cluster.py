"""executor=ray on several nodes: where workers go, and what happens when nodes go and come. All nodes are on this
machine, each with a raylet of its own, and with GPUs that only Ray knows of."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.build import Build
from pipeline.crew import actor
from pipeline.errors import ConfigError
from pipeline.executors import on_ray
from pipeline.footage import survey
from pipeline.settings import Settings
from tests.pipeline.composing import loaded
from tests.pipeline.mortal import made
from tests.pipeline.placed import Placed, places
from tests.running import ROOT, run_process

SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5")
RAY = ("executor=ray", "executor.cpus=1")
LONGEST_S = 200.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster whose only node has no room for workers."""
    pytest.importorskip("ray")
    from ray._private import services
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_gcs_server_port_wait_time_s", f"{LONGEST_S:.0f}")  # for machines with other work
        patched.setattr(services, "get_node", _patient(services.get_node))
        patched.setenv("PYTHONPATH", str(ROOT))  # for the tests' tracker
        made = Cluster(initialize_head=True, head_node_args=_node(num_cpus=0))
        yield made
        made.shutdown()


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """The cluster, to which a test adds nodes; they go with it."""
    yield head
    for node in list(head.worker_nodes):
        head.remove_node(node, allow_graceful=False)


def _patient(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """Ray gives a node half a minute to say that it is there; a machine with other work may need longer."""

    def waiting(*given: Any) -> Any:
        deadline = time.monotonic() + LONGEST_S
        while True:
            try:
                return get_node(*given)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    return waiting


def _node(**room: float) -> dict[str, Any]:
    return {"object_store_memory": 80 * 2**20, "include_dashboard": False} | room


@pytest.fixture
def alone(footage: Path, tmp_path: Path) -> dict[str, bytes]:
    """What one process makes of the footage."""
    assert Build(loaded(f"videos={footage}", f"out={tmp_path}/alone", *SMALL)).run().status == 0
    return made(tmp_path / "alone")


@pytest.fixture
def placed(cluster: Any, footage: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings for the cluster, with a tracker that says where it is, in the folder `told`."""
    (tmp_path / "told").mkdir()

    def choose(*words: str, **options: object) -> Settings:
        address = f"executor.address={cluster.address}"
        settings = loaded(f"videos={footage}", f"out={tmp_path}/out", *SMALL, *RAY, address, *words)
        tracker = Placed(**asdict(settings.tracker), folder=str(tmp_path / "told"), **options)  # type: ignore[call-overload]
        return replace(settings, tracker=tracker)

    return choose


def test_workers_go_where_there_is_room_and_see_the_gpu_they_were_given(
    cluster: Any, placed: Callable[..., Settings], tmp_path: Path
) -> None:
    nodes = [cluster.add_node(**_node(num_cpus=3, num_gpus=gpus)) for gpus in (1, 2)]
    settings = placed("executor.gpus=0.5", "clip.hop=1")
    build = Build(settings)
    jobs = build.jobs(survey(settings, build.ledger))
    assert len(jobs) > 5
    running = settings.executor.run(settings, jobs)
    next(running)
    assert _until(lambda: len(places(tmp_path / "told")) == 5), "3 CPUs are too few for a fourth on the second node"
    running.close()
    found = sorted(places(tmp_path / "told"))
    by_node = {node.node_id: [gpu for name, gpu in found if name == node.node_id] for node in nodes}
    assert by_node == {nodes[0].node_id: ["0", "0"], nodes[1].node_id: by_node[nodes[1].node_id]}
    assert len(by_node[nodes[1].node_id]) == 3 and set(by_node[nodes[1].node_id]) == {"0", "1"}


def test_a_lost_node_is_survived_and_one_that_comes_later_is_used(
    cluster: Any, placed: Callable[..., Settings], tmp_path: Path, alone: dict[str, bytes]
) -> None:
    first, second = (cluster.add_node(**_node(num_cpus=1)) for _ in range(2))
    told = tmp_path / "told"
    settings = placed("executor.workers=2", gated=True)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(Build(settings).run)
        try:
            assert _until(lambda: _at_work(told) == {first.node_id, second.node_id} or run.done())
            cluster.remove_node(second, allow_graceful=False)
            third = cluster.add_node(**_node(num_cpus=1))
            assert _until(lambda: third.node_id in _at_work(told) or run.done())
        finally:
            (told / "go").touch()
        assert run.result(LONGEST_S).status == 0
    assert _at_work(told) == {node.node_id for node in (first, second, third)}
    assert made(settings.out) == alone


def test_actors_end_with_the_run_that_started_them(
    cluster: Any, footage: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    """The cluster goes on without it, and the same command finishes the dataset."""
    cluster.add_node(**_node(num_cpus=2))
    words = (f"videos={footage}", f"out={tmp_path}/out", *SMALL, *RAY, f"executor.address={cluster.address}")
    run = subprocess.Popen([sys.executable, str(ROOT / "main.py"), *words], stdout=subprocess.PIPE, text=True)
    assert _until(lambda: any((tmp_path / "out" / "crops").rglob("*")) or run.poll() is not None)
    workers = _actors(cluster)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=LONGEST_S)
    assert workers and run.returncode == -signal.SIGKILL
    assert _until(lambda: not set(workers) & set(_actors(cluster))), "a worker outlived the run"
    done = run_process(*words)
    assert done.status == 0, done.text
    assert made(tmp_path / "out") == alone


def test_a_full_cluster_is_waited_for_or_ends_with_one_message(
    cluster: Any,
    placed: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    alone: dict[str, bytes],
) -> None:
    import ray

    cluster.add_node(**_node(num_cpus=1))
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    try:
        holder = ray.remote(num_cpus=1)(Holder).remote()
        ray.get(holder.here.remote())
        monkeypatch.setattr(on_ray, "PATIENCE_S", 1.0)
        monkeypatch.setattr(actor, "TELL_S", 0.5)
        with pytest.raises(ConfigError, match=r"no Ray worker has started.* 1 CPUs and 0 GPUs.* 0 of 1 CPUs"):
            Build(placed()).run()
        settings = placed("executor.workers=1")
        with ThreadPoolExecutor(1) as pool, caplog.at_level(logging.WARNING):
            caplog.clear()
            run = pool.submit(Build(settings).run)
            assert _until(lambda: "no Ray worker has started" in caplog.text or run.done())
            ray.kill(holder)
            assert run.result(LONGEST_S).status == 0
    finally:
        ray.shutdown()
    assert made(settings.out) == alone


def test_what_keeps_a_worker_from_starting_is_said_once(cluster: Any, placed: Callable[..., Settings]) -> None:
    cluster.add_node(**_node(num_cpus=1))
    with pytest.raises(ConfigError, match=r"a Ray worker cannot start: .*no module named sam3 on this node"):
        Build(placed(missing=True)).run()


def test_workers_that_die_while_they_start_end_the_run(
    cluster: Any, placed: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    cluster.add_node(**_node(num_cpus=1))
    with pytest.raises(ConfigError, match=f"a Ray worker ended {actor.STARTS} times while it started"):
        Build(placed("executor.workers=1", dead=True)).run()
    assert caplog.text.count("another one is started") == actor.STARTS - 1


class Holder:
    """Holds the room of a worker."""

    def here(self) -> None:
        """Answers once it has it."""


def _at_work(told: Path) -> set[str]:
    """The nodes whose workers have tracked."""
    return {path.name.removeprefix("at-") for path in told.glob("at-*")}


def _actors(cluster: Any) -> list[int]:
    """The workers of this cluster: Ray renames their processes. They are the children of its raylets."""
    raylets = {node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()}
    listing = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    return [int(pid) for pid, parent, words in rows if int(parent) in raylets and words.startswith("ray::Served")]


def _until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.1)
    return False
