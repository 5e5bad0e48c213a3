"""Refuse objects whose mask is another one in every frame."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.filters.filter import Refusal, below, quality_filter, within
from pipeline.records import Sample


@quality_filter("flicker")
@dataclass
class Flicker:
    """Refuse objects whose masks of consecutive frames overlap by less than `min_iou` (figure `mask_iou`)."""

    enabled: bool = False
    min_iou: float = 0.3

    def __post_init__(self) -> None:
        within("flicker.min_iou", self.min_iou, 0, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        return below("flicker", sample.figures.mask_iou, self.min_iou)
