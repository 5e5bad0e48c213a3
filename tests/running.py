"""Running the command line in tests: in this process for speed, or as a user does, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hydra.core.global_hydra import GlobalHydra

import main as program

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Done:
    """What a run ended with. text: everything it printed."""

    status: int
    text: str


def run_process(*arguments: str, cwd: Path | None = None, timeout: float = 240, **environment: str) -> Done:
    """`python main.py ...` as a process."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), *arguments],
        cwd=cwd or ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return Done(done.returncode, done.stdout)


def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Done:
    """The same command line inside this process."""
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", [str(ROOT / "main.py"), *arguments])
    monkeypatch.setattr(program, "statuses", type(program.statuses)())
    capfd.readouterr()
    try:
        status = program.main()
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 1
    printed = capfd.readouterr()
    return Done(status, printed.out + printed.err)


def rows(path: Path) -> list[dict[str, Any]]:
    """A parquet file's rows."""
    return list(pq.read_table(path).to_pylist())


def contents(root: Path, *names: str) -> dict[str, bytes]:
    """Bytes of every finished file under these names of a dataset."""
    files: dict[str, bytes] = {}
    for name in names:
        top = root / name
        for path in sorted([top] if top.is_file() else top.rglob("*")):
            if path.is_file():
                files[path.relative_to(root).as_posix()] = path.read_bytes()
    return files
