"""SAMSession: one window's tracking state.

    with SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text="cow"))
        tracks = session.tracks()

With a tracker that takes points, boxes and masks, a session can be a dialogue:

    session.refine(Prompt(frame=0, object_id=1, points=((210, 350),), labels=(1,)))    # how object 1 looks there
    seen = list(session.propagate())
    session.refine(Prompt(frame=50, object_id=1, points=((82, 410),), labels=(0,)))    # not that part
    seen = list(session.propagate())

Leaving the block, also through an error, closes the tracker's generator, drops every reference to frames and masks,
and gives cached CUDA memory back. A window that does not fit into the device's memory is tracked once more, smaller.
It never loads a model and never reads or writes a file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

import numpy as np

from sam.disjoint import disjoint
from sam.errors import TrackingFailed, UnknownPrompt, WrongPrompt
from sam.memory import ModelTracker, OutOfMemory, release_cuda
from sam.prompts import check_prompt
from sam.tracker import DetectingTracker, Dialogue, DialogueTracker, Tracker
from sam.types import Detected, FrameMasks, Mask, Prompt, SessionFrames, Track

log = logging.getLogger(__name__)

DIRECTIONS = ("both", "forward", "backward")


class SAMSession:
    """The tracking state of one window; see the module docstring.

    passes: how many times the frames will be tracked, with `reset` in between; with several, the tracker may keep what
    depends on no prompt until the session ends, and beyond it what the next one uses again (`SessionFrames.again`).
    release: "window" frees cached CUDA memory when the session ends; "never" leaves it to the allocator; None does what
    the tracker's own option says. disjoint: no pixel in two masks of a frame (`sam.disjoint`). degraded: whether
    `tracks` found fewer objects than there were, because the device's memory ran out. detected: what `tracks` began
    from, of a tracker that detects first.
    """

    def __init__(
        self,
        tracker: Tracker,
        frames: SessionFrames,
        release: str | None = None,
        passes: int = 1,
        disjoint: bool = False,
    ) -> None:
        if len(frames) == 0:
            raise ValueError(f"a session needs at least one frame of {frames.video}")
        self._tracker = tracker
        self._frames: SessionFrames | None = frames
        self._prompts: list[Prompt] = []
        self._running: Iterator[FrameMasks] | None = None
        self._state: Dialogue | None = None
        self._told = 0  # how many of the prompts the state has had
        self._release = release or (tracker.release if isinstance(tracker, ModelTracker) else "window")
        self._passes = passes
        self._apart = disjoint
        self.degraded = False
        self.detected: tuple[Detected, ...] = ()

    def __enter__(self) -> Self:
        frames = self._open()
        if isinstance(self._tracker, ModelTracker) and (self._passes > 1 or frames.again):
            self._tracker.keep(frames, None if self._passes > 1 else frames.again)
        return self

    def add_prompt(self, prompt: Prompt) -> int | None:
        """Add something to look for; returns the object's id, None for a text.

        A prompt for one object without an id names a new object, with the lowest id that is free. A second prompt for
        an object adds points to its frame, or says anew, with a box or a mask, where it is. Raises UnknownPrompt if
        this tracker does not take its kind, WrongPrompt if it does not fit the frames.
        """
        frames = self._open()
        refused = prompt.kinds - self._tracker.understands
        if refused:
            raise UnknownPrompt(
                f"tracker={self._tracker.name} does not understand {', '.join(sorted(refused))} prompts; "
                f"it takes {', '.join(sorted(self._tracker.understands))}"
            )
        check_prompt(prompt, frames)
        if prompt.text is None and prompt.object_id is None:
            prompt = replace(prompt, object_id=min(set(range(len(self._prompts) + 1)) - set(self.objects)))
        by_text = any(known.text is not None for known in self._prompts)  # then the tracker numbers objects itself
        unnamed = prompt.object_id not in self.objects and not by_text
        if 1 not in prompt.labels and prompt.kinds == {"points"} and unnamed:
            raise WrongPrompt(
                f"object {prompt.object_id} is not named yet: give it a point inside (label 1), a box or a mask first"
            )
        self._prompts.append(prompt)
        return prompt.object_id

    @property
    def objects(self) -> tuple[int, ...]:
        """The ids of the objects that prompts have named so far, ascending."""
        return tuple(sorted({p.object_id for p in self._prompts if p.object_id is not None}))

    def refine(self, prompt: Prompt) -> FrameMasks:
        """Add a prompt and show at once what its object looks like on its frame; what was tracked stays as it was.

        Propagate again for the other frames. Raises what `add_prompt` raises.
        """
        before = len(self._prompts)
        self.add_prompt(prompt)
        try:
            return self._tell(self._dialogue())
        except BaseException:
            del self._prompts[before:]
            raise

    def propagate(
        self, direction: str = "both", start: int | None = None, end: int | None = None
    ) -> Iterator[FrameMasks]:
        """Track; yields the objects of each frame, in order. One propagation at a time.

        "both" tracks every object from where it was first named to both ends, afresh, and yields all frames. With a
        tracker that takes points, boxes or masks, "forward" and "backward" track from `start` (the first, or last,
        frame with a prompt) to `end` (the last, or first, of all; inclusive), and yield these frames in that order:
        after a correction it is enough to track on from its frame.
        """
        frames = self._open()
        if not self._prompts:
            raise ValueError("add a prompt before propagating")
        if direction not in DIRECTIONS:
            raise ValueError(f"direction is one of {', '.join(DIRECTIONS)}, got {direction!r}")
        for name, frame in (("start", start), ("end", end)):
            if frame is not None and direction == "both":
                raise ValueError(f"{name} needs a direction, forward or backward: both ways go to the ends")
            if frame is not None and not 0 <= frame < len(frames):
                raise WrongPrompt(f"{frames.video} has frames 0 to {len(frames) - 1} here, got {name}={frame}")
        if start is not None and end is not None and (start > end) != (direction == "backward") and start != end:
            raise ValueError(f"{direction} from {start} does not lead to {end}")
        self._stop()
        if self._state is None and direction == "both":
            self._running = self._tracker.track(frames, tuple(self._prompts))
        else:
            dialogue = self._dialogue()
            self._tell(dialogue)
            self._running = dialogue.propagate(direction, start, end)
        yield from self._decided(self._running)

    def remove(self, object_id: int) -> None:
        """Forget an object and its prompts; raises WrongPrompt if no prompt has named it."""
        self._open()
        if object_id not in self.objects:
            named = ", ".join(map(str, self.objects)) or "none"
            raise WrongPrompt(f"there is no object {object_id}; prompts have named {named}")
        self._stop()
        if self._state is not None:
            self._state.remove(object_id)
            self._told = sum(p.object_id != object_id for p in self._prompts[: self._told])
        self._prompts = [p for p in self._prompts if p.object_id != object_id]

    def _open(self) -> SessionFrames:
        if self._frames is None:
            raise RuntimeError("this session is closed")
        return self._frames

    def _dialogue(self) -> Dialogue:
        if self._state is None:
            if not isinstance(self._tracker, DialogueTracker):
                raise UnknownPrompt(
                    f"tracker={self._tracker.name} tracks a window as a whole: add prompts, then propagate without a "
                    "direction; sam2 and sam3_tracker take corrections"
                )
            self._state, self._told = self._tracker.begin(self._open()), 0
        return self._state

    def _tell(self, dialogue: Dialogue) -> FrameMasks:
        """Give the tracker the prompts that it has not had; returns what the last one did."""
        shown = FrameMasks(0, (), (), ())
        for prompt in self._prompts[self._told :]:
            shown = dialogue.add(prompt)
            self._told += 1
        return shown

    def tracks(self) -> list[Track]:
        """Track through all frames and gather each object, sorted by object id.

        Raises TrackingFailed when the window could not be tracked, also not with less memory.
        """
        self.degraded = False
        try:
            tracks = self._gather(self.propagate())
            self.degraded = isinstance(self._tracker, ModelTracker) and self._tracker.degraded
            return tracks
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
        self._state = None  # what a dialogue has remembered would only be in the way
        release_cuda()
        log.warning("%s; trying once more with less", reason)
        self._running = tracker.track_smaller(frames, tuple(self._prompts))
        try:
            tracks = self._gather(self._decided(self._running))
        except OutOfMemory:
            raise TrackingFailed(
                f"{reason}, also with the state in main memory and half the objects: lower tracker.max_objects, "
                "tracker.max_side or clip.num_frames"
            ) from None
        self.degraded = tracker.degraded
        return tracks

    def _decided(self, found: Iterator[FrameMasks]) -> Iterator[FrameMasks]:
        return map(disjoint, found) if self._apart else found

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
        by = dict(self._tracker.found_by) if isinstance(self._tracker, ModelTracker) else {}
        self.detected = tuple(self._tracker.detected) if isinstance(self._tracker, DetectingTracker) else ()
        by |= {each.object_id: each.phrase for each in self.detected}
        return [
            Track(i, by.get(i, everything), np.array(frames[i], np.int32), tuple(masks[i]), float(first_score[i]))
            for i in sorted(frames)
        ]

    def reset(self) -> None:
        """Forget the prompts and stop any propagation; the frames stay."""
        self._stop()
        self._prompts.clear()
        self._state = None

    def __exit__(self, *exc: object) -> None:
        self._stop()
        self._prompts.clear()
        frames, self._frames, self._state = self._frames, None, None
        again = frames.again if frames is not None else 0
        if isinstance(self._tracker, ModelTracker) and (self._passes > 1 or again):
            self._tracker.keep(frames if again else None, again)
        del frames
        if self._release == "window":
            release_cuda()

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None and hasattr(running, "close"):
            running.close()
