"""The main job from the command line: long videos in, a dataset out; reuse, resume, sweeps and the other tasks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pyarrow.parquet as pq
import pytest

from pipeline.config import of_dataset
from sam.backends.motion import MotionTracker
from tests.running import ROOT, Done, contents, rows, run, run_process

Run = Callable[..., Done]
STABLE = ("crops", "tracks", "samples.parquet", "rejected.parquet", "failures.parquet", "splits.parquet")
# Small pictures: objects are small too.
SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8")


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: run(capfd, monkeypatch, *arguments)


@pytest.fixture(scope="module")
def built(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset, made the way a user makes it."""
    out = tmp_path_factory.mktemp("built") / "cows"
    done = run_process(f"videos={footage}", f"out={out}", *SMALL, "exports=[videofolder,videomae]", cwd=out.parent)
    assert done.status == 0, done.text
    assert sorted(p.name for p in out.parent.iterdir()) == ["cows"], "nothing is written outside `out`"
    return out


def test_a_dataset_holds_what_it_says(built: Path, footage: Path) -> None:
    samples = rows(built / "samples.parquet")
    assert len(samples) >= 6
    assert {s["video"] for s in samples} == {p.relative_to(footage).as_posix() for p in footage.rglob("*.mp4")}
    assert {s["split"] for s in samples} == {"train", "val", "test"}, "one split per video"
    for sample in samples:
        with av.open(str(built / sample["path"])) as container:
            stream = container.streams.video[0]
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert len(frames) == sample["num_frames"] == len(sample["boxes"]) == 20
        assert frames[0].shape == (64, 64, 3)
        assert sample["frame_indices"] == list(range(sample["start_frame"], sample["start_frame"] + 80, 4))
        assert sample["timestamps_s"] == pytest.approx([i / 25 for i in sample["frame_indices"]])
        assert sample["fps"] == pytest.approx(25 / 4)
        assert [box is not None for box in sample["boxes"]] == sample["visible"]
        shown = [frame.max() > 0 for frame in frames]
        assert all(s for s, v in zip(shown, sample["visible"], strict=True) if v), (
            "an object is seen where it is visible"
        )
        for box, window in zip(sample["boxes"], sample["crop_windows"], strict=True):
            assert window[2] - window[0] == window[3] - window[1]
            if box is not None and not sample["scale_outliers"]:
                assert window[0] <= box[0] and window[1] <= box[1] and box[2] <= window[2] and box[3] <= window[3]
    assert len({s["sample_id"] for s in samples}) == len(samples)


def test_late_objects_get_crops(built: Path) -> None:
    assert any(not s["visible"][0] for s in rows(built / "samples.parquet") + _boxes_of_rejected(built))


def _boxes_of_rejected(built: Path) -> list[dict[str, list[bool]]]:
    """Objects that a filter refused because they came late count as found, too."""
    return [{"visible": [False]} for r in rows(built / "rejected.parquet") if r["reason"] == "visible"]


def test_every_run_is_kept(built: Path) -> None:
    (only,) = list((built / "runs").iterdir())
    assert {p.name for p in only.iterdir()} == {
        "config.yaml",
        "overrides.txt",
        "log.txt",
        "timings.json",
        "status.json",
    }
    assert "crops of" in (only / "log.txt").read_text()
    assert (built / "report" / "index.html").is_file()
    assert (built / "exports" / "videomae" / "train.csv").read_text().strip()


def test_a_rerun_has_nothing_to_do(built: Path, footage: Path, go: Run) -> None:
    before = contents(built, *STABLE, "exports", "report", "records")
    done = go(f"videos={footage}", f"out={built}", *SMALL, "exports=[videofolder,videomae]")
    assert done.status == 0 and "3 of 3 chunks are done already" in done.text
    assert contents(built, *STABLE, "exports", "report", "records") == before


def test_another_machine_makes_the_same_bytes(built: Path, footage: Path, tmp_path: Path, go: Run) -> None:
    done = go(f"videos={footage}", f"out={tmp_path / 'again'}", *SMALL, "executor.workers=1")
    assert done.status == 0, done.text
    assert contents(tmp_path / "again", *STABLE) == contents(built, *STABLE)


def test_a_sweep_over_crops_tracks_once(footage: Path, tmp_path: Path, go: Run) -> None:
    out = tmp_path / "sweep"
    sizes = [a for a in SMALL if not a.startswith("crop.size")]
    done = go("-m", f"videos={footage}/farm2", f"out={out}", *sizes, "crop.size=32,48", "exports=[]")
    assert done.status == 0, done.text
    assert sorted(p.name for p in out.iterdir()) == ["crop.size=32", "crop.size=48", "tracks"]
    small, large = (rows(out / f"crop.size={size}" / "samples.parquet") for size in (32, 48))
    assert [s["sample_id"] for s in small] == [s["sample_id"] for s in large], "the same sample at every crop setting"
    assert "reused, nothing was tracked" in done.text
    assert "crop.size=48" in done.text.splitlines()[-1], "one table sums the sweep up"
    assert not list(ROOT.glob("multirun*"))


def test_two_prompts_are_two_trackings(footage: Path, tmp_path: Path, go: Run) -> None:
    out = tmp_path / "sweep"
    rest = [a for a in SMALL if not a.startswith("prompt")]
    done = go("-m", f"videos={footage}/farm2", f"out={out}", *rest, "prompt=cow,red cow", "exports=[]")
    assert done.status == 0, done.text
    plain, spaced, tracks = sorted(p.name for p in out.iterdir())
    assert (plain, tracks) == ("prompt=cow", "tracks") and spaced.startswith("prompt=red_cow")
    assert len(list((out / "tracks").glob("??/*.parquet"))) == 2


def test_one_dataset_of_two_prompts_keeps_each_thing_once(footage: Path, tmp_path: Path, go: Run) -> None:
    rest = [a for a in SMALL if not a.startswith("prompt")]
    done = go(f"videos={footage}/farm2", f"out={tmp_path}", *rest, "prompt=[cow,calf]", "exports=[]")
    assert done.status == 0, done.text
    assert "split.by=video makes too few groups; split.by=time cuts long videos" in done.text
    assert {s["prompt"] for s in rows(tmp_path / "samples.parquet")} == {"cow"}
    assert {r["reason"] for r in rows(tmp_path / "rejected.parquet") if r["prompt"] == "calf"} == {
        "duplicate_of_prompt"
    }


def test_crop_again_needs_no_video_key_and_no_tracking(built: Path, tmp_path: Path, go: Run) -> None:
    done = go("task=crop", f"out={built}", "crop.size=32", "crop.variants=[context,mask]")
    assert done.status == 0, done.text
    assert "nothing was tracked" in done.text
    samples = rows(built / "samples.parquet")
    assert {s["size"] for s in samples} == {32} and {s["background"] for s in samples} == {"context"}
    for sample in samples:
        assert [v["background"] for v in sample["variants"]] == ["mask"]
        assert (built / sample["variants"][0]["path"]).is_file()
    on_disk = {p.relative_to(built).as_posix() for p in (built / "crops").rglob("*.mp4")}
    assert on_disk == {s["path"] for s in samples} | {v["path"] for s in samples for v in s["variants"]}
    known = of_dataset(built, "outputs")
    assert known.crop.size == 32 and known.crop.backgrounds == ("context", "mask"), "what works on it next knows"
    assert (built / "dataset.yaml").read_text().splitlines()[1] == "task: build"
    back = go("task=crop", f"out={built}", "crop.size=64", "crop.variants=null")
    assert back.status == 0, back.text


def test_a_lower_threshold_crops_only_what_it_admits(footage: Path, tmp_path: Path, go: Run) -> None:
    base = (f"videos={footage}/farm1", f"out={tmp_path}", *SMALL, "exports=[]")
    go(*base, "filters.visible.min_share=1.0")
    few = rows(tmp_path / "samples.parquet")
    times = {s["path"]: (tmp_path / s["path"]).stat().st_mtime_ns for s in few}
    done = go(*base, "filters.visible.min_share=0.1")
    many = rows(tmp_path / "samples.parquet")
    assert "nothing was tracked" in done.text and len(many) > len(few)
    assert all((tmp_path / path).stat().st_mtime_ns == written for path, written in times.items())
    go(*base, "filters.visible.min_share=1.0")
    assert rows(tmp_path / "samples.parquet") == few
    assert len(list((tmp_path / "crops").rglob("*.mp4"))) == len(few), "what no longer belongs is removed"
    refused = [r for r in rows(tmp_path / "rejected.parquet") if r["reason"] == "visible"]
    assert refused and all(r["value"] < r["threshold"] == 1.0 for r in refused)
    none = go(*base, "filters.size.min_side=5000")
    assert re.search(r"no crop was kept, all objects were refused: \d+ size", none.text)
    assert none.status == 0, none.text


def test_shards_together_make_the_whole(built: Path, footage: Path, tmp_path: Path, go: Run) -> None:
    for index in range(3):
        done = go(f"videos={footage}", f"out={tmp_path}", *SMALL, f"shard.index={index}", "shard.count=3")
        assert done.status == 0, done.text
    assert contents(tmp_path, *STABLE) == contents(built, *STABLE)


def test_track_here_and_crop_there(built: Path, footage: Path, tmp_path: Path, go: Run) -> None:
    tracks = tmp_path / "shared"
    done = go("task=track", f"videos={footage}", f"out={tmp_path / 'a'}", f"tracks.path={tracks}", *SMALL)
    assert done.status == 0 and not (tmp_path / "a" / "crops").exists(), done.text
    done = go(f"videos={footage}", f"out={tmp_path / 'b'}", f"tracks.path={tracks}", *SMALL)
    assert done.status == 0 and "nothing was tracked" in done.text
    assert contents(tmp_path / "b", "crops", "samples.parquet") == contents(built, "crops", "samples.parquet")


def test_plan_writes_nothing(footage: Path, tmp_path: Path, go: Run) -> None:
    done = go("task=plan", f"videos={footage}", f"out={tmp_path / 'out'}", *SMALL)
    assert done.status == 0, done.text
    assert "clips:           6 of 20 frames" in done.text and "to track:        6 windows" in done.text
    assert not (tmp_path / "out").exists()


def test_preview_is_one_page(footage: Path, tmp_path: Path, go: Run) -> None:
    done = go("task=preview", f"videos={footage}/farm2", f"out={tmp_path}", "prompt=[cow,calf]", "tracker=motion")
    assert done.status == 0, done.text
    page = (tmp_path / "preview" / "index.html").read_text()
    assert page.count("<img ") == 4 and "calf" in page and "http" not in page
    total = re.search(r"cow: (\d+) objects in 2 windows", page)
    assert total and total[0] in done.text
    assert sum(map(int, re.findall(r"\d of 2: cam1_.* from .* s: cow (\d+), calf", done.text))) == int(total[1])


def test_clips_can_be_saved_and_are_the_source(footage: Path, tmp_path: Path, go: Run) -> None:
    done = go("task=clip", f"videos={footage}/farm2", f"out={tmp_path}", "clip.num_frames=5", "clip.stride=10")
    assert done.status == 0, done.text
    saved = sorted((tmp_path / "clips").glob("*.mp4"))
    assert len(saved) == 4
    with av.open(str(saved[1])) as container, av.open(str(next(footage.glob("farm2/*.mp4")))) as source:
        clip = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        whole = [f.to_ndarray(format="rgb24") for f in source.decode(video=0)]
    assert len(clip) == 5
    for n, picture in enumerate(clip):
        assert abs(picture.astype(int) - whole[50 + 10 * n]).mean() < 6


def test_hours_region_and_selection_choose(footage: Path, tmp_path: Path, go: Run) -> None:
    roi = tmp_path / "roi.json"
    roi.write_text('{"farm1/cam2*": {"keep": [[[-9, -9], [-8, -9], [-8, -8]]]}}')
    done = go(
        f"videos={footage}", f"out={tmp_path / 'out'}", *SMALL, "select.time_pattern=%Y%m%d_%H%M",
        "select.hours=[8,13]", "select.exclude=farm2*", f"select.roi={roi}", "exports=[]",
    )  # fmt: skip
    assert done.status == 0, done.text
    assert {s["video"] for s in rows(tmp_path / "out" / "samples.parquet")} == {"farm1/cam1_20260601_0900.mp4"}
    assert "roi" in {r["reason"] for r in rows(tmp_path / "out" / "rejected.parquet")}
    assert rows(tmp_path / "out" / "samples.parquet")[0]["recorded_at"] == "2026-06-01T09:00:00"


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_is_the_same(built: Path, footage: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "main.py"), f"videos={footage}", f"out={tmp_path}", *SMALL]
    kills = 0
    for delay in (1.0, 1.6, 2.2, 2.8, 3.4, 4.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 2
    done = run_process(*command[2:])
    assert done.status == 0, done.text
    assert contents(tmp_path, *STABLE[2:]) == contents(built, *STABLE[2:])
    finished = {k: v for k, v in contents(tmp_path, "crops", "tracks").items() if not k.endswith(".part")}
    assert finished == contents(built, "crops", "tracks")


@pytest.mark.slow
def test_two_runs_at_once_do_not_harm_each_other(built: Path, footage: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "main.py"), f"videos={footage}", f"out={tmp_path}", *SMALL]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    texts = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert contents(tmp_path, *STABLE) == contents(built, *STABLE)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_how_to_continue(footage: Path, tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(ROOT / "main.py"), f"videos={footage}", f"out={tmp_path}", *SMALL]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
    deadline = time.monotonic() + 60
    while not (tmp_path / "records" / "settings").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "Run the same command again to continue" in text and "Traceback" not in text
    assert not list(tmp_path.rglob("*.part"))


def test_parquet_opens_without_the_project(built: Path) -> None:
    assert pq.read_schema(built / "samples.parquet").names[:3] == ["sample_id", "path", "split"]


def test_a_sweep_leaves_every_tracker_it_entered(
    footage: Path, tmp_path: Path, go: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, left = [], []
    enter, exit_ = MotionTracker.__enter__, MotionTracker.__exit__
    monkeypatch.setattr(MotionTracker, "__enter__", lambda self: (entered.append(self), enter(self))[1])
    monkeypatch.setattr(MotionTracker, "__exit__", lambda self, *exc: (left.append(self), exit_(self, *exc))[1])
    rest = [a for a in SMALL if not a.startswith("prompt")]
    done = go("-m", f"videos={footage}/farm2", f"out={tmp_path}", *rest, "prompt=cow,calf", "exports=[]")
    assert done.status == 0, done.text
    assert len(entered) == 2 and left == entered, "one without a large model sees its files as they are now"
