"""Refuse objects that grow or shrink too much in the clip."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, above, quality_filter, within
from pipeline.records import Sample


@quality_filter("drift")
@dataclass
class Drift:
    """Refuse objects whose side changes by more than `max_octaves` (1: to twice or half; figure `scale_drift`)."""

    enabled: bool = False
    max_octaves: float = 1.0

    def __post_init__(self) -> None:
        within("drift.max_octaves", self.max_octaves, 0)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return above("drift", sample.figures.scale_drift, self.max_octaves)
