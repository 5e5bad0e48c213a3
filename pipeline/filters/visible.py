"""Refuse objects that are hidden or absent for too much of the clip."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, quality_filter
from pipeline.records import Figures


@quality_filter("visible")
@dataclass
class Visible:
    """Refuse objects seen in less than `min_share` of the clip's frames."""

    enabled: bool = True
    min_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.min_share <= 1:
            raise ValueError(f"filters.visible.min_share must be from 0 to 1, got {self.min_share}")

    def refuse(self, figures: Figures, in_roi: float) -> Refusal | None:
        if figures.visible_share < self.min_share:
            return Refusal("visible", figures.visible_share, self.min_share)
        return None
