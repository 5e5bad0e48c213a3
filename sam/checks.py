"""What a tracker needs before it can run, looked at one thing at a time and without loading a model.

A backend whose config has `preflight` says here what is there, what is missing and the fix; `task=doctor` prints it.
The messages are those a run would stop with. Nothing here downloads, repairs or writes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from sam.errors import TrackerError

State = Literal["ok", "note", "NO"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at.

    state: "ok", "note" (it runs, but this is worth knowing) or "NO" (it cannot run). detail: what was found, or what is
    wrong, ending with the exact next step.
    """

    name: str
    state: State
    detail: str


@runtime_checkable
class Preflight(Protocol):
    """A tracker's config that can say what the tracker needs."""

    def preflight(self) -> Iterator[Check]:
        """Everything the tracker needs with these options, in the order in which a run would ask for it."""
        ...


@runtime_checkable
class Budgeted(Protocol):
    """A tracker's config that can say what tracking takes of the device's memory."""

    def memory(self, frames: int) -> Iterator[Check]:
        """What a window of so many frames takes, and what would be done about it."""
        ...


def look(name: str, see: Callable[[], str]) -> Check:
    """What `see` found, or the message of the TrackerError it raised."""
    try:
        return Check(name, "ok", see())
    except TrackerError as error:
        return Check(name, "NO", str(error))
