"""Refuse objects cut off by the border of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, above, quality_filter, within
from pipeline.records import Sample


@quality_filter("truncated")
@dataclass
class Truncated:
    """Refuse objects that touch the picture's border in more than `max_share` of the frames that show them."""

    enabled: bool = False
    max_share: float = 0.25

    def __post_init__(self) -> None:
        within("truncated.max_share", self.max_share, 0, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return above("truncated", sample.figures.truncated, self.max_share)
