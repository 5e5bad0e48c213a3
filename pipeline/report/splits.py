"""What each split holds: what a model is trained and judged on, before anybody trains one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.settings import SPLITS

LABELS = 8  # the most frequent, each a column


@dataclass(frozen=True, slots=True)
class Split:
    """One split. individuals: None where nothing was linked. labels: crops of each of `SplitTable.labels`. share: of
    the largest split, 0..1."""

    name: str
    crops: int
    individuals: int | None
    clips: int
    videos: int
    labels: tuple[int, ...]
    share: float


@dataclass(frozen=True, slots=True)
class SplitTable:
    """All three, also those that are empty. labels: the most frequent, in alphabetical order. more: how many others."""

    rows: tuple[Split, ...]
    labels: tuple[str, ...]
    more: int


def split_table(samples: pa.Table) -> SplitTable:
    """samples: with the columns split, individual_id, clip_id, video and label."""
    counts = Counter(label for label in samples["label"].to_pylist() if label is not None)
    labels = tuple(sorted(label for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:LABELS]))
    linked = samples["individual_id"].null_count < len(samples)
    parts = {name: samples.filter(pc.equal(samples["split"], name)) for name in SPLITS}
    largest = max(map(len, parts.values()))
    rows = []
    for name, part in parts.items():
        of = Counter(part["label"].to_pylist())
        rows.append(
            Split(
                name=name,
                crops=len(part),
                individuals=len(pc.unique(part["individual_id"].drop_null())) if linked else None,
                clips=len(pc.unique(part["clip_id"])),
                videos=len(pc.unique(part["video"])),
                labels=tuple(of[label] for label in labels),
                share=len(part) / max(largest, 1),
            )
        )
    return SplitTable(tuple(rows), labels, len(counts) - len(labels))
