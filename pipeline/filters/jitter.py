"""Refuse objects whose box jumps to and fro."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, above, quality_filter, within
from pipeline.records import Sample


@quality_filter("jitter")
@dataclass
class Jitter:
    """Refuse objects whose box centre jumps by more than `max_sides` of the object's side (figure `jitter`)."""

    enabled: bool = False
    max_sides: float = 0.2

    def __post_init__(self) -> None:
        within("jitter.max_sides", self.max_sides, 0)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return above("jitter", sample.figures.jitter, self.max_sides)
