"""Sweeps through Hydra's launchers: in other processes here, and as jobs of a Lightning AI studio."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_plugins.lightning import LightningLauncher
from pipeline.lightning import LightningConfig
from tests import fake_slurm
from tests.running import ROOT, Done, contents, rows, run, run_process

Run = Callable[..., Done]
SMALL = ("prompt=cow", "tracker=motion", "filters.size.min_side=8")
LIGHTNING = ("-m", "hydra/launcher=lightning", "videos=/teamspace/shared/barn", "tracker=motion", "prompt=cow,calf")
OUT = "out=/teamspace/shared/cows"
STABLE = ("crops", "samples.parquet", "rejected.parquet", "failures.parquet", "splits.parquet")


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: run(capfd, monkeypatch, *arguments)


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The jobs submitted to a studio that takes everything; its machines are those of lightning_sdk's documentation."""
    submitted: list[dict[str, Any]] = []

    def accept(**job: Any) -> None:
        if len(submitted) == 3:
            raise RuntimeError("no credits left")
        submitted.append(job)

    sdk = SimpleNamespace(Machine=SimpleNamespace(L4="l4", L40S="l40s"), Job=SimpleNamespace(run=accept))
    monkeypatch.setitem(sys.modules, "lightning_sdk", sdk)  # type: ignore[arg-type]
    monkeypatch.setenv("HF_TOKEN", "secret")
    return submitted


@pytest.fixture
def one_video(footage: Path, tmp_path: Path) -> Path:
    """A folder with one of the videos."""
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "good.mp4").symlink_to(next(footage.rglob("*.mp4")))
    return videos


@pytest.mark.slow
def test_jobs_in_other_processes_make_datasets(one_video: Path, tmp_path: Path) -> None:
    command = ("-m", f"videos={one_video}", f"out={tmp_path}/out", *SMALL, "crop.size=32,64", "hydra/launcher=joblib")
    done = run_process(*command, timeout=400)
    assert done.status == 0, done.text
    sizes = {rows(tmp_path / "out" / f"crop.size={n}" / "samples.parquet")[0]["size"] for n in (32, 64)}
    assert sizes == {32, 64}


@pytest.mark.slow
def test_a_job_in_another_process_hands_its_status_back(one_video: Path, tmp_path: Path) -> None:
    (one_video / "bad.mp4").write_text("not a video")
    command = ("-m", f"videos={one_video}", f"out={tmp_path}/out", *SMALL, "crop.size=32,64", "hydra/launcher=joblib")
    done = run_process(*command, timeout=400)
    assert done.status == 3, done.text
    assert "a job of the sweep ended with status 3" in done.text
    assert len(rows(tmp_path / "out" / "crop.size=64" / "failures.parquet")) == 1, "the other jobs were done"


SLOW = """
import time
from submitit.core.utils import JobPaths
make = JobPaths.move_temporary_file
JobPaths.move_temporary_file = lambda *given, **options: (time.sleep(2), make(*given, **options))[1]
"""


@pytest.mark.slow
def test_submitit_starts_jobs_here_however_late_it_makes_their_folders(one_video: Path, tmp_path: Path) -> None:
    """It makes a job's folder after it has started the job, which writes there at once."""
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW)
    words = ("-m", f"videos={one_video}", f"out={tmp_path}/out", *SMALL, "crop.size=32,64")
    done = run_process(*words, "hydra/launcher=submitit_local", timeout=280, PYTHONPATH=str(tmp_path / "slow"))
    assert done.status == 0, done.text
    sizes = {rows(tmp_path / "out" / f"crop.size={n}" / "samples.parquet")[0]["size"] for n in (32, 64)}
    assert sizes == {32, 64}


@pytest.mark.slow
def test_submitit_makes_a_slurm_array_of_a_sweep(one_video: Path, tmp_path: Path) -> None:
    (one_video / "bad.mp4").write_text("not a video")
    words = ("-m", f"videos={one_video}", f"out={tmp_path}/out", *SMALL, "crop.size=32,64")
    chosen = ("hydra/launcher=submitit_slurm", "hydra.launcher.gres=gpu:1", "hydra.launcher.timeout_min=1440")
    path = fake_slurm.install(tmp_path / "bin")
    done = run_process(*words, *chosen, f"hydra.sweep.dir={tmp_path}/sweep", timeout=280, PATH=path)
    assert done.status == 3 and "a job of the sweep ended with status 3" in done.text, done.text
    for size in (32, 64):
        assert rows(tmp_path / "out" / f"crop.size={size}" / "samples.parquet")[0]["size"] == size
        assert len(rows(tmp_path / "out" / f"crop.size={size}" / "failures.parquet")) == 1
    (script,) = (tmp_path / "sweep" / ".submitit").glob("*_submission.sh")
    asked = {"--gres=gpu:1", "--time=1440", "--array=0-1%2", "--ntasks-per-node=1", "--nodes=1"}
    assert asked <= {line.removeprefix("#SBATCH ") for line in script.read_text().splitlines()}


def test_slurm_needs_a_folder_that_its_nodes_share(go: Run) -> None:
    done = go("-m", "videos=/data/barn", *SMALL, "crop.size=32,64", "hydra/launcher=submitit_slurm")
    assert done.status == 2 and "say hydra.sweep.dir=" in done.text and "Traceback" not in done.text


@pytest.mark.slow
def test_the_tasks_of_a_slurm_array_make_one_dataset(footage: Path, tmp_path: Path) -> None:
    """The script of docs/scale.md, by a shell that says what SLURM says to each task of an array."""
    (script,) = re.findall(r"```\n(#SBATCH .*?)```", (ROOT / "docs" / "scale.md").read_text(), re.DOTALL)
    words = {"python main.py": f"{sys.executable} main.py", "/data/barn": str(footage), "/data/cows": f"{tmp_path}/out"}
    for written, here in words.items():
        assert written in script
        script = script.replace(written, here)
    (tmp_path / "job.sh").write_text(f"{script.rstrip()} {shlex.join(SMALL[1:])}\n")
    for task in range(2):
        array = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2"}
        done = subprocess.run(
            ["bash", "-eu", str(tmp_path / "job.sh")], cwd=ROOT, env=os.environ | array, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert run_process(f"videos={footage}", f"out={tmp_path}/alone", *SMALL).status == 0
    assert contents(tmp_path / "out", *STABLE) == contents(tmp_path / "alone", *STABLE)
    assert rows(tmp_path / "out" / "samples.parquet")


def test_every_job_of_a_sweep_is_submitted_once_per_shard(go: Run, studio: list[dict[str, Any]]) -> None:
    done = go(*LIGHTNING[:-1], "prompt=cow", OUT, "hydra.launcher.shards=2", "hydra.launcher.machine=L40S")
    assert done.status == 0, done.text
    assert [job["machine"] for job in studio] == ["l40s"] * 2
    assert len({job["name"] for job in studio}) == 2
    setup, call = studio[0]["command"].split(" && ")
    assert setup == "make setup EXTRAS=sam3"
    words = shlex.split(call)
    assert words[:2] == [".venv/bin/python", "main.py"] and not any(word.startswith(("-m", "hydra")) for word in words)
    assert {'videos="/teamspace/shared/barn"', "prompt=cow", "shard.index=0", "shard.count=2"} <= set(words)
    assert studio[0]["env"] == {"HF_TOKEN": "secret"} and "secret" not in call
    assert (studio[0]["interruptible"], studio[0]["max_run_attempts"]) == (False, 3)
    assert "submitted clipcrop-" in done.text and "secret" not in done.text


def test_a_job_goes_to_the_folder_that_it_was_submitted_from(
    go: Run, studio: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A job begins in the home of its studio; there is no Makefile there."""
    folder = tmp_path / "my checkout"
    folder.mkdir()
    (folder / "Makefile").write_text("setup:\n\ttouch was_set_up\n")
    monkeypatch.chdir(folder)
    words = (*LIGHTNING[:-1], "prompt=cow", OUT, "hydra.launcher.setup=make setup", "hydra.launcher.python=echo")
    assert go(*words).status == 0
    monkeypatch.setenv("LIGHTNING_CLOUD_SPACE_ID", "here")
    assert go(*words).status == 0
    assert go(*words, "hydra.launcher.studio=another").status == 0
    outside, inside, another = (job["command"] for job in studio)
    assert outside == another == inside.partition(" && ")[2]
    said = subprocess.run(["bash", "-ec", inside], cwd=tmp_path, capture_output=True, text=True)
    assert said.stdout.splitlines()[-1] == " ".join(shlex.split(outside)[4:]), said
    assert (folder / "was_set_up").exists()


def test_the_real_sdk_takes_the_calls(go: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = pytest.importorskip("lightning_sdk")
    signature, bound = inspect.signature(sdk.Job.run), list[inspect.BoundArguments]()
    monkeypatch.setattr(sdk.Job, "run", lambda **job: bound.append(signature.bind(**job)))
    done = go(*LIGHTNING, OUT, "hydra.launcher.machine=L40S", "hydra.launcher.interruptible=true")
    assert done.status == 0 and len(bound) == 2, done.text
    assert bound[0].arguments["machine"] == sdk.Machine.L40S
    assert "hydra.launcher.machine must be one of" in go(*LIGHTNING, OUT, "hydra.launcher.machine=from_str").text


def test_a_dry_run_prints_the_folders_a_sweep_has_anywhere(go: Run, studio: list[dict[str, Any]]) -> None:
    done = go(*LIGHTNING, OUT, "hydra.launcher.dry_run=true")
    assert done.status == 0 and studio == [], done.text
    assert 'out="/teamspace/shared/cows/prompt=calf"' in done.text
    assert done.text.count('tracks.path="/teamspace/shared/cows/tracks"') == 2
    assert "shard." not in done.text


def test_a_refused_job_says_what_is_submitted_already(go: Run, studio: list[dict[str, Any]]) -> None:
    done = go(*LIGHTNING, OUT, "hydra.launcher.shards=2")
    assert done.status == 2 and len(studio) == 3
    assert "after 3 of 4 jobs were submitted: no credits left" in done.text


@pytest.mark.parametrize(("words", "message"), [
    (["out=/teamspace/studios/this_studio/cows"], "a job works on a copy of it"),
    ([OUT, "videos=/teamspace/studios/this_studio/barn"], "videos=/teamspace/studios/this_studio/barn lies in this"),
    ([OUT, "hydra.launcher.machine=ABACUS"], "hydra.launcher.machine must be one of L4, L40S, got 'ABACUS'"),
    ([OUT, "hydra.launcher.env=[NO_SUCH_NAME]"], "NO_SUCH_NAME, which is not set here"),
    ([OUT, "hydra.launcher.shards=0"], "hydra.launcher.shards must be at least 1, got 0"),
    ([OUT, "crop.size=7"], "crop.size must be an even number of at least 16, got 7"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_submitted(
    go: Run, studio: list[dict[str, Any]], words: list[str], message: str
) -> None:
    done = go(*LIGHTNING, *words)
    assert done.status == 2 and message in done.text and "Traceback" not in done.text, done.text
    assert studio == []


def test_without_the_sdk_the_extra_is_named(go: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_sdk", None)
    done = go(*LIGHTNING, OUT)
    assert done.status == 2 and "make setup EXTRAS=lightning" in done.text


def test_the_launcher_takes_its_options() -> None:
    assert LightningLauncher(machine="T4")._options == LightningConfig(machine="T4")
