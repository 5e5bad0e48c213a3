"""Refuse objects outside the region of interest that `select.roi` names."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, quality_filter
from pipeline.records import Figures


@quality_filter("roi")
@dataclass
class Roi:
    """Refuse objects whose box centre lies inside `select.roi` in less than `min_share` of the frames showing them."""

    enabled: bool = True
    min_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.min_share <= 1:
            raise ValueError(f"filters.roi.min_share must be from 0 to 1, got {self.min_share}")

    def refuse(self, figures: Figures, in_roi: float) -> Refusal | None:
        if in_roi < self.min_share:
            return Refusal("roi", in_roi, self.min_share)
        return None
