"""A session's life: what it refuses, and that nothing of it stays when it ends."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from sam.errors import UnknownPrompt
from sam.session import SAMSession
from sam.types import FrameMasks, Mask, Prompt, SessionFrames

MASK = Mask.encode(np.ones((4, 4), np.uint8), (2, 2))


class Plane(np.ndarray):
    """An array that can be referred to weakly."""


class Scripted:
    """A tracker that sees object 5 in every frame and object 3 from frame 2 on, and notes how its generator ended."""

    name = "scripted"
    understands = frozenset({"text", "box"})
    context = 0
    max_side = None

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.closed = 0
        self.prompts: Sequence[Prompt] = ()

    def identity(self) -> dict[str, object]:
        return {"tracker": self.name}

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[np.ndarray]) -> None: ...

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        self.prompts = prompts
        try:
            for t in range(len(frames)):
                if t == self.fail_at:
                    raise RuntimeError("the model broke")
                ids = (5,) if t < 2 else (5, 3)
                yield FrameMasks(t, ids, (MASK,) * len(ids), tuple(0.1 * i + 0.01 * t for i in ids))
        finally:
            self.closed += 1


def frames(count: int = 4) -> SessionFrames:
    images = [np.zeros((8, 8, 3), np.uint8).view(Plane) for _ in range(count)]
    return SessionFrames(images, np.arange(count), np.arange(count) / 6, 8, 8, "barn.mp4")


def test_tracks_gather_objects_by_id() -> None:
    with SAMSession(Scripted(), frames()) as session:
        session.add_prompt(Prompt(text="cow"))
        session.add_prompt(Prompt(text="calf"))
        late, early = session.tracks()
    assert (late.object_id, late.frames.tolist(), late.prompt) == (3, [2, 3], "cow, calf")
    assert (early.object_id, early.frames.tolist()) == (5, [0, 1, 2, 3])
    assert late.first_score == pytest.approx(0.32)


def test_leaving_closes_the_generator_and_drops_the_frames() -> None:
    tracker, given = Scripted(), frames()
    watched = [weakref.ref(image) for image in given.images]
    with SAMSession(tracker, given) as session:
        session.add_prompt(Prompt(text="cow"))
        running = session.propagate()
        next(running)
        assert tracker.closed == 0
    assert tracker.closed == 1
    del given, running
    gc.collect()
    assert [ref() for ref in watched] == [None] * 4
    with pytest.raises(RuntimeError, match="closed"):
        next(session.propagate())


def test_an_error_while_tracking_leaves_nothing_behind() -> None:
    tracker, given = Scripted(fail_at=2), frames()
    watched = weakref.ref(given.images[0])
    with pytest.raises(RuntimeError, match="the model broke"), SAMSession(tracker, given) as session:
        session.add_prompt(Prompt(text="cow"))
        session.tracks()
    assert tracker.closed == 1
    del given
    gc.collect()
    assert watched() is None


def test_a_new_propagation_ends_the_one_before() -> None:
    tracker = Scripted()
    with SAMSession(tracker, frames()) as session:
        session.add_prompt(Prompt(text="cow"))
        next(session.propagate())
        assert len(session.tracks()) == 2
        assert tracker.closed == 2
        session.reset()
        with pytest.raises(ValueError, match="add a prompt"):
            session.tracks()


class Keeping(Scripted):
    """A model tracker that notes what it was asked to keep."""

    release = "window"
    degraded = False

    def __init__(self) -> None:
        super().__init__()
        self.found_by: dict[int, str] = {}
        self.kept: list[SessionFrames | None] = []
        self.last: list[int | None] = []

    def track_smaller(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        yield from self.track(frames, prompts)

    def keep(self, frames: SessionFrames | None, last: int | None = None) -> None:
        self.kept.append(frames)
        self.last.append(last)


def test_several_passes_may_keep_what_they_share_until_the_end() -> None:
    tracker, given = Keeping(), frames()
    with pytest.raises(ValueError, match="add a prompt"), SAMSession(tracker, given, passes=2) as session:
        assert tracker.kept == [given]
        session.tracks()
    assert tracker.kept == [given, None]
    with SAMSession(tracker, given) as session:
        session.add_prompt(Prompt(text="cow"))
        session.tracks()
    assert tracker.kept == [given, None], "one pass keeps nothing"


@pytest.mark.parametrize(("passes", "first"), [(1, 2), (2, None)])
def test_frames_that_come_again_are_kept_beyond_the_session(passes: int, first: int | None) -> None:
    tracker, given = Keeping(), replace(frames(), again=2)
    with SAMSession(tracker, given, passes=passes) as session:
        session.add_prompt(Prompt(text="cow"))
        session.tracks()
    assert tracker.kept == [given, given]
    assert tracker.last == [first, 2]


def test_an_unknown_kind_of_prompt_is_named() -> None:
    with SAMSession(Scripted(), frames()) as session:
        with pytest.raises(UnknownPrompt, match="scripted does not understand points prompts; it takes box, text"):
            session.add_prompt(Prompt(points=((1, 1),), labels=(1,)))
        session.add_prompt(Prompt(box=(0, 0, 4, 4)))
        assert session.tracks()[0].prompt == "object"


def test_a_session_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one frame of barn\.mp4"):
        SAMSession(Scripted(), frames(0))
