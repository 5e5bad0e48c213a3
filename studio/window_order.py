"""Which windows a person should look at first: failed ones, those with doubtful links, those with the worst crops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.layout import Layout
from pipeline.report.distributions import SHOWN
from pipeline.report.histogram import number
from pipeline.tables import read_table

WORSE_LESS = ("visible_share", "mask_iou")  # shares of which little is bad
WORSE_MORE = ("truncated", "foreign", "jitter")
SURE = 0.9  # link confidence below which a made link is worth a look


@dataclass(slots=True)
class Doubts:
    """What speaks for looking at one window.

    failure: why it has no crops. links: links that were left open, or made without being sure. worst: 0 (all crops are
    fine) to 1, of its worst crop; about: the figure that says so, with its value. crops, refused: how many objects.
    """

    failure: str | None = None
    links: int = 0
    worst: float = 0.0
    about: str | None = None
    crops: int = 0
    refused: int = 0
    corrected: int = 0

    @property
    def order(self) -> tuple[int, int, float]:
        """Ascending: what to look at first. Failures, then doubtful links, most of them first, then bad crops."""
        return (0 if self.failure else 1 if self.links else 2), -self.links, -self.worst


def doubts_of(layout: Layout, windows: Mapping[str, str]) -> dict[str, Doubts]:
    """By window id. windows: the window of each clip, by their ids. Clips of other settings are left out."""
    found: dict[str, Doubts] = {}

    def of(clip: str | None) -> Doubts | None:
        window = None if clip is None else windows.get(clip)
        return None if window is None else found.setdefault(window, Doubts())

    place: dict[str, str] = {}  # sample -> clip
    columns = ["sample_id", "clip_id", "link_confidence", "corrected", *WORSE_LESS, *WORSE_MORE]
    for row in _rows(layout.samples, columns):
        place[row["sample_id"]] = row["clip_id"]
        if (doubts := of(row["clip_id"])) is not None:
            doubts.crops += 1
            doubts.corrected += row["corrected"]
            sure = row["link_confidence"]
            doubts.links += sure is not None and sure < SURE
            worst, name = max(_badness(row))
            if worst > doubts.worst:
                doubts.worst, doubts.about = worst, _said(name, row[name])
    for row in _rows(layout.rejected, ["sample_id", "clip_id"]):
        if row["sample_id"] is not None:
            place[row["sample_id"]] = row["clip_id"]
            if (doubts := of(row["clip_id"])) is not None:
                doubts.refused += 1
    for row in _rows(layout.failures, ["clip_id", "error"]):
        if (doubts := of(row["clip_id"])) is not None:
            doubts.failure = row["error"]
    for row in _rows(layout.links, ["first_sample", "second_sample", "state"]):
        if row["state"] == "open":
            for sample in ("first_sample", "second_sample"):
                if (doubts := of(place.get(row[sample]))) is not None:
                    doubts.links += 1
    return found


def _badness(row: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    """0 to 1 for each figure, with its name."""
    for name in WORSE_LESS:
        yield min(1.0, max(0.0, 1 - row[name])), name
    for name in WORSE_MORE:
        yield min(1.0, max(0.0, row[name])), name


def _said(figure: str, value: float) -> str:
    """As the report and the other pages say it: "cut off 90 %"."""
    shown = next(each for each in SHOWN if each.figure == figure)
    return f"{shown.title.lower()} {number(value * shown.scale)} {shown.unit}"


def _rows(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    return list(read_table(path, columns).to_pylist()) if path.is_file() else []
