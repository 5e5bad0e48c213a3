"""The tracker protocol, a loaded model, and the registry that makes one from its config.

A backend is one file in `sam/backends/` with two classes: a config dataclass (its fields are the options, its docstring
the help) decorated with `@tracker("name")`, and the tracker that its `build()` returns.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sam.types import Detected, FrameMasks, Prompt, SessionFrames


class Tracker(Protocol):
    """A tracking model. The constructor is cheap; `__enter__` loads, in the thread that will run it; `__exit__` frees.

    understands: kinds of prompt it takes ("text", "points", "box", "mask").
    context: how many frames, spread over the whole video, `prepare` wants before a video's first window; 0 for none.
    max_side: frames are scaled down to this longer side before they reach the tracker; None for full resolution.
    """

    name: str
    understands: frozenset[str]
    context: int
    max_side: int | None

    def identity(self) -> dict[str, Any]:
        """All that decides the masks besides the frames and the prompt: version, thresholds, weights. JSON values.

        Never the device, batch sizes, memory limits or a path: equal identities mean interchangeable tracks.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        """See `context` frames spread over the video that the next windows come from."""
        ...

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """Track what the prompts name through the frames; yields one `FrameMasks` per frame, in order.

        Closing the generator early must drop every reference to the session's state.
        """
        ...


class Dialogue(Protocol):
    """One window in a tracker that takes prompts one by one, shows their effect, and tracks on request.

    Every prompt has an object id, and its place is inside the frames: `SAMSession` sees to both.
    """

    def add(self, prompt: Prompt) -> FrameMasks:
        """Take a prompt in; returns what its object looks like on its frame now, alone."""
        ...

    def propagate(self, direction: str, start: int | None, end: int | None) -> Iterator[FrameMasks]:
        """Track "forward", "backward" or "both" ways; see `SAMSession.propagate`."""
        ...

    def remove(self, object_id: int) -> None:
        """Forget an object."""
        ...


@runtime_checkable
class DialogueTracker(Protocol):
    """What a tracker offers whose objects are named, and corrected, one by one."""

    def begin(self, frames: SessionFrames) -> Dialogue:
        """A window without objects. Dropping it frees its state."""
        ...


@runtime_checkable
class DetectingTracker(Protocol):
    """What a tracker offers that detects objects on one frame, and follows what it detected there.

    detected: of the last window, in the order of the object ids; also of what then never had a mask.
    """

    detected: Sequence[Detected]


class TrackerConfig(Protocol):
    """A backend's options: a dataclass with a `build` method."""

    def build(self) -> Tracker: ...


Config = TypeVar("Config")


@dataclass(frozen=True, slots=True)
class TrackerEntry:
    """One line of the registry: the config class and the first line of its docstring.

    one_phrase: whether it looks for one phrase at a time, so that "cow, calf" has to be asked as two texts.
    """

    config: type[Any]
    help: str
    one_phrase: bool = False


REGISTRY: dict[str, TrackerEntry] = {}
BACKENDS = ("motion", "grabcut", "file", "sam3", "sam3_hf", "sam3_tracker", "sam2", "sam2_auto", "grounded_sam2")


def tracker(name: str, *, one_phrase: bool = False) -> Callable[[type[Config]], type[Config]]:
    """Register a config dataclass under `tracker=<name>`. one_phrase: see `TrackerEntry`."""

    def register(config: type[Config]) -> type[Config]:
        if name in REGISTRY:
            raise ValueError(f"tracker {name!r} is registered twice")
        REGISTRY[name] = TrackerEntry(config, (config.__doc__ or "").strip().splitlines()[0], one_phrase)
        return config

    return register


def trackers() -> dict[str, TrackerEntry]:
    """Every tracker by name. Imports the backends' modules, which never import a model library themselves."""
    for module in BACKENDS:
        importlib.import_module(f"sam.backends.{module}")
    return dict(REGISTRY)
