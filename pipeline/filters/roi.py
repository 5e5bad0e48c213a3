"""Refuse objects outside the region of interest that `select.roi` names."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, below, quality_filter, within
from pipeline.records import Sample


@quality_filter("roi")
@dataclass
class Roi:
    """Refuse objects whose box centre lies inside `select.roi` in less than `min_share` of the frames showing them."""

    enabled: bool = True
    min_share: float = 0.5

    def __post_init__(self) -> None:
        within("roi.min_share", self.min_share, 0, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return below("roi", in_roi, self.min_share)
