"""Finding crops: filters as masks over the arrays of a dataset, pages of them, and histograms of what fits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.report.distributions import SHOWN, WHOLE
from pipeline.report.histogram import round_up
from studio import dataset_bodies as bodies
from studio.dataset import Coded, Crops, Mask, Said
from studio.labelling import row_of, word

BINS = 25
COLUMNS = ("prompt", "split", "label", "video", "predicted")  # that are counted
MOST = 200  # values of a column that are counted, the most frequent
NONE = ""  # how a filter names what has no label


def column(crops: Crops, said: Said, name: str) -> Coded:
    """A column of few values by name."""
    if name == "label":
        return said.coded
    return crops.predicted if name == "predicted" else crops.coded[name]


def mask(crops: Crops, said: Said, wanted: bodies.Filter, without: str | None = None) -> Mask:
    """Which crops fit. without: a column or figure whose part of the filter is left out."""
    fits = np.ones(len(crops), np.bool_)
    for name in ("prompt", "video", "split", "individual_id", "label", "predicted"):
        values: list[str] = getattr(wanted, name)
        if values and name != without:
            coded = column(crops, said, name)
            fits &= coded.among(values) | ((coded.codes < 0) & (NONE in values))
    for name, limits in wanted.figures.items():
        if name != without:
            values_of = crops.figures[name]
            if limits.least is not None:
                fits &= values_of >= limits.least
            if limits.below is not None:
                fits &= values_of < limits.below
    labelled = said.codes >= 0
    if wanted.state != "any":
        fits &= {
            "labelled": labelled,
            "unlabelled": ~labelled,
            "open": ~labelled & ~said.unsure,
            "unsure": said.unsure,
            "commented": said.commented,
        }[wanted.state]
    return fits


def page(crops: Crops, said: Said, search: bodies.Search) -> bodies.Found:
    """A page of the crops that fit. Raises StudioError (404) for an `after` that is no crop."""
    fits = mask(crops, said, search.filter)
    order, places = crops.order(search.order)
    start = 0 if search.after is None else int(places[row_of(crops, search.after)]) + 1
    rows = order[start:][fits[order[start:]]][search.offset : search.offset + search.limit]
    total, labelled = int(fits.sum()), int((fits & (said.codes >= 0)).sum())
    return bodies.Found(total=total, labelled=labelled, samples=[crop(crops, said, int(row)) for row in rows])


def crop(crops: Crops, said: Said, row: int) -> bodies.Crop:
    """A crop as the pages see it."""
    label, what = said.of(row), word(said, row)
    individual, predicted = (_value(c, row) for c in (crops.coded["individual_id"], crops.predicted))
    return bodies.Crop(
        sample_id=crops.ids[row],
        prompt=_value(crops.coded["prompt"], row) or "",
        video=_value(crops.coded["video"], row) or "",
        split=_value(crops.coded["split"], row) or "",
        individual_id=individual,
        object_id=int(crops.plain["object_id"][row]),
        start_s=float(crops.start_s[row]),
        end_s=float(crops.end_s[row]),
        start_frame=int(crops.plain["start_frame"][row]),
        num_frames=int(crops.plain["num_frames"][row]),
        fps=float(crops.plain["fps"][row]),
        label=what.label,
        unsure=what.unsure,
        comment=what.comment,
        author=label.author if label else None,
        predicted=predicted,
        figures={s.figure: round(float(crops.figures[s.figure][row]), 5) for s in SHOWN},
    )


def _value(coded: Coded, row: int) -> str | None:
    code = int(coded.codes[row])
    return None if code < 0 else coded.names[code]


def counted(crops: Crops, said: Said, wanted: bodies.Filter) -> bodies.Counted:
    """Histograms and counts; each leaves out what the filter says of it, so that its neighbours can be chosen."""
    edges, bins = _binned(crops)
    fits = mask(crops, said, wanted)
    figures = []
    for shown, own, places in zip(SHOWN, edges, bins, strict=True):
        here = mask(crops, said, wanted, shown.figure) if shown.figure in wanted.figures else fits
        figures.append(
            bodies.Bins(
                figure=shown.figure,
                title=shown.title,
                unit=shown.unit,
                scale=shown.scale,
                note=shown.note,
                edges=[float(edge) for edge in own],
                all=np.bincount(places, minlength=BINS).tolist(),
                here=np.bincount(places[here], minlength=BINS).tolist(),
            )
        )
    columns = {}
    for name in COLUMNS:
        coded = column(crops, said, name)
        here = mask(crops, said, wanted, name) if getattr(wanted, name) else fits
        columns[name] = _values(coded, here)
    return bodies.Counted(total=int(fits.sum()), figures=figures, columns=columns)


def _values(coded: Coded, here: Mask) -> list[bodies.Value]:
    names = [NONE, *coded.names]
    everyone, ours = (np.bincount(codes + 1, minlength=len(names)) for codes in (coded.codes, coded.codes[here]))
    order = [int(n) for n in np.argsort(-everyone, kind="stable")[:MOST] if everyone[n]]
    return [bodies.Value(name=names[n], all=int(everyone[n]), here=int(ours[n])) for n in order]


@lru_cache(maxsize=2)
def _binned(crops: Crops) -> tuple[list[NDArray[np.float64]], list[NDArray[np.intp]]]:
    """Edges and every crop's bin, per figure. The last edge lies just above the greatest value, so that ranges that
    leave out their upper end leave out no crop."""
    edges, bins = [], []
    for shown in SHOWN:
        values = crops.figures[shown.figure].astype(np.float64)
        values = np.where(np.isfinite(values), values, 0.0)
        low, greatest = min(0.0, float(values.min(initial=0.0))), float(values.max(initial=0.0))
        high = 100 / shown.scale if shown.figure in WHOLE else round_up(max(greatest * shown.scale, 1e-6)) / shown.scale
        own = np.linspace(low, max(high, greatest), BINS + 1)
        own[-1] = np.nextafter(np.float32(own[-1]), np.float32(np.inf))
        edges.append(own)
        bins.append(np.clip(np.searchsorted(own, values, side="right") - 1, 0, BINS - 1))
    return edges, bins
