"""The studio's model makes room for a build: between two jobs, losing nothing, and it comes back when it is asked."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Self

import pytest

from sam.backends.grabcut import GrabcutConfig, GrabcutTracker
from sam.errors import TrackerUnavailable
from tests.studio.serving import Served, serving
from tests.studio.test_correct import applied, built, out, windows

__all__ = ["built", "out"]  # fixtures
BOX = [74, 36, 102, 64]


class Weighty(GrabcutTracker):
    """A tracker that says when it is loaded, and works only then. events: what happened, in order."""

    def __init__(self) -> None:
        super().__init__(GrabcutConfig())
        self.loaded, self.events, self.missing = False, [], False
        self.held = threading.Event()
        self.held.set()

    def __enter__(self) -> Self:
        if self.missing:
            raise TrackerUnavailable("the weights are gone: put them back")
        assert not self.loaded
        self.loaded = True
        self.events.append("load")
        return self

    def __exit__(self, *exc: object) -> None:
        assert self.loaded
        self.loaded = False
        self.events.append("free")

    def begin(self, frames: Any) -> Any:
        assert self.loaded
        dialogue = super().begin(frames)
        propagate = dialogue.propagate

        def each(*asked: Any) -> Any:
            for seen in propagate(*asked):
                assert self.loaded, "it was freed under a job"
                self.held.wait(60)
                self.events.append("frame")
                yield seen

        dialogue.propagate = each  # type: ignore[method-assign]
        return dialogue


def until(what: Any) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def annotated(studio: Served, cows: Path) -> str:
    session = studio.upload(cows)
    studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "box": [46, 46, 74, 74]})
    return session


def test_a_build_has_the_memory_and_the_next_click_loads_the_model(out: Path) -> None:
    tracker = Weighty()
    with serving(out.parent / "studio", tracker, dataset=out) as studio:
        window = windows(studio)[1]["window"]
        click = {"frame": 16, "box": BOX}
        before = studio.ask("POST", f"/dataset/windows/{window}/preview", json=click)
        assert applied(studio)["state"] == "done"
        assert tracker.events == ["load", "free"] and not studio.rooms.model.loaded
        assert studio.ask("GET", "/health")["status"] == "ok"
        assert studio.ask("POST", f"/dataset/windows/{window}/preview", json=click) == before
        assert tracker.events == ["load", "free", "load"]
        assert applied(studio)["state"] == "done" and tracker.events[-1] == "free"
        tracker.missing = True
        said = studio.ask("POST", f"/dataset/windows/{window}/preview", 503, json=click)
        assert "put them back" in said["detail"]
        tracker.missing = False
        assert studio.ask("POST", f"/dataset/windows/{window}/preview", json=click) == before
    assert tracker.events[-1] == "free", "the server freed it when it ended"


def test_it_rests_between_jobs_and_sessions_go_on_as_if_nothing_was(cows: Path, tmp_path: Path) -> None:
    tracker = Weighty()
    with serving(tmp_path / "rested", tracker) as studio:
        first, second = annotated(studio, cows), annotated(studio, cows)
        tracker.held.clear()
        studio.ask("POST", f"/propagate/{first}", 202, json={"end_frame": 9, "wait": False})
        until(lambda: studio.rooms.model.jobs(first)[0].state == "running")
        freed = studio.rooms.model.rest()
        studio.ask("POST", f"/propagate/{second}", 202, json={"end_frame": 9, "wait": False})
        time.sleep(0.3)
        assert not freed.done() and tracker.loaded
        tracker.held.set()
        freed.result(60)
        until(lambda: not studio.rooms.model.busy)
        frames = tracker.events.index("free")
        assert tracker.events[1:frames] == ["frame"] * 10, "what had begun was ended, and nothing else began"
        assert tracker.events[frames + 1] == "load" and studio.rooms.model.rest().result(60) is None
        assert not studio.rooms.model.loaded
        point = {"frame_idx": 5, "points": [{"x": 75, "y": 60, "label": 1}]}
        after = [studio.ask("POST", f"/refine-mask/{each}", json=point) for each in (first, second)]
    with serving(tmp_path / "awake", Weighty()) as studio:
        session = annotated(studio, cows)
        studio.ask("POST", f"/propagate/{session}", json={"end_frame": 9})
        never = studio.ask("POST", f"/refine-mask/{session}", json=point)
    assert [each["mask"] for each in after] == [never["mask"]] * 2


def test_ending_a_session_loads_nothing(cows: Path, tmp_path: Path) -> None:
    tracker = Weighty()
    with serving(tmp_path, tracker) as studio:
        session = annotated(studio, cows)
        studio.rooms.model.rest().result(60)
        studio.ask("DELETE", f"/sessions/{session}")
        until(lambda: not studio.rooms.model.busy)
        assert tracker.events == ["load", "free"]
        stopped = studio.rooms.model
    assert stopped.rest().done(), "nobody waits for a server that has ended"


@pytest.mark.slow
def test_a_build_that_waits_for_the_model_can_be_cancelled(out: Path, cows: Path) -> None:
    tracker = Weighty()
    with serving(out.parent / "studio", tracker, dataset=out) as studio:
        session = annotated(studio, cows)
        tracker.held.clear()
        studio.ask("POST", f"/propagate/{session}", 202, json={"end_frame": 5, "wait": False})
        until(lambda: studio.rooms.model.jobs(session)[0].state == "running")
        assert studio.ask("POST", "/dataset/apply", 202)["waiting"]
        assert studio.ask("GET", "/dataset/apply")["waiting"]
        assert "a build is running" in studio.ask("POST", "/dataset/apply", 409)["detail"]
        studio.ask("POST", "/dataset/apply/cancel")
        until(lambda: studio.ask("GET", "/dataset/apply")["state"] == "cancelled")
        tracker.held.set()
        assert applied(studio)["state"] == "done"
