"""Saying what a crop shows: on disk before it counts, and matched as every label is.

What the pages say goes to the end of `labels.jsonl`, each with its anchor. An undo is said, too: nothing is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline.labels import Label, LabelStore, anchored, standing
from studio.dataset import Crops, Dataset, Said
from studio.errors import StudioError


@dataclass(frozen=True, slots=True)
class Word:
    """What is said of a crop. label: None for none, or to take back."""

    label: str | None
    unsure: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A crop whose label has changed: its row, what counted before, and what counts now."""

    row: int
    before: Word
    after: Word


def word(said: Said, row: int) -> Word:
    """What counts of a crop."""
    label = said.of(row)
    return Word(None) if label is None else Word(label.label, label.unsure, label.comment)


def row_of(crops: Crops, name: str) -> int:
    """The row of a crop by its sample id. Raises StudioError (404)."""
    row = crops.rows.get(name)
    if row is None:
        raise StudioError(
            404, f"there is no crop {name[:64]!r} in this dataset; a build may have replaced it: load again"
        )
    return row


class Labelling:
    """What is said through the pages of one dataset."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._store = LabelStore(dataset.layout)

    def say(self, words: Sequence[tuple[str, Word]], author: str) -> list[Change]:
        """Say something of crops, by sample id. On disk when this returns. Raises DiskError, StudioError (404)."""
        with self._dataset.lock:
            crops, _ = self._dataset.current()
            rows = [row_of(crops, name) for name, _ in words]
            now = _now()
            return self._add(
                [
                    _with(anchored(said.label, author, now, crops.anchor(row)), said)
                    for row, (_, said) in zip(rows, words, strict=True)
                ]
            )

    def say_of_span(self, said: Word, name: str, start_s: float, end_s: float, author: str) -> list[Change]:
        """Say something of everything in a span of a crop's video. Raises DiskError, StudioError (404)."""
        with self._dataset.lock:
            crops, _ = self._dataset.current()
            anchor = crops.anchor(row_of(crops, name))
            label = Label(said.label, author, _now(), anchor["video"], anchor["video_fingerprint"], start_s, end_s)
            return self._add([_with(label, said)])

    def of_individual(self, name: str, span: tuple[float, float] | None = None) -> list[str]:
        """The crops of the individual that a crop shows, with a span those at least half in it. Raises StudioError."""
        crops, _ = self._dataset.current()
        row = row_of(crops, name)
        names = crops.coded["individual_id"]
        if names.codes[row] < 0:
            raise StudioError(409, f"nobody knows which individual {crops.ids[row]} shows: label the crop by itself")
        rows = np.flatnonzero(names.codes == names.codes[row])
        return [crops.ids[row] for row in (rows if span is None else crops.inside(rows, *span))]

    def _add(self, labels: list[Label]) -> list[Change]:
        with self._dataset.lock:
            crops, said = self._dataset.current()
            self._store.append(labels)
            self._dataset.written()
            before: dict[int, Word] = {}
            for label in labels:
                said.labels.append(label)
                place = len(said.labels) - 1
                for row in _counts_for(crops, said, label, place):
                    before.setdefault(row, word(said, row))
                    said.set(row, place)
            return [Change(row, old, word(said, row)) for row, old in before.items()]


def _counts_for(crops: Crops, said: Said, label: Label, place: int) -> list[int]:
    """The crops of which a new label counts: that it fits, and where nothing said before outranks it."""
    found = []
    for row in crops.near(label).tolist():
        anchor: dict[str, Any] = crops.anchor(row)
        fit, rank = standing(label, place, anchor)
        there = int(said.given[row])
        if fit >= 1 and (there < 0 or rank > standing(said.labels[there], there, anchor)[1]):
            found.append(row)
    return found


def _with(label: Label, said: Word) -> Label:
    return replace(label, unsure=said.unsure, comment=said.comment) if said.unsure or said.comment else label


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
