"""experiment=batch_segmentation as a user types it, with the real models, tiny; once as a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.running import Done, run, run_process
from tests.sam3.footage import HEIGHT, WIDTH, blobs
from tests.sam3.test_main import ALONE
from video.encoder import EncodeConfig, encode

# What the batch script whose outputs these are writes for one video, by its guide.
GUIDE: dict[str, Any] = {
    "video_path": "/path/to/input/video_001.mp4",
    "prompts": "koala, parrot",
    "detections": [{"bbox": [100, 150, 200, 250], "label": "koala"}],
    "video_info": {"fps": 30, "width": 1280, "height": 720, "frame_count": 150},
    "parameters": {"box_threshold": 0.5, "text_threshold": 0.3, "prompt_type": "box"},
}
Run = Callable[..., Done]
SHOWS = {"score", "object_id", "frame"}
FRAMES = 12


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two videos in two folders, of one name, at twice the size the tracker gets."""
    for folder in ("a", "b"):
        add(tmp_path, f"{folder}/v.mp4", backward=folder == "b")
    (tmp_path / "prompts.txt").write_text("red cow, calf\nkoala, koala\n")
    return tmp_path


def add(root: Path, name: str, backward: bool) -> None:
    path = root / "videos" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    images = blobs(FRAMES, scale=2).images[:: -1 if backward else 1]
    encode(path, images, Fraction(25), EncodeConfig(), size=(2 * WIDTH, 2 * HEIGHT))


@pytest.fixture
def words(videos: Path, prompted: dict[str, Path], grounding: Path) -> list[str]:
    inputs = (f"videos={videos}/videos", f"prompts_file={videos}/prompts.txt", f"out={videos}/out")
    models = (f"tracker.weights={prompted['sam2']}", f"tracker.grounding={grounding}")
    return ["experiment=batch_segmentation", *inputs, "tracker.device=cpu", *models, f"tracker.max_side={WIDTH}"]


@pytest.fixture
def go(words: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *more: run(capfd, monkeypatch, *words, *more)


LAX = ("tracker.box_threshold=0", "tracker.text_threshold=0")


def documents(root: Path) -> dict[str, Any]:
    return {
        path.relative_to(root / "out").as_posix(): json.loads(path.read_text())
        for path in sorted((root / "out").rglob("*_metadata.json"))
    }


def colourful(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.slow
def test_a_folder_and_a_prompts_file_become_overlays_and_metadata(videos: Path, words: list[str], go: Run) -> None:
    done = run_process(*words, *LAX, **ALONE)
    assert done.status == 0, done.text
    assert "Loading weights" not in done.text
    assert done.text.count("finds boxes with GroundingDINO from") == 1, "one load for the whole batch"
    found = documents(videos)
    assert list(found) == ["a/v_metadata.json", "b/v_metadata.json"]
    for (name, document), text, phrases in zip(
        found.items(), ("red cow, calf", "koala, koala"), (["red cow", "calf"], ["koala"] * 2), strict=True
    ):
        assert list(document) == list(GUIDE) and document["prompts"] == text
        assert document["video_path"] == str(videos / "videos" / name[0] / "v.mp4")
        size = {"width": 2 * WIDTH, "height": 2 * HEIGHT}
        assert document["video_info"] == {"fps": 25.0, **size, "frame_count": FRAMES}
        assert set(document["video_info"]) == set(GUIDE["video_info"])
        assert document["parameters"] == {"box_threshold": 0, "text_threshold": 0, "prompt_type": "box"}
        assert [each["label"] for each in document["detections"]] == phrases
        assert [each["object_id"] for each in document["detections"]] == [1, 2]
        for each in document["detections"]:
            assert set(each) == set(GUIDE["detections"][0]) | SHOWS
            x0, y0, x1, y1 = each["bbox"]
            assert 0 <= x0 < x1 <= 2 * WIDTH and 0 <= y0 < y1 <= 2 * HEIGHT
            assert 0 < each["score"] <= 1 and each["frame"] == 0
        plain = blobs(FRAMES, scale=2).images[:: -1 if name[0] == "b" else 1]
        shown = colourful(videos / "out" / name.replace("_metadata.json", "_segmented.mp4"))
        assert len(shown) == FRAMES
        assert np.abs(shown[0].astype(int) - plain[0]).mean() > 1, "something is drawn"

    # a further video and its line: nothing else is done again
    before = {p: p.stat().st_mtime_ns for p in (videos / "out").rglob("*_*.*") if p.suffix in (".mp4", ".json")}
    add(videos, "c.mp4", backward=False)
    (videos / "prompts.txt").write_text("red cow, calf\nkoala, koala\ncow\n")
    done = go(*LAX)
    assert done.status == 0 and "3 videos: 1 made, 2 were there, 0 failed" in done.text, done.text
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert len(documents(videos)["c_metadata.json"]["detections"]) == 1  # one phrase, one object


@pytest.mark.slow
def test_nothing_found_is_a_warning_and_the_batch_goes_on(videos: Path, go: Run) -> None:
    done = go("tracker.prompt_type=mask", "tracker.box_threshold=1")
    assert done.status == 0, done.text
    for name, text in (("a/v.mp4", "red cow, calf"), ("b/v.mp4", "koala, koala")):
        assert f"{name}: nothing found for {text!r} on frame 0; the best score is 1.00 for a" in done.text
    assert "lower tracker.box_threshold=1 or tracker.text_threshold=0.3" in done.text
    for document in documents(videos).values():
        assert document["detections"] == [] and document["parameters"]["prompt_type"] == "mask"
    assert len(colourful(videos / "out/a/v_segmented.mp4")) == FRAMES


def test_what_does_not_fit_is_said_before_a_model_is_loaded(videos: Path, go: Run) -> None:
    (videos / "prompts.txt").write_text("cow\n")
    done = go()
    assert done.status == 2 and "Traceback" not in done.text and "GroundingDINO" not in done.text
    assert "has 1 line and there are 2 videos: the first video without a line is b/v.mp4" in done.text
    done = go("prompt=cow")
    assert done.status == 2 and "both say what to track" in done.text
    done = go("prompts_file=x.txt")
    assert done.status == 2 and "x.txt cannot be read: No such file" in done.text
    done = go("tracker.weights=checkpoints/sam2.1_hiera_large.pt")
    assert done.status == 2 and "facebook/sam2.1-hiera-tiny" in done.text and "original SAM2 package" in done.text


@pytest.mark.slow
def test_sam3_takes_a_prompts_file_too(
    videos: Path, checkpoint: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A phrase at a time; asked twice, it finds all once."""
    (videos / "prompts.txt").write_text("cow, red\ncow, cow\n")
    done = run(
        capfd,
        monkeypatch,
        *("task=batch", "clip.whole=true", "clip.stride=1", "tracker=sam3_hf", "tracker.device=cpu"),
        *(f"videos={videos}/videos", f"prompts_file={videos}/prompts.txt", f"out={videos}/out"),
        *(f"tracker.weights={checkpoint}", f"tracker.max_side={WIDTH}"),
    )
    assert done.status == 0, done.text
    found = documents(videos)
    assert [each["prompts"] for each in found.values()] == ["cow, red", "cow"]
    for document in found.values():
        assert set(document) == set(GUIDE) and set(document["parameters"].values()) == {None}
        cows = [each for each in document["detections"] if each["label"] == "cow"]
        assert len({each["object_id"] for each in cows}) == len(cows) >= 2
    assert len(colourful(videos / "out/b/v_segmented.mp4")) == FRAMES
