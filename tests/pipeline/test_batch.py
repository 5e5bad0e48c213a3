"""task=batch: an overlay and a JSON for each whole video, right to the frame, made once, whatever others come to."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import pipeline.stages.window_frames
from pipeline.build import Build
from pipeline.errors import ConfigError
from pipeline.footage import survey
from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.tasks.batch import batch, file_names
from pipeline.tasks.batch_metadata import metadata
from pipeline.tasks.outputs import outputs
from pipeline.track_store import TrackStore
from sam.types import Detected
from tests.pipeline.composing import loaded
from tests.running import rows
from tests.video import footage as make

COUNT = 40
NAMES = ("day 1/one.mp4", "day 1/two.mp4", "day 2/one.mp4")
KEYS = {"video_path", "prompts", "detections", "video_info", "parameters"}


def box(n: int) -> tuple[int, int, int, int]:
    return 30 + n, 60, 70 + n, 100


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos in two folders, two of one name, and boxes of a thing that walks from frame 5 on."""
    root = tmp_path_factory.mktemp("batch")
    for shift, name in enumerate(NAMES):
        path = root / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make.write(path, range(100 * shift, 100 * shift + COUNT))
        boxes = root / "boxes" / Path(name).with_suffix(".txt")
        boxes.parent.mkdir(parents=True, exist_ok=True)
        places = ((n, *box(n)) for n in range(5, COUNT))
        boxes.write_text("".join(f"{n + 1},7,{x},{y},{z - x},{w - y},0.8,-1,-1,-1\n" for n, x, y, z, w in places))
    (root / "prompts.txt").write_text("koala\nbrown cow, calf\nkoala, parrot\n")
    return root


def settings(videos: Path, out: Path, *more: str, tracker: str = "file") -> Settings:
    given = (f"videos={videos}/videos", f"prompts_file={videos}/prompts.txt", f"out={out}", "tracks.path=null")
    whole = ("task=batch", "clip.whole=true", "clip.stride=1")
    made_elsewhere = (f"tracker.path={videos}/boxes",) if tracker == "file" else ()
    return loaded(*given, *whole, f"tracker={tracker}", *made_elsewhere, *more)


def run(videos: Path, out: Path, *more: str, tracker: str = "file") -> int:
    chosen = settings(videos, out, *more, tracker=tracker)
    return batch(chosen, Layout(chosen.out, chosen.tracks))


def film(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 30)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def written(out: Path) -> dict[str, int]:
    """The files for a user, and when each was written."""
    kinds = ("*_segmented.mp4", "*_metadata.json")
    return {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for kind in kinds for p in sorted(out.rglob(kind))}


def test_every_video_gets_its_overlay_and_its_metadata(videos: Path, tmp_path: Path) -> None:
    assert run(videos, tmp_path) == 0
    names = {Path(name).with_suffix("").as_posix() for name in NAMES}
    assert set(written(tmp_path)) == {f"{n}_{kind}" for n in names for kind in ("segmented.mp4", "metadata.json")}
    for shift, (name, text) in enumerate(zip(NAMES, ("koala", "brown cow, calf", "koala, parrot"), strict=True)):
        stem = tmp_path / Path(name).with_suffix("")
        shown = film(stem.with_name(f"{stem.name}_segmented.mp4"))
        assert len(shown) == COUNT
        for n, frame in enumerate(shown):
            plain = make.picture(100 * shift + n)
            x0, y0, x1, y1 = box(n)
            near = np.zeros(plain.shape, bool)
            near[y0 - 25 : y1 + 4, x0 - 4 : max(x1, x0 + 130) + 4] = n >= 5  # with the label above
            assert np.abs(frame[..., 1].astype(int) - plain)[~near].mean() < 4, n
            inside = frame[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4].astype(int)
            assert (np.ptp(inside, axis=2).mean() > 20) == (n >= 5), n  # tinted, on a grey picture
        document = json.loads((stem.with_name(f"{stem.name}_metadata.json")).read_text())
        assert set(document) == KEYS
        assert document["video_path"] == str(videos / "videos" / name) and document["prompts"] == text
        assert document["video_info"] == {"fps": 30.0, "width": 160, "height": 128, "frame_count": COUNT}
        (only,) = document["detections"]
        assert only == {"bbox": list(box(5)), "label": text, "score": 0.8, "object_id": 7, "frame": 5}
        assert document["parameters"] == dict.fromkeys(("box_threshold", "text_threshold", "prompt_type"))


def test_a_rerun_makes_only_what_is_missing_or_changed(videos: Path, tmp_path: Path) -> None:
    assert run(videos, tmp_path) == 0
    first = written(tmp_path)
    assert run(videos, tmp_path) == 0
    assert written(tmp_path) == first
    (tmp_path / "day 1/two_metadata.json").unlink()
    assert run(videos, tmp_path) == 0
    again = written(tmp_path)
    assert {name for name in first if again[name] != first[name]} == {"day 1/two_metadata.json"}
    changed = tmp_path / "changed.txt"
    changed.write_text("koala\nbrown cow, calf\nostrich\n")
    assert run(videos, tmp_path, f"prompts_file={changed}") == 0
    last = written(tmp_path)
    assert {name for name in first if last[name] != again[name]} == {
        "day 2/one_metadata.json",
        "day 2/one_segmented.mp4",
    }
    assert run(videos, tmp_path, f"prompts_file={changed}", "encode.crf=30") == 0
    assert {name for name in last if last[name] != written(tmp_path)[name]} == {n for n in last if "segmented" in n}


def test_a_long_video_is_not_held_in_memory_and_comes_out_the_same(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(videos, tmp_path / "held", tracker="motion") == 0
    decoded = []
    real = pipeline.stages.window_frames.SourceFrames._decode

    def noting(frames: Any, wanted: Any) -> Any:
        decoded.append(len(wanted))
        return real(frames, wanted)

    monkeypatch.setattr(pipeline.stages.window_frames, "LONG_BYTES", 10)
    monkeypatch.setattr(pipeline.stages.window_frames.SourceFrames, "_decode", noting)
    assert run(videos, tmp_path / "long", tracker="motion") == 0
    assert sum(decoded) >= 3 * COUNT and max(decoded) <= 32
    held, long = (sorted((tmp_path / name / "tracks").rglob("??/*.parquet")) for name in ("held", "long"))
    assert held and [(p.name, p.read_bytes()) for p in held] == [(p.name, p.read_bytes()) for p in long]


def test_a_bad_video_does_not_stop_the_others(videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "root"
    for name in NAMES:
        (root / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "videos" / name).write_bytes((videos / "videos" / name).read_bytes())
    (root / "boxes").symlink_to(videos / "boxes")
    (root / "videos" / "broken.mp4").write_bytes(b"no video")
    make.write(root / "videos" / "nobody.mp4", range(900, 920))  # no boxes: it cannot be tracked
    (root / "prompts.txt").write_text("thing\n" * 5)
    for _ in range(2):  # a rerun names them again
        caplog.clear()
        assert run(root, tmp_path / "out") == 3
        said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("failed: ")]
        assert len(said) == 2 and "broken.mp4" in said[0] and "no tracks for nobody.mp4" in said[1]
    assert len(written(tmp_path / "out")) == 6


def test_equal_videos_are_tracked_once_and_all_written(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "b.mp4", "b.mov"):
        (tmp_path / "videos" / name).write_bytes((videos / "videos" / NAMES[0]).read_bytes())
    (tmp_path / "boxes").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "boxes" / name).write_bytes((videos / "boxes" / "day 1/one.txt").read_bytes())
    (tmp_path / "prompts.txt").write_text("cow\ncow\nkoala\n")
    assert run(tmp_path, tmp_path / "out") == 0
    assert sorted(written(tmp_path / "out")) == sorted(
        f"{name}_{kind}" for name in ("a", "b.mov", "b.mp4") for kind in ("metadata.json", "segmented.mp4")
    )
    labels = {p.name[:5]: json.loads(p.read_text())["detections"][0]["label"] for p in tmp_path.glob("out/*.json")}
    assert labels == {"a_met": "cow", "b.mov": "cow", "b.mp4": "koala"}
    assert len(list((tmp_path / "out" / "tracks").glob("??/*.parquet"))) == 2


def test_names_never_meet() -> None:
    assert file_names(["x/a.mp4", "y/a.mp4", "b.mp4", "b.mov", "c.d.mp4"]) == {
        "x/a.mp4": "x/a",
        "y/a.mp4": "y/a",
        "b.mp4": "b.mp4",
        "b.mov": "b.mov",
        "c.d.mp4": "c.d",
    }


def test_what_a_detector_found_is_told_as_it_found_it(videos: Path, tmp_path: Path) -> None:
    """Stored with the tracks, with the phrase of each object; also what then had no mask."""
    chosen = settings(videos, tmp_path)
    assert run(videos, tmp_path) == 0
    (job,) = [j for j in Build(chosen).jobs(survey(chosen, None)) if j.chunk.video.name == NAMES[2]]
    store = TrackStore(Layout(tmp_path, tmp_path / "tracks"))
    (key,) = job.track_keys
    (window,) = store.read(key).values()
    seen = Detected(7, "koala", 5, (35.4, 59.6, 200.0, 99.9), 0.81)
    lost = Detected(8, "parrot", 5, (-2.0, 1.0, 9.0, 9.0), 0.7)
    store.write(key, "koala, parrot", [replace(window, detected=(seen, lost))])
    (again,) = store.read(key).values()
    assert again.detected == (seen, lost) and [t.prompt for t in again.tracks] == ["koala"]
    assert metadata(chosen, job, [again])["detections"] == [
        {"bbox": [35, 60, 160, 100], "label": "koala", "score": 0.81, "object_id": 7, "frame": 5},
        {"bbox": [0, 1, 9, 9], "label": "parrot", "score": 0.7, "object_id": 8, "frame": 5},
    ]


def test_other_tasks_go_on_from_its_tracks(videos: Path, tmp_path: Path) -> None:
    assert run(videos, tmp_path) == 0
    more = loaded("task=outputs", f"out={tmp_path}", "outputs.objects=all", "outputs.masks=null", "outputs.alpha=webm")
    assert outputs(more, Layout(more.out, more.tracks)) == 0
    assert {p.name for p in tmp_path.rglob("*.webm")} == {
        "koala-7.webm",
        "brown_cow_calf-7.webm",
        "koala_parrot-7.webm",
    }
    crops = Build(loaded("task=crop", f"out={tmp_path}", "crop.size=32", "exports=[]")).run()
    assert (crops.crops, crops.tracked_windows, crops.failures) == (3, 0, 0)
    assert {len(row["frame_indices"]) for row in rows(tmp_path / "samples.parquet")} == {COUNT}


def test_what_cannot_be_meant_is_one_message(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"use experiment=batch_segmentation, or set clip\.whole=true"):
        settings(videos, tmp_path, "clip.whole=false")
    with pytest.raises(ConfigError, match=r"is where the videos are, .* such as out=.*videos/segmented"):
        run(videos, videos / "videos")
    shutil.copytree(videos, tmp_path / "copy")
    for _ in range(2):  # its overlays are no videos
        assert run(tmp_path / "copy", tmp_path / "copy" / "videos" / "segmented") == 0


def test_shards_take_a_share_each(videos: Path, tmp_path: Path) -> None:
    for index in range(2):
        assert run(videos, tmp_path, "shard.count=2", f"shard.index={index}") == 0
        assert 0 < len(written(tmp_path)) <= 6
    assert len(written(tmp_path)) == 6


GUIDE = {"box_threshold": 0.5, "text_threshold": 0.3, "overlap_threshold": 0.9, "prompt_type": "box"}
TINY, BASE = "IDEA-Research/grounding-dino-tiny", "IDEA-Research/grounding-dino-base"
PRESETS: dict[str, dict[str, Any]] = {
    "batch_segmentation": {"grounding": TINY, "weights": "facebook/sam2.1-hiera-large"},
    "batch_segmentation_quality": {"grounding": BASE, "prompt_type": "mask"},
    "batch_segmentation_sensitive": {"box_threshold": 0.3, "text_threshold": 0.2, "overlap_threshold": 0.7},
    "batch_segmentation_crowded": {"overlap_threshold": 0.7, "prompt_type": "point"},
    "batch_segmentation_fast": {"grounding": TINY, "weights": "facebook/sam2.1-hiera-tiny"},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_presets_are_those_of_the_tuning_guide(preset: str, videos: Path) -> None:
    chosen = loaded(f"experiment={preset}", f"videos={videos}/videos", f"prompts_file={videos}/prompts.txt")
    assert (chosen.task, chosen.clip.whole, chosen.clip.stride) == ("batch", True, 1)
    for key, value in {**GUIDE, **PRESETS[preset], "single": "one", "detect_on": 1}.items():
        assert getattr(chosen.tracker, key) == value, key
    again = loaded(
        f"experiment={preset}", "videos=v", f"prompts_file={videos}/prompts.txt", "tracker.box_threshold=0.7"
    )
    assert getattr(again.tracker, "box_threshold") == 0.7  # noqa: B009 - of one tracker only
