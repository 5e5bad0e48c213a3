"""Histograms as numbers ready to draw: kept and refused objects stacked, with the thresholds that divide them.

Pure functions of their input; the template draws them as inline SVG.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 190  # of the plot, without its labels, in SVG units


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin. x, width: SVG units. kept, refused: heights, SVG units. label: what it counts, in words."""

    x: float
    width: float
    kept: float
    refused: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the axis with its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold one could set. at: SVG units. label: in words. kept, refused: of either group, how many pass it."""

    at: float
    label: str
    kept: int
    refused: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """A figure's distribution. choices: what thresholds along the axis would keep; none where there is no filter.
    summary: the same in words."""

    title: str
    unit: str
    note: str
    bars: tuple[Bar, ...]
    ticks: tuple[Mark, ...]
    counts: tuple[Mark, ...]
    thresholds: tuple[Mark, ...]
    summary: str
    choices: tuple[Choice, ...] = ()

    @property
    def choices_json(self) -> str:
        """The choices for the page's slider: [label, kept, refused] each."""
        return json.dumps([[c.label, c.kept, c.refused] for c in self.choices])

    @property
    def chosen(self) -> int:
        """Where the slider begins: at the threshold that is set, or at the loosest."""
        if self.thresholds:
            return min(range(len(self.choices)), key=lambda n: abs(self.choices[n].at - self.thresholds[0].at))
        return max(range(len(self.choices)), key=lambda n: self.choices[n].kept + self.choices[n].refused)


def histogram(
    title: str,
    unit: str,
    note: str,
    kept: NDArray[np.float64],
    refused: NDArray[np.float64],
    limits: tuple[float, float] | None,
    thresholds: dict[str, float],
    bins: int = 32,
    least: bool | None = None,
) -> Histogram | None:
    """Bin both groups on one axis; None when there is nothing to show.

    limits: ends of the axis; None: from 0 to a round number above the greatest value and threshold.
    thresholds: label to value, drawn as lines where they fall on the axis. least: whether a filter keeps what is at
    least its threshold, or at most; None: there is no filter.
    """
    kept, refused = kept[np.isfinite(kept)], refused[np.isfinite(refused)]
    if not len(kept) and not len(refused):
        return None
    values = np.concatenate([kept, refused])
    left, right = limits or (0.0, round_up(max(float(values.max()), *thresholds.values(), 1e-6)))
    edges = np.linspace(left, right, bins + 1)
    counts = [np.histogram(np.clip(group, left, right), edges)[0] for group in (kept, refused)]
    top = _even(int((counts[0] + counts[1]).max()))
    step = WIDTH / bins
    bars = tuple(
        Bar(
            x=round(place * step, 2),
            width=round(step, 2),
            kept=round(HEIGHT * int(k) / top, 2),
            refused=round(HEIGHT * int(r) / top, 2),
            label=f"{number(edges[place])} to {number(edges[place + 1])} {unit}: {k} kept, {r} refused",
        )
        for place, (k, r) in enumerate(zip(*counts, strict=True))
        if k or r
    )
    middle = f"{number(float(np.median(kept)))} {unit}".strip() if len(kept) else ""
    summary = f"{len(kept):,} kept, median {middle}" if len(kept) else "none kept"
    return Histogram(
        title=title,
        unit=unit,
        note=note,
        bars=bars,
        ticks=tuple(Mark(round(WIDTH * k / 4, 2), number(left + (right - left) * k / 4)) for k in range(5)),
        counts=tuple(Mark(round(HEIGHT * (1 - k / 2), 2), number(top * k / 2)) for k in range(3)),
        thresholds=tuple(
            Mark(round(WIDTH * (value - left) / (right - left), 2), label)
            for label, value in thresholds.items()
            if left <= value <= right
        ),
        summary=f"{summary}; {len(refused):,} refused",
        choices=() if least is None else _choices(edges, tuple(thresholds.values()), kept, refused, unit, least),
    )


def _choices(
    edges: NDArray[np.float64],
    thresholds: tuple[float, ...],
    kept: NDArray[np.float64],
    refused: NDArray[np.float64],
    unit: str,
    least: bool,
) -> tuple[Choice, ...]:
    """One threshold per edge and the ones that are set, counted on the values themselves."""
    ordered = np.sort(kept), np.sort(refused)
    left, right = float(edges[0]), float(edges[-1])
    made = []
    for edge in sorted({*edges.tolist(), *(value for value in thresholds if left <= value <= right)}):
        if least:
            passing = [len(group) - int(np.searchsorted(group, edge, side="left")) for group in ordered]
        else:
            passing = [int(np.searchsorted(group, edge, side="right")) for group in ordered]
        label = f"{'at least' if least else 'at most'} {number(edge)} {unit}".strip()
        made.append(Choice(round(WIDTH * (edge - left) / (right - left), 2), label, *passing))
    return tuple(made)


def number(value: float) -> str:
    """A number as people write it: whole from 100 on, three significant digits below."""
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def round_up(value: float) -> float:
    """The next number whose quarters are easy to read."""
    power: float = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.2, 1.6, 2, 2.4, 2.8, 3.2, 3.6, 4, 4.8, 6, 7.2, 8, 10)
    return next(step * power for step in steps if step * power >= value * (1 - 1e-9))


def _even(count: int) -> float:
    """The next round number of which half is whole."""
    return 2.0 * math.ceil(count / 2) if count <= 10 else float(round(round_up(count)))
