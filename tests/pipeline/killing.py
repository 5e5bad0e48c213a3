"""kill -9 at moments that a seed chooses: of a worker's process, of a Ray actor, or of the run itself.

A moment is a number of files that the run has finished by then, so that it falls into the work on any machine.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.running import ROOT

EXECUTORS: dict[str, tuple[str, ...]] = {
    "local": (),
    "processes 1": ("executor=processes", "executor.workers=1"),
    "processes 2": ("executor=processes", "executor.workers=2"),
    "processes 3": ("executor=processes", "executor.workers=3"),
    "ray 1": ("executor=ray", "executor.cpus=1", "executor.workers=1"),
    "ray 2": ("executor=ray", "executor.cpus=1", "executor.workers=2"),
}
COMMANDS = {"worker": "spawn_main", "actor": "ray::Served"}  # what `ps` says of such a process
LONGEST_S = 1800.0  # a run takes a minute, on a machine with nothing else to do
Kill = tuple[str, str]  # the executor it happens under; who is hit: driver, worker or actor


def finished_files(out: Path) -> int:
    """How much of a dataset is there."""
    places = [path for top in ("tracks", "crops", "records") for path in os.walk(out / top)]
    return sum(not name.endswith(".part") for _, _, files in places for name in files)


def disturbed(words: Sequence[str], out: Path, kills: Sequence[Kill], files: int, seed: int) -> Counter[str]:
    """Build a dataset while one process after the other is killed; then let it be finished.

    words: the settings. files: how many are finished at most when somebody is hit. Returns who was hit how often,
    "starts", and "missed" for what did not happen because a run was done before. Where the next kill belongs to another
    executor, the run is killed, too. Raises RuntimeError with what a run said that ended badly by itself.
    """
    chance, hits, left = random.Random(seed), Counter[str](), list(kills)
    while True:
        executor = left[0][0] if left else "local"
        hits["starts"] += 1
        with open(out.parent / f"{out.name}.log", "w+") as said:
            command = [sys.executable, str(ROOT / "main.py"), *words, f"out={out}", *EXECUTORS[executor]]
            run = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
            try:
                while left and left[0][0] == executor and _kill(run, left[0][1], out, chance, files):
                    hits[left.pop(0)[1]] += 1
                if left and left[0][0] != executor and run.poll() is None:
                    run.kill()
                    hits["driver"] += 1
                status = run.wait(LONGEST_S)
            finally:
                run.kill()
                run.wait()
            said.seek(0)
            if status not in (0, 3, -signal.SIGKILL):  # 3: a chunk whose workers were hit twice
                raise RuntimeError(f"{executor} ended with status {status}:\n{said.read()}")
        if status == 0:
            hits["missed"] += len(left)
            return hits


def _kill(run: subprocess.Popen[bytes], whom: str, out: Path, chance: random.Random, files: int) -> bool:
    """Kill somebody of a run once it has finished a random number of files; False if it has ended before."""
    there = finished_files(out)
    moment = chance.randrange(there, max(files, there + 1))
    while run.poll() is None:
        if finished_files(out) >= moment:
            victims = [run.pid] if whom == "driver" else descendants(run.pid, COMMANDS[whom])
            if victims:
                try:
                    os.kill(chance.choice(victims), signal.SIGKILL)
                except ProcessLookupError:  # it ended by itself in this very moment
                    continue
                if whom == "driver":
                    run.wait(LONGEST_S)
                return True
        time.sleep(0.02)
    return False


def descendants(run: int, command: str) -> list[int]:
    """The processes below another one that run such a command."""
    rows = list(_processes())
    known = {run}
    for _ in range(3):  # a Ray actor is a child of the raylet, and that one of the run
        known |= {pid for pid, parent, _ in rows if parent in known}
    return [pid for pid, _, words in rows if pid in known and command in words]


def _processes() -> Iterator[tuple[int, int, str]]:
    listing = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        pid, parent, state, command = line.split(maxsplit=3)
        if not state.startswith("Z"):
            yield int(pid), int(parent), command
