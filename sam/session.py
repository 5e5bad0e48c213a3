"""SAMSession: one window's tracking state.

    with SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text="cow"))
        tracks = session.tracks()

Leaving the block, also through an error, closes the tracker's generator, drops every reference to frames and masks,
and gives cached CUDA memory back. It never loads a model and never reads or writes a file.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Self

import numpy as np

from sam.errors import UnknownPrompt
from sam.tracker import Tracker
from sam.types import FrameMasks, Mask, Prompt, SessionFrames, Track


class SAMSession:
    """The tracking state of one window; see the module docstring.

    release: "window" frees cached CUDA memory when the session ends; "never" leaves it to the allocator.
    """

    def __init__(self, tracker: Tracker, frames: SessionFrames, release: str = "window") -> None:
        if len(frames) == 0:
            raise ValueError(f"a session needs at least one frame of {frames.video}")
        self._tracker = tracker
        self._frames: SessionFrames | None = frames
        self._prompts: list[Prompt] = []
        self._running: Iterator[FrameMasks] | None = None
        self._release = release

    def __enter__(self) -> Self:
        return self

    def add_prompt(self, prompt: Prompt) -> None:
        """Add something to look for; raises UnknownPrompt if this tracker does not take its kind."""
        refused = prompt.kinds - self._tracker.understands
        if refused:
            raise UnknownPrompt(
                f"tracker={self._tracker.name} does not understand {', '.join(sorted(refused))} prompts; "
                f"it takes {', '.join(sorted(self._tracker.understands))}"
            )
        self._prompts.append(prompt)

    def propagate(self) -> Iterator[FrameMasks]:
        """Track through all frames; yields the objects of each frame, in order. One propagation at a time."""
        if self._frames is None:
            raise RuntimeError("this session is closed")
        if not self._prompts:
            raise ValueError("add a prompt before propagating")
        self._stop()
        self._running = self._tracker.track(self._frames, tuple(self._prompts))
        yield from self._running

    def tracks(self) -> list[Track]:
        """Track through all frames and gather each object, sorted by object id. Needs text prompts or object ids."""
        frames: dict[int, list[int]] = {}
        masks: dict[int, list[Mask]] = {}
        first_score: dict[int, float] = {}
        for seen in self.propagate():
            for object_id, mask, score in zip(seen.object_ids, seen.masks, seen.scores, strict=True):
                frames.setdefault(object_id, []).append(seen.frame)
                masks.setdefault(object_id, []).append(mask)
                first_score.setdefault(object_id, score)
        prompt = ", ".join(p.text for p in self._prompts if p.text) or "object"
        return [
            Track(i, prompt, np.array(frames[i], np.int32), tuple(masks[i]), float(first_score[i]))
            for i in sorted(frames)
        ]

    def reset(self) -> None:
        """Forget the prompts and stop any propagation; the frames stay."""
        self._stop()
        self._prompts.clear()

    def __exit__(self, *exc: object) -> None:
        self._stop()
        self._prompts.clear()
        self._frames = None
        if self._release == "window":
            release_cuda()

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None and hasattr(running, "close"):
            running.close()


def release_cuda() -> None:
    """Give cached CUDA memory back to the driver. Does nothing unless torch is loaded and has used a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.ipc_collect()
