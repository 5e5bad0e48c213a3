"""Clicks and boxes without weights: GrabCut cuts an object out, template matching and optical flow carry it on.

It runs on any machine, for trying things out and for footage whose objects differ in colour from what is around them.
It knows no things: a click means the region that stands out around it, and a patched cow may come out as one patch. A
box says more. It never looks for anything by itself. The same frames and prompts give the same masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam.backends.grabcut_window import GrabcutWindow
from sam.tracker import Dialogue, tracker
from sam.types import FrameMasks, Prompt, SessionFrames

VERSION = 1  # raise it when the same frames and prompts give other masks


@tracker("grabcut")
@dataclass
class GrabcutConfig:
    """Clicks and boxes without a model: cuts out what differs in colour and follows it. Any machine; for trying out.

    max_side: frames are scaled down to this longer side.
    """

    max_side: int = 640

    def __post_init__(self) -> None:
        if self.max_side < 64:
            raise ValueError(f"tracker.max_side is at least 64 pixels, got {self.max_side}")

    def build(self) -> GrabcutTracker:
        return GrabcutTracker(self)


class GrabcutTracker:
    """See the module docstring; implements `Tracker` and `DialogueTracker`."""

    name = "grabcut"
    understands = frozenset({"points", "box", "mask"})
    context = 0

    def __init__(self, config: GrabcutConfig) -> None:
        self._config = config
        self.max_side: int | None = config.max_side

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name, "version": VERSION, **asdict(self._config)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        """A place has nothing to learn from; there is nothing to see."""

    def begin(self, frames: SessionFrames) -> Dialogue:
        """A window that takes prompts and corrections one by one."""
        return GrabcutWindow(frames, lasting=True)

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The objects of each frame; scores are the likeness of colours to the frames with prompts."""
        window = GrabcutWindow(frames, lasting=False)
        for prompt in prompts:
            window.add(prompt)
        yield from window.propagate("both")
