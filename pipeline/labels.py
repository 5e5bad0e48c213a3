"""Labels that survive: stored with what they were given to, and matched to the samples there are now.

`labels.jsonl` grows by a line per label and never changes otherwise, so nothing is lost and everything can be taken
back: a label of null undoes. A line holds its anchor: the video's fingerprint, the span in seconds, and for an object
its boxes on some frames. So a label stays through other crops, filters and splits, and follows through new tracking.
It is never found by a sample's id alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from pipeline.layout import Layout
from pipeline.tables import read_table, write_table
from pipeline.writing import disk_errors, write_bytes

log = logging.getLogger(__name__)

ANCHORS = 5  # boxes kept with a label
SAME = 0.5  # mean IoU of boxes from which a sample is the object that was labelled
DOUBTFUL = 0.25  # below that it is another one; in between nobody knows
PART = 0.5  # of the anchor's boxes within the sample, and of a sample's time within a labelled span
COLUMNS = ("sample_id", "video", "video_fingerprint", "frame_indices", "timestamps_s", "boxes")

Boxes = tuple[tuple[int, int, int, int, int], ...]
Rank = tuple[bool, float, str, int]


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its anchor.

    label: None takes back what was said of the same anchor. time: ISO, UTC. start_s, end_s: seconds of the video.
    boxes: (source frame, x0, y0, x1, y1) of the object, half-open source pixels; empty for a span, which is said of
    everything in it. unsure: somebody looked and could not tell; with a label of None. comment: what they wrote.
    """

    label: str | None
    author: str
    time: str
    video: str
    fingerprint: str
    start_s: float
    end_s: float
    boxes: Boxes = ()
    unsure: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Matched:
    """found: per sample its label or None. given: per sample which of the labels says so, -1 for none of them. lost,
    doubtful: labels that fit no sample, and that may fit one."""

    found: list[str | None]
    given: list[int]
    lost: list[Label]
    doubtful: list[Label]


def anchored(label: str | None, author: str, time: str, row: dict[str, Any]) -> Label:
    """A label of one object, given its row of `samples.parquet`."""
    seen = [(frame, *box) for frame, box in zip(row["frame_indices"], row["boxes"], strict=True) if box is not None]
    picked = [seen[n] for n in np.linspace(0, len(seen) - 1, min(len(seen), ANCHORS)).round().astype(int)]
    times = row["timestamps_s"]
    span = (float(times[0]), float(times[-1]))
    return Label(label, author, time, row["video"], row["video_fingerprint"], *span, tuple(picked))


class LabelStore:
    """`labels.jsonl` of one dataset."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.labels

    def read(self) -> list[Label]:
        """Every label in the order it was given. A line that cannot be read, such as a cut last one, is said."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(_label(orjson.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s, line %d is no label (%s) and is passed over", self._path, number, error)
        return found

    def append(self, labels: Sequence[Label]) -> None:
        """Add labels at the end, on disk when this returns. Raises DiskError."""
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lines = b"".join(_line(label) for label in labels)
            with self._path.open("ab+") as file:
                if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    lines = b"\n" + lines  # a line that a killed run cut short
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())


def _line(label: Label) -> bytes:
    raw = asdict(label)
    for key in ("unsure", "comment"):
        if not raw[key]:
            del raw[key]
    return orjson.dumps(raw, option=orjson.OPT_APPEND_NEWLINE)


def _label(raw: dict[str, Any]) -> Label:
    boxes = tuple(tuple(int(v) for v in box) for box in raw["boxes"])
    if any(len(box) != 5 for box in boxes) or not isinstance(raw["label"], str | None):
        raise ValueError("a box is a frame and four numbers, a label a text or null")
    unsure, comment = raw.get("unsure", False), raw.get("comment", "")
    if not isinstance(unsure, bool) or not isinstance(comment, str):
        raise ValueError("unsure is true or false, a comment a text")
    own = {f.name: raw[f.name] for f in fields(Label) if f.name not in ("boxes", "unsure", "comment")}
    return Label(**own, boxes=boxes, unsure=unsure, comment=comment)  # type: ignore[arg-type]


def apply(layout: Layout, given: Sequence[Label] = ()) -> Matched:
    """Bring the column `label` of `samples.parquet` up to date; returns what was matched.

    given: labels that came with the clips (`clip.spans`) and are remembered from now on.
    """
    store = LabelStore(layout)
    labels = store.read()
    fresh = [label for label in given if label not in labels]
    if fresh:
        store.append(fresh)
        labels += fresh
    if not labels and (before := read_table(layout.samples, ["label"])["label"]).null_count == len(before):
        return Matched([None] * len(before), [-1] * len(before), [], [])
    table = read_table(layout.samples)
    matched = match(labels, table.select(list(COLUMNS)).to_pylist())
    import pyarrow as pa

    column = pa.array(matched.found, pa.string())
    if column != table["label"].combine_chunks():
        place = table.schema.get_field_index("label")
        write_table(layout.samples, table.set_column(place, table.schema.field(place), column))
    for what, which in (("fit no crop", matched.lost), ("may or may not fit a crop", matched.doubtful)):
        if which:
            log.warning("%d labels %s, see %s", len(which), what, layout.open_labels)
    if labels:
        listed = [
            asdict(x) | {"state": s} for s, xs in (("lost", matched.lost), ("doubtful", matched.doubtful)) for x in xs
        ]
        write_bytes(layout.open_labels, b"".join(orjson.dumps(x, option=orjson.OPT_APPEND_NEWLINE) for x in listed))
    return matched


def match(labels: Sequence[Label], rows: Iterable[dict[str, Any]]) -> Matched:
    """Find the samples that labels belong to. rows: `COLUMNS` of the samples.

    An object's label goes to the samples in whose span at least half of its boxes lie, with a mean IoU of at least 0.5
    between these boxes and the sample's, interpolated in time. A span's label goes to the samples of which at least
    half the time lies in it. Of several, an object's comes before a span's; then the latest counts, of spans the one
    that covers most.
    """
    by_video: dict[str, list[int]] = {}
    for n, label in enumerate(labels):
        by_video.setdefault(label.fingerprint, []).append(n)
    spans = {video: np.array([(labels[n].start_s, labels[n].end_s) for n in ns]) for video, ns in by_video.items()}
    given: list[int] = []
    fit: dict[int, float] = {}  # by label: how well it fits its best sample
    for row in rows:
        video, times = row["video_fingerprint"], row["timestamps_s"]
        best: Rank | None = None
        near = _meeting(spans[video], times[0], times[-1]) if video in spans else ()
        for n in (by_video[video][int(k)] for k in near):
            how_well, rank = standing(labels[n], n, row)
            fit[n] = max(fit.get(n, 0.0), how_well)
            if how_well >= 1 and (best is None or rank > best):
                best = rank
        given.append(-1 if best is None else best[3])
    states = [fit.get(n, 0.0) for n in range(len(labels))]
    doubtful = [x for x, s in zip(labels, states, strict=True) if DOUBTFUL / SAME <= s < 1]
    found = [None if n < 0 else labels[n].label for n in given]
    return Matched(found, given, [x for x, s in zip(labels, states, strict=True) if s < DOUBTFUL / SAME], doubtful)


def standing(label: Label, place: int, row: dict[str, Any]) -> tuple[float, Rank]:
    """How well a label fits a sample, 1 and more for well enough, and its rank among all that do: the highest counts.
    place: the label's among all of them, in the order they were given."""
    score = _alike(label.boxes, row) if label.boxes else _covered(label, row["timestamps_s"])
    rank = (bool(label.boxes), 0.0 if label.boxes else score, label.time, place)
    return score / (SAME if label.boxes else PART), rank


def _meeting(spans: NDArray[np.float64], start: float, end: float) -> NDArray[np.intp]:
    return np.flatnonzero((spans[:, 0] <= end) & (spans[:, 1] >= start))


def _covered(label: Label, times: Sequence[float]) -> float:
    """The share of a sample's time that lies in a labelled span."""
    lasts = times[-1] - times[0]
    if lasts <= 0:
        return float(label.start_s <= times[0] <= label.end_s)
    return max(0.0, min(label.end_s, times[-1]) - max(label.start_s, times[0])) / lasts


def _alike(boxes: Boxes, row: dict[str, Any]) -> float:
    """Mean IoU of an anchor's boxes with the sample's at the same frames; 0 if less than half lie in its span."""
    there_at = {frame: box for frame, box in zip(row["frame_indices"], row["boxes"], strict=True) if box is not None}
    if all(there_at.get(frame) == box for frame, *box in boxes):
        return 1.0  # its own anchor
    own = np.array([(frame, *box) for frame, box in there_at.items()], np.float64)
    anchors = np.array([box for box in boxes if own[0, 0] <= box[0] <= own[-1, 0]], np.float64)
    if len(anchors) < PART * len(boxes):
        return 0.0
    there = np.stack([np.interp(anchors[:, 0], own[:, 0], own[:, k]) for k in range(1, 5)], axis=1)
    return mean_iou(there, anchors[:, 1:])


def mean_iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean IoU of boxes, pair by pair; (n, 4) xyxy each."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (one, other)]
    return float(np.mean(shared / (areas[0] + areas[1] - shared)))
