"""Workers of other processes and of Ray, with footage and dataset in a bucket: workers are killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.killing import COMMANDS, descendants
from tests.remote.making import LEAN, STABLE
from tests.running import ROOT, contents
from tests.serving_buckets import Bucket

RUNS = {
    "processes": ("worker", ("executor=processes", "executor.workers=2")),
    "ray": ("actor", ("executor=ray", "executor.cpus=1", "executor.workers=2")),
}


@pytest.mark.slow
@pytest.mark.parametrize("bucket", ["s3"], indirect=True)
@pytest.mark.parametrize("executor", RUNS)
def test_killed_workers_cost_nothing(executor: str, bucket: Bucket, footage: Path, local: Path, tmp_path: Path) -> None:
    for path in footage.glob("*.mp4"):
        bucket.write(f"barn/{path.name}", path.read_bytes())
    whom, words = RUNS[executor]
    given = (f"videos={bucket.url}/barn", f"out={bucket.url}/cows", f"cache.path={tmp_path}/cache", *LEAN, *words)
    log = tmp_path / "log"
    with (
        log.open("w") as said,
        subprocess.Popen([sys.executable, str(ROOT / "main.py"), *given], cwd=ROOT, stdout=said, stderr=said) as run,
    ):
        while not any((tmp_path / "cache").glob("*.mp4")):  # a worker has fetched the video of its chunk
            assert run.poll() is None, log.read_text()
            time.sleep(0.02)
        for pid in descendants(run.pid, COMMANDS[whom]):  # the one that is at it is among them
            os.kill(pid, signal.SIGKILL)
        status = run.wait(200)
    assert status == 0 and "tried again" in log.read_text(), log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()
    assert bucket.contents("cows", *STABLE) == contents(local, *STABLE)
