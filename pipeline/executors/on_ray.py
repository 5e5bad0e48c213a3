"""The ray executor: workers as Ray actors, on this machine or on a cluster whose nodes share the dataset's folder.

Each actor holds a tracker and does whole chunks, so no pixel ever travels. An actor or node that is lost is replaced,
and its chunks are done again; there are two chunks per actor under way, so nothing queues up in Ray's object store.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.executors.executor import executor

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings

PATIENCE_S = 300.0  # for a first worker, where the cluster should have room for it
ROUNDING = 1e-6


@executor("ray")
@dataclass
class OnRay:
    """Ray actors, each with its own tracker (workers, null: as many as there is room for).

    address: null starts Ray on this machine, auto finds the cluster that this node belongs to, or ray://host:10001.
    cpus: cores of each worker, for decoding and encoding beside its tracker. gpus: GPUs of each, 0.5 puts two on one;
    null: 1 for a tracker that uses GPUs where the cluster has them, else 0.
    """

    workers: int | None = None
    address: str | None = None
    cpus: float = 2.0
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"executor.workers must be at least 1, or null for as many as fit, got {self.workers}")
        if not 0 < self.cpus < math.inf:
            raise ValueError(f"executor.cpus must be more than 0, got {self.cpus}")
        if self.gpus is not None and not 0 <= self.gpus < math.inf:
            raise ValueError(f"executor.gpus must be 0 or more, got {self.gpus}")
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"executor.gpus above 1 must be a whole number of GPUs, got {self.gpus}")

    def run(self, settings: Settings, jobs: Sequence[Job]) -> Iterator[Outcome]:
        if not jobs:
            return
        from pipeline.crew.actor import ActorMember, Served, Waiting
        from pipeline.crew.drive import AHEAD, drive

        ray = _ray(self.address)
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, self.address)
        members: list[ActorMember] = []
        try:
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            gpus = self._gpus(settings, nodes)
            count = min(self.workers or self._fitting(nodes, gpus), len(jobs))
            actor = ray.remote(num_cpus=self.cpus, num_gpus=gpus, max_concurrency=AHEAD + 1)(Served)
            make = partial(actor.remote, settings, max(1, int(self.cpus)))
            for _ in range(count):
                members.append(ActorMember(ray, make))
            wait = Waiting(ray, None if self.workers else PATIENCE_S, f"{self.cpus:g} CPUs and {gpus:g} GPUs")
            yield from drive(settings, jobs, members, wait)
        finally:
            for member in members:
                member.stop()
            if ours:
                ray.shutdown()

    def _gpus(self, settings: Settings, nodes: Sequence[Mapping[str, float]]) -> float:
        if self.gpus is not None:
            return self.gpus
        uses = getattr(settings.tracker, "device", "cpu") != "cpu"
        return 1.0 if uses and any(node.get("GPU", 0) > 0 for node in nodes) else 0.0

    def _fitting(self, nodes: Sequence[Mapping[str, float]], gpus: float) -> int:
        """How many workers the cluster has room for; each is on one node. nodes: what each has, free or not."""
        fit = sum(_fitting(node, self.cpus, gpus) for node in nodes)
        if fit < 1:
            has = ", ".join(sorted({f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes}))
            raise ConfigError(
                f"no node of the Ray cluster is large enough for a worker with executor.cpus={self.cpus:g} and "
                f"executor.gpus={gpus:g} (they have {has}): lower these, or say executor.workers=N to wait for more "
                "nodes"
            )
        return fit


def _fitting(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many workers a node has room for; a share of a GPU is a share of one."""
    by_cores = int(node.get("CPU", 0) / cpus + ROUNDING)
    if not gpus:
        return by_cores
    there = node.get("GPU", 0)
    return min(by_cores, int(there) * int(1 / gpus + ROUNDING) if gpus < 1 else int(there / gpus))


def _ray(address: str | None) -> Any:
    if address is not None:
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # of half a minute each; Ray's own 20 take 13 minutes
    try:
        import ray
    except ModuleNotFoundError:
        raise ConfigError(
            "executor=ray needs ray, which is not installed: make setup EXTRAS=ray (or pip install '.[ray]'); "
            "executor=processes needs nothing more"
        ) from None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    where = {"address": "local", "include_dashboard": False} if address is None else {"address": address}
    try:
        ray.init(**where, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"executor.address={address}: no Ray cluster answers ({first}); start one with ray start --head, or leave "
            "executor.address out for one on this machine"
        ) from error
