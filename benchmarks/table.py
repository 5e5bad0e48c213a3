"""Results of a benchmark: a markdown table for people, JSON for machines, and the machine they were measured on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(tempfile.gettempdir()) / "clipcrop-benchmarks"  # what benchmarks make once and keep
LIBRARIES = ("av", "opencv-python-headless", "numpy", "pyarrow", "hydra-core")


@dataclass(frozen=True, slots=True)
class Result:
    """One finished benchmark. head: the names of the columns. rows: one cell per column, already formatted."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    values: Mapping[str, float]
    note: str = ""


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """Processor, cores, Python, libraries and date, in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model na")]
        cpu = names[0] if names else cpu
    there = [f"{name} {found}" for name in LIBRARIES if (found := _version(name))]
    return ", ".join([cpu, f"{cores()} cores", f"Python {platform.python_version()}", *there, date.today().isoformat()])


def _version(name: str) -> str:
    """Of an installed library; empty where it is not, since no benchmark needs all of them."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def arguments(description: str) -> argparse.ArgumentParser:
    """The options every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    return parser


def markdown(result: Result) -> str:
    """The result as a section of markdown, with its machine line."""
    lines = [f"### {result.title}", "", f"Measured on {machine()}.", ""]
    lines += [f"| {' | '.join(result.head)} |", f"|{'---|' * len(result.head)}"]
    lines += [f"| {' | '.join(row)} |" for row in result.rows]
    lines += ["", result.note] if result.note else []
    return "\n".join(lines)


def publish(result: Result, json_file: Path | None) -> None:
    """Print the table with its machine line, and write the values where asked to."""
    print(markdown(result))
    write(result, json_file)


def write(result: Result, json_file: Path | None) -> None:
    """The values into a file, where one was asked for."""
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine(), **asdict(result)}, indent=2) + "\n")


def interleaved(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every case once per round, so that a busy minute of the machine hits all of them alike."""
    measured: dict[str, list[float]] = {name: [] for name in cases}
    for n in range(rounds):
        for name, case in cases.items():
            measured[name].append(case())
            print(f"round {n + 1}/{rounds}  {name}: {measured[name][-1]:.2f}", flush=True)
    return measured


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """The median over the rounds of one figure against another of the same round."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))
