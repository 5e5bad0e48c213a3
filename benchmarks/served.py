"""A studio in a process of its own, as `python main.py task=studio` starts it, and what its clients measured."""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

ROOT = Path(__file__).parents[1]


@contextmanager
def served(folder: Path, port: int, *words: str) -> Iterator[tuple[str, float]]:
    """Its address, and the seconds until it answered. words: more settings. It is stopped in the end."""
    command = [sys.executable, "main.py", "task=studio", f"studio.port={port}", f"studio.folder={folder}", *words]
    address = f"http://127.0.0.1:{port}"
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        while not _answers(address):
            if process.poll() is not None:
                raise SystemExit(f"the studio ended with {process.returncode}")
            time.sleep(0.02)
        yield address, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.RequestException:
        return False


def timed(ask: Callable[[int], object], numbers: Iterable[int]) -> list[float]:
    """Milliseconds of each request."""
    taken = []
    for number in numbers:
        began = time.perf_counter()
        ask(number)
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def summary(
    taken: Mapping[str, Sequence[float]], digits: int = 1
) -> tuple[tuple[tuple[str, ...], ...], dict[str, float]]:
    """Median, 99th percentile and count of each list of milliseconds: rows of a table, and values by name."""
    rows: list[tuple[str, ...]] = []
    values: dict[str, float] = {}
    for name, each in taken.items():
        middle, worst = statistics.median(each), sorted(each)[min(len(each) - 1, int(0.99 * len(each)))]
        rows.append((name, f"{middle:.{digits}f}", f"{worst:.{digits}f}", str(len(each))))
        values |= {f"{name}, median": middle, f"{name}, p99": worst}
    return tuple(rows), values
