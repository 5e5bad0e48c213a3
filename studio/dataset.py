"""A built dataset as the pages read it: its crops as arrays in memory, and what was said of each.

The index is read once and again when a build has changed it. Filters are masks over arrays, so that a hundred thousand
crops are searched in milliseconds. Nothing here writes; `studio.labelling` does.
"""

from __future__ import annotations

import csv
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml  # type: ignore[import-untyped]
from numpy.typing import NDArray

from pipeline.errors import ConfigError, DatasetError
from pipeline.labels import COLUMNS, Label, LabelStore, standing
from pipeline.layout import Layout
from pipeline.report.distributions import Limit, limits
from pipeline.studio_config import StudioConfig
from pipeline.tables import read_table
from studio.columns import CODED, FIGURES, Coded, Ints, Mask, coded, nothing
from studio.refused import Refused

PLAIN = ("sample_id", "path", "clip_id", "start_frame", "num_frames", "fps", "size", "object_id", "corrected")
BATCH = 4096  # rows that are made into Python objects at once


class Crops:
    """The crops of one version of the index, in its order; a row is a place in it."""

    def __init__(self, layout: Layout, predictions: Mapping[str, tuple[str, float]]) -> None:
        try:
            table = read_table(layout.samples, [*dict.fromkeys((*PLAIN, *CODED, *COLUMNS, *FIGURES))])
        except (FileNotFoundError, pa.ArrowException) as error:
            raise DatasetError(f"{layout.samples} cannot be read ({error}): run the build again") from error
        missing = {*PLAIN, *CODED, *COLUMNS, *FIGURES} - set(table.column_names)
        if missing:
            raise DatasetError(
                f"{layout.samples} was made by an earlier version, without {', '.join(sorted(missing))}: run the build "
                "again"
            )
        self.ids: list[str] = table["sample_id"].to_pylist()
        self.rows = {name: row for row, name in enumerate(self.ids)}
        self.paths: list[str] = table["path"].to_pylist()
        self.clips: list[str] = table["clip_id"].to_pylist()
        self.coded = {name: coded(table[name]) for name in CODED} | {"reason": nothing(len(self.ids))}
        self.plain = {name: table[name].to_numpy() for name in PLAIN[3:]}
        self.figures: dict[str, NDArray[np.float32]] = {name: table[name].to_numpy() for name in FIGURES}
        times = table["timestamps_s"].combine_chunks()
        ends, seconds = times.offsets.to_numpy(), times.values.to_numpy()
        self.start_s, self.end_s = seconds[ends[:-1]], seconds[ends[1:] - 1]
        self._anchors = table.select(list(COLUMNS)).combine_chunks()
        prints = coded(table["video_fingerprint"])
        self._of_video = {name: np.flatnonzero(prints.codes == n) for n, name in enumerate(prints.names)}
        self._around = _around(table["boxes"].combine_chunks())
        given = [predictions.get(name) for name in self.ids]
        self.predicted = coded(pa.chunked_array([pa.array([g and g[0] for g in given], pa.string())]))
        self.sureness = np.array([g[1] if g else np.inf for g in given])

    def __len__(self) -> int:
        return len(self.ids)

    def anchor(self, row: int) -> dict[str, Any]:
        """What a label of this crop is anchored to: the columns of `pipeline.labels`."""
        found: dict[str, Any] = self._anchors.slice(row, 1).to_pylist()[0]
        return found

    def anchors(self, rows: NDArray[np.intp]) -> Iterator[tuple[int, dict[str, Any]]]:
        """(row, the same of it), in the order of the rows that are asked for."""
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            yield from zip(some.tolist(), self._anchors.take(pa.array(some)).to_pylist(), strict=True)

    def near(self, label: Label) -> NDArray[np.intp]:
        """The rows that a label may fit: of its video, at a moment of it, and somewhere in its place."""
        rows = self._of_video.get(label.fingerprint, np.array([], np.intp))
        fits = (self.start_s[rows] <= label.end_s) & (self.end_s[rows] >= label.start_s)
        if label.boxes:
            boxes = np.array(label.boxes)[:, 1:]
            low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
            fits &= ((self._around[rows, :2] < high) & (self._around[rows, 2:] > low)).all(axis=1)
        found: NDArray[np.intp] = rows[fits]
        return found

    def inside(self, rows: NDArray[np.intp], start_s: float, end_s: float) -> NDArray[np.intp]:
        """Those of the rows that lie in a span with at least half of their time."""
        first, last = self.start_s[rows], self.end_s[rows]
        shared = np.minimum(last, end_s) - np.maximum(first, start_s)
        found: NDArray[np.intp] = rows[(shared >= 0) & (2 * shared >= last - first)]
        return found

    @lru_cache(maxsize=8)  # noqa: B019 - goes with the object, which lives as long as the index does
    def order(self, by: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(rows in this order, per row its place in it). by: time, shuffled, unsure_first (the least sure prediction),
        or a figure, with a minus before it for the greatest first."""
        if by == "time":
            order = np.arange(len(self))
        elif by == "shuffled":
            order = np.random.default_rng(7).permutation(len(self))
        elif by == "unsure_first":
            order = np.argsort(self.sureness, kind="stable")
        else:
            values = self.figures[by.removeprefix("-")]
            order = np.argsort(-values if by.startswith("-") else values, kind="stable")
        places = np.empty(len(order), np.intp)
        places[order] = np.arange(len(order))
        return order, places


def _around(boxes: pa.ListArray) -> Ints:
    """The smallest box around all of a crop's; (n, 4) xyxy, [0, 0, 0, 0] for a crop without any."""
    flat = boxes.flatten()
    seen = flat.is_valid().to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(boxes)), np.diff(boxes.offsets.to_numpy()))[seen]
    places = flat.drop_null().flatten().to_numpy().reshape(-1, 4)
    made = np.zeros((len(boxes), 4), np.int32)
    if len(places):
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        made[owner[starts], :2] = np.minimum.reduceat(places[:, :2], starts)
        made[owner[starts], 2:] = np.maximum.reduceat(places[:, 2:], starts)
    return made


@dataclass(slots=True)
class Said:
    """What counts of all that was said, per crop. labels: everything said, in order. given: which of them counts, -1
    for none. codes: the place of its label in `names`, -1 for none."""

    labels: list[Label]
    given: Ints
    names: list[str]
    codes: Ints
    unsure: Mask
    commented: Mask

    def set(self, row: int, place: int) -> None:
        """Let a label count for a crop."""
        label = self.labels[place]
        self.given[row] = place
        self.codes[row] = -1 if label.label is None else self.code(label.label)
        self.unsure[row] = label.unsure
        self.commented[row] = bool(label.comment)

    def code(self, name: str) -> int:
        """The place of a class; a new one gets the next."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def of(self, row: int) -> Label | None:
        """The label that counts for a crop."""
        place = int(self.given[row])
        return None if place < 0 else self.labels[place]

    @property
    def coded(self) -> Coded:
        """The labels as a column."""
        return Coded(self.names, self.codes)


def read_said(crops: Crops, layout: Layout) -> Said:
    """Match every label there is to the crops, as `pipeline.labels.match` does, which looks at every crop instead of
    those that lie near a label."""
    labels, many = LabelStore(layout).read(), len(crops)
    blank = (np.zeros(many, np.bool_), np.zeros(many, np.bool_))
    said = Said(labels, np.full(many, -1, np.int32), [], np.full(many, -1, np.int32), *blank)
    near: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        for row in crops.near(label).tolist():
            near.setdefault(row, []).append(place)
    for row, anchor in crops.anchors(np.array(sorted(near), np.intp)):
        ranked = [(standing(labels[place], place, anchor), place) for place in near[row]]
        fitting = [(rank, place) for (fit, rank), place in ranked if fit >= 1]
        if fitting:
            said.set(row, max(fitting)[1])
    return said


class Dataset:
    """One dataset that is served. lock: held by whoever changes what is said. Raises DatasetError, ConfigError."""

    def __init__(self, layout: Layout, options: StudioConfig) -> None:
        self.layout = layout
        self.options = options
        self.lock = threading.RLock()
        self._predictions = read_predictions(Path(options.predictions)) if options.predictions else {}
        self._index, self._labels = _stamp(layout.samples), _stamp(layout.labels)
        self._crops = Crops(layout, self._predictions)
        self._said = read_said(self._crops, layout)
        self._refused: tuple[object, Refused] | None = None
        self._limits: tuple[object, dict[str, Limit]] | None = None

    def __len__(self) -> int:
        return len(self._crops)

    def current(self) -> tuple[Crops, Said]:
        """The crops and what is said of them, read anew where a build or another program changed the files."""
        with self.lock:
            index, labels = _stamp(self.layout.samples), _stamp(self.layout.labels)
            if index != self._index:
                self._crops = Crops(self.layout, self._predictions)
            if (index, labels) != (self._index, self._labels):
                self._said = read_said(self._crops, self.layout)
                self._index, self._labels = index, labels
            return self._crops, self._said

    def refused(self) -> Refused:
        """The objects that the build refused, as the tables are now."""
        stamp = _stamp(self.layout.rejected), _stamp(self.layout.samples)
        with self.lock:
            if self._refused is None or self._refused[0] != stamp:
                self._refused = stamp, Refused(self.layout)
            return self._refused[1]

    def failures(self) -> list[dict[str, Any]]:
        """What failed in the last build: video, clip_id, stage, error."""
        try:
            return list(read_table(self.layout.failures, ["video", "clip_id", "stage", "error"]).to_pylist())
        except FileNotFoundError:
            return []

    def limits(self) -> dict[str, Limit]:
        """By figure, the threshold of its filter in the settings that the dataset was built with."""
        stamp = _stamp(self.layout.dataset_yaml)
        with self.lock:
            if self._limits is None or self._limits[0] != stamp:
                try:
                    settings = yaml.safe_load(self.layout.dataset_yaml.read_bytes()) if stamp else {}
                except yaml.YAMLError as error:
                    raise DatasetError(f"{self.layout.dataset_yaml} is no readable YAML: {error}") from error
                self._limits = stamp, limits(settings)
            return self._limits[1]

    def written(self) -> None:
        """Take the labels file as it is now for what is in memory."""
        self._labels = _stamp(self.layout.labels)

    def crop_file(self, crops: Crops, row: int) -> Path | None:
        """The file of a crop; None where it is missing, or a link leads out of the dataset."""
        root = self.layout.root.resolve()
        path = (root / crops.paths[row]).resolve()
        return path if path.is_relative_to(root) and path.is_file() else None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_predictions(path: Path) -> dict[str, tuple[str, float]]:
    """By sample id, the predicted class and how sure it is (0..1; 1 without a column `score`). Raises ConfigError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines: Sequence[dict[str, str]] = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"studio.predictions={path} cannot be read: {error}") from error
    if not lines or not {"sample_id", "label"} <= lines[0].keys():
        raise ConfigError(f"studio.predictions={path} needs lines with the columns sample_id and label (and score)")
    found = {}
    for number, line in enumerate(lines, start=2):
        try:
            found[line["sample_id"]] = (line["label"], float(line.get("score") or 1))
        except ValueError:
            raise ConfigError(
                f"studio.predictions={path}, line {number}: score must be a number, got {line.get('score')!r}"
            ) from None
    return found
