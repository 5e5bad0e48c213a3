"""Refuse objects that are lost in the dark or washed out."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, above, quality_filter, within
from pipeline.records import Sample


@quality_filter("exposure")
@dataclass
class Exposure:
    """Refuse objects of whose pixels more than `max_clipped` are almost black or white (figure `clipped`)."""

    enabled: bool = False
    max_clipped: float = 0.5

    def __post_init__(self) -> None:
        within("exposure.max_clipped", self.max_clipped, 0, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return above("exposure", sample.figure("clipped"), self.max_clipped)
