"""One window of `tracker=grabcut`: which objects there are, and how they step through the frames.

Memory: per object the masks on frames with prompts and one picture; with `lasting`, the run-length code of every
mask that was tracked, so that a correction starts from what is shown there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from sam.backends.blobs import U8
from sam.backends.found import gather
from sam.backends.grabcut_object import Clicks, FollowedObject, Seen, State
from sam.types import FrameMasks, Mask, Prompt, SessionFrames


class GrabcutWindow:
    """See the module docstring; implements `sam.tracker.Dialogue`."""

    def __init__(self, frames: SessionFrames, lasting: bool) -> None:
        self._frames = frames
        self._lasting = lasting
        self._shape = frames.images[0].shape[:2]  # asked once: frames may be decoded when they are asked for
        self._objects: dict[int, FollowedObject] = {}
        self._states: dict[int, State] = {}
        self._shown: dict[int, dict[int, tuple[Mask | None, float]]] = {}  # object -> frame -> what was shown

    def add(self, prompt: Prompt) -> FrameMasks:
        assert prompt.object_id is not None
        number, frame = prompt.object_id, prompt.frame
        known = self._objects.get(number) or FollowedObject()
        clicks = self._clicks(prompt)
        before: U8 | None = None
        if prompt.kinds == {"points"} and known.said:
            before = known.seen[frame].plane if frame in known.said else self._reached(number, frame)
            said = known.said.get(frame)
            if said is not None:
                clicks = Clicks(said.inside + clicks.inside, said.outside + clicks.outside, said.box, said.mask)
        seen = known.say(frame, clicks, self._frames.images[frame], before)
        self._objects[number] = known
        self._states.pop(number, None)
        return self._answer(frame, {number: seen})

    def remove(self, object_id: int) -> None:
        for kept in (self._objects, self._states, self._shown):
            kept.pop(object_id, None)

    def propagate(
        self, direction: str = "both", start: int | None = None, end: int | None = None
    ) -> Iterator[FrameMasks]:
        """See `SAMSession.propagate`."""
        if direction == "both":
            yield from self._both()
            return
        prompted = [frame for each in self._objects.values() for frame in each.prompted]
        reverse = direction == "backward"
        if start is None:
            start = max(prompted) if reverse else min(prompted)
        if end is None:
            end = 0 if reverse else len(self._frames) - 1
        way = -1 if reverse else 1
        for frame in range(start, end + way, way):
            within = [
                number
                for number, each in self._objects.items()
                if (frame <= each.prompted[-1] if reverse else frame >= each.prompted[0])
            ]
            yield self._answer(frame, {number: self._at(number, frame, way) for number in within})

    def _both(self) -> Iterator[FrameMasks]:
        """Backward from where each object was first named, then forward, afresh; every frame once, in order."""
        self._states.clear()
        self._shown.clear()
        first = {number: each.prompted[0] for number, each in self._objects.items()}
        earlier: dict[int, dict[int, tuple[Mask | None, float]]] = {}
        for frame in range(max(first.values()) - 1, -1, -1):
            named = [number for number, at in first.items() if frame < at]
            earlier[frame] = {number: _coded(self._at(number, frame, -1)) for number in named}
        self._states.clear()
        for frame in range(len(self._frames)):
            seen = {number: _decoded(each, self._shape) for number, each in earlier.pop(frame, {}).items()}
            seen |= {number: self._at(number, frame, 1) for number, at in first.items() if frame >= at}
            yield self._answer(frame, seen)

    def _at(self, number: int, frame: int, way: int) -> Seen:
        """An object in one frame, stepped to from where it is now, or from the nearest frame behind with a prompt."""
        each = self._objects[number]
        if frame in each.seen:
            self._states[number] = each.start(frame, self._frames.images[frame])
            return each.seen[frame]
        state = self._states.get(number)
        behind = [t for t in each.prompted if (t < frame if way > 0 else t > frame)]
        nearest = max(behind, key=lambda t: way * t)
        ahead = state is not None and (nearest <= state.frame < frame if way > 0 else nearest >= state.frame > frame)
        if state is None or not ahead:
            state = self._states[number] = each.start(nearest, self._frames.images[nearest])
        seen = each.seen[nearest]
        for t in range(state.frame + way, frame + way, way):
            seen = each.step(state, t, self._frames.images[t])
        if self._lasting:
            self._shown.setdefault(number, {})[frame] = _coded(seen)
        return seen

    def _reached(self, number: int, frame: int) -> U8:
        """The mask that a correction starts from: what was shown there, or else what tracking there gives."""
        shown = self._shown.get(number, {}).get(frame)
        if shown is not None:
            return _decoded(shown, self._shape).plane
        each = self._objects[number]
        nearest = min(each.prompted, key=lambda t: (abs(t - frame), t))
        return self._at(number, frame, 1 if nearest < frame else -1).plane

    def _clicks(self, prompt: Prompt) -> Clicks:
        """A prompt in pixels of the window's images."""
        height, width = self._shape
        x, y = width / self._frames.width, height / self._frames.height
        points = [(px * x, py * y) for px, py in prompt.points]
        inside = tuple(p for p, label in zip(points, prompt.labels, strict=True) if label == 1)
        outside = tuple(p for p, label in zip(points, prompt.labels, strict=True) if label == 0)
        box = None
        if prompt.box is not None:
            box = (prompt.box[0] * x, prompt.box[1] * y, prompt.box[2] * x, prompt.box[3] * y)
        mask = None
        if prompt.mask is not None:
            small = cv2.resize(prompt.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
            mask = (small >= min(0.5, float(small.max()))).astype(np.uint8)
        return Clicks(inside, outside, box, mask)

    def _answer(self, frame: int, seen: Mapping[int, Seen]) -> FrameMasks:
        """The objects of a frame; a pixel of two is the surer one's (of equals, the one with the lower id)."""
        planes = {number: each.plane.astype(bool) for number, each in seen.items()}
        taken = np.zeros(self._shape, np.bool_)
        for number in sorted(seen, key=lambda n: (-seen[n].score, n)):
            planes[number] &= ~taken
            taken |= planes[number]
        masks = np.stack([planes[n] for n in seen]) if seen else np.zeros((0, *self._shape), np.bool_)
        return gather(frame, list(seen), [seen[n].score for n in seen], masks, self._frames)


def _coded(seen: Seen) -> tuple[Mask | None, float]:
    return Mask.encode(seen.plane), seen.score


def _decoded(coded: tuple[Mask | None, float], shape: tuple[int, int]) -> Seen:
    mask, score = coded
    return Seen(np.zeros(shape, np.uint8) if mask is None else mask.full(shape[1], shape[0]), score)
