"""What a run says about itself while it works, and what task=status makes of it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from pipeline import progress
from pipeline.build import Build
from pipeline.errors import DatasetError, DiskError
from pipeline.job import Outcome
from pipeline.layout import Layout
from pipeline.progress import Progress
from pipeline.status import Status, clock, rivals_of
from pipeline.tasks.status import status
from tests.pipeline.composing import loaded
from tests.pipeline.making import a_chunk
from tests.running import Done, run

SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8")


def a_status(**changes: object) -> Status:
    made = Status(task="build", shard="", chunks=8, clips=40, host="barn", pid=7, started=1000.0, updated=1100.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def an_outcome(clips: int = 10) -> Outcome:
    return Outcome("record", clips, 12, (), clips, 0, {"track": 30.0, "decode": 2.0})


def test_the_page_names_all_that_a_run_says_of_itself(tmp_path: Path) -> None:
    """Other programs read it."""
    page = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
    section = page[page.index("## Watching a long run") : page.index("## When something dies")]
    firsts = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    Status("build", "", 1, 1).write(tmp_path / "status.json")
    assert set(re.findall("`([a-z_]+)`", "".join(firsts))) == set(orjson.loads((tmp_path / "status.json").read_bytes()))


def test_the_figures_follow_from_what_was_counted() -> None:
    spent = {"track": 90.0, "wait_for_frames": 5.0, "wait_for_crops": 1.0, "load": 2.0, "crop": 150.0}
    half = a_status(clips_done=20, video_s=50.0, seconds=spent, tracked=20)
    assert half.remaining_s == pytest.approx(100)
    assert half.video_hours_per_day == half.video_hours_per_day_per_gpu == pytest.approx(12), "50 s in 100 s"
    assert half.tracker_share == pytest.approx(0.9) and half.idle_share == pytest.approx(0.1)
    assert half.share("crop") == pytest.approx(1.5), "two threads at once"
    assert str(half) == (
        "task=build on barn, process 7: 20 of 40 clips, 0 crops, 0 failed, 0:01:40 left; "
        "0.20 clips a second, 12 hours of video a day, the tracker at work 90% of the time, waiting 5% for frames, "
        "1% for crops, 2% for the model"
    )
    assert a_status().remaining_s is None and str(a_status()).endswith("0 of 40 clips, 0 crops, 0 failed")
    assert clock(3725) == "1:02:05"


def test_each_worker_has_its_share() -> None:
    both = a_status()
    for worker in (1, 0, 1):
        both.add(replace(an_outcome(), worker=worker), a_chunk())
    assert both.workers == 2 and both.clips_done == 30 and both.seconds == {"track": 90.0, "decode": 6.0}
    assert both.tracker_share == pytest.approx(0.45), "90 s of two times 100"
    assert both.video_hours_per_day_per_gpu == pytest.approx(both.video_hours_per_day / 2)
    assert "for each of 2 workers" in both.speed
    again = a_status(clips_done=3, seconds={"crop": 5.0})
    assert "nothing tracked" in again.speed and again.figures["tracker_share"] is again.figures["idle_share"] is None


def test_a_chunk_knows_its_seconds() -> None:
    chunk = a_chunk()  # two clips of 4 frames, every 4th of 25 a second
    assert chunk.seconds == pytest.approx(8 * 4 / 25)


def test_progress_is_kept_in_the_run_s_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "status.json"
    with Progress(a_status(started=time.time() - 100), tmp_path) as bar:
        assert orjson.loads(path.read_bytes())["state"] == "running"
        bar.advance(an_outcome(), a_chunk())
        bar._tell()
        raw = orjson.loads(path.read_bytes())
        assert (raw["clips_done"], raw["crops"], raw["seconds"]["track"]) == (10, 12, 30.0)
        assert raw["remaining_s"] == pytest.approx(300, rel=0.1)
        assert raw["tracker_share"] == pytest.approx(0.3, rel=0.1) and raw["idle_share"] == pytest.approx(0.7, rel=0.1)
        assert raw["video_hours_per_day_per_gpu"] == raw["video_hours_per_day"] > 0
    done = Status.read(path)
    assert done is not None and done.state == "finished" and done.clips_done == 10
    assert "the tracker at work 30% of the time" in caplog.text


def test_without_a_folder_the_speed_is_told_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    began = time.time() - 60
    with Progress(a_status(started=began, updated=began), None) as bar:
        bar.advance(an_outcome(), a_chunk())
    assert "1 hours of video a day, the tracker at work 50% of the time" in caplog.text, "1.28 s of video in a minute"


def test_a_line_is_logged_every_minute_also_while_a_chunk_takes_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "STATUS_EVERY_S", 0.01)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.01)
    caplog.set_level("INFO")
    with Progress(a_status(), tmp_path):
        deadline = time.monotonic() + 20
        while "0 of 40 clips" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "0 of 40 clips (0.0 a second, unknown time left), 0 crops, 0 failed" in caplog.text


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Progress(a_status(), tmp_path):
        raise KeyboardInterrupt
    found = Status.read(tmp_path / "status.json")
    assert found is not None and found.state == "stopped"


def test_a_full_disk_stops_no_run_for_its_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(path: Path, data: bytes) -> None:
        raise DiskError("no space left")

    monkeypatch.setattr("pipeline.status.write_bytes", full)
    a_status().write(tmp_path / "status.json")
    assert Status.read(tmp_path / "status.json") is None


def test_another_run_on_the_same_share_is_noticed(tmp_path: Path) -> None:
    mine, layout = a_status(started=1000.0, host="here", pid=os.getpid()), Layout(tmp_path, tmp_path)
    runs = {
        "rival": {"updated": 990.0, "pid": os.getppid()},
        "elsewhere": {"updated": 800.0, "host": "there", "pid": 7},
        "silent": {"updated": 600.0, "host": "there", "pid": 8},
        "finished": {"updated": 990.0, "state": "finished", "pid": os.getppid()},
        "of another shard": {"updated": 990.0, "shard": "1 of 2", "pid": os.getppid()},
        "killed": {"updated": 990.0, "pid": 2**22 + 1},  # above the largest number a process can have
        "mine": {"updated": 1000.0, "pid": os.getpid()},
    }
    for name, changes in runs.items():
        a_status(**{"host": "here", "started": 500.0} | changes).write(layout.runs / name / "status.json")
    assert rivals_of(mine, layout) == [
        "task=build on there, process 7, 0:03:20 ago",
        f"task=build on here, process {os.getppid()}, 0:00:10 ago",
    ]


def test_a_run_that_went_silent_is_named(tmp_path: Path) -> None:
    settings = loaded("videos=/data/barn", *SMALL, f"out={tmp_path}")
    with pytest.raises(DatasetError, match="task=build"):
        status(settings)
    for number, state in enumerate(("finished", "running", "running")):
        made = a_status(state=state, shard=f"{number} of 3", clips_done=10)
        made.write(tmp_path / "runs" / f"2026-0{number + 1}" / "status.json")
        raw = orjson.loads((tmp_path / "runs" / f"2026-0{number + 1}" / "status.json").read_bytes())
        raw["updated"] = 1100.0 if number < 2 else 2000.0
        (tmp_path / "runs" / f"2026-0{number + 1}" / "status.json").write_bytes(orjson.dumps(raw))
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "status.json").write_text("{")
    first, second, third, chunks = status(settings, now=2030.0).splitlines()
    assert "  finished: task=build on barn" in first
    assert "cut off, or stuck: no sign of life for 0:15:30" in second
    assert "  running: " in third and "shard 2 of 3" in third
    assert chunks == "chunks done: 0 of 8"


def test_status_from_another_shell(
    footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go: Callable[..., Done] = lambda *words: run(capfd, monkeypatch, *words)  # noqa: E731
    assert go(f"videos={footage}/farm2", f"out={tmp_path}", *SMALL).status == 0
    before = sorted(p for p in tmp_path.rglob("*"))
    done = go("task=status", f"out={tmp_path}")
    assert done.status == 0, done.text
    assert "finished: task=build on " in done.text and "2 of 2 clips" in done.text
    assert "hours of video a day, the tracker at work " in done.text
    (page,) = (tmp_path / "report").glob("*.html")
    assert "hours of video a day, the tracker at work " in page.read_text() and "wait for frames" in page.read_text()
    assert "chunks done: 1 of 1" in done.text and "indexed: crops " in done.text
    assert sorted(p for p in tmp_path.rglob("*")) == before, "it writes nothing"
    missing = go("task=status", f"out={tmp_path}/none")
    assert missing.status == 3 and "build it first" in missing.text


def test_a_build_without_a_folder_of_its_run_writes_no_status(footage: Path, tmp_path: Path) -> None:
    Build(loaded(f"videos={footage}/farm2", f"out={tmp_path}", *SMALL)).run()
    assert not list(tmp_path.rglob("status.json"))
