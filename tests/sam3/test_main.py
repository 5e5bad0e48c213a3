"""The whole command line with tracker=sam3_hf, as a user types it: from an mp4 of coloured things to crops."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from tests.running import Done, rows, run, run_process
from tests.sam3.footage import HEIGHT, WIDTH, blobs
from video.encoder import EncodeConfig, encode

ALONE = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
HIDE_PACKAGES = """
import sys
from importlib import metadata
real = metadata.version
def version(name):
    if name in ("transformers", "torch"):
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
for name in ("torch", "transformers", "huggingface_hub"):
    sys.modules[name] = None
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames at twice the size the tests of the tracker use: the tracker gets them scaled down."""
    path = tmp_path_factory.mktemp("video") / "blobs.mp4"
    images = blobs(12, scale=2).images
    encode(path, [*images, *images[:8]], Fraction(25), EncodeConfig(), size=(2 * WIDTH, 2 * HEIGHT))
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dataset") / "out"


@pytest.fixture
def without_packages(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has neither torch nor transformers."""
    (tmp_path / "sitecustomize.py").write_text(HIDE_PACKAGES)
    return {"PYTHONPATH": str(tmp_path)}


def words(video: Path, out: Path, weights: Path) -> list[str]:
    tracker = ("tracker=sam3_hf", f"tracker.weights={weights}", f"tracker.max_side={WIDTH}")
    clips = ("clip.num_frames=10", "clip.stride=1", "filters.size.enabled=false")
    return [f"videos={video}", f"out={out}", *tracker, *clips]


def build(*more: str, video: Path, out: Path, weights: Path, **environment: str) -> Done:
    return run_process(*more, *words(video, out, weights), **ALONE, **environment)


def test_a_video_becomes_crops_of_what_the_prompt_names(video: Path, out: Path, checkpoint: Path) -> None:
    done = build("prompt=[cow,red]", "crop.size=64", video=video, out=out, weights=checkpoint)
    assert done.status == 0, done.text
    samples = rows(out / "samples.parquet")
    found = sorted((s["prompt"], s["start_frame"], s["object_id"]) for s in samples)
    assert found == [("cow", 0, 0), ("cow", 0, 1), ("cow", 10, 0), ("cow", 10, 1)]
    for sample in samples:
        assert (out / sample["path"]).is_file()
        assert sample["tracker"] == "sam3_hf"
        x0, y0, x1, y1 = sample["boxes"][0]
        assert 60 < x1 - x0 < 100 and 50 < y1 - y0 < 100  # source pixels: the things are 80 wide
    assert "Loading weights" not in done.text


def test_stored_tracks_are_cropped_without_the_packages(
    video: Path, out: Path, checkpoint: Path, without_packages: dict[str, str]
) -> None:
    words = ("prompt=[cow,red]", "crop.size=96")
    done = build(*words, video=video, out=out, weights=checkpoint, **without_packages)
    assert done.status == 0, done.text
    assert {s["size"] for s in rows(out / "samples.parquet")} == {96}


def test_missing_packages_name_the_extra(
    video: Path, checkpoint: Path, tmp_path: Path, without_packages: dict[str, str]
) -> None:
    done = build("prompt=cow", video=video, out=tmp_path / "out", weights=checkpoint, **without_packages)
    assert done.status == 2
    assert "make setup EXTRAS=sam3-hf" in done.text
    assert "Traceback" not in done.text


def tracked(done: Done) -> tuple[int, int]:
    """How many windows a run tracked and reused, as it says."""
    if "reused, nothing was tracked" in done.text:
        return 0, -1
    found = re.search(r"tracks: (\d+) windows tracked, (\d+) reused", done.text)
    assert found is not None, done.text
    return int(found[1]), int(found[2])


def tracks(folder: Path) -> dict[str, bytes]:
    """The stored track files by the prompt they are of."""
    files = list(folder.rglob("*.parquet"))
    by_prompt = {orjson.loads(pq.read_schema(f).metadata[b"tracks"])["prompt"]: f.read_bytes() for f in files}
    assert len(by_prompt) == len(files)
    return by_prompt


@pytest.mark.slow
def test_a_sweep_loads_once_and_tracks_once_for_each_prompt(video: Path, checkpoint: Path, tmp_path: Path) -> None:
    """Two trackings, four datasets, one model load, one summary; then both prompts at once track nothing again."""
    words = ("-m", "prompt=cow,calf", "crop.size=112,224", "filters.visible.enabled=false")
    done = build(*words, video=video, out=tmp_path, weights=checkpoint)
    assert done.status == 0, done.text
    jobs = [f"crop.size={size},prompt={prompt}" for prompt in ("cow", "calf") for size in (112, 224)]
    assert sorted(p.parent.name for p in tmp_path.glob("*/samples.parquet")) == sorted(jobs)
    for job in jobs:
        size, prompt = (part.split("=")[1] for part in job.split(","))
        samples = rows(tmp_path / job / "samples.parquet")
        assert {(str(s["size"]), s["prompt"]) for s in samples} == {(size, prompt)}
    assert done.text.count("tracker=sam3_hf runs on cpu") == 1, "one model load"
    assert done.text.count(" windows tracked, 0 reused") == 2, "two trackings"
    assert done.text.count("reused, nothing was tracked") == 2
    lines = done.text.splitlines()
    (head,) = (n for n, line in enumerate(lines) if line.split()[:2] == ["job", "status"])
    assert [line.split()[0] for line in lines[head + 1 : head + 5]] == jobs, "one summary"
    assert any(line.split()[:1] == ["prompt"] for line in lines[head + 5 :]), "and the prompts compared"
    stored = tracks(tmp_path / "tracks")
    assert set(stored) == {"cow", "calf"}

    together = build("prompt=[cow,calf]", f"tracks.path={tmp_path / 'tracks'}", video=video, out=tmp_path / "both",
                     weights=checkpoint)  # fmt: skip
    assert together.status == 0, together.text
    assert "reused, nothing was tracked" in together.text
    assert "runs on cpu" not in together.text


@pytest.mark.slow
def test_prompts_tracked_together_are_stored_as_if_alone(
    video: Path, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def track(prompt: str, name: str) -> tuple[int, int]:
        rest = words(video, tmp_path / name, checkpoint)
        done = run(capfd, monkeypatch, "task=track", f"prompt={prompt}", *rest, "tracker.device=cpu")
        assert done.status == 0, done.text
        return tracked(done)

    assert track("cow", "alone") == (2, 0)
    assert track("[cow,calf]", "both") == (4, 0)
    cow, calf = (tracks(tmp_path / "both" / "tracks")[prompt] for prompt in ("cow", "calf"))
    assert tracks(tmp_path / "alone" / "tracks") == {"cow": cow}
    assert track("[calf,cow]", "alone") == (2, 2), "a stored prompt is reused beside a new one"
    assert tracks(tmp_path / "alone" / "tracks") == {"cow": cow, "calf": calf}
