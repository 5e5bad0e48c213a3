"""A session as a dialogue: prompts one by one, corrections, ways and ranges, removal; what it passes on and refuses."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from sam.errors import UnknownPrompt, WrongPrompt
from sam.memory import OutOfMemory
from sam.session import SAMSession
from sam.types import FrameMasks, Mask, Prompt, SessionFrames
from tests.sam.test_session import Scripted

MASK = Mask.encode(np.ones((4, 4), np.uint8), (2, 2))
assert MASK is not None
BOX = (0, 0, 4, 4)
COUNT = 6


class Talk:
    """A dialogue that writes down what it is told."""

    def __init__(self, log: list[object]) -> None:
        self.log = log

    def add(self, prompt: Prompt) -> FrameMasks:
        if prompt.box == (0, 0, 1, 1):
            raise RuntimeError("the model broke")
        self.log.append((prompt.object_id, prompt.frame))
        return FrameMasks(prompt.frame, (prompt.object_id or 0,), (MASK,), (0.5,))

    def propagate(self, direction: str, start: int | None, end: int | None) -> Iterator[FrameMasks]:
        self.log.append((direction, start, end))
        yield FrameMasks(0, (), (), ())

    def remove(self, object_id: int) -> None:
        self.log.append(("remove", object_id))


class Talker:
    """A tracker that takes points, boxes and masks; whole windows go into the log as well."""

    name = "talker"
    understands = frozenset({"points", "box", "mask"})
    context = 0
    max_side = None

    def __init__(self) -> None:
        self.log: list[object] = []

    def begin(self, frames: SessionFrames) -> Talk:
        self.log.append("begin")
        return Talk(self.log)

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        self.log.append(("track", [p.object_id for p in prompts]))
        yield FrameMasks(0, (), (), ())

    def identity(self) -> dict[str, object]:
        return {"tracker": self.name}

    def __enter__(self) -> Talker:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[np.ndarray]) -> None: ...


def frames() -> SessionFrames:
    return SessionFrames(
        [np.zeros((8, 8, 3), np.uint8)] * COUNT, np.arange(COUNT), np.arange(COUNT) / 6, 8, 8, "barn.mp4"
    )


def point(label: int, frame: int = 0, object_id: int | None = None) -> Prompt:
    return Prompt(points=((1, 1),), labels=(label,), frame=frame, object_id=object_id)


def test_objects_without_an_id_get_the_lowest_free_one() -> None:
    with SAMSession(Talker(), frames()) as session:
        assert session.add_prompt(Prompt(box=BOX, object_id=1)) == 1
        assert session.add_prompt(Prompt(box=BOX)) == 0
        assert session.add_prompt(Prompt(box=BOX)) == 2
        assert session.objects == (0, 1, 2)


def test_a_batch_is_tracked_as_a_whole_and_a_dialogue_goes_on() -> None:
    tracker = Talker()
    with SAMSession(tracker, frames()) as session:
        session.add_prompt(point(1))
        list(session.propagate())
        assert tracker.log == [("track", [0])]
        shown = session.refine(point(0, frame=3, object_id=0))
        assert (shown.frame, shown.object_ids) == (3, (0,))
        session.add_prompt(Prompt(box=BOX, frame=5))
        list(session.propagate("backward", start=5, end=2))
        list(session.propagate())
    assert tracker.log[1:] == ["begin", (0, 0), (0, 3), (1, 5), ("backward", 5, 2), ("both", None, None)]


def test_what_is_removed_is_forgotten_everywhere() -> None:
    tracker = Talker()
    with SAMSession(tracker, frames()) as session:
        session.refine(point(1))
        session.refine(point(1))
        session.add_prompt(Prompt(box=BOX, object_id=7))
        session.remove(0)
        assert session.objects == (1, 7)
        list(session.propagate("forward"))
        session.reset()
        assert session.objects == ()
        assert session.refine(Prompt(box=BOX)).object_ids == (0,)
    assert tracker.log == [
        *("begin", (0, 0), (1, 0), ("remove", 0), (7, 0), ("forward", None, None)),
        *("begin", (0, 0)),
    ]


def test_objects_that_nobody_named_are_unknown() -> None:
    with SAMSession(Talker(), frames()) as session:
        with pytest.raises(WrongPrompt, match="there is no object 3; prompts have named none"):
            session.remove(3)
        with pytest.raises(WrongPrompt, match="object 4 is not named yet: give it a point inside"):
            session.add_prompt(point(0, object_id=4))
        session.add_prompt(point(1, object_id=4))
        session.add_prompt(point(0, object_id=4))
        with pytest.raises(WrongPrompt, match="there is no object 3; prompts have named 4"):
            session.remove(3)


def test_ways_and_ranges_are_checked() -> None:
    with SAMSession(Talker(), frames()) as session:
        session.add_prompt(point(1))
        for options, message in (
            ({"direction": "up"}, "direction is one of both, forward, backward, got 'up'"),
            ({"start": 2}, "start needs a direction"),
            ({"direction": "forward", "end": COUNT}, "has frames 0 to 5 here, got end=6"),
            ({"direction": "forward", "start": -1}, "got start=-1"),
            ({"direction": "forward", "start": 4, "end": 2}, "forward from 4 does not lead to 2"),
            ({"direction": "backward", "start": 2, "end": 4}, "backward from 2 does not lead to 4"),
        ):
            with pytest.raises((ValueError, WrongPrompt), match=message):
                next(session.propagate(**options))
        assert len(list(session.propagate("backward", start=3, end=3))) == 1


def test_a_refused_prompt_leaves_no_trace() -> None:
    with SAMSession(Talker(), frames()) as session:
        with pytest.raises(RuntimeError, match="the model broke"):
            session.refine(Prompt(box=(0, 0, 1, 1)))
        with pytest.raises(UnknownPrompt, match="does not understand text prompts; it takes box, mask, points"):
            session.add_prompt(Prompt(text="cow"))
        with pytest.raises(ValueError, match="add a prompt"):
            next(session.propagate())


def test_a_tracker_of_whole_windows_takes_no_corrections() -> None:
    with SAMSession(Scripted(), frames()) as session:
        with pytest.raises(UnknownPrompt, match="scripted tracks a window as a whole"):
            session.refine(Prompt(box=BOX))
        session.add_prompt(Prompt(text="cow"))
        with pytest.raises(UnknownPrompt, match="sam2 and sam3_tracker take corrections"):
            next(session.propagate("forward"))
        assert len(list(session.propagate())) == COUNT


class Hungry(Talker):
    """Runs out of memory in a dialogue, and not when it tracks smaller."""

    release, degraded, found_by = "window", False, {}

    def begin(self, frames: SessionFrames) -> Talk:
        talk = super().begin(frames)
        talk.propagate = self._full  # type: ignore[method-assign]
        self.talk = weakref.ref(talk)
        return talk

    def _full(self, direction: str, start: int | None, end: int | None) -> Iterator[FrameMasks]:
        raise OutOfMemory("barn.mp4: out of memory")
        yield

    def keep(self, frames: SessionFrames | None, last: int | None = None) -> None: ...

    def track_smaller(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        gc.collect()
        self.log.append(("smaller", self.talk() is None))
        yield FrameMasks(0, (3,), (MASK,), (0.5,))


def test_a_dialogue_that_fills_the_memory_is_dropped_before_it_is_tried_smaller() -> None:
    tracker = Hungry()
    with SAMSession(tracker, frames()) as session:
        session.refine(Prompt(box=BOX, object_id=3))
        assert [track.object_id for track in session.tracks()] == [3]
        assert tracker.log[-1] == ("smaller", True)
        session.refine(point(0, object_id=3))
    assert tracker.log[-3:] == ["begin", (3, 0), (3, 0)]
