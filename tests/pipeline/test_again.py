"""Windows that overlap: the tracker learns which of its pictures come again, and gets the very same arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.build import Build
from pipeline.stages import window_frames
from sam.types import FrameMasks, Prompt, SessionFrames
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import write_crop

Seen = tuple[int, list[NDArray[np.uint8]]]


class Noting:
    """Finds nothing, and keeps what it was shown: how many frames come again, and the pictures."""

    name = "noting"
    understands = frozenset({"text"})
    context = 0
    max_side = 32
    seen: ClassVar[list[Seen]] = []

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None: ...

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        self.seen.append((frames.again, list(frames.images)))
        return iter([FrameMasks(n, (), (), ()) for n in range(len(frames))])


@dataclass
class NotingConfig:
    """Options of `Noting`: none."""

    def build(self) -> Noting:
        return Noting()


def build(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> list[Seen]:
    """Track one video of 10 sampled frames in windows of 4; what the tracker was shown, window by window."""
    if not (folder / "videos").exists():
        write_crop(folder / "videos" / "a.mp4", 64, 40, seed=1)
    monkeypatch.setattr(Noting, "seen", [])
    where = (f"videos={folder / 'videos'}", f"out={folder / 'out'}", "exports=[]")
    settings = loaded("prompt=cow", "tracker=motion", *where, "clip.num_frames=4", *more)
    Build(replace(settings, tracker_name="noting", tracker=NotingConfig())).run()
    return Noting.seen


def test_windows_that_overlap_share_their_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = build(tmp_path, monkeypatch, "clip.hop=3")
    assert [again for again, _ in seen] == [1] * (len(seen) - 1) + [0]
    assert len(seen) == 3
    for (again, images), (_, following) in pairwise(seen):
        assert all(a is b for a, b in zip(images[-again:], following, strict=False))


def test_windows_side_by_side_share_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [again for again, _ in build(tmp_path, monkeypatch)] == [0, 0]


def test_a_window_whose_tracks_are_there_uses_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another prompt all windows are tracked again; with the same one none is."""
    build(tmp_path, monkeypatch, "clip.hop=3")
    assert build(tmp_path, monkeypatch, "clip.hop=3") == []
    assert [again for again, _ in build(tmp_path, monkeypatch, "clip.hop=3", "prompt=calf")] == [1, 1, 0]


def test_long_windows_are_decoded_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_frames, "LONG_BYTES", 0)
    assert [again for again, _ in build(tmp_path, monkeypatch, "clip.hop=3", "task=track")] == [0, 0, 0]
