"""Workers of other processes and of Ray, with footage and dataset in a bucket: a worker is killed in the middle."""

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
def test_a_killed_worker_costs_nothing(
    executor: str, bucket: Bucket, footage: Path, local: Path, tmp_path: Path
) -> None:
    for path in footage.glob("*.mp4"):
        bucket.write(f"barn/{path.name}", path.read_bytes())
    bucket.server.taken.clear()
    bucket.server.faults.kb_s = 30
    whom, words = RUNS[executor]
    given = (f"videos={bucket.url}/barn", f"out={bucket.url}/cows", f"cache.path={tmp_path}/cache", *LEAN, *words)
    log = tmp_path / "log"
    with (
        log.open("w") as said,
        subprocess.Popen([sys.executable, str(ROOT / "main.py"), *given], cwd=ROOT, stdout=said, stderr=said) as run,
    ):
        while not any(name.endswith(".mp4") for name in list(bucket.server.taken)):  # a chunk is being sent
            assert run.poll() is None, log.read_text()
            time.sleep(0.02)
        os.kill(descendants(run.pid, COMMANDS[whom])[0], signal.SIGKILL)
        bucket.server.faults.kb_s = None
        status = run.wait(200)
    assert status == 0 and "tried again" in log.read_text(), log.read_text()
    assert bucket.contents("cows", *STABLE) == contents(local, *STABLE)
