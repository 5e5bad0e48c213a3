"""The local executor: this process, with threads for decoding, cropping and encoding."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.executors.executor import executor

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings
    from video.types import Video


@executor("local")
@dataclass
class Local:
    """This process: one thread runs the tracker, `workers` threads crop and encode (null: one per core)."""

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"executor.workers must be at least 1, or null for one per core, got {self.workers}")

    def run(self, settings: Settings, jobs: Sequence[Job]) -> Iterator[Outcome]:
        from pipeline.worker import Worker

        with Worker(settings, self.workers or cores()) as worker:
            following: list[Video | None] = [None]
            for job, after in zip(reversed(jobs[:-1]), reversed(jobs[1:]), strict=True):
                same = job.chunk.video.fingerprint == after.chunk.video.fingerprint
                following.append(following[-1] if same else after.chunk.video)
            yield from worker.run(
                replace(job, following=video) for job, video in zip(jobs, reversed(following), strict=False)
            )


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
