"""The index: samples, rejected and failures as parquet, rebuilt from the records at any time.

It takes the records of the current settings only, judges every object, joins the splits, and writes sorted rows, so
that equal records and settings give equal bytes. It never reads a video and never writes a crop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa

from pipeline.filters.filter import Refusal
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.records import FIGURES, ChunkRecord, Failure, Rejection, Sample
from pipeline.tables import write_table

VARIANT = [("background", pa.string()), ("path", pa.string()), ("sha256", pa.string())]
SAMPLES = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("individual_id", pa.string()),
        pa.field("link_confidence", pa.float32()),
        pa.field("video", pa.string(), nullable=False),
        pa.field("video_fingerprint", pa.string(), nullable=False),
        pa.field("recorded_at", pa.string()),
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("window_id", pa.string(), nullable=False),
        pa.field("track_key", pa.string(), nullable=False),
        pa.field("tracker", pa.string(), nullable=False),
        pa.field("object_id", pa.int32(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("first_score", pa.float32(), nullable=False),
        pa.field("start_frame", pa.int64(), nullable=False),
        pa.field("stride", pa.int32()),
        pa.field("num_frames", pa.int32(), nullable=False),
        pa.field("fps", pa.float64(), nullable=False),
        pa.field("frame_indices", pa.list_(pa.int64()), nullable=False),
        pa.field("timestamps_s", pa.list_(pa.float64()), nullable=False),
        pa.field("boxes", pa.list_(pa.list_(pa.int32())), nullable=False),
        pa.field("crop_windows", pa.list_(pa.list_(pa.int32())), nullable=False),
        pa.field("visible", pa.list_(pa.bool_()), nullable=False),
        pa.field("source_width", pa.int32(), nullable=False),
        pa.field("source_height", pa.int32(), nullable=False),
        pa.field("size", pa.int32(), nullable=False),
        pa.field("background", pa.string(), nullable=False),
        pa.field("variants", pa.list_(pa.struct(VARIANT)), nullable=False),
        pa.field("degraded", pa.bool_(), nullable=False),
        pa.field("corrected", pa.bool_(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("phash", pa.string(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in FIGURES),
    ]
)
ORDER = ("video", "start_frame", "clip_id", "prompt", "object_id")
REJECTED = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("clip_id", pa.string()),
        pa.field("sample_id", pa.string()),
        pa.field("object_id", pa.int32()),
        pa.field("prompt", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("first_score", pa.float32()),
        *(pa.field(name, pa.float32()) for name in FIGURES),
    ]
)
OF_SAMPLE, OF_REFUSED = (
    tuple(f.name for f in fields(Sample) if f.name in schema.names) for schema in (SAMPLES, REJECTED)
)
FAILURES = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("clip_id", pa.string()),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
    ]
)


ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Index:
    """The three tables in memory, before they are written."""

    samples: pa.Table
    rejected: pa.Table
    failures: pa.Table

    def write(self, layout: Layout) -> None:
        for table, path in (
            (self.samples, layout.samples),
            (self.rejected, layout.rejected),
            (self.failures, layout.failures),
        ):
            write_table(path, table)


def build(
    records: Iterable[ChunkRecord],
    judge: Judge,
    size: int,
    rejections: Sequence[Rejection] = (),
    failures: Sequence[Failure] = (),
) -> Index:
    """Join records, filters and splits.

    size: crop side, pixels. rejections, failures: of whole videos.
    """
    kept, failed = [_table((), SAMPLES)], list(failures)
    rows: list[dict[str, Any]] = []
    refused = [asdict(rejection) for rejection in rejections]
    for record in records:
        refused += [asdict(rejection) for rejection in record.short]
        failed += record.failures
        for sample in record.samples:
            reason = judge.refusal(sample)
            if reason is not None:
                refused.append(_refused(sample, reason))
            elif sample.files:
                rows.append(_row(sample, judge.split(sample), size))
        if len(rows) >= ROWS_AT_ONCE:
            kept.append(_table(rows, SAMPLES))  # a twentieth of the rows' memory: a long video has many
            rows = []
    kept.append(_table(rows, SAMPLES))
    refused.sort(key=lambda r: (r["video"], r["clip_id"] or "", r["object_id"] or 0, r["prompt"] or "", r["reason"]))
    failed.sort(key=lambda f: (f.video, f.clip_id or "", f.stage))
    return Index(
        samples=_in_order(kept),
        rejected=_table(refused, REJECTED),
        failures=_table([asdict(f) for f in failed], FAILURES),
    )


def _in_order(tables: list[pa.Table]) -> pa.Table:
    """All rows as `ORDER` says. The tables are emptied, and column by column put in order: all columns in both orders
    would take twice the memory."""
    import pyarrow.compute as pc

    table = pa.concat_tables(tables)
    tables.clear()
    places = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in ORDER])
    columns = []
    for name in SAMPLES.names:
        columns.append(table[name].combine_chunks().take(places))
        table = table.drop_columns(name)
    return pa.table(columns, schema=SAMPLES)


def _table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def _refused(sample: Sample, refusal: Refusal) -> dict[str, Any]:
    """All that was measured, so that one can see what another threshold would keep."""
    row = {name: getattr(sample, name) for name in OF_REFUSED}
    return row | asdict(refusal) | {name: sample.figure(name) for name in FIGURES}


def _row(sample: Sample, split: str | None, size: int) -> dict[str, Any]:
    main, *others = sample.files
    row = {name: getattr(sample, name) for name in OF_SAMPLE}
    row |= {name: sample.figure(name) for name in FIGURES}
    row |= {
        "path": main.path,
        "split": split,
        "label": None,  # `pipeline.labels` joins them
        "individual_id": None,  # `pipeline.linking.individuals` joins them
        "link_confidence": None,
        "visible": sample.visible,
        "size": size,
        "background": main.background,
        "variants": [{"background": f.background, "path": f.path, "sha256": f.sha256} for f in others],
        "sha256": main.sha256,
        "size_bytes": main.size,
    }
    return row
