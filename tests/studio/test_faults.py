"""What breaks: the model, the disk, the server. The request fails, the server lives on, what was committed stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pipeline.errors import DiskError
from sam.backends.grabcut import GrabcutConfig, GrabcutTracker
from sam.backends.grabcut_window import GrabcutWindow
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.memory import OutOfMemory
from sam.types import FrameMasks, Prompt, SessionFrames
from studio.app import create_app
from tests.studio.serving import Served, serving

ROOT = Path(__file__).parents[2]


class Breaking(GrabcutTracker):
    """Raises what it is told to: on the next prompt, or in a frame of a propagation."""

    def __init__(self) -> None:
        super().__init__(GrabcutConfig())
        self.on_prompt: BaseException | None = None
        self.on_frame: tuple[int, BaseException] | None = None
        self.begun = 0

    def begin(self, frames: SessionFrames) -> Any:
        self.begun += 1
        return BreakingWindow(self, frames)


class BreakingWindow(GrabcutWindow):
    def __init__(self, tracker: Breaking, frames: SessionFrames) -> None:
        super().__init__(frames, lasting=True)
        self._tracker = tracker

    def add(self, prompt: Prompt) -> FrameMasks:
        if self._tracker.on_prompt is not None:
            raise self._tracker.on_prompt
        return super().add(prompt)

    def propagate(self, *way: Any) -> Iterator[FrameMasks]:
        for seen in super().propagate(*way):
            if self._tracker.on_frame is not None and seen.frame == self._tracker.on_frame[0]:
                raise self._tracker.on_frame[1]
            yield seen


CLICK = {"frame_idx": 0, "points": [{"x": 60, "y": 60}]}


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (RuntimeError("a kernel fell over at /secret/path"), 500, "this request failed (RuntimeError)"),
        (SystemExit(1), 500, "this request failed (RuntimeError)"),
        (KeyboardInterrupt(), 500, "this request failed (RuntimeError)"),
        (MemoryError(), 500, "this request failed (MemoryError)"),
        (OutOfMemory("cows.mp4: out of memory"), 503, "cows.mp4: out of memory"),
        (TrackingFailed("cows.mp4: the model broke"), 500, "cows.mp4: the model broke"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_broken_model_fails_its_request_alone(
    error: BaseException, status: int, message: str, tmp_path: Path, cows: Path
) -> None:
    tracker = Breaking()
    with serving(tmp_path, tracker) as studio:
        session, other = studio.upload(cows), studio.upload(cows)
        studio.ask("POST", f"/annotate-frame/{other}", json=CLICK)
        tracker.on_prompt = error
        said = studio.ask("POST", f"/annotate-frame/{session}", status, json=CLICK)
        assert message in said["detail"] and "/secret" not in said["detail"]
        tracker.on_prompt = None
        assert studio.ask("GET", "/health")["status"] == "ok"
        assert studio.ask("GET", f"/sessions/{session}")["prompts"] == []
        studio.ask("POST", f"/annotate-frame/{session}", json=CLICK)
        assert studio.ask("POST", f"/propagate/{session}", json={})["objects"] == {"1": 40}
        assert tracker.begun == 3  # the broken session's state was made anew, the other's was kept
        studio.ask("POST", f"/propagate/{other}", json={"end_frame": 3})
        assert tracker.begun == 3


def test_what_was_tracked_before_it_broke_stays(tmp_path: Path, cows: Path) -> None:
    tracker = Breaking()
    with serving(tmp_path, tracker) as studio:
        session = studio.upload(cows)
        studio.ask("POST", f"/annotate-frame/{session}", json=CLICK)
        tracker.on_frame = 10, RuntimeError("a kernel fell over")
        studio.ask("POST", f"/propagate/{session}", 500, json={})
        said = studio.ask("GET", f"/sessions/{session}")
        assert said["objects"] == {"1": 10} and said["jobs"] == []
        assert (said["last_job"]["state"], said["last_job"]["error"]) == ("failed", "a kernel fell over")
        tracker.on_frame = None
        assert studio.ask("POST", f"/propagate/{session}", json={"start_frame": 9})["objects"] == {"1": 31}
        assert studio.ask("GET", f"/sessions/{session}")["objects"] == {"1": 40}


def test_a_tracker_that_cannot_load_ends_the_start() -> None:
    class Missing(GrabcutTracker):
        def __enter__(self) -> Any:
            raise TrackerUnavailable("no weights: make setup")

    from pipeline.studio_config import StudioConfig

    app = create_app(StudioConfig(folder="/nonexistent"), Missing(GrabcutConfig()))
    with pytest.raises(TrackerUnavailable, match="make setup"):
        app.state.rooms.model.start()


def test_a_full_disk_is_said_and_changes_nothing(tmp_path: Path, cows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path) as studio:
        session = studio.upload(cows)
        studio.ask("POST", f"/annotate-frame/{session}", json=CLICK)
        studio.ask("POST", f"/propagate/{session}", json={"end_frame": 5})
        before = studio.ask("GET", f"/sessions/{session}")

        def full(path: Path, data: bytes) -> None:
            raise DiskError(f"no space left in {path.parent}: free some space")

        for place in ("studio.session", "studio.masks", "studio.pictures"):
            monkeypatch.setattr(f"{place}.write_bytes", full)
        second = {"frame_idx": 3, "points": [{"x": 250, "y": 130}], "object_id": 2}
        for path, body in (("annotate-frame", second), ("propagate", {}), ("refine-mask", CLICK)):
            assert "no space left" in studio.ask("POST", f"/{path}/{session}", 507, json=body)["detail"]
        studio.ask("GET", f"/overlay/{session}/7")  # what is only kept for speed is done without
        after = studio.ask("GET", f"/sessions/{session}")
        assert (after["objects"], after["prompts"]) == (before["objects"], before["prompts"])
        monkeypatch.undo()
        studio.ask("POST", f"/annotate-frame/{session}", json=second)
        assert studio.ask("POST", f"/propagate/{session}", json={})["objects"] == {"1": 40, "2": 37}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_upload_onto_a_full_disk_leaves_nothing(tmp_path: Path, cows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def enter(body: Any) -> Any:
        body._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
        return body

    with serving(tmp_path, max_sessions=1) as studio:
        monkeypatch.setattr("studio.uploads._Body.__enter__", enter)
        said = studio.ask("POST", "/upload-video", 507, files={"file": ("a.mp4", cows.read_bytes())})
        assert "no space left in" in said["detail"]
        monkeypatch.undo()
        studio.upload(cows)  # and its place is free again


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path, cows: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + cows.read_bytes()[:900]
        raise ConnectionResetError

    with serving(tmp_path, max_sessions=1) as studio:
        form = {"content-type": "multipart/form-data; boundary=b"}
        with pytest.raises((requests.ConnectionError, ConnectionResetError)):
            requests.post(studio.address + "/upload-video", data=parts(), headers=form, timeout=10)
        until = time.monotonic() + 10
        while list(studio.rooms.uploads.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        assert list(studio.rooms.uploads.iterdir()) == []
        studio.upload(cows)


def test_an_upload_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.uploads.STALL_S", 0.3)
    with serving(tmp_path, max_sessions=1) as studio:
        host, port = studio.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as wire:
            wire.sendall(
                b"POST /upload-video HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
            assert b" 408 " in wire.recv(100)
        assert list(studio.rooms.uploads.iterdir()) == []


def test_sessions_that_nobody_uses_end_and_free_everything(tmp_path: Path, cows: Path) -> None:
    with serving(tmp_path, ttl=20) as studio:
        idle, used = studio.upload(cows), studio.upload(cows)
        studio.ask("POST", f"/annotate-frame/{idle}", json=CLICK)
        studio.ask("GET", f"/frame/{idle}/3")
        for session in (idle, used):
            studio.rooms._sessions[session].used -= 15
        studio.ask("GET", f"/sessions/{used}")
        assert time.time() - studio.rooms._sessions[used].used < 15
        studio.rooms._sessions[idle].used -= 15
        until = time.monotonic() + 60
        while any(s["session_id"] == idle for s in studio.ask("GET", "/sessions")["sessions"]):
            studio.ask("GET", f"/sessions/{used}")
            assert time.monotonic() < until
            time.sleep(0.1)
        assert studio.ask("GET", f"/sessions/{used}")["frames"] == 40
        while studio.rooms._tracking or len(list(studio.rooms.uploads.iterdir())) > 1:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert [p.name for p in studio.rooms.outputs.iterdir()] == [used]
        assert [p.name for p in studio.rooms.uploads.iterdir()] == [used]
        assert not [key for key in studio.rooms.pictures._decoded if key[0] == idle]


def test_a_restart_finds_sessions_and_their_history(tmp_path: Path, cows: Path) -> None:
    with serving(tmp_path) as studio:
        session = studio.upload(cows)
        studio.ask("POST", f"/annotate-frame/{session}", json=CLICK)
        blue = {"frame_idx": 0, "points": [{"x": 260, "y": 130}], "object_id": 2}
        mask = studio.ask("POST", f"/annotate-frame/{session}", json=blue)["mask"]
        studio.ask("DELETE", f"/sessions/{session}/objects/2")
        studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "object_id": 5, "mask": mask})
        studio.ask("POST", f"/propagate/{session}", json={"end_frame": 20})
        before = studio.ask("GET", f"/sessions/{session}")
        coco = studio.ask("GET", f"/export/{session}?format=coco")
    (tmp_path / "outputs" / ("0" * 32)).mkdir()  # half a session
    (tmp_path / "uploads" / ("1" * 32)).write_bytes(b"half an upload")
    (tmp_path / "outputs" / "mine").mkdir()  # not ours
    (tmp_path / "uploads" / "mine.mp4").write_bytes(b"mine")
    with serving(tmp_path) as studio:
        after = studio.ask("GET", f"/sessions/{session}")
        for key in ("name", "frames", "objects", "prompts", "undoable", "created"):
            assert after[key] == before[key], key
        assert studio.ask("GET", f"/export/{session}?format=coco")["annotations"] == coco["annotations"]
        assert {p.name for p in (tmp_path / "outputs").iterdir()} == {session, "mine"}
        assert {p.name for p in (tmp_path / "uploads").iterdir()} == {session, "mine.mp4"}
        assert studio.ask("POST", f"/sessions/{session}/undo")["objects"] == {"1": 1, "5": 1}
        done = studio.ask("POST", f"/propagate/{session}", json={"start_frame": 0})
        assert done["objects"] == {"1": 40, "5": 40}


def started(folder: Path, *more: str) -> tuple[subprocess.Popen[bytes], str]:
    """task=studio as a process; returns it and its address."""
    words = [sys.executable, "main.py", "task=studio", "studio.port=0", f"studio.folder={folder}", *more]
    said = folder.with_suffix(f".{time.monotonic_ns()}.txt")
    with said.open("w") as file:
        process = subprocess.Popen(words, cwd=ROOT, stderr=file)
    while process.poll() is None:
        text = said.read_text()
        if "http://" in text and text.endswith("\n"):
            return process, text[text.index("http://") :].split()[0]
        time.sleep(0.05)
    raise AssertionError(f"it ended with {process.returncode}: {said.read_text()}")


@pytest.mark.slow
def test_a_killed_server_loses_nothing_that_was_answered(tmp_path: Path, cows: Path) -> None:
    process, address = started(tmp_path)
    try:
        with cows.open("rb") as file:
            session = requests.post(address + "/upload-video", files={"file": ("cows.mp4", file)}).json()["session_id"]
        requests.post(f"{address}/annotate-frame/{session}", json=CLICK).raise_for_status()
        requests.post(f"{address}/propagate/{session}", json={"end_frame": 9}).raise_for_status()
        requests.post(f"{address}/propagate/{session}", json={"start_frame": 9, "wait": False}).raise_for_status()
        second = subprocess.run(
            [sys.executable, "main.py", "task=studio", "studio.port=0", f"studio.folder={tmp_path}"],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert second.returncode == 2 and "another studio works in studio.folder" in second.stderr
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    process, address = started(tmp_path)
    try:
        said = requests.get(f"{address}/sessions/{session}").json()
        assert said["objects"]["1"] >= 10 and len(said["prompts"]) == 1
        done = requests.post(f"{address}/propagate/{session}", json={"start_frame": 9}).json()
        assert done["objects"] == {"1": 31}
        document = json.loads(requests.get(f"{address}/export/{session}?format=coco").text)
        assert {row["image_id"] for row in document["annotations"]} == set(range(40))
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_a_port_that_is_taken_is_said(tmp_path: Path, studio: Served) -> None:
    port = studio.address.rsplit(":", 1)[1]
    words = [sys.executable, "main.py", "task=studio", f"studio.port={port}", f"studio.folder={tmp_path}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and f"studio.port={port} cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
