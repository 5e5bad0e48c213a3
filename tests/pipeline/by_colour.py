"""A tracker without a model: an object is every pixel of the colour under its first point.

It has the whole interface of the trackers of points, so that everything around them can be checked to the pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sam.backends.found import gather
from sam.errors import TrackingFailed
from sam.types import FrameMasks, Prompt, SessionFrames


@dataclass
class ByColourConfig:
    max_side: int | None = None
    fail_at: int | None = None

    def build(self) -> ByColour:
        return ByColour(self)


class ByColour:
    name = "by_colour"
    understands = frozenset({"points", "box"})
    context = 0

    def __init__(self, config: ByColourConfig) -> None:
        self.max_side = config.max_side
        self._fail_at = config.fail_at
        self.asked: list[int] = []  # frames in the order they were looked at

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name}

    def __enter__(self) -> ByColour:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[np.ndarray]) -> None: ...

    def begin(self, frames: SessionFrames) -> Any:
        raise NotImplementedError("only whole windows are tracked here")

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        colours: dict[int, np.ndarray] = {}
        for prompt in prompts:
            image = frames.images[prompt.frame]
            x, y = prompt.points[0] if prompt.points else (np.array(prompt.box)[:2] + np.array(prompt.box)[2:]) / 2
            at = int(y * image.shape[0] / frames.height), int(x * image.shape[1] / frames.width)
            assert prompt.object_id is not None
            colours.setdefault(prompt.object_id, image[at].astype(int))
        for t in range(len(frames)):
            if t == self._fail_at:
                raise TrackingFailed(f"{frames.video}: the model broke in frame {t}")
            self.asked.append(t)
            image = frames.images[t].astype(int)
            planes = np.array([np.abs(image - colour).max(axis=2) < 40 for colour in colours.values()])
            yield gather(t, list(colours), [0.9] * len(colours), planes, frames)
