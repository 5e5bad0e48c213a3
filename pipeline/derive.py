"""What is derived from the index: exports and report, and the stamps that say what each was last made from.

A derived file is made again exactly when what it is made from has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from pipeline import audit
from pipeline.errors import DatasetError
from pipeline.layout import Layout, write_bytes, writing_folder
from pipeline.settings import Settings
from pipeline.tables import read_table
from video.types import digest


def export(settings: Settings, layout: Layout) -> list[str]:
    """Write the exports whose samples or options changed; returns their names. Raises DatasetError for splits that
    leak."""
    samples = _samples_stamp(layout)
    if read_state(layout).get("audit") != samples:
        audit.check(read_table(layout.samples, audit.COLUMNS))
        write_state(layout, audit=samples)
    table = None
    written = []
    for name, options in settings.exports.items():
        target = layout.exports / name
        stamp = digest(samples, asdict(options), settings.link)
        if read_state(layout).get(f"export.{name}") == stamp and target.is_dir():
            continue
        table = read_table(layout.samples) if table is None else table
        layout.exports.mkdir(parents=True, exist_ok=True)
        with writing_folder(target) as part:
            options.write(table, layout, part, settings.link)
        write_state(layout, **{f"export.{name}": stamp})
        written.append(name)
    return written


def report(settings: Settings, layout: Layout, seconds: Mapping[str, float]) -> None:
    """Write the report if the index changed."""
    stamp = digest(_samples_stamp(layout), settings.digest)
    if read_state(layout).get("report") == stamp and layout.report.is_file():
        return
    from pipeline.report.render import write_report

    write_report(layout.root, layout.report, settings=settings.values, timings=seconds)
    write_state(layout, report=stamp)


def _samples_stamp(layout: Layout) -> str:
    """The index as it is on disk; raises DatasetError when there is none."""
    files = [layout.samples, layout.rejected, layout.failures]
    if not all(f.is_file() for f in files):
        raise DatasetError(f"{layout.root} has no samples.parquet: build the dataset first, with task=build")
    return digest(*(f.read_bytes() for f in files))


def read_state(layout: Layout) -> dict[str, Any]:
    """The stamps by name; none when they were never written or cannot be read."""
    try:
        state = orjson.loads(layout.index_state.read_bytes())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(layout: Layout, **changes: Any) -> None:
    """Change some stamps."""
    write_bytes(layout.index_state, orjson.dumps(read_state(layout) | changes, option=orjson.OPT_INDENT_2))
