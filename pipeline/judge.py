"""Whether an object is kept: a pure function of its row, so that another threshold needs no tracking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.filters.filter import Filter, Refusal
from pipeline.records import Sample
from pipeline.roi import Regions, load_regions
from pipeline.settings import Settings
from pipeline.split import Splits


@dataclass(frozen=True, slots=True)
class Judge:
    """filters: the enabled ones, in order. regions: of `select.roi`. splits: of every video that is asked about.
    repeats: by sample id, the refusal of what is known to repeat an earlier crop (`near_duplicates.repetitions`).
    """

    filters: Sequence[Filter]
    regions: Regions
    splits: Splits
    repeats: Mapping[str, Refusal] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, splits: Splits) -> Judge:
        enabled = [options for options in settings.filters.values() if options.enabled]
        return cls(enabled, load_regions(settings.roi), splits)

    def refusal(self, sample: Sample) -> Refusal | None:
        """The first reason not to keep this object, or None."""
        if sample.duplicate_of is not None:
            return Refusal("duplicate_of_prompt", float(sample.duplicate_of), None)
        in_roi = self.regions.share(sample.video, sample.boxes)
        for each in self.filters:
            refusal = each.refuse(sample, in_roi)
            if refusal is not None:
                return refusal
        if self.split(sample) is None:
            return Refusal("embargo", self.splits.distance(sample.video, *_span(sample)), self.splits.embargo)
        return self.repeats.get(sample.sample_id)

    def split(self, sample: Sample) -> str | None:
        """The split of the clip it is in."""
        return self.splits.of(sample.video, *_span(sample))


def _span(sample: Sample) -> tuple[float, float]:
    return sample.timestamps_s[0], sample.timestamps_s[-1]
