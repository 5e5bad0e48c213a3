"""SAMSession: one window's tracking state.

    with SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text="cow"))
        tracks = session.tracks()

Leaving the block, also through an error, closes the tracker's generator, drops every reference to frames and masks,
and gives cached CUDA memory back. A window that does not fit into the device's memory is tracked once more, smaller.
It never loads a model and never reads or writes a file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Self

import numpy as np

from sam.errors import TrackingFailed, UnknownPrompt
from sam.memory import ModelTracker, OutOfMemory, release_cuda
from sam.tracker import Tracker
from sam.types import FrameMasks, Mask, Prompt, SessionFrames, Track

log = logging.getLogger(__name__)


class SAMSession:
    """The tracking state of one window; see the module docstring.

    passes: how many times the frames will be tracked, with `reset` in between; with several, the tracker may keep what
    depends on no prompt until the session ends. release: "window" frees cached CUDA memory when the session ends;
    "never" leaves it to the allocator; None does what the tracker's own option says. degraded: whether `tracks` found
    fewer objects than there were, because the device's memory ran out.
    """

    def __init__(self, tracker: Tracker, frames: SessionFrames, release: str | None = None, passes: int = 1) -> None:
        if len(frames) == 0:
            raise ValueError(f"a session needs at least one frame of {frames.video}")
        self._tracker = tracker
        self._frames: SessionFrames | None = frames
        self._prompts: list[Prompt] = []
        self._running: Iterator[FrameMasks] | None = None
        self._release = release or (tracker.release if isinstance(tracker, ModelTracker) else "window")
        self._passes = passes
        self.degraded = False

    def __enter__(self) -> Self:
        if self._passes > 1 and isinstance(self._tracker, ModelTracker):
            self._tracker.keep(self._frames)
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
        """Track through all frames and gather each object, sorted by object id. Needs text prompts or object ids.

        Raises TrackingFailed when the window could not be tracked, also not with less memory.
        """
        self.degraded = False
        try:
            return self._gather(self.propagate())
        except OutOfMemory as error:
            reason = str(error)
        return self._tracks_smaller(reason)  # outside the handler: the error's traceback holds device memory

    def _tracks_smaller(self, reason: str) -> list[Track]:
        tracker, frames = self._tracker, self._frames
        assert frames is not None
        self._stop()
        if not isinstance(tracker, ModelTracker):
            raise TrackingFailed(reason)
        tracker.keep(None)
        release_cuda()
        log.warning("%s; trying once more with less", reason)
        self._running = tracker.track_smaller(frames, tuple(self._prompts))
        try:
            tracks = self._gather(self._running)
        except OutOfMemory:
            raise TrackingFailed(
                f"{reason}, also with the state in main memory and half the objects: lower tracker.max_objects, "
                "tracker.max_side or clip.num_frames"
            ) from None
        self.degraded = tracker.degraded
        return tracks

    def _gather(self, found: Iterator[FrameMasks]) -> list[Track]:
        frames: dict[int, list[int]] = {}
        masks: dict[int, list[Mask]] = {}
        first_score: dict[int, float] = {}
        for seen in found:
            for object_id, mask, score in zip(seen.object_ids, seen.masks, seen.scores, strict=True):
                frames.setdefault(object_id, []).append(seen.frame)
                masks.setdefault(object_id, []).append(mask)
                first_score.setdefault(object_id, score)
        everything = ", ".join(p.text for p in self._prompts if p.text) or "object"
        by = self._tracker.found_by if isinstance(self._tracker, ModelTracker) else {}
        return [
            Track(i, by.get(i, everything), np.array(frames[i], np.int32), tuple(masks[i]), float(first_score[i]))
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
        if self._passes > 1 and isinstance(self._tracker, ModelTracker):
            self._tracker.keep(None)
        if self._release == "window":
            release_cuda()

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None and hasattr(running, "close"):
            running.close()
