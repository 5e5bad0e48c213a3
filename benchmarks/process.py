"""What a whole Python process costs: its time, and the most memory it held.

On Linux a process begins with the peak of the one that starts it. So that a benchmark, which imports much, measures
less than itself, this module is run in between and starts it:  python -m benchmarks.process FD QUIET ARGUMENTS...
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple


class Cost(NamedTuple):
    """seconds: from start to end. processor: seconds on all cores. mebibytes: peak resident set, as the kernel says."""

    seconds: float
    processor: float
    mebibytes: float


def cost(*arguments: str, environment: Mapping[str, str] = os.environ, quiet: bool = False) -> Cost:
    """Run `python ARGUMENTS` here, `quiet` without its output. Raises SystemExit where it fails."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "benchmarks.process", str(writer), str(int(quiet)), *arguments]
    with open(reader) as report:
        process = subprocess.Popen(command, env=environment, pass_fds=(writer,))
        os.close(writer)
        status, *spent = json.loads(report.read())
        process.wait()
    if status:
        raise SystemExit(f"python {' '.join(arguments)} ended with {status}")
    return Cost(*spent)


def _measure(writer: int, quiet: bool, arguments: list[str]) -> None:
    """Write the exit status and the cost of `python ARGUMENTS` to a pipe."""
    to_nothing = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, 1, 2)] if quiet else []
    began = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ, file_actions=to_nothing)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    scale = 2**20 if sys.platform == "darwin" else 2**10
    spent = Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)
    with open(writer, "w") as report:
        json.dump([os.waitstatus_to_exitcode(status), *spent], report)


if __name__ == "__main__":
    _measure(int(sys.argv[1]), bool(int(sys.argv[2])), sys.argv[3:])
