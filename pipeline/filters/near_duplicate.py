"""Refuse crops that look like an earlier one of their video."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, quality_filter, within
from pipeline.records import Sample


@quality_filter("near_duplicate")
@dataclass
class NearDuplicate:
    """Refuse crops whose `phash` differs in at most `max_bits` of its 63 bits from that of an earlier kept crop of the
    same video."""

    enabled: bool = False
    max_bits: int = 4

    def __post_init__(self) -> None:
        within("near_duplicate.max_bits", self.max_bits, 0, 63)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        """Nothing: a single row cannot tell. `pipeline.near_duplicates` compares the crops of a video, and
        `pipeline.judge` refuses what it finds."""
        return None
