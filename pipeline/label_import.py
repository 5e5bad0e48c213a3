"""task=label: take labels from a CSV file into a dataset.

The columns say what a line is about: `sample_id` or `path` one crop; `video`, `start_s` and `end_s` a span of time. The
names that BORIS and common tools give these columns are understood too. Nothing is taken from a file with a mistake in
it: every wrong line is named.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.derive import checksums, export, report
from pipeline.errors import ConfigError, DatasetError
from pipeline.labels import Label, LabelStore, anchored, apply
from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.span_table import Line, lines_of, listed, seconds, videos_named
from pipeline.tables import read_table

log = logging.getLogger(__name__)

COLUMNS = ["sample_id", "video", "video_fingerprint", "frame_indices", "timestamps_s", "boxes"]


def label(settings: Settings, layout: Layout) -> int:
    """Take in `labels=FILE`, and bring samples, exports and report up to date; returns the exit status."""
    if not layout.samples.is_file():
        raise DatasetError(f"{layout.root} has no samples.parquet: build the dataset first, with task=build")
    if settings.labels is not None:
        found = read_labels(settings.labels, read_table(layout.samples, COLUMNS).to_pylist())
        LabelStore(layout).append(found)
        log.info("%d labels taken from %s into %s", len(found), settings.labels, layout.labels)
    matched = apply(layout)
    log.info("%d of %d crops are labelled", sum(x is not None for x in matched.found), len(matched.found))
    export(settings, layout)
    report(settings, layout, {})
    checksums(layout)
    return 0


def read_labels(path: Path, samples: Sequence[dict[str, Any]]) -> list[Label]:
    """The labels of a CSV file. samples: rows of the index. Raises ConfigError that names every kind of wrong line."""
    lines = list(lines_of(path, "labels"))
    if not lines:
        raise ConfigError(f"labels={path} has no lines below its header")
    there = set(lines[0][1])
    if "label" not in there:
        raise ConfigError(f"labels={path} needs a column label, it has {', '.join(sorted(there)) or 'none'}")
    wrong: dict[str, list[int]] = {}
    if {"sample_id", "path"} & there:
        found = _of_samples(lines, {row["sample_id"]: row for row in samples}, wrong)
    elif {"video", "start_s", "end_s"} <= there:
        found = _of_spans(lines, samples, wrong)
    else:
        raise ConfigError(
            f"labels={path} must say what is labelled: a column sample_id or path, or the columns video, start_s and "
            f"end_s; it has {', '.join(sorted(there))}"
        )
    if wrong:
        problems = "; ".join(f"{what} (line {listed(numbers)})" for what, numbers in wrong.items())
        raise ConfigError(f"labels={path}: nothing was taken, correct it first: {problems}")
    return found


def _of_samples(lines: Sequence[Line], rows: Mapping[str, dict[str, Any]], wrong: dict[str, list[int]]) -> list[Label]:
    found = []
    said: dict[str, str] = {}
    for number, line in lines:
        name = line.get("sample_id") or PurePosixPath(line.get("path", "")).name.split(".")[0]
        if name not in rows:
            wrong.setdefault("no such crop in samples.parquet", []).append(number)
        elif not line["label"]:
            wrong.setdefault("no label", []).append(number)
        elif said.setdefault(name, line["label"]) != line["label"]:
            wrong.setdefault("another label for a crop that has one above", []).append(number)
        else:
            found.append(anchored(line["label"], line.get("author", ""), line.get("time") or _now(), rows[name]))
    return found


def _of_spans(lines: Sequence[Line], samples: Sequence[dict[str, Any]], wrong: dict[str, list[int]]) -> list[Label]:
    videos = {row["video"]: row["video_fingerprint"] for row in samples}
    found = []
    for number, line in lines:
        names = videos_named(line["video"], videos)
        span = [seconds(line[key]) for key in ("start_s", "end_s")]
        if len(names) != 1:
            wrong.setdefault("several videos of that name" if names else "no such video", []).append(number)
        elif span[0] is None or span[1] is None or not 0 <= span[0] < span[1]:
            wrong.setdefault("start and end must be seconds, the start first", []).append(number)
        elif not line["label"]:
            wrong.setdefault("no label", []).append(number)
        else:
            who, when = line.get("author", ""), line.get("time") or _now()
            found.append(Label(line["label"], who, when, names[0], videos[names[0]], span[0], span[1]))
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
