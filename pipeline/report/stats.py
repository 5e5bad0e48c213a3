"""What the report says, as numbers: counts, reasons, distributions and which samples to show.

Reads only the columns it needs, so 100,000 samples fit easily; long tables are cut, and say by how much.
It never opens a video and writes nothing.
"""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DatasetError
from pipeline.layout import Layout
from pipeline.near_duplicates import LookAlikes, look_alikes
from pipeline.records import FIGURES
from pipeline.report.distributions import Extreme, distributions, extremes, floats
from pipeline.report.histogram import Histogram, number
from pipeline.report.splits import SplitTable, split_table
from pipeline.thumbnails import there

TOP = 25  # rows shown of a table that may be long
ENDS = 3  # crops shown at either end of a figure
SAMPLES = ("sample_id", "path", "split", "video", "clip_id", "object_id", "prompt", "start_frame", "num_frames", "size")
MORE = (
    *("fps", "size_bytes", "degraded", "tracker", "first_score", "label", "phash", "recorded_at", "timestamps_s"),
    "individual_id",
)
PICTURES = 6  # thumbnails shown of a reason


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table of counts; None where the index does not tell. share: of the table's greatest line, 0..1."""

    name: str
    kept: int
    refused: int | None
    failed: int | None
    share: float


@dataclass(frozen=True, slots=True)
class Table:
    """Counts by one property, greatest first, hours in their order. more: lines left out. wide: likely long."""

    title: str
    column: str
    rows: tuple[Row, ...]
    more: int
    wide: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Why objects were refused. threshold, values: in words, "" where they do not apply. share: of all refused.
    pictures: the sample ids of some that have a thumbnail."""

    name: str
    count: int
    threshold: str
    values: str
    share: float
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """How clip.sampling=spread dealt its clips by one property. rows: (name, clips taken, clips available)."""

    title: str
    rows: tuple[tuple[str, int, int], ...]
    more: int


@dataclass(frozen=True, slots=True)
class Pick:
    """A sample to show. path: relative to the dataset root. visible_share: 0..1. side: source pixels."""

    sample_id: str
    path: str
    video: str
    prompt: str
    split: str
    object_id: int
    start_frame: int
    side: float
    visible_share: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Everything the page shows about a dataset. hours: of crop video. megabytes: of the main crops."""

    kept: int
    refused: int
    left_out: int
    failed: int
    degraded: int
    videos: int
    clips: int
    prompts: tuple[str, ...]
    trackers: tuple[str, ...]
    shapes: tuple[str, ...]
    hours: float
    megabytes: float
    splits: SplitTable
    tables: tuple[Table, ...]
    reasons: tuple[Reason, ...]
    skipped: tuple[Mapping[str, Any], ...]
    failures: tuple[Mapping[str, Any], ...]
    histograms: tuple[Histogram, ...]
    picks: tuple[Pick, ...]
    budget: tuple[Budget, ...]
    look_alikes: tuple[tuple[LookAlikes, tuple[tuple[Pick, Pick], ...]], ...]  # across splits, with some pairs
    extremes: tuple[tuple[Extreme, tuple[Pick, ...], tuple[Pick, ...]], ...]  # each with its worst and best


def read_statistics(root: Path, settings: Mapping[str, Any], shown: int) -> Statistics:
    """Read the index of the dataset at `root`. shown: at most so many samples are picked to be shown.

    settings: the config tree; the thresholds of enabled filters are drawn.
    Raises DatasetError when a table is missing or damaged.
    """
    layout = Layout(root, root / "tracks")
    samples = _read(layout.samples, [*SAMPLES, *MORE, *FIGURES])
    rejected = _read(layout.rejected, None)
    failures = _read(layout.failures, None)
    of_objects = pc.is_valid(rejected["object_id"])
    objects, skipped = rejected.filter(of_objects), rejected.filter(pc.invert(of_objects))
    return Statistics(
        kept=len(samples),
        refused=len(objects),
        left_out=len(skipped),
        failed=len(failures),
        degraded=int(pc.sum(samples["degraded"]).as_py() or 0),
        videos=len(set(samples["video"].to_pylist()) | set(objects["video"].to_pylist())),
        clips=len(pc.unique(samples["clip_id"])),
        prompts=tuple(sorted(set(samples["prompt"].to_pylist()))),
        trackers=tuple(sorted(set(samples["tracker"].to_pylist()))),
        shapes=_shapes(samples),
        hours=float(np.sum(floats(samples["num_frames"]) / floats(samples["fps"]))) / 3600,
        megabytes=float(np.sum(floats(samples["size_bytes"]))) / 1e6,
        splits=split_table(samples),
        tables=_tables(samples, objects, failures),
        reasons=_reasons(objects, set(there(layout))),
        skipped=tuple(skipped.slice(0, TOP).to_pylist()),
        failures=tuple(failures.slice(0, TOP).to_pylist()),
        histograms=distributions(samples, objects, settings),
        picks=pick(samples, shown),
        budget=_budget(layout),
        look_alikes=tuple(
            (each, tuple((_picks(samples, [a])[0], _picks(samples, [b])[0]) for a, b, _ in each.pairs))
            for each in look_alikes(samples)
        ),
        extremes=tuple(
            (each, _picks(samples, [n for n, _ in each.worst]), _picks(samples, [n for n, _ in each.best]))
            for each in extremes(samples, ENDS)
        ),
    )


def pick(samples: pa.Table, count: int) -> tuple[Pick, ...]:
    """Up to `count` samples spread over prompts and videos: one of each group in turn, groups spread when too many.

    Within a group the order is that of the sample ids, which are hashes: as good as random, and always the same.
    """
    groups: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    ids = zip(
        samples["prompt"].to_pylist(), samples["video"].to_pylist(), samples["sample_id"].to_pylist(), strict=True
    )
    for place, (prompt, video, sample_id) in enumerate(ids):
        groups[prompt, video].append((sample_id, place))
    queues = [sorted(groups[key]) for key in sorted(groups)]
    if len(queues) > count:
        queues = [queues[round(k)] for k in np.linspace(0, len(queues) - 1, count)]
    queues.sort()  # by the first sample id, so that prompts and videos come mixed
    chosen: list[int] = []
    for turn in range(max(map(len, queues), default=0)):
        chosen += [queue[turn][1] for queue in queues if turn < len(queue)]
        if len(chosen) >= count:
            break
    return _picks(samples, chosen[:count])


def _picks(samples: pa.Table, chosen: Sequence[int]) -> tuple[Pick, ...]:
    rows = samples.take(pa.array(chosen, pa.int64())).select(list(Pick.__slots__)).to_pylist()
    return tuple(Pick(**row) for row in rows)


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, partitioning=None)  # key=value folders above are no columns
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing: build the dataset first") from None
    except pa.ArrowException as error:
        raise DatasetError(f"{path} cannot be read ({error}): run the build again") from error


def _budget(layout: Layout) -> tuple[Budget, ...]:
    """What was dealt by camera, hour and activity; nothing without clip.sampling=spread."""
    if not layout.spread.is_file():
        return ()
    cells = orjson.loads(layout.spread.read_bytes())
    made = []
    for place, title in enumerate(("Camera", "Hour", "Activity")):
        counts: dict[str, list[int]] = {}
        for cell in cells:
            held = counts.setdefault(cell[place], [0, 0])
            held[0], held[1] = held[0] + cell[3], held[1] + cell[4]
        rows = tuple((name, taken, many) for name, (taken, many) in sorted(counts.items()))
        made.append(Budget(title, rows[:TOP], len(rows) - len(rows[:TOP])))
    return tuple(made)


def _shapes(samples: pa.Table) -> tuple[str, ...]:
    pairs = set(zip(samples["num_frames"].to_pylist(), samples["size"].to_pylist(), strict=True))
    if len(pairs) > 3:
        frames, sizes = zip(*pairs, strict=True)
        return (f"{min(frames)} to {max(frames)} frames at {'/'.join(map(str, sorted(set(sizes))))} px",)
    return tuple(f"{frames} frames at {size} px" for frames, size in sorted(pairs))


def _tables(samples: pa.Table, refused: pa.Table, failures: pa.Table) -> tuple[Table, ...]:
    videos = [table["video"].to_pylist() for table in (samples, refused, failures)]
    cameras = [[posixpath.dirname(name) or "(top folder)" for name in names] for names in videos]
    prompts = [table["prompt"].to_pylist() for table in (samples, refused)]
    made = [
        _table("Prompts", "Prompt", prompts),
        _table("Labels", "Label", [[label for label in samples["label"].to_pylist() if label is not None]]),
        _table("Cameras", "Folder", cameras),
        _table("Hours", "Hour of recording", [_hours(samples)], by_name=True),
        _table("Videos", "Video", videos),
    ]
    return tuple(table for table in made if table.rows)


def _hours(samples: pa.Table) -> list[str]:
    """The hour of the day in which each crop was recorded; nothing where no recording time is known at all."""
    recorded = samples["recorded_at"].to_pylist()
    starts = pc.list_element(samples["timestamps_s"], 0).to_pylist()
    if not any(recorded):
        return []
    return [
        f"{(datetime.fromisoformat(text) + timedelta(seconds=start)).hour:02}:00" if text else "unknown"
        for text, start in zip(recorded, starts, strict=True)
    ]


def _table(title: str, column: str, columns: Sequence[Sequence[str]], by_name: bool = False) -> Table:
    """columns: the property of each kept crop, and where known of each refused object and each failure."""
    counts = [Counter(names) for names in columns]
    total = {name: sum(c[name] for c in counts[:2]) for name in set().union(*counts)}
    greatest = max(total.values(), default=0)
    names = sorted(total) if by_name else sorted(total, key=lambda name: (-total[name], name))
    rows = []
    for name in names[:TOP]:
        kept, refused, failed = [*(c[name] for c in counts), None, None][:3]
        rows.append(Row(name, kept or 0, refused, failed, share=total[name] / max(greatest, 1)))
    return Table(title, column, tuple(rows), len(names) - len(rows), wide=title == "Videos")


def _reasons(refused: pa.Table, pictured: set[str]) -> tuple[Reason, ...]:
    """Refused objects by reason, the most frequent first; values are only worth showing against a threshold. pictured:
    sample ids with a thumbnail."""
    names = refused["reason"].to_pylist()
    made = []
    for name, count in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])):
        rows = refused.filter(pc.equal(refused["reason"], name))
        limits = sorted(set(pc.drop_null(rows["threshold"]).to_pylist()))
        values = np.asarray(pc.drop_null(rows["value"]), dtype=np.float64)
        spans = ""
        if limits and len(values):
            low, middle, high = (number(float(v)) for v in (values.min(), np.median(values), values.max()))
            spans = f"{low} to {high}, median {middle}" if low != high else low
        pictures = tuple(sorted(pictured.intersection(rows["sample_id"].to_pylist()))[:PICTURES])
        made.append(Reason(name, count, ", ".join(number(v) for v in limits), spans, count / len(names), pictures))
    return tuple(made)
