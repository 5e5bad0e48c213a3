"""Boxes from a file name the objects of SAM2's and SAM3's trackers: in a session, and from a video to crops."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pipeline.build import Build
from pipeline.corrections import Correction, Corrections
from pipeline.footage import survey
from pipeline.stages.source_frames import session_frames
from sam.backends.promptable import PromptableTracker
from sam.backends.sam2 import Sam2Config
from sam.backends.sam3_tracker import Sam3TrackerConfig
from sam.errors import TrackerUnavailable, TrackingFailed, UnknownPrompt
from sam.session import SAMSession
from sam.types import FrameMasks, Prompt, SessionFrames
from tests.pipeline.composing import loaded
from tests.running import rows, run
from tests.sam3.footage import blobs
from tests.sam3.prompting import MODELS
from tests.sam3.test_segment_main import video  # noqa: F401 - a fixture

MOT = "1,4,108,60,40,40,0.9\n2,4,1,1,20,20,0.9\n4,7,6,10,40,36,0.4\n"  # frames from 1: x, y, width, height


def followed(tracker: PromptableTracker, frames: SessionFrames, *prompts: Prompt) -> list[FrameMasks]:
    with tracker, SAMSession(tracker, frames) as session:
        for prompt in prompts:
            session.add_prompt(prompt)
        return list(session.propagate())


@pytest.mark.parametrize("model", ["sam2", "sam3_tracker"])
def test_a_box_of_the_file_is_a_box_prompt(model: str, prompted: dict[str, Path], tmp_path: Path) -> None:
    """The first of each object on a frame that is tracked; the label is the text."""
    (tmp_path / "boxes.csv").write_text(MOT)
    options = {"device": "cpu", "weights": str(prompted[model]), "boxes": str(tmp_path / "boxes.csv")}
    config = (Sam2Config if model == "sam2" else Sam3TrackerConfig)(**options)  # type: ignore[arg-type]
    frames = blobs(5).session()
    named = (
        Prompt(object_id=4, box=(108.0, 60.0, 148.0, 100.0)),
        Prompt(frame=3, object_id=7, box=(6.0, 10.0, 46.0, 46.0)),
    )
    assert followed(config.build(), frames, Prompt(text="cow")) == followed(
        MODELS[model](str(prompted[model])).build(), frames, *named
    )
    with config.build() as tracker, SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text="cow"))
        assert {track.prompt for track in session.tracks()} <= {"cow"}
        session.reset()
        session.add_prompt(Prompt(text="cow"))
        shown = session.refine(Prompt(frame=2, object_id=4, points=((20.0, 20.0),), labels=(0,)))
        assert shown.object_ids in ((4,), ())


def test_what_a_file_names(prompted: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights, frames = str(prompted["sam2"]), blobs(6).session()

    def named(text: str, name: str = "blobs.txt", **options: float) -> list[tuple[int, int | None]]:
        (tmp_path / name).write_text(text)
        tracker = Sam2Config(device="cpu", weights=weights, boxes=str(tmp_path / name), **options).build()  # type: ignore[arg-type]
        return [(prompt.frame, prompt.object_id) for prompt in tracker.named(frames)]

    assert named(MOT, boxes_min_score=0.5) == [(0, 4)]
    detections = "2,-1,10,10,20,20,1\n2,-1,60,60,20,20,1\n3,-1,9,9,20,20,1\n"
    assert named(detections) == [(1, 1), (1, 2)]  # without ids: of the first frame alone
    coco = {
        "images": [{"id": 1, "file_name": "000002.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "track_id": 3, "bbox": [10, 10, 20, 20]}],
    }
    assert named(json.dumps(coco), "blobs.json") == [(2, 3)]
    with pytest.raises(TrackingFailed, match="has object 4 twice in frame 0"):
        named("1,4,1,1,9,9\n1,4,30,30,9,9\n")
    with caplog.at_level(logging.WARNING):
        assert named("40,4,1,1,9,9\n") == []
        assert not caplog.text
        frames = SessionFrames(frames.images, frames.indices * 10, frames.times_s, 160, 112, "blobs.mp4")
        assert named("40,4,1,1,9,9\n") == []
    assert "has boxes on frame 39 and none on a frame that is tracked from 0 to 50" in caplog.text


def test_the_content_of_the_file_is_in_the_identity(prompted: dict[str, Path], tmp_path: Path) -> None:
    weights, path = str(prompted["sam2"]), tmp_path / "boxes.txt"

    def identity(boxes: str | None) -> object:
        return Sam2Config(device="cpu", weights=weights, boxes=boxes).build().identity()

    path.write_text(MOT)
    first, plain = identity(str(path)), identity(None)
    path.write_text(MOT.replace("108", "107"))
    assert first != identity(str(path)) and plain != first
    assert "boxes" not in plain  # type: ignore[operator]
    with pytest.raises(TrackerUnavailable, match=r"tracker\.boxes=.*no.txt does not exist"):
        identity(str(tmp_path / "no.txt"))
    with pytest.raises(ValueError, match=r"tracker.boxes_min_score is between 0 and 1, got 2"):
        Sam2Config(boxes=str(path), boxes_min_score=2)
    without = SAMSession(Sam2Config(device="cpu", weights=weights).build(), blobs(1).session())
    with pytest.raises(UnknownPrompt, match="does not understand text prompts"):
        without.add_prompt(Prompt(text="cow"))


@pytest.mark.slow
def test_boxes_become_crops(
    video: Path,  # noqa: F811
    prompted: dict[str, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "boxes.txt").write_text("1,5,216,120,80,80\n11,6,12,20,80,72\n")
    words = (f"videos={video}", "prompt=thing", "tracker.device=cpu", f"tracker.weights={prompted['sam2']}")
    words += ("tracker=sam2", "clip.num_frames=10", "clip.stride=1", "crop.size=32", "filters.size.enabled=false")
    done = run(capfd, monkeypatch, *words, f"out={tmp_path}/out", f"tracker.boxes={tmp_path}/boxes.txt")
    assert done.status == 0, done.text
    found = rows(tmp_path / "out" / "samples.parquet") + rows(tmp_path / "out" / "rejected.parquet")
    assert {row["object_id"] for row in found} == {5, 6}
    done = run(capfd, monkeypatch, *words, f"out={tmp_path}/other")
    assert done.status == 2 and "or name them with tracker.boxes=FILE" in done.text


@pytest.mark.slow
def test_a_click_of_the_corrections_file_reaches_the_model(
    video: Path,  # noqa: F811
    prompted: dict[str, Path],
    tmp_path: Path,
) -> None:
    """The window with the click is what a session with the same click gives; the other one is as it was."""
    (tmp_path / "boxes.txt").write_text("1,5,216,120,80,80\n11,5,12,20,80,72\n")
    words = (f"videos={video}", "prompt=thing", "tracker.device=cpu", f"tracker.weights={prompted['sam2']}")
    words += ("tracker=sam2", "clip.num_frames=10", "clip.stride=1", "crop.size=32", "filters.size.enabled=false")
    words += (f"tracker.boxes={tmp_path}/boxes.txt", f"out={tmp_path}/out", "filters.visible.enabled=false")

    def tracked(*more: str) -> dict[int, list[object]]:
        build = Build(loaded(*words, *more))
        assert build.run().status == 0
        (job,) = build.jobs(survey(build.settings, None))
        found = build.store.read(job.track_keys[0]).values()
        return {int(w.indices[0]): [(t.object_id, t.frames.tolist(), t.masks) for t in w.tracks] for w in found}

    before = tracked()
    click = Correction("refine", 14, 5, points=((250.0, 170.0),), labels=(0,))
    Corrections("blobs.mp4", (click,)).save(tmp_path / "corrections.json")
    after = tracked(f"corrections={tmp_path}/corrections.json")
    assert after[0] == before[0] and after[10] != before[10]
    config = Sam2Config(device="cpu", weights=str(prompted["sam2"]), boxes=f"{tmp_path}/boxes.txt")
    with (
        config.build() as tracker,
        session_frames(str(video), 10, 19) as frames,
        SAMSession(tracker, frames) as session,
    ):
        session.add_prompt(Prompt(text="thing"))
        session.add_prompt(click.prompt_on(4))
        expected = [(t.object_id, t.frames.tolist(), t.masks) for t in session.tracks()]
    assert after[10] == expected
