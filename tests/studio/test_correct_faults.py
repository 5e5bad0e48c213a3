"""Corrections through a server that is killed, and clicks that only a build can follow."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import requests

from pipeline.corrections import Corrections
from sam.backends.motion import MotionTracker
from tests.studio.browsing import Studio
from tests.studio.serving import serving
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
        assert studio.ask("GET", at)["clicks"]["write"]
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
