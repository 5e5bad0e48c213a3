"""A tracker that tells where in a Ray cluster it is, and can hold or end the worker it is in."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sam.backends.motion import MotionConfig, MotionTracker
from sam.types import FrameMasks, Prompt, SessionFrames


@dataclass
class Placed(MotionConfig):
    """Writes into `folder` which node and GPUs a worker got, when it starts.

    gated: it waits in front of its first window until the file `go` is there. missing: a worker cannot start. dead: its
    process ends while it starts.
    """

    folder: str = ""
    gated: bool = False
    missing: bool = False
    dead: bool = False

    def build(self) -> MotionTracker:
        return _PlacedTracker(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """It came to a worker."""
        self.__dict__.update(state)
        if self.missing:
            raise ModuleNotFoundError("no module named sam3 on this node")
        if self.dead:
            os._exit(1)
        (Path(self.folder) / f"place-{os.getpid()}").write_text(f"{_node()} {os.environ.get('CUDA_VISIBLE_DEVICES')}")


def places(folder: Path) -> list[tuple[str, str]]:
    """The node of each worker that has started, and the GPUs it sees."""
    texts = [path.read_text().split() for path in folder.glob("place-*")]
    return [(text[0], text[1]) for text in texts if len(text) == 2]


class _PlacedTracker(MotionTracker):
    def __init__(self, config: Placed) -> None:
        super().__init__(MotionConfig(**{f.name: getattr(config, f.name) for f in fields(MotionConfig)}))
        self._placed = config

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        folder = Path(self._placed.folder)
        if self._placed.gated:
            (folder / f"at-{_node()}").touch()
            while not (folder / "go").exists():
                time.sleep(0.05)
        yield from super().track(frames, prompts)


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())
