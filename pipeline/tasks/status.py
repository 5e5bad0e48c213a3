"""task=status: how far the runs over a dataset are, from any shell or machine that sees it. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pipeline.errors import DatasetError
from pipeline.layout import Layout
from pipeline.layout_of import layout_of
from pipeline.settings import Settings
from pipeline.status import SILENT_S, Status, clock, runs_of
from pipeline.tasks.promised import compared

SHOWN = 20


def status(settings: Settings, now: float | None = None) -> str:
    """What task=status prints: every run that is under way or was cut off, the last ones, and what is there.

    Raises DatasetError where there is nothing to say anything about.
    """
    layout = layout_of(settings)
    runs = runs_of(layout)
    if not runs:
        raise DatasetError(f"no run has worked on {layout.named} yet: build it first, with task=build")
    return "\n".join([*_runs(runs, time.time() if now is None else now), *_dataset(layout, [run for _, run in runs])])


def _runs(runs: list[tuple[Path, Status]], now: float) -> Iterator[str]:
    older = len(runs) - SHOWN
    if older > 0:
        yield f"({older} older runs in {runs[0][0].parents[1]})"
    for _, run in runs[-SHOWN:]:
        state, silent = run.state, now - run.updated
        if state == "running" and silent > SILENT_S:
            state = f"cut off, or stuck: no sign of life for {clock(silent)}"
        yield f"{datetime.fromtimestamp(run.started):%Y-%m-%d %H:%M:%S}  {state}: {run}"


def _dataset(layout: Layout, runs: list[Status]) -> Iterator[str]:
    yield f"chunks done: {len(layout.record_files())} of {runs[-1].chunks}"
    if layout.samples.is_file():
        import pyarrow.parquet as pq

        files = {"crops": layout.samples, "refused": layout.rejected, "failures": layout.failures}
        counts = {name: pq.read_metadata(path).num_rows for name, path in files.items() if path.is_file()}
        yield f"indexed: {', '.join(f'{name} {count}' for name, count in counts.items())}"
    yield from map(str, compared(layout, runs))
