"""The ray executor: workers as Ray actors, on this machine or on a cluster whose nodes share the dataset's folder.

Each actor holds a tracker and does whole chunks, so no pixel ever travels. An actor or node that is lost is replaced,
and its chunks are done again; there are two chunks per actor under way, so nothing queues up in Ray's object store.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.executors.executor import executor

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings


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

    def run(self, settings: Settings, jobs: Sequence[Job]) -> Iterator[Outcome]:
        if not jobs:
            return
        from pipeline.crew.actor import ActorMember, Served, wait_for
        from pipeline.crew.drive import AHEAD, drive

        ray = _ray()
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, self.address)
        members: list[ActorMember] = []
        try:
            room = ray.cluster_resources()
            gpus = self._gpus(settings, room)
            count = min(self.workers or self._fitting(room, gpus), len(jobs))
            actor = ray.remote(num_cpus=self.cpus, num_gpus=gpus, max_concurrency=AHEAD)(Served)
            make = partial(actor.remote, settings, max(1, int(self.cpus)))
            for _ in range(count):
                members.append(ActorMember(ray, make))
            yield from drive(settings, jobs, members, partial(wait_for, ray))
        finally:
            for member in members:
                member.stop()
            if ours:
                ray.shutdown()

    def _gpus(self, settings: Settings, room: dict[str, float]) -> float:
        if self.gpus is not None:
            return self.gpus
        uses = getattr(settings.tracker, "device", "cpu") != "cpu"
        return 1.0 if uses and room.get("GPU", 0) > 0 else 0.0

    def _fitting(self, room: dict[str, float], gpus: float) -> int:
        """How many workers the cluster has room for now."""
        by_cores = room.get("CPU", 0) / self.cpus
        fit = int(min(by_cores, room.get("GPU", 0) / gpus) if gpus else by_cores)
        if fit < 1:
            raise ConfigError(
                f"the Ray cluster has {room.get('CPU', 0):g} CPUs and {room.get('GPU', 0):g} GPUs, too few for a "
                f"worker with executor.cpus={self.cpus:g} and executor.gpus={gpus:g}: lower these, or say "
                "executor.workers=N to wait for more nodes"
            )
        return fit


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise ConfigError(
            "executor=ray needs ray, which is not installed: make setup EXTRAS=ray (or pip install '.[ray]'); "
            "executor=processes needs nothing more"
        ) from None
    return ray


def _connect(ray: Any, address: str | None) -> None:
    local = {"include_dashboard": False} if address is None else {"address": address}
    try:
        ray.init(**local, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"executor.address={address}: no Ray cluster answers ({first}); start one with ray start --head, or leave "
            "executor.address out for one on this machine"
        ) from error
