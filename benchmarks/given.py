"""A tracker that hands out the known masks at once, and the settings to run the pipeline with it.

It costs nothing and decides nothing: what is measured with it is everything but tracking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from numpy.typing import NDArray

from benchmarks.footage import OBJECTS, PERIOD, mask_of
from pipeline.config import load
from pipeline.schema import register
from pipeline.settings import Settings
from sam import tracker as registry
from sam.types import FrameMasks, Prompt, SessionFrames

CONF = Path(__file__).parents[1] / "conf"


@registry.tracker("given")
@dataclass
class GivenConfig:
    """The masks of the benchmarks' own footage."""

    def build(self) -> Given:
        return Given()


class Given:
    """Implements `sam.tracker.Tracker`."""

    name = "given"
    understands = frozenset({"text"})
    context = 0
    max_side: int | None = None

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        pass

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        ids, scores = tuple(range(1, OBJECTS + 1)), (1.0,) * OBJECTS
        for n, index in enumerate(frames.indices.tolist()):
            masks = tuple(mask_of(k, index % PERIOD, frames.width, frames.height) for k in range(OBJECTS))
            yield FrameMasks(n, ids, masks, scores)


def settings(*overrides: str, tracker: str = "given") -> Settings:
    """The settings that this command line gives."""
    with suppress(ValueError):
        register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return load(compose("config", overrides=[f"tracker={tracker}", "prompt=ellipse", *overrides]))
