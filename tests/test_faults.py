"""kill -9 at ten moments, under other executors and worker counts each time: the dataset is that of an undisturbed run,
byte for byte, so nothing is lost and nothing is there twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.killing import Kill, disturbed, finished_files
from tests.pipeline.mortal import made
from tests.running import rows, run_process
from video.scenes import render_scene

SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5", "exports=[]")
KILLS: dict[str, list[Kill]] = {
    "workers": [("processes 2", "worker"), ("processes 2", "worker"), ("processes 3", "worker")],
    "runs": [("processes 2", "driver"), ("local", "driver"), ("processes 1", "driver"), ("local", "driver")],
    "actors": [("ray 2", "actor"), ("ray 1", "actor"), ("ray 1", "driver")],
}


@pytest.fixture(scope="module")
def herd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos of 2 s, a chunk each."""
    folder = tmp_path_factory.mktemp("herd")
    for number in range(8):
        render_scene(folder / f"cam{number}.mp4", seed=70 + number, seconds=2, width=160, height=96, cows=1, people=1)
    return folder


@pytest.fixture(scope="module")
def alone(herd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run in one process makes that nobody disturbs."""
    out = tmp_path_factory.mktemp("alone")
    done = run_process(f"videos={herd}", f"out={out}", *SMALL)
    assert done.status == 0, done.text
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", KILLS)
def test_killed_at_any_moment_under_any_executor(kind: str, herd: Path, alone: Path, tmp_path: Path) -> None:
    out, kills = tmp_path / "out", KILLS[kind]
    hits = disturbed([f"videos={herd}", *SMALL], out, kills, finished_files(alone) // 2, seed=7)
    assert hits["missed"] == 0 and hits["worker"] + hits["actor"] + hits["driver"] >= len(kills), hits
    assert made(out) == made(alone)
    samples = rows(out / "samples.parquet")
    assert len({row["sample_id"] for row in samples}) == len(samples) == len(list((out / "crops").rglob("*.mp4"))) > 0
