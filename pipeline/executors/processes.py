"""The processes executor: several workers on this machine, each a process with its own tracker, one per GPU.

A worker's process that ends (killed, out of memory, a crash in a library) is replaced, and its chunks are done again.
When the process that started the run ends, however it ends, its workers end after the window they are at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.executors.executor import executor
from pipeline.executors.local import cores

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings


@executor("processes")
@dataclass
class Processes:
    """Several processes here, each with its own tracker (workers, null: one per GPU; without a GPU one per 2 cores).

    per_gpu: processes on each GPU, where workers is null; each loads the model.
    """

    workers: int | None = None
    per_gpu: int = 1

    def __post_init__(self) -> None:
        if self.per_gpu < 1:
            raise ValueError(f"executor.per_gpu must be at least 1 process on each GPU, got {self.per_gpu}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"executor.workers must be at least 1, or null for one per GPU, got {self.workers}")

    def run(self, settings: Settings, jobs: Sequence[Job]) -> Iterator[Outcome]:
        from pipeline.crew.drive import drive
        from pipeline.crew.process import ProcessMember, stop, wait_for

        places = self.places(devices_of(settings), len(jobs))
        threads = max(1, cores() // max(1, len(places)))
        members: list[ProcessMember] = []
        try:
            for device in places:
                members.append(ProcessMember(settings, threads, device))
            yield from drive(settings, jobs, members, wait_for)
        finally:
            stop(members)

    def places(self, devices: Sequence[str], jobs: int) -> list[str | None]:
        """The GPU of each process, one GPU after the other; None for a process without one. jobs: chunks to do."""
        count = min(self.workers or len(devices) * self.per_gpu or max(1, cores() // 2), jobs)
        return [devices[number % len(devices)] if devices else None for number in range(count)]


def devices_of(settings: Settings) -> list[str]:
    """The GPUs to share out, as CUDA_VISIBLE_DEVICES names them; none for a tracker without, or with a chosen one."""
    from sam.backends.device import gpus, has_cuda

    if getattr(settings.tracker, "device", "cpu") not in ("auto", "cuda") or not has_cuda():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [name.strip() for name in visible.split(",")] if visible else [str(n) for n in range(len(gpus()))]
