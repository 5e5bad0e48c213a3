"""task=track on top of finished tracks: it opens no file that it knows, and notices one that is gone or cut short."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.build import Build, Summary
from pipeline.track_store import TrackStore
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import write_crop
from tests.running import rows

Again = Callable[..., Summary]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def build(tmp_path: Path, out: Path) -> Again:
    """Of three videos of 40 frames with one given track each."""
    lines = [f"{frame + 1},1,{8 + frame // 4},16,32,24,1,-1,-1,-1\n" for frame in range(40)]
    (tmp_path / "given").mkdir()
    for name in "abc":
        write_crop(tmp_path / "videos" / f"{name}.mp4", 64, 40, seed=ord(name))
        (tmp_path / "given" / f"{name}.txt").write_text("".join(lines))

    def run(*more: str) -> Summary:
        chosen = (f"videos={tmp_path}/videos", f"out={out}", f"tracker.path={tmp_path}/given")
        small = ("crop.size=16", "filters.size.min_side=8", "clip.num_frames=5", "exports=[]")
        return Build(loaded("task=track", "prompt=cow", "tracker=file", *chosen, *small, *more)).run()

    return run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the track files that were looked into."""
    keys: list[str] = []
    one = TrackStore.whole
    monkeypatch.setattr(TrackStore, "whole", lambda self, key: (keys.append(key), one(self, key))[1])
    return keys


@pytest.fixture
def known(build: Again, out: Path, opened: list[str]) -> list[Path]:
    """The track files, after two runs: they were looked into, long after they were made."""
    assert build().tracked_windows == 6
    files = sorted((out / "tracks").glob("??/*.parquet"))
    for path in files:
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 60 * 10**9))
    assert build().tracked_windows == 0 and sorted(opened) == sorted(path.stem for path in files)
    opened.clear()
    return files


@pytest.mark.parametrize("again", ["true", "false"])
def test_a_rerun_opens_no_track_file_that_it_knows(
    again: str, build: Again, known: list[Path], opened: list[str]
) -> None:
    assert len(known) == 3
    assert build(f"retry_failed={again}").tracked_windows == 0 and opened == []


@pytest.mark.parametrize("again", ["true", "false"])
def test_tracks_that_are_gone_are_made_again(again: str, build: Again, known: list[Path], opened: list[str]) -> None:
    before = {path: path.read_bytes() for path in known}
    known[1].unlink()
    assert build(f"retry_failed={again}").tracked_windows == 2
    assert {path: path.read_bytes() for path in known} == before and opened == []


@pytest.mark.parametrize("size", [0, 100, -1])
@pytest.mark.parametrize("again", ["true", "false"])
def test_tracks_that_are_cut_short_are_made_again(
    again: str, size: int, build: Again, known: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    before = {path: path.read_bytes() for path in known}
    os.truncate(known[1], size % len(before[known[1]]))
    with caplog.at_level(logging.WARNING):
        assert build(f"retry_failed={again}").tracked_windows == 2
    assert f"{known[1]} is not a readable track file" in caplog.text
    assert {path: path.read_bytes() for path in known} == before


def test_what_is_changed_or_damaged_is_looked_into(
    build: Again, out: Path, known: list[Path], opened: list[str]
) -> None:
    os.utime(known[0])
    build()
    assert opened == [known[0].stem]
    opened.clear()
    (out / "records" / "tracks.json").write_text("[1, {")
    build()
    assert len(opened) == 3


def test_a_build_tracks_again_what_it_cannot_read(
    build: Again, out: Path, known: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    os.truncate(known[2], 50)
    with caplog.at_level(logging.WARNING):
        made = build("task=build")
    assert (made.tracked_windows, made.crops, made.failures) == (2, 6, 0) and "its windows are tracked" in caplog.text
    assert len(rows(out / "samples.parquet")) == 6
