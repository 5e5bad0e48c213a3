"""Several prompts over one window: the image backbone runs once per frame, and no prompt feels the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from sam.errors import TrackingFailed
from sam.session import SAMSession
from sam.types import Prompt, SessionFrames, Track
from tests.sam3.footage import LATE, blobs
from tests.sam3.leaks import alive_bytes
from tests.sam3.test_memory import CACHED, fail, no_memory

if TYPE_CHECKING:
    from sam.backends.sam3_hf import Sam3HfTracker

COUNT = LATE + 2
Flat = list[tuple[int, str, list[int], tuple[object, ...], float]]


def flat(tracks: list[Track]) -> Flat:
    return [(t.object_id, t.prompt, t.frames.tolist(), t.masks, t.first_score) for t in tracks]


def alone(tracker: Sam3HfTracker, frames: SessionFrames, text: str) -> Flat:
    with SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text=text))
        return flat(session.tracks())


@pytest.fixture
def runs(loaded: Sam3HfTracker) -> Iterator[list[int]]:
    """One entry for every time the image backbone really runs."""
    assert loaded._engine is not None
    backbone = loaded._engine.model.detector_model.vision_encoder.backbone
    seen: list[int] = []
    handle = backbone.layers[0].register_forward_hook(lambda *given: seen.append(1))
    yield seen
    handle.remove()
    assert "forward" not in vars(backbone)


def passes(tracker: Sam3HfTracker, frames: SessionFrames, *texts: str) -> list[Flat]:
    found = []
    with SAMSession(tracker, frames, passes=len(texts)) as session:
        for text in texts:
            session.reset()
            session.add_prompt(Prompt(text=text))
            found.append(flat(session.tracks()))
    return found


def test_each_prompt_finds_what_it_finds_alone_and_the_backbone_runs_once(
    loaded: Sam3HfTracker, runs: list[int]
) -> None:
    frames, texts = blobs(COUNT).session(), ("cow", "calf", "dog", "red")
    single = [alone(loaded, frames, text) for text in texts]
    assert [len(each) for each in single] == [3, 1, 0, 1]
    assert len(runs) == len(texts) * COUNT
    runs.clear()
    assert passes(loaded, frames, *texts) == single
    assert len(runs) == COUNT
    runs.clear()
    assert passes(loaded, frames, "red", "cow") == [single[3], single[0]]  # in another order and company
    assert len(runs) == COUNT


def test_what_is_kept_is_bounded(loaded: Sam3HfTracker, runs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    frames = blobs(4).session()
    single = [alone(loaded, frames, text) for text in ("cow", "red")]
    of_one_frame = 16 * 16 * 32 * 4  # tokens x channels x float32, of the tiny model
    monkeypatch.setattr(loaded._features, "_limit", 3 * of_one_frame)
    runs.clear()
    assert passes(loaded, frames, "cow", "red") == single
    assert len(runs) == 4 + 1


def test_nothing_is_kept_when_the_window_ends(loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    before = alive_bytes()
    passes(loaded, blobs(2).session(), "cow", "red")
    assert loaded._features is not None and len(loaded._features) == 0
    fail(loaded, monkeypatch, [3], ValueError)
    with pytest.raises(TrackingFailed):
        passes(loaded, blobs(2).session(), "cow", "red")
    assert len(loaded._features) == 0
    assert alive_bytes() <= before + CACHED


def test_memory_that_runs_out_for_one_prompt_leaves_the_others_whole(
    loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = blobs(3).session()
    whole, red = alone(loaded, frames, "cow"), alone(loaded, frames, "red")
    fail(loaded, monkeypatch, [1], no_memory)
    found, degraded = [], []
    with SAMSession(loaded, frames, passes=2) as session:
        for text in ("cow", "red"):
            session.reset()
            session.add_prompt(Prompt(text=text))
            found.append(flat(session.tracks()))
            degraded.append(session.degraded)
            assert loaded._features is not None
            assert len(loaded._features) == 0  # given up for the second attempt
    assert degraded == [True, False]
    assert found[1] == red
    assert len(found[0]) == 1 < len(whole)


def test_other_frames_get_nothing_of_these(loaded: Sam3HfTracker) -> None:
    """What is kept belongs to one window's frames, not to frame numbers."""
    first, other = blobs(2).session(), blobs(LATE + 2)
    late = SessionFrames(other.images[-2:], first.indices, first.times_s, first.width, first.height, first.video)
    expected = alone(loaded, late, "cow")
    with SAMSession(loaded, first, passes=2) as session:
        session.add_prompt(Prompt(text="cow"))
        assert len(session.tracks()) == 2
        assert alone(loaded, late, "cow") == expected
    assert len(expected) == 3
