"""Refuse objects too small to show what they do."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, below, quality_filter, within
from pipeline.records import Sample


@quality_filter("size")
@dataclass
class Size:
    """Refuse objects whose box has a longer side (median over the clip) under `min_side` source pixels."""

    enabled: bool = True
    min_side: float = 32

    def __post_init__(self) -> None:
        within("size.min_side", self.min_side, 0)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return below("size", sample.figures.side, self.min_side)
