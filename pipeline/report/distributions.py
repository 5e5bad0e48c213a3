"""Which figures the report draws, and each one's distribution over kept and refused objects with its threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.report.histogram import Histogram, histogram, number

WHOLE = ("visible_share", "truncated", "mask_iou")  # drawn from 0 to 100 %; the others as far as they go


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure with a histogram. scale: from its own unit to `unit`. filter: name and key of its threshold."""

    figure: str
    title: str
    unit: str
    scale: float
    filter: tuple[str, str]
    note: str


SHOWN = (
    Shown("side", "Object size", "px", 1, ("size", "min_side"), "Longer side of the box in the source, median."),
    Shown("visible_share", "Visible", "%", 100, ("visible", "min_share"), "Frames of the clip that show the object."),
    Shown("truncated", "Cut off", "%", 100, ("truncated", "max_share"), "Visible frames that touch the border."),
    Shown("mask_iou", "Mask overlap", "%", 100, ("flicker", "min_iou"), "IoU of masks of consecutive frames, median."),
    Shown("jitter", "Jitter", "sides", 1, ("jitter", "max_sides"), "How far box centres jump to and fro."),
    Shown("scale_drift", "Scale drift", "octaves", 1, ("drift", "max_octaves"), "Change of size through the clip."),
    Shown("foreign", "Others in the crop", "%", 100, ("foreign", "max_share"), "Share of the window others cover."),
    Shown("first_score", "Score", "", 1, ("score", "min_score"), "The tracker's confidence at first sight."),
    Shown("sharpness", "Sharpness", "levels", 1, ("blur", "min_sharpness"), "Spread of the Laplacian on the object."),
    Shown("clipped", "Black or white", "%", 100, ("exposure", "max_clipped"), "Object pixels that show nothing."),
    Shown("motion", "Motion", "%", 100, ("still", "min_motion"), "Mean change of the crop from frame to frame."),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """Where a filter that is on refuses. value: in the figure's own unit. least: what is below is refused, else what is
    above."""

    value: float
    least: bool


def limits(settings: Mapping[str, Any]) -> dict[str, Limit]:
    """By figure, from the settings of a dataset; without those whose filter is off or not told."""
    found = ((shown, _threshold(settings, *shown.filter)) for shown in SHOWN)
    return {each.figure: Limit(value, each.filter[1].startswith("min")) for each, value in found if value is not None}


def distributions(samples: pa.Table, refused: pa.Table, settings: Mapping[str, Any]) -> tuple[Histogram, ...]:
    """One per figure, of every object on which it was measured, whatever refused it."""
    made = []
    set_to = limits(settings)
    for shown in SHOWN:
        limit = set_to.get(shown.figure)
        kept, others = (floats(pc.drop_null(table[shown.figure])) * shown.scale for table in (samples, refused))
        least = shown.filter[1].startswith("min")
        side = "at least" if least else "at most"
        line = None if limit is None else limit.value * shown.scale
        lines = {} if line is None else {f"{side} {number(line)} {shown.unit}".strip(): line}
        ends = (0.0, 100.0) if shown.figure in WHOLE else None
        made.append(histogram(shown.title, shown.unit, shown.note, kept, others, ends, lines, bins=25, least=least))
    return tuple(each for each in made if each is not None)


@dataclass(frozen=True, slots=True)
class Extreme:
    """The crops at the two ends of a figure: (row of the samples, value in words). worst: where its filter refuses."""

    title: str
    note: str
    worst: tuple[tuple[int, str], ...]
    best: tuple[tuple[int, str], ...]


def extremes(samples: pa.Table, count: int) -> tuple[Extreme, ...]:
    """Up to `count` worst and best crops of every figure that differs among the samples; no crop is both."""
    made = []
    ids = samples["sample_id"].to_pylist()
    for shown in SHOWN:
        values = floats(samples[shown.figure]) * shown.scale
        if len(values) < 2 or values.min() == values.max():
            continue
        sign = 1 if shown.filter[1].startswith("min") else -1
        order = sorted(range(len(values)), key=lambda n: (sign * values[n], ids[n]))
        ends = min(count, len(order) // 2)
        said = [(n, f"{number(float(values[n]))} {shown.unit}".strip()) for n in order]
        made.append(Extreme(shown.title, shown.note, tuple(said[:ends]), tuple(reversed(said[-ends:]))))
    return tuple(made)


def _threshold(settings: Mapping[str, Any], name: str, key: str) -> float | None:
    """A filter's threshold from the settings; None when the filter is off or the settings do not say."""
    filters = settings.get("filters")
    options = filters.get(name) if isinstance(filters, Mapping) else None
    if not isinstance(options, Mapping) or not options.get("enabled", True):
        return None
    value = options.get(key)
    return float(value) if isinstance(value, int | float) else None


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column without nulls as an array."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
