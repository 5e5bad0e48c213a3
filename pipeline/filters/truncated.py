"""Refuse objects cut off by the border of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, quality_filter
from pipeline.records import Figures


@quality_filter("truncated")
@dataclass
class Truncated:
    """Refuse objects that touch the picture's border in more than `max_share` of the frames that show them."""

    enabled: bool = False
    max_share: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.max_share <= 1:
            raise ValueError(f"filters.truncated.max_share must be from 0 to 1, got {self.max_share}")

    def refuse(self, figures: Figures, in_roi: float) -> Refusal | None:
        if figures.truncated > self.max_share:
            return Refusal("truncated", figures.truncated, self.max_share)
        return None
