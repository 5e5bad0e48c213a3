"""Refuse objects too small to show what they do."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, quality_filter
from pipeline.records import Figures


@quality_filter("size")
@dataclass
class Size:
    """Refuse objects whose box has a longer side (median over the clip) under `min_side` source pixels."""

    enabled: bool = True
    min_side: float = 32

    def __post_init__(self) -> None:
        if not self.min_side >= 0:
            raise ValueError(f"filters.size.min_side must be 0 or more, got {self.min_side}")

    def refuse(self, figures: Figures, in_roi: float) -> Refusal | None:
        if figures.side < self.min_side:
            return Refusal("size", figures.side, self.min_side)
        return None
