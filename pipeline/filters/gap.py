"""Refuse clips across a hole in time: recorders that stop and go on, frames that were lost, files that were joined."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pipeline.filters.filter import Refusal, above, quality_filter, within
from pipeline.records import Sample


@quality_filter("gap")
@dataclass
class Gap:
    """Refuse clips in which one step from frame to frame takes more than `max_steps` times the median step."""

    enabled: bool = True
    max_steps: float = 4.0

    def __post_init__(self) -> None:
        within("gap.max_steps", self.max_steps, 1)

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        steps = [after - before for before, after in pairwise(sample.timestamps_s)]
        usual = median(steps) if steps else 0.0
        return above("gap", max(steps) / usual, self.max_steps) if usual > 0 else None
