"""What a whole Python process costs: its time, and the most memory it held."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """seconds: from start to end. processor: seconds on all cores. mebibytes: peak resident set, as the kernel says."""

    seconds: float
    processor: float
    mebibytes: float


def cost(*arguments: str, environment: Mapping[str, str] = os.environ) -> Cost:
    """Run `python ARGUMENTS` with the output of this process. Raises SystemExit where it ends with another status.

    On Linux the new process begins with the peak of the one that starts it, so keep that one small: let another process
    make what is measured.
    """
    began = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, *arguments], environment)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"python {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)
