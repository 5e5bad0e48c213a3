"""Refuse crops that show too much of other individuals."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, above, quality_filter, within
from pipeline.records import Sample


@quality_filter("foreign")
@dataclass
class Foreign:
    """Refuse crops of whose window other tracked objects cover more than `max_share` (figure `foreign`)."""

    enabled: bool = False
    max_share: float = 0.3

    def __post_init__(self) -> None:
        within("foreign.max_share", self.max_share, 0, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return above("foreign", sample.figures.foreign, self.max_share)
