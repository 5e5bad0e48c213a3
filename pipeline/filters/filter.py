"""The filter protocol and registry. A filter is one file here: a decorated dataclass whose fields are its options.

    @quality_filter("visible")
    @dataclass
    class Visible:
        \"\"\"Refuse objects that are seen in too few of the clip's frames.\"\"\"

        enabled: bool = True
        min_share: float = 0.5

        def refuse(self, sample: Sample, in_roi: float) -> Refusal | None: ...

Every registered filter is always in the config as `filters.<name>`; `enabled` turns it on and off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from pipeline.records import Sample
from pipeline.registry import Registry


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an object was refused: the reason, the figure's value, and the threshold it missed."""

    reason: str
    value: float | None
    threshold: float | None


class Filter(Protocol):
    """Judges an object by its row alone, and by `in_roi`: the share of its boxes whose centre lies in `select.roi`."""

    enabled: bool

    def refuse(self, sample: Sample, in_roi: float) -> Refusal | None:
        """A reason to refuse, or None to keep. A figure of the pixels is None until the crop has been rendered: keep
        such a sample, it is judged again."""
        ...


def below(reason: str, value: float | None, least: float) -> Refusal | None:
    """Refuse a known value under `least`."""
    return Refusal(reason, value, least) if value is not None and value < least else None


def above(reason: str, value: float | None, most: float) -> Refusal | None:
    """Refuse a known value over `most`."""
    return Refusal(reason, value, most) if value is not None and value > most else None


def within(key: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise ValueError if an option of `filters.<key>` lies outside [low, high]."""
    if not low <= value <= high:
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
        raise ValueError(f"filters.{key} must be {limits}, got {value}")


_registry = Registry("pipeline.filters", "filter")
quality_filter = _registry.register
filters = _registry.entries
