"""SAMSession drives any tracker and keeps nothing of a window that has ended."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from sam.errors import UnknownPrompt
from sam.session import SAMSession
from sam.types import FrameMasks, Mask, Prompt, SessionFrames


class Picture(np.ndarray):  # type: ignore[type-arg]
    """A frame that can be watched: plain arrays take no weak references to what they hold."""


class Squares:
    """Finds a square that walks right, and from frame 2 on another one."""

    name, understands, context, max_side = "squares", frozenset({"text"}), 0, None

    def __init__(self) -> None:
        self.closed = 0

    def identity(self) -> dict[str, Any]:
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None: ...

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        try:
            for n in range(len(frames)):
                square = Mask.encode(np.ones((4, 4), np.uint8), (n, 0))
                late = Mask.encode(np.ones((2, 2), np.uint8), (20, n))
                assert square is not None and late is not None
                found = ((7, square, 0.9), (3, late, 0.4 + n / 10))[: 1 if n < 2 else 2]
                yield FrameMasks(n, *(tuple(column) for column in zip(*found, strict=True)))
        finally:
            self.closed += 1


def window(count: int = 5) -> SessionFrames:
    images = [np.zeros((24, 32, 3), np.uint8).view(Picture) for _ in range(count)]
    return SessionFrames(images, np.arange(count) * 4, np.arange(count) / 6, 32, 24, "barn.mp4")


def test_tracks_are_gathered_by_object() -> None:
    with SAMSession(Squares(), window()) as session:
        session.add_prompt(Prompt(text="cow"))
        late, walker = session.tracks()
    assert (late.object_id, walker.object_id) == (3, 7)
    assert walker.frames.tolist() == [0, 1, 2, 3, 4] and late.frames.tolist() == [2, 3, 4]
    assert walker.boxes[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert late.first_score == pytest.approx(0.6), "the confidence of its first appearance"
    assert walker.prompt == "cow"


def test_another_kind_of_prompt_is_refused_by_name() -> None:
    with (
        SAMSession(Squares(), window()) as session,
        pytest.raises(UnknownPrompt, match=r"squares .* box .* takes text"),
    ):
        session.add_prompt(Prompt(box=(0, 0, 4, 4)))


def test_a_session_needs_frames_and_a_prompt() -> None:
    with pytest.raises(ValueError, match=r"at least one frame of barn\.mp4"):
        SAMSession(Squares(), window(0))
    with SAMSession(Squares(), window()) as session, pytest.raises(ValueError, match="add a prompt"):
        next(session.propagate())


def test_leaving_early_closes_the_tracker_and_lets_the_frames_go() -> None:
    tracker, frames = Squares(), window()
    watched = [weakref.ref(image) for image in frames.images]
    with SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text="cow"))
        running = session.propagate()
        next(running)
        del running, frames
    assert tracker.closed == 1
    gc.collect()
    assert [ref() for ref in watched] == [None] * 5
    with pytest.raises(RuntimeError, match="closed"):
        next(session.propagate())


def test_an_error_inside_the_block_closes_the_tracker() -> None:
    tracker = Squares()
    with pytest.raises(KeyError), SAMSession(tracker, window()) as session:
        session.add_prompt(Prompt(text="cow"))
        for _ in session.propagate():
            raise KeyError
    assert tracker.closed == 1


def test_reset_forgets_the_prompts_and_keeps_the_frames() -> None:
    tracker = Squares()
    with SAMSession(tracker, window()) as session:
        session.add_prompt(Prompt(text="cow"))
        session.tracks()
        session.reset()
        with pytest.raises(ValueError, match="add a prompt"):
            session.tracks()
        session.add_prompt(Prompt(text="calf"))
        assert {track.prompt for track in session.tracks()} == {"calf"}
    assert tracker.closed == 2
