"""A tracker that costs nothing and lets a test look in at every window: two blocks that stand where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam.types import FrameMasks, Prompt, SessionFrames
from tests.pipeline.making import block


@dataclass
class HookedConfig:
    """At every window `Hooked.before` is called."""

    def build(self) -> Hooked:
        return Hooked()


class Hooked:
    """Implements `sam.tracker.Tracker`. before: called with the frames of every window, in the thread that tracks."""

    name = "hooked"
    understands = frozenset({"text"})
    context = 0
    max_side: int | None = None
    before: Callable[[SessionFrames], None] = staticmethod(lambda frames: None)

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        raise AssertionError("it wants no context")

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        type(self).before(frames)
        masks = block(40, 40, 60, 50), block(180, 90, 50, 60)
        for n in range(len(frames)):
            yield FrameMasks(n, (1, 2), masks, (0.9, 0.8))
