"""task=label: take labels into a dataset, from a table or from what an annotation tool exports.

`pipeline.label_formats` reads the file; here it is decided what a line is about. In a table the columns say so:
`sample_id` or `path` one crop; `individual_id` all crops of an individual, or with `start_s` and `end_s` those in a
span; `video`, `start_s` and `end_s` everything in a span. Nothing is taken from a file with a mistake in it: every
wrong line is named.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipeline.derive import checksums, export, report
from pipeline.errors import ConfigError, DatasetError
from pipeline.label_formats.read import read
from pipeline.label_formats.said import Run, Said
from pipeline.labels import ANCHORS, PART, SAME, Label, LabelStore, anchored, apply, match, mean_iou
from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.span_table import VideoNames, listed, seconds
from pipeline.tables import read_table

log = logging.getLogger(__name__)

COLUMNS = ["sample_id", "individual_id", "video", "video_fingerprint", "frame_indices", "timestamps_s", "boxes"]
NO_LABEL = "no label"
CONTRADICTION = "another label for a crop that has one above"
Row = Mapping[str, Any]


def label(settings: Settings, layout: Layout) -> int:
    """Take in `labels=FILE`, and bring samples, exports and report up to date; returns the exit status."""
    if not layout.samples.is_file():
        raise DatasetError(f"{layout.named} has no samples.parquet: build the dataset first, with task=build")
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
    """The labels of a file. samples: rows of the index. Raises ConfigError that names every kind of wrong line."""
    said = read(path)
    if said.runs:
        return list(_Import(path, said, samples).of_runs())
    if not said.lines:
        raise ConfigError(f"labels={path} has no lines below its header")
    there = set(said.lines[0][1])
    if "label" not in there:
        raise ConfigError(f"labels={path} needs a column label, it has {', '.join(sorted(there)) or 'none'}")
    if not ({"sample_id", "path", "individual_id"} & there or {"video", "start_s", "end_s"} <= there):
        raise ConfigError(
            f"labels={path} must say what is labelled: a column sample_id, path or individual_id, or the columns "
            f"video, start_s and end_s; it has {', '.join(sorted(there))}"
        )
    return _Import(path, said, samples).of_lines()


class _Import:
    """One file on its way into one dataset."""

    def __init__(self, path: Path, said: Said, samples: Sequence[Row]) -> None:
        self._path = path
        self._said = said
        self._rows = {row["sample_id"]: row for row in samples}
        self._videos = {row["video"]: row["video_fingerprint"] for row in samples}
        self._named = VideoNames(self._videos)
        self._individuals: dict[str, list[Row]] = {}
        for row in samples:
            if row.get("individual_id") is not None:
                self._individuals.setdefault(row["individual_id"], []).append(row)
        self._wrong: dict[str, list[int]] = {}
        self._empty = 0  # lines of crops that nobody has labelled yet
        self._strangers = 0  # subjects that are no individual of ours

    def of_lines(self) -> list[Label]:
        """Labels of crops, individuals and spans. What names a crop itself comes before what names its individual."""
        crops: dict[str, Label] = {}
        groups: dict[str, Label] = {}
        spans: list[Label] = []
        for number, line in self._said.lines:
            crop = line.get("sample_id") or line.get("path")
            if not line["label"] and crop:
                self._empty += 1
            elif not line["label"]:
                self._refuse(NO_LABEL, number)
            elif crop:
                self._remember(crops, self._of_crop(number, line), number)
            elif line.get("individual_id"):
                self._remember(groups, self._of_individual(number, line, line["individual_id"]), number)
            elif not {"video", "start_s", "end_s"} <= line.keys():
                self._refuse("nothing says which crop", number)
            elif line.get("subject") in self._individuals:
                self._remember(groups, self._of_individual(number, line, line["subject"]), number)
            else:
                spans += self._of_span(number, line)
        self._stop_if_wrong()
        if self._empty == len(self._said.lines):
            raise ConfigError(f"labels={self._path}: none of its {self._empty} {self._said.unit}s has a label")
        if self._empty:
            log.info("%d of %d %ss have no label yet", self._empty, len(self._said.lines), self._said.unit)
        if self._strangers:
            log.warning(
                "%s: the subjects of %d lines are no individual_id of this dataset; their labels go to everything in "
                "the span",
                self._path,
                self._strangers,
            )
        return [*(v for k, v in groups.items() if k not in crops), *crops.values(), *spans]

    def of_runs(self) -> Iterator[Label]:
        """Labels of tracks: to the crops of which at least half the frames lie in a run whose boxes are theirs, and
        where there are none, by the track's own boxes."""
        found: dict[str, Label] = {}
        unfit: list[Label] = []
        short: list[int] = []
        for run in self._said.runs:
            names = self._named.meant(run.video)
            if len(names) != 1:
                what = "several videos of that name" if names else "no such video"
                self._refuse(f"{what} ({run.video or 'the file names none'})", run.number)
                continue
            rows = [row for row in self._rows.values() if row["video"] == names[0] and _shows(run, row)]
            self._remember(found, [(r, anchored(run.label, run.author, _now(), dict(r))) for r in rows], run.number)
            if not rows:
                there = [dict(row) for row in self._rows.values() if row["video"] == names[0]]
                own = _unfit(run, names[0], self._videos[names[0]], there)
                if any(match([own], there).found):  # its few boxes would pass for the whole crop
                    short.append(run.number)
                else:
                    unfit.append(own)
        self._stop_if_wrong()
        if short:
            log.warning(
                "%s: %d stretches of a label are shorter than half of the crop they lie in: no label (track %s)",
                self._path,
                len(short),
                listed(short),
            )
        return iter([*found.values(), *unfit])

    def _remember(self, into: dict[str, Label], found: Sequence[tuple[Row, Label]], number: int) -> None:
        for row, given in found:
            if into.setdefault(row["sample_id"], given).label != given.label:
                self._refuse(CONTRADICTION, number)
                return

    def _refuse(self, what: str, number: int) -> None:
        numbers = self._wrong.setdefault(what, [])
        if number not in numbers:
            numbers.append(number)

    def _stop_if_wrong(self) -> None:
        if self._wrong:
            unit = self._said.unit
            problems = "; ".join(f"{what} ({unit} {listed(numbers)})" for what, numbers in self._wrong.items())
            raise ConfigError(f"labels={self._path}: nothing was taken, correct it first: {problems}")

    def _of_crop(self, number: int, line: Mapping[str, str]) -> list[tuple[Row, Label]]:
        name = line.get("sample_id") or PurePosixPath(line.get("path", "")).name.split(".")[0]
        if name not in self._rows:
            self._refuse("no such crop in samples.parquet", number)
            return []
        return [(self._rows[name], _given(line, self._rows[name]))]

    def _of_individual(self, number: int, line: Mapping[str, str], name: str) -> list[tuple[Row, Label]]:
        rows = self._individuals.get(name, [])
        if not rows:
            self._refuse("no such individual_id in samples.parquet", number)
        if line.get("start_s") or line.get("end_s"):
            span = self._span(number, line)
            rows = [row for row in rows if span is not None and _inside(row["timestamps_s"], *span)]
        return [(row, _given(line, row)) for row in rows]

    def _of_span(self, number: int, line: Mapping[str, str]) -> list[Label]:
        names = self._named.meant(line["video"])
        if len(names) != 1:
            self._refuse("several videos of that name" if names else "no such video", number)
            return []
        span = self._span(number, line)
        if span is None:
            return []
        self._strangers += line.get("subject", "").lower() not in ("", "no focal subject")
        who, when = line.get("author", ""), line.get("time") or _now()
        return [Label(line["label"], who, when, names[0], self._videos[names[0]], *span)]

    def _span(self, number: int, line: Mapping[str, str]) -> tuple[float, float] | None:
        start, end = seconds(line.get("start_s", "")), seconds(line.get("end_s", ""))
        if start is None or end is None or not 0 <= start < end:
            self._refuse("start and end must be seconds, the start first", number)
            return None
        return start, end


def _given(line: Mapping[str, str], row: Row) -> Label:
    return anchored(line["label"], line.get("author", ""), line.get("time") or _now(), dict(row))


def _inside(times: Sequence[float], start: float, end: float) -> bool:
    """Whether at least half of a crop's time lies in a span."""
    lasts = times[-1] - times[0]
    return max(0.0, min(end, times[-1]) - max(start, times[0])) >= PART * lasts if lasts else start <= times[0] <= end


def _shows(run: Run, row: Row) -> bool:
    """Whether a crop shows what a run's boxes do, for at least half of its frames."""
    seen = [(f, *b) for f, b in zip(row["frame_indices"], row["boxes"], strict=True) if b is not None]
    own = np.array([box for box in seen if run.frames[0] <= box[0] <= run.frames[-1]], np.float64)
    if len(own) < PART * len(seen):
        return False
    there = np.stack([np.interp(own[:, 0], run.frames, run.boxes[:, k]) for k in range(4)], axis=1)
    return mean_iou(there, own[:, 1:]) >= SAME


def _unfit(run: Run, video: str, fingerprint: str, rows: Sequence[Row]) -> Label:
    """A run by its own boxes. rows: crops of the video, whose rate gives its times."""
    row = rows[0]
    frames, times = row["frame_indices"], row["timestamps_s"]
    rate = (frames[-1] - frames[0]) / (times[-1] - times[0]) if times[-1] > times[0] else 25.0
    start, end = (times[0] + (float(f) - frames[0]) / rate for f in (run.frames[0], run.frames[-1]))
    picked = np.linspace(0, len(run.frames) - 1, min(len(run.frames), ANCHORS)).round().astype(int)
    boxes = tuple((int(run.frames[n]), *(round(float(v)) for v in run.boxes[n])) for n in picked)
    return Label(run.label, run.author, _now(), video, fingerprint, start, end, boxes)  # type: ignore[arg-type]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
