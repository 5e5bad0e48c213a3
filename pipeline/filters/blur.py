"""Refuse objects that are out of focus or blurred by motion."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, below, quality_filter, within
from pipeline.records import Sample


@quality_filter("blur")
@dataclass
class Blur:
    """Refuse objects whose `sharpness` is under `min_sharpness` 8-bit levels."""

    enabled: bool = False
    min_sharpness: float = 4.0

    def __post_init__(self) -> None:
        within("blur.min_sharpness", self.min_sharpness, 0)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return below("blur", sample.figure("sharpness"), self.min_sharpness)
