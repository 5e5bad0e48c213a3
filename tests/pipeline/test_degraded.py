"""Windows whose memory ran out: kept apart, used until whole ones are there, tried again unless accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from pipeline import tracking
from pipeline.build import Build, Summary
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.memory import OutOfMemory
from sam.types import FrameMasks, Mask, Prompt, SessionFrames
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import write_crop
from tests.running import rows

Go = Callable[..., Summary]


class Scarce:
    """Sees two objects in every frame. `memory` says what fits: both, one of them ("half"), or none; windows: asked for
    so far, one entry each."""

    name = "scarce"
    understands = frozenset({"text"})
    context = 0
    max_side = None
    release = "window"
    memory: ClassVar[str] = "both"
    available: ClassVar[bool] = True
    windows: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.degraded = False
        self.found_by: dict[int, str] = {}

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name}

    def __enter__(self) -> Self:
        if not self.available:
            raise TrackerUnavailable("tracker=scarce has no GPU here")
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[np.ndarray]) -> None: ...

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        self.windows.append(int(frames.indices[0]))
        self.degraded = False
        first = frames.indices[0] == 0  # the first window alone is a large one
        if first and self.memory == "none":
            raise TrackingFailed("the GPU is on fire")
        for t in range(len(frames)):
            if first and t == 2 and self.memory == "half":
                raise OutOfMemory(f"{frames.video}: out of memory")
            yield self._seen(t, (0, 1))

    def track_smaller(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        for t in range(len(frames)):
            yield self._seen(t, (0,))
        self.degraded = True

    def keep(self, frames: SessionFrames | None, last: int | None = None) -> None: ...

    @staticmethod
    def _seen(frame: int, ids: tuple[int, ...]) -> FrameMasks:
        masks = [Mask.encode(np.ones((20, 24), np.uint8), (8 + 30 * i, 10)) for i in ids]
        return FrameMasks(frame, ids, tuple(m for m in masks if m is not None), (0.9,) * len(ids))


@dataclass
class ScarceConfig:
    """Options of `Scarce`: none."""

    def build(self) -> Scarce:
        return Scarce()


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Go]:
    """Build one video of two windows; memory: what fits on this machine; available: whether the tracker runs."""
    write_crop(tmp_path / "videos" / "a.mp4", 64, 40, seed=1)

    def run(*more: str, memory: str = "both", available: bool = True) -> Summary:
        tracking.leave()
        monkeypatch.setattr(Scarce, "memory", memory)
        monkeypatch.setattr(Scarce, "available", available)
        monkeypatch.setattr(Scarce, "windows", [])
        where = (f"videos={tmp_path / 'videos'}", f"out={tmp_path / 'out'}", "exports=[]")
        small = ("crop.size=16", "filters.size.min_side=8", "clip.num_frames=5")
        settings = loaded("prompt=cow", "tracker=motion", *where, *small, *more)
        return Build(replace(settings, tracker_name="scarce", tracker=ScarceConfig())).run()

    yield run
    tracking.leave()


def samples(tmp_path: Path) -> list[tuple[int, int, bool]]:
    return sorted((s["start_frame"], s["object_id"], s["degraded"]) for s in rows(tmp_path / "out" / "samples.parquet"))


WHOLE = [(0, 0, False), (0, 1, False), (20, 0, False), (20, 1, False)]
LESS = [(0, 0, True), (20, 0, False), (20, 1, False)]


def test_a_degraded_window_is_a_crop_less_and_no_failure(go: Go, tmp_path: Path) -> None:
    summary = go(memory="half")
    assert (summary.status, summary.tracked_windows) == (0, 2)
    assert samples(tmp_path) == LESS


def test_more_memory_brings_the_rest_and_only_that_window_is_tracked(go: Go, tmp_path: Path) -> None:
    go(memory="half")
    less = {s["sample_id"]: s for s in rows(tmp_path / "out" / "samples.parquet")}
    summary = go()
    assert (summary.tracked_windows, summary.reused_windows) == (1, 1)
    assert Scarce.windows == [0]
    assert samples(tmp_path) == WHOLE
    whole = {s["sample_id"]: s for s in rows(tmp_path / "out" / "samples.parquet")}
    assert {s["start_frame"] for i, s in less.items() if i in whole} == {20}, "a degraded object is no other's sample"
    assert len(list((tmp_path / "out" / "crops").rglob("*.mp4"))) == 4
    assert len([p for p in (tmp_path / "out" / "tracks").rglob("*.parquet")]) == 1
    go()
    assert Scarce.windows == []


def test_a_machine_as_small_tries_again_and_keeps_what_it_has(go: Go, tmp_path: Path) -> None:
    go(memory="half")
    before = {p: p.read_bytes() for p in (tmp_path / "out" / "crops").rglob("*.mp4")}
    assert go(memory="half").tracked_windows == 1
    assert samples(tmp_path) == LESS
    assert {p: p.read_bytes() for p in (tmp_path / "out" / "crops").rglob("*.mp4")} == before


def test_retry_failed_false_accepts_it(go: Go, tmp_path: Path) -> None:
    go(memory="half")
    summary = go("retry_failed=false")
    assert (summary.tracked_windows, Scarce.windows) == (0, [])
    assert samples(tmp_path) == LESS
    go("retry_failed=false", "crop.size=32")
    assert Scarce.windows == []
    assert samples(tmp_path) == LESS


def test_a_retry_that_fails_loses_nothing(go: Go, tmp_path: Path) -> None:
    go(memory="half")
    assert go(memory="none").status == 0
    assert Scarce.windows == [0]
    assert samples(tmp_path) == LESS


def test_a_machine_without_the_tracker_crops_what_is_there(
    go: Go, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go(memory="half")
    summary = go("crop.size=32", available=False)
    assert summary.status == 0
    assert samples(tmp_path) == LESS
    assert "a.mp4: 1 windows are not tried again: tracker=scarce has no GPU here" in caplog.text


def test_a_machine_without_the_tracker_stops_where_nothing_is_stored(go: Go) -> None:
    with pytest.raises(TrackerUnavailable, match="no GPU here"):
        go(available=False)


def test_a_failed_window_is_not_tried_without_the_tracker_either(go: Go, tmp_path: Path) -> None:
    assert go(memory="none").status == 3
    assert go("crop.size=32", available=False).status == 3
    assert samples(tmp_path) == WHOLE[2:]
    assert go().status == 0
    assert samples(tmp_path) == WHOLE


def test_shards_may_have_budgets_of_their_own() -> None:
    """A run stops where another one with other settings has taken its folder over; memory is no such setting."""
    one, other = (
        loaded("videos=v", "prompt=cow", "tracker=sam3_hf", *words) for words in ((), ("tracker.memory_gb=3",))
    )
    assert one.tracker != other.tracker and one.digest == other.digest
    assert one.digest != loaded("videos=v", "prompt=cow", "tracker=sam3_hf", "tracker.max_side=640").digest
