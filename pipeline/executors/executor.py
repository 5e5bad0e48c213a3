"""The executor protocol and registry. An executor is one file here: a decorated dataclass whose fields are its options.

An executor processes jobs and yields one outcome per job, in any order. It is never trusted for correctness: every
chunk commits itself, and what did not get done is done by the next run.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pipeline.executors

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from pipeline.worker import Job, Outcome


class Executor(Protocol):
    """Runs jobs."""

    def run(self, settings: Settings, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Process every job; yields each outcome once it is committed. Closing the iterator stops cleanly."""
        ...


Options = TypeVar("Options")
REGISTRY: dict[str, type[Any]] = {}


def executor(name: str) -> Callable[[type[Options]], type[Options]]:
    """Register an executor's dataclass under `executor=<name>`."""

    def register(options: type[Options]) -> type[Options]:
        if name in REGISTRY:
            raise ValueError(f"executor {name!r} is registered twice")
        REGISTRY[name] = options
        return options

    return register


def executors() -> dict[str, type[Any]]:
    """Every executor by name, in alphabetical order."""
    for module in pkgutil.iter_modules(pipeline.executors.__path__):
        importlib.import_module(f"pipeline.executors.{module.name}")
    return dict(sorted(REGISTRY.items()))
