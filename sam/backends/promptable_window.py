"""One window of a promptable video model: which objects there are, and which of them step through which frames.

It never knows weights or options, and holds the window's state alone: drop it, and everything of the window is freed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.backends.found import gather
from sam.backends.hf_window import Engine, Pictures
from sam.backends.promptable_object import PromptedObject, Seen
from sam.backends.transfer import onto
from sam.types import FrameMasks, Prompt, SessionFrames

JUST_INSIDE = 0.1  # the logit of a filled cell


class PromptableWindow:
    """See the module docstring; implements `sam.tracker.Dialogue`.

    state_on_cpu: keep the objects' memory in main memory between the steps. lasting: keep that of every frame, so that
    tracking can go on from any; else memory does not grow with the window. fill_holes: holes of up to so many cells of
    the model's masks are filled in what is shown, not in what it remembers.
    """

    def __init__(
        self, engine: Engine, frames: SessionFrames, state_on_cpu: bool, lasting: bool, fill_holes: int = 0
    ) -> None:
        self._engine = engine
        self._frames = frames
        self._state_device = "cpu" if state_on_cpu else engine.device
        self._lasting = lasting
        self._fill_holes = fill_holes
        self._pictures = Pictures(frames.images, engine)
        self._size = frames.images[0].shape[:2]  # asked once: frames may be decoded when they are asked for
        self._features = self._session().cache
        self._objects: dict[int, PromptedObject] = {}

    def add(self, prompt: Prompt) -> FrameMasks:
        assert prompt.object_id is not None
        known = self._objects.get(prompt.object_id)
        if known is None:
            session = self._session()
            session.cache = self._features
            known = PromptedObject(self._engine, session, self._state_device, self._lasting)
        seen = known.prompt(prompt)
        self._objects[prompt.object_id] = known  # kept only when its first prompt went in
        return self._gather(prompt.frame, {prompt.object_id: seen})

    def remove(self, object_id: int) -> None:
        self._objects.pop(object_id, None)

    def propagate(self, direction: str = "both", start: int | None = None, end: int | None = None) -> Iterator[FrameMasks]:  # fmt: skip  # noqa: E501
        """See `SAMSession.propagate`."""
        if direction == "both":
            yield from self._both()
            return
        reverse = direction == "backward"
        prompted = [frame for each in self._objects.values() for frame in each.prompted]
        if start is None:
            start = max(prompted) if reverse else min(prompted)
        if end is None:
            end = 0 if reverse else len(self._frames) - 1
        way = -1 if reverse else 1
        for frame in range(start, end + way, way):
            yield self._step(frame, reverse, self._reached(frame, reverse))

    def discover(self, every: int | None, look: Callable[[int, FrameMasks], Sequence[Prompt]]) -> Iterator[FrameMasks]:
        """Track forward while objects are being found; every frame is answered once, in order.

        look: what is new on a frame, given what is followed there. It is asked on the first frame, and on every
        `every`-th after it. What is new on a later one is also tracked backward, up to where was looked before. Holds
        the masks of `every` frames.
        """
        held: list[FrameMasks] = []
        for frame in range(len(self._frames)):
            seen = self._step(frame, False, self._reached(frame, False))
            if frame == 0 or (every is not None and frame % every == 0):
                seen, held = self._with_new(look(frame, seen), seen, held)
                yield from held
                held = []
            held.append(seen)
            if every is None:
                yield from held
                held = []
        yield from held

    def _with_new(
        self, prompts: Sequence[Prompt], seen: FrameMasks, held: list[FrameMasks]
    ) -> tuple[FrameMasks, list[FrameMasks]]:
        """A frame and those before it with the objects that are new on it. held[0] has been looked at."""
        for prompt in prompts:
            self.add(prompt)
        new = [prompt.object_id for prompt in prompts if prompt.object_id is not None]
        if not new:
            return seen, held
        for n in range(len(held) - 1, 0, -1):
            held[n] = _joined(held[n], self._step(held[n].frame, True, new))
        for number in new:
            self._objects[number].forget_tracked()
        return _joined(seen, self._step(seen.frame, False, new)), held

    def _both(self) -> Iterator[FrameMasks]:
        """Backward from where each object was first named, then forward; every frame is answered once, in order.

        Each way starts from the prompts alone, so that the result does not depend on what was tracked before.
        """
        self._forget_tracked()
        latest = max(each.prompted[0] for each in self._objects.values())
        earlier: dict[int, FrameMasks] = {}
        for frame in range(latest - 1, -1, -1):
            unnamed = [number for number, each in self._objects.items() if frame < each.prompted[0]]
            earlier[frame] = self._step(frame, True, unnamed)
        self._forget_tracked()
        for frame in range(len(self._frames)):
            later = self._step(frame, False, self._reached(frame, False))
            yield _joined(earlier.pop(frame), later) if frame in earlier else later

    def _reached(self, frame: int, reverse: bool) -> list[int]:
        """The objects named at or before a frame, in the direction of tracking."""
        return [
            number
            for number, each in self._objects.items()
            if (frame <= each.prompted[-1] if reverse else frame >= each.prompted[0])
        ]

    def _step(self, frame: int, reverse: bool, objects: Sequence[int]) -> FrameMasks:
        """These objects in one frame."""
        return self._gather(frame, {number: self._objects[number].step(frame, reverse) for number in objects})

    def _gather(self, frame: int, seen: dict[int, Seen]) -> FrameMasks:
        planes = [self._plane(each) for each in seen.values()]
        masks = np.stack(planes) if planes else np.zeros((0, *self._size), np.bool_)
        return gather(frame, list(seen), [each.score for each in seen.values()], masks, self._frames)

    def _plane(self, seen: Seen) -> NDArray[np.bool_]:
        """(h, w) bool at the size of the window's images."""
        logits = without_holes(seen.logits.float(), self._fill_holes)
        masks = self._engine.processor.post_process_masks([logits], original_sizes=[list(self._size)])
        plane: NDArray[np.bool_] = masks[0][0, 0].cpu().numpy()
        return plane

    def _forget_tracked(self) -> None:
        for each in self._objects.values():
            each.forget_tracked()

    def _session(self) -> Any:
        """A session of the library's own for these frames. Coordinates of prompts are of the source's pixels."""
        session = self._engine.processor.init_video_session(
            inference_device=self._engine.device,
            inference_state_device=self._engine.device,
            dtype=self._engine.dtype,
        )
        session.processed_frames = self._pictures
        session.video_height, session.video_width = self._frames.height, self._frames.width
        return session


def without_holes(logits: Any, largest: int) -> Any:
    """The mask logits (1, 1, s, s) with 8-connected holes of up to `largest` cells just filled; a new tensor if any is.

    As SAM2's own video predictor does it, with 8 cells; transformers leaves them.
    """
    outside = (logits[0, 0] <= 0).cpu().numpy().view(np.uint8)
    if largest < 1 or not outside.any():
        return logits
    _, labels, stats, _ = cv2.connectedComponentsWithStats(outside, connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] <= largest
    small[0] = False  # the mask itself
    if not small.any():
        return logits
    return logits.masked_fill(onto(small[labels][None, None], logits.device), JUST_INSIDE)


def _joined(a: FrameMasks, b: FrameMasks) -> FrameMasks:
    """Different objects of one frame, by ascending id."""
    rows = sorted(
        (*zip(a.object_ids, a.masks, a.scores, strict=True), *zip(b.object_ids, b.masks, b.scores, strict=True)),
        key=lambda row: row[0],
    )
    return FrameMasks(a.frame, *(tuple(column) for column in zip(*rows, strict=True))) if rows else a
