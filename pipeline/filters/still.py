"""Refuse objects that do nothing."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, below, quality_filter, within
from pipeline.records import Sample


@quality_filter("still")
@dataclass
class Still:
    """Refuse crops that change by less than `min_motion` from frame to frame (figure `motion`)."""

    enabled: bool = False
    min_motion: float = 0.005

    def __post_init__(self) -> None:
        within("still.min_motion", self.min_motion, 0, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return below("still", sample.figure("motion"), self.min_motion)
