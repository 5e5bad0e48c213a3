"""Refuse objects that are hidden or absent for too much of the clip."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, below, quality_filter, within
from pipeline.records import Sample


@quality_filter("visible")
@dataclass
class Visible:
    """Refuse objects seen in less than `min_share` of the clip's frames."""

    enabled: bool = True
    min_share: float = 0.5

    def __post_init__(self) -> None:
        within("visible.min_share", self.min_share, 0, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return below("visible", sample.figures.visible_share, self.min_share)
