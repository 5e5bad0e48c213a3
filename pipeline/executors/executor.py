"""The executor protocol and registry. An executor is one file here: a decorated dataclass whose fields are its options.

An executor processes jobs and yields one outcome per job, in any order. It is never trusted for correctness: every
chunk commits itself, and what did not get done is done by the next run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from pipeline.registry import Registry

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings


class Executor(Protocol):
    """Runs jobs."""

    def run(self, settings: Settings, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Process every job; yields each outcome once it is committed. Closing the iterator stops cleanly."""
        ...


_registry = Registry("pipeline.executors", "executor")
executor = _registry.register
executors = _registry.entries
