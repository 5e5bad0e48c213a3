"""Corrections through a server that is killed, and clicks that only a build can follow."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import requests

from pipeline.build import Build
from pipeline.corrections import Corrections
from sam.backends.motion import MotionTracker
from tests.pipeline.composing import loaded
from tests.serving import serving_http
from tests.studio.browsing import Studio
from tests.studio.serving import film, serving
from tests.studio.test_correct import built, objects, out, windows

__all__ = ["built", "out"]  # fixtures


@pytest.mark.slow
def test_a_killed_server_loses_no_correction_that_it_answered(out: Path) -> None:
    studio = Studio(f"out={out}", f"studio.folder={out.parent / 'files'}")
    answered: list[str] = []
    try:
        for _ in range(2):
            studio.start()
            window = requests.get(f"{studio.address}/dataset/windows", timeout=60).json()["windows"][0]["window"]
            info = requests.get(f"{studio.address}/dataset/windows/{window}", timeout=60).json()
            assert {entry["id"] for entry in info["corrections"]} >= set(answered)

            def write(address: str, frame: int) -> None:
                body = {"do": "swap", "frame": frame, "object": 1, "other": 2, "author": "ann"}
                try:
                    while True:
                        made = requests.post(address, json=body, timeout=60)
                        assert made.status_code == 201, made.text
                        answered.append(made.json()["id"])
                except requests.RequestException:
                    return

            at = f"{studio.address}/dataset/windows/{window}/corrections"
            writers = [threading.Thread(target=write, args=(at, frame)) for frame in info["frames"][2:4]]
            before = len(answered)
            for writer in writers:
                writer.start()
            until = time.monotonic() + 60
            while len(answered) < before + 6 and time.monotonic() < until:
                time.sleep(0.005)
            studio.kill()
            for writer in writers:
                writer.join()
            assert len(answered) >= before + 6
            written = {entry.id for entry in Corrections.load(out / "corrections" / "barn.mp4.json").entries}
            assert written >= set(answered) and len(written) <= len(answered) + 4  # at most one of each was under way
    finally:
        studio.kill()


def test_clicks_are_written_where_the_tracker_takes_them_and_wait_for_a_build(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MotionTracker, "understands", frozenset({"text", "points", "box"}))
    with serving(out.parent / "studio", dataset=out) as studio:
        window = windows(studio)[1]["window"]
        at = f"/dataset/windows/{window}"
        assert studio.ask("GET", at)["clicks"]["build"]
        before = objects(studio, window)
        click = {"do": "refine", "frame": 20, "object": 1, "points": [[100, 50]], "labels": [1], "author": "ann"}
        studio.ask("POST", f"{at}/corrections", 201, json=click)
        new = {"do": "add", "frame": 20, "box": [10, 10, 40, 40], "author": "ann"}
        made = studio.ask("POST", f"{at}/corrections", 201, json=new)
        assert made["entry"]["object"] == 3
        studio.ask("POST", f"{at}/corrections", 201, json={"do": "split", "frame": 24, "object": 2, "author": "ann"})
        info = studio.ask("GET", at)
        assert info["waiting"] and info["unapplied"] and info["error"] is None
        assert {number for number in objects(studio, window)} == {*before, 4}  # edits are seen; clicks are to come
        wrong = {**click, "labels": [0], "do": "add", "object": None}
        assert "needs a point inside" in studio.ask("POST", f"{at}/corrections", 422, json=wrong)["detail"]
        outside = {**click, "points": [[4000, 50]]}
        assert "frame" in studio.ask("POST", f"{at}/corrections", 422, json=outside)["detail"]
        studio.ask("DELETE", f"{at}/corrections/{made['id']}")


def test_footage_on_a_server_is_fetched_once_for_its_frames_and_clicks(tmp_path: Path) -> None:
    (tmp_path / "footage").mkdir()
    film(tmp_path / "footage" / "barn.mp4", 32, (320, 180), [((40, 50), (3, 0)), ((280, 130), (-3, 0))])
    small = ("clip.num_frames=8", "clip.stride=2", "crop.size=32", "filters.size.min_side=8", "exports=[]")
    out = tmp_path / "cows"
    with serving_http(tmp_path / "footage") as server:
        given = (f"videos={server.url}/barn.mp4", f"out={out}", "prompt=cow", "tracker=motion", "executor.workers=1")
        assert Build(loaded(*given, *small)).run().status == 0
        with serving(tmp_path / "studio", dataset=out) as studio:
            at = f"/dataset/windows/{windows(studio)[1]['window']}"
            assert studio.ask("GET", f"{at}/frames/3").headers["content-type"] == "image/jpeg"
            server.faults.status["barn.mp4"] = 404
            other = f"/dataset/windows/{windows(studio)[0]['window']}"
            assert studio.ask("GET", f"{other}/frames/3").headers["content-type"] == "image/jpeg"  # fetched once
            click = {"frame": 2, "box": [30, 36, 60, 64]}
            assert studio.ask("POST", f"{other}/preview", json=click)["masks"]
