"""The rows of `samples.parquet` one by one, and what every format says about them beside their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.records import FIGURES

if TYPE_CHECKING:
    import pyarrow as pa

PLAIN = ("sample_id", "prompt", "clip_id", "object_id", "start_frame", "num_frames", "fps", "timestamps_s")
GEOMETRY = ("boxes", "crop_windows")
BATCH = 1024


def each(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Every row, a batch in memory at a time."""
    for batch in rows.to_batches(max_chunksize=BATCH):
        yield from batch.to_pylist()


def metadata(row: dict[str, Any], boxes: bool) -> dict[str, Any]:
    """label (the class), source_video, recorded_at, individual_id ("" where nothing was linked, as in `_time`), the
    plain columns and the figures of a row of `samples.parquet`.

    boxes: also each frame's box and crop window, in source pixels.
    """
    line = {"label": row["class"], "source_video": row["video"], "recorded_at": _time(row["recorded_at"])}
    line["individual_id"] = row["individual_id"] or ""
    line |= {column: row[column] for column in PLAIN + (GEOMETRY if boxes else ())}
    return line | {figure: round(float(row[figure]), 6) for figure in FIGURES}


def classes_of(names: list[str]) -> dict[str, int]:
    """The number of every class, from 0, in alphabetical order."""
    return {name: index for index, name in enumerate(sorted(set(names)))}


def _time(recorded_at: str | None) -> str:
    """ISO time with milliseconds, "" when unknown: always a string to the type guessing behind `load_dataset`.

    Whole seconds would be guessed to be a timestamp and null to be nothing, and splits that differ do not load.
    """
    if recorded_at is None:
        return ""
    try:
        return datetime.fromisoformat(recorded_at).isoformat(timespec="milliseconds")
    except ValueError:
        return recorded_at
