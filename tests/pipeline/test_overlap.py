"""Chunks overlap: one is cropped and committed while the next is tracked and another decoded, whatever goes wrong."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.build import Build
from pipeline.errors import DiskError
from pipeline.footage import survey
from pipeline.job import Job
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.records import ChunkRecord
from pipeline.settings import Settings
from pipeline.stages import ahead, cropping
from pipeline.stages.ahead import Abandoned
from pipeline.stages.crop_writer import CropWriter
from pipeline.stages.feed import Budget, Fed
from pipeline.stages.measure import Draft
from pipeline.stages.open_video import OpenVideo
from pipeline.worker import Worker
from sam.errors import TrackerUnavailable
from tests.pipeline.by_hook import Hooked, HookedConfig
from tests.pipeline.composing import loaded
from tests.pipeline.mortal import made
from tests.running import ROOT, rows
from video import clipper
from video.readers.contract import VideoReader
from video.types import Frame, Video

SMALL = ("prompt=cow", "crop.size=32", "filters.size.min_side=8", "clip.num_frames=5", "exports=[]")
FIRST, SECOND, THIRD = (
    "farm1/cam1_20260601_0900.mp4",
    "farm1/cam2_20260601_1215.mp4",
    "farm2/cam1_20260601_1530.mp4",
)
SOON = 30.0  # seconds that something which happens at once is waited for


@pytest.fixture(scope="module")
def undisturbed(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run makes that nobody looks into."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert Build(hooked(footage, out)).run().status == 0
    return made(out)


@pytest.fixture
def settings(footage: Path, tmp_path: Path) -> Settings:
    return hooked(footage, tmp_path / "out")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    yield
    deadline = time.monotonic() + SOON
    while (left := _threads()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left


def hooked(footage: Path, out: Path, *more: str) -> Settings:
    chosen = loaded(f"videos={footage}", f"out={out}", "tracker=motion", "executor.workers=2", *SMALL, *more)
    return replace(chosen, tracker=HookedConfig())


def at_window(monkeypatch: pytest.MonkeyPatch, call: Callable[[str], None]) -> None:
    """Call with the name of the video whenever a window is tracked."""
    monkeypatch.setattr(Hooked, "before", staticmethod(lambda frames: call(frames.video)))


def at_crop(monkeypatch: pytest.MonkeyPatch, call: Callable[[str], None]) -> None:
    """Call with the name of the video whenever a crop is to be made, in the thread that makes it."""
    make = CropWriter.crop

    def crop(self: CropWriter, draft: Draft, *rest: Any) -> Any:
        call(draft.sample.video)
        return make(self, draft, *rest)

    monkeypatch.setattr(CropWriter, "crop", crop)


def records(settings: Settings) -> set[str]:
    """The videos whose chunk is committed."""
    layout = Layout(settings.out, settings.tracks)
    found = (Ledger(layout).read(record_id) for record_id in layout.record_files())
    return {record.video for record in found if record is not None}


def test_a_chunk_is_cropped_while_the_next_is_tracked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    second_tracked, waited = threading.Event(), []
    at_window(monkeypatch, lambda video: second_tracked.set() if video == SECOND else None)
    at_crop(monkeypatch, lambda video: waited.append(second_tracked.wait(SOON)) if video == FIRST else None)
    assert Build(settings).run().status == 0
    assert waited and all(waited), "no crop of the first could be made before the second was tracked"
    assert made(settings.out) == undisturbed


def test_a_chunk_is_committed_while_the_next_is_tracked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(video: str) -> None:
        deadline = time.monotonic() + SOON
        while video == THIRD and FIRST not in records(settings) and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append((video, FIRST in records(settings)))

    at_window(monkeypatch, look)
    assert Build(settings).run().status == 0
    assert all(committed for video, committed in seen if video == THIRD)


def test_the_next_video_is_opened_and_decoded_while_this_one_is_tracked(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, waited = threading.Event(), []
    reader = OpenVideo.reader

    def noted(self: OpenVideo, video: Video) -> VideoReader:
        if video.name == SECOND:
            opened.set()
        return reader(self, video)

    monkeypatch.setattr(OpenVideo, "reader", noted)
    at_window(monkeypatch, lambda video: waited.append(opened.wait(SOON)) if video == FIRST else None)
    assert Build(settings).run().status == 0
    assert waited and all(waited)


def test_the_thread_that_tracks_gets_its_turn_soon(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before, during = sys.getswitchinterval(), list[float]()
    at_window(monkeypatch, lambda video: during.append(sys.getswitchinterval()))
    assert Build(settings).run().status == 0
    assert during == pytest.approx([0.0005] * 30) and sys.getswitchinterval() == before


def test_few_chunks_are_open_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipper, "MAX_WINDOWS_PER_CHUNK", 2)
    monkeypatch.setattr(cropping, "IN_FLIGHT_BYTES", 2**40)
    gate, windows = threading.Event(), list[str]()
    at_crop(monkeypatch, lambda video: gate.wait(SOON) and None)
    at_window(monkeypatch, lambda video: windows.append(video))
    runner = threading.Thread(target=lambda: Build(settings).run())
    runner.start()
    try:
        assert _settled(lambda: len(windows)) == 2 * ahead.OPEN_CHUNKS, "none is committed, so no fifth is opened"
    finally:
        gate.set()
        runner.join()
    assert len(windows) == 30


def test_memory_is_bounded_over_all_chunks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = 320 * 192 * 3
    window = 5 * frame
    monkeypatch.setattr(clipper, "MAX_WINDOWS_PER_CHUNK", 2)
    monkeypatch.setattr(cropping, "IN_FLIGHT_BYTES", 2 * window)
    monkeypatch.setattr(ahead, "Budget", lambda: Budget(3 * frame))
    alive, peak, lock = 0, 0, threading.Lock()

    def born(made: Frame, side: int | None) -> Fed:
        nonlocal alive, peak
        with lock:
            alive += 1
            peak = max(peak, alive)
        weakref.finalize(made.rgb, dies)
        return Fed(made, made.rgb)

    def dies() -> None:
        nonlocal alive
        with lock:
            alive -= 1

    monkeypatch.setattr(Fed, "of", born)
    at_crop(monkeypatch, lambda video: time.sleep(0.02))
    assert Build(settings).run().status == 0
    # In flight, the one that is brought to it, what is held of the last one, what waits, and what waits to wait.
    most = 2 * 5 + 5 + 5 + 3 + 1
    assert 2 * 5 < peak <= most and alive == 0


def test_a_crop_that_fails_while_the_next_chunk_is_tracked_fails_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    second_tracked, failed, number = threading.Event(), [], itertools.count()

    def fail(video: str) -> None:
        if video == FIRST and next(number) == 0:
            failed.append(second_tracked.wait(SOON))
            raise ValueError("this one cannot be encoded")

    with monkeypatch.context() as patched:
        at_window(patched, lambda video: second_tracked.set() if video == SECOND else None)
        at_crop(patched, fail)
        assert Build(settings).run().status == 3
    assert failed == [True]
    (failure,) = rows(settings.out / "failures.parquet")
    assert (failure["video"], failure["stage"], failure["error"]) == (FIRST, "crop", "this one cannot be encoded")
    assert {s["video"] for s in rows(settings.out / "samples.parquet")} == {FIRST, SECOND, THIRD}
    assert Build(settings).run().status == 0, "a rerun makes the crop"
    assert made(settings.out) == undisturbed


@pytest.mark.parametrize("where", ["crop", "record"])
def test_a_full_disk_ends_the_run_while_two_chunks_are_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, where: str, undisturbed: dict[str, bytes]
) -> None:
    third_tracked, write = threading.Event(), Ledger.write

    def full(video: str) -> None:
        if video == SECOND:
            assert third_tracked.wait(SOON)
            raise DiskError("no space left")

    def record(self: Ledger, one: ChunkRecord) -> None:
        full(one.video)
        write(self, one)

    with monkeypatch.context() as patched:
        at_window(patched, lambda video: third_tracked.set() if video == THIRD else None)
        if where == "crop":
            at_crop(patched, full)
        else:
            patched.setattr(Ledger, "write", record)
        with pytest.raises(DiskError, match="no space left"):
            Build(settings).run()
    assert FIRST in records(settings) and SECOND not in records(settings)
    assert not list(settings.out.rglob("*.part"))
    assert Build(settings).run().status == 0
    assert made(settings.out) == undisturbed


def test_what_was_tracked_before_an_error_is_committed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    third_begun = threading.Event()

    def lose(video: str) -> None:
        if video == THIRD:
            third_begun.set()
            raise TrackerUnavailable("the GPU is gone")

    with monkeypatch.context() as patched:
        at_window(patched, lose)
        at_crop(patched, lambda video: third_begun.wait(SOON) and None if video == SECOND else None)
        with pytest.raises(TrackerUnavailable, match="the GPU is gone"):
            Build(settings).run()
    assert records(settings) == {FIRST, SECOND}, "the second was still being cropped"
    assert Build(settings).run().status == 0
    assert made(settings.out) == undisturbed


def test_an_interrupt_drops_what_is_not_committed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    gone = threading.Event()

    def interrupt(video: str) -> None:
        if video == THIRD:
            gone.set()
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        at_window(patched, interrupt)
        at_crop(patched, lambda video: gone.wait(SOON) and None if video == SECOND else None)
        with pytest.raises(KeyboardInterrupt):
            Build(settings).run()
    assert SECOND not in records(settings) and THIRD not in records(settings)
    assert not list(settings.out.rglob("*.part"))
    assert Build(settings).run().status == 0
    assert made(settings.out) == undisturbed


def test_a_video_that_ends_in_noise_fails_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    from video.errors import UnreadableVideo

    reader = OpenVideo.reader

    def broken(self: OpenVideo, video: Video) -> VideoReader:
        if video.name == SECOND:
            raise UnreadableVideo(f"{video.name}: damaged here")
        return reader(self, video)

    with monkeypatch.context() as patched:
        patched.setattr(OpenVideo, "reader", broken)
        assert Build(settings).run().status == 3
    failures = rows(settings.out / "failures.parquet")
    assert {(f["video"], f["stage"]) for f in failures} == {(SECOND, "decode")} and len(failures) == 10
    assert {s["video"] for s in rows(settings.out / "samples.parquet")} == {FIRST, THIRD}
    assert Build(settings).run().status == 0
    assert made(settings.out) == undisturbed


def test_a_worker_that_nobody_waits_for_ends_after_its_window(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, windows, build = threading.Event(), list[str](), Build(settings)
    jobs = build.jobs(survey(settings, build.ledger))

    def given() -> Iterator[Job]:
        yield jobs[0]
        assert begun.wait(SOON)
        raise Abandoned

    def look(video: str) -> None:
        windows.append(video)
        begun.set()
        deadline = time.monotonic() + SOON
        while len(windows) == 2 and "decode" in _threads() and time.monotonic() < deadline:
            time.sleep(0.01)

    at_window(monkeypatch, look)
    with Worker(settings, threads=2) as worker, pytest.raises(Abandoned):
        list(worker.run(given()))
    assert len(windows) in (1, 2) and not records(settings), "of ten windows"


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.build import Build
from pipeline.ledger import Ledger
from tests.pipeline.test_overlap import hooked

write = Ledger.write

def killed(self, record):
    if sys.argv[3] == "after":
        write(self, record)
    os.kill(os.getpid(), signal.SIGKILL)

Ledger.write = killed
Build(hooked(Path(sys.argv[1]), Path(sys.argv[2]))).run()
"""


@pytest.mark.slow
def test_killed_in_the_middle_of_overlapping_commits(
    footage: Path, settings: Settings, undisturbed: dict[str, bytes]
) -> None:
    for moment, count in (("before", 0), ("after", 1)):
        words = (str(footage), str(settings.out), moment)
        done = subprocess.run([sys.executable, "-c", KILLED, *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert len(records(settings)) == count, "its first commit of the run"
    assert Build(settings).run().status == 0
    assert made(settings.out) == undisturbed


def _threads() -> list[str]:
    ours = ("encode", "measure", "commit", "decode")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(ours)]


def _settled(value: Callable[[], object], seconds: float = 1.0) -> object:
    """What a value is once it has not changed for a while."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.01)
        if value() != last:
            last, since = value(), time.monotonic()
    return last
