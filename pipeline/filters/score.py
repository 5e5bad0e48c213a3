"""Refuse objects that the tracker doubted when it first saw them."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, below, quality_filter, within
from pipeline.records import Sample


@quality_filter("score")
@dataclass
class Score:
    """Refuse objects whose first score is under `min_score`."""

    enabled: bool = False
    min_score: float = 0.5

    def __post_init__(self) -> None:
        within("score.min_score", self.min_score, 0, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return below("score", sample.first_score, self.min_score)
