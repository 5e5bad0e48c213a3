"""task=segment as a user types it, with real models of sam2 and sam3_tracker, tiny; once as a process of its own."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from tests.running import Done, run, run_process
from tests.sam3.footage import HEIGHT, WIDTH, blobs
from tests.sam3.test_main import ALONE, HIDE_PACKAGES
from video.encoder import EncodeConfig, encode


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames at twice the size the tracker gets."""
    path = tmp_path_factory.mktemp("video") / "blobs.mp4"
    images = blobs(12, scale=2).images
    encode(path, [*images, *images[:8]], Fraction(25), EncodeConfig(), size=(2 * WIDTH, 2 * HEIGHT))
    return path


@pytest.fixture(scope="module")
def sam2(prompted: dict[str, Path]) -> Path:
    return prompted["sam2"]


def follow(*words: str, video: Path, out: Path, **environment: str) -> Done:
    return run_process(
        *("task=segment", f"videos={video}", f"out={out}", "tracker.device=cpu", *words), **ALONE, **environment
    )


@pytest.mark.slow
def test_clicks_become_masks_overlay_and_export(video: Path, sam2: Path, tmp_path: Path) -> None:
    clicks = "segment.clicks=[{points:[[50,50],[240,160]],labels:[1,0]},{frame:10,object:5,box:[0,92,60,164]}]"
    words = ("tracker=sam2", f"tracker.weights={sam2}", f"tracker.max_side={WIDTH}", "segment.end=15", clicks)
    done = follow(*words, video=video, out=tmp_path)
    assert done.status == 0, done.text
    folder = tmp_path / "segment" / "blobs"
    data = json.loads((folder / "masks.json").read_text())
    assert [image["frame_index"] for image in data["images"]] == list(range(16))
    assert {row["track_id"] for row in data["annotations"]} == {1, 5}
    assert data["info"]["tracker"]["tracker"] == "sam2"
    assert (folder / "overlay.mp4").stat().st_size > 1000
    assert len(list((folder / "masks" / "1").iterdir())) == 16


@pytest.mark.slow
def test_sam3s_own_tracker_does_it_too(
    video: Path, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = ("task=segment", f"videos={video}", f"out={tmp_path}")
    tracker = ("tracker=sam3_tracker", "tracker.device=cpu", f"tracker.weights={checkpoint}")
    done = run(capfd, monkeypatch, *inputs, *tracker, "segment.box=[12,20,92,92]", "segment.end=3")
    assert done.status == 0, done.text
    assert len(json.loads((tmp_path / "segment/blobs/masks.json").read_text())["images"]) == 4


def test_missing_packages_and_weights_are_one_message(video: Path, checkpoint: Path, tmp_path: Path) -> None:
    click = "segment.points=[[50,50]]"
    done = follow("tracker=sam2", f"tracker.weights={tmp_path / 'no'}", click, video=video, out=tmp_path / "out")
    assert done.status == 2 and "Traceback" not in done.text
    assert "does not exist" in done.text
    (tmp_path / "sitecustomize.py").write_text(HIDE_PACKAGES)
    hidden = {"PYTHONPATH": str(tmp_path)}
    done = follow("tracker=sam2", click, video=video, out=tmp_path / "out", **hidden)
    assert done.status == 2 and "make setup EXTRAS=sam2" in done.text and "Traceback" not in done.text
    assert not (tmp_path / "out" / "segment").exists()
