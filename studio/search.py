"""Finding crops and refused objects: filters as masks over arrays, pages of what fits, and histograms of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.report.distributions import SHOWN, WHOLE, Limit
from pipeline.report.histogram import round_up
from studio import dataset_bodies as bodies
from studio.columns import Coded, Mask, nothing
from studio.dataset import Crops, Said
from studio.errors import StudioError
from studio.labelling import row_of, word
from studio.refused import Refused

BINS = 25
COLUMNS = ("reason", "prompt", "split", "label", "video", "predicted")  # that are counted
MOST = 200  # values of a column that are counted, the most frequent
NONE = ""  # how a filter names what has no label
Figures = Mapping[str, NDArray[np.floating]]


def column(rows: Crops | Refused, said: Said | None, name: str) -> Coded:
    """A column of few values by name."""
    if name == "label":
        return nothing(len(rows)) if said is None else said.coded
    return rows.predicted if name == "predicted" else rows.coded[name]


def mask(rows: Crops | Refused, said: Said | None, wanted: bodies.Filter, without: str | None = None) -> Mask:
    """Which rows fit. said: None where nothing can be said. without: a column or figure whose part of the filter is
    left out."""
    refused = isinstance(rows, Refused)
    if wanted.outcome == ("kept" if refused else "refused"):
        return np.zeros(len(rows), np.bool_)
    fits = np.ones(len(rows), np.bool_)
    for name in ("prompt", "video", "split", "individual_id", "label", "predicted", "reason"):
        values: list[str] = getattr(wanted, name)
        if values and name != without:
            coded = column(rows, said, name)
            fits &= coded.among(values) | ((coded.codes < 0) & (NONE in values))
    figures: Figures = rows.figures
    for name, limits in wanted.figures.items():
        if name != without:
            if limits.least is not None:
                fits &= figures[name] >= limits.least
            if limits.below is not None:
                fits &= figures[name] < limits.below
            if limits.least is None and limits.below is None:
                fits &= ~np.isnan(figures[name])
    if wanted.state != "any":
        none = np.zeros(len(rows), np.bool_)
        labelled, unsure, commented = (
            (none, none, none) if said is None else (said.codes >= 0, said.unsure, said.commented)
        )
        fits &= {
            "labelled": labelled,
            "unlabelled": ~labelled,
            "open": ~labelled & ~unsure,
            "unsure": unsure,
            "commented": commented,
        }[wanted.state]
    return fits


def page(crops: Crops, said: Said, refused: Refused, search: bodies.Search) -> bodies.Found:
    """A page of what fits. Raises StudioError: 404 for an `after` that is no crop, 422 for one beyond the kept."""
    fits = mask(crops, said, search.filter)
    labelled = int((fits & (said.codes >= 0)).sum())
    start = 0
    if search.filter.outcome == "kept":
        order, places = crops.order(search.order)
        start = 0 if search.after is None else int(places[row_of(crops, search.after)]) + 1
    elif search.after is not None:
        raise StudioError(422, "after: it goes with kept crops alone; use offset")
    else:
        order = together(crops, refused, search.order)
        fits = np.concatenate([fits, mask(refused, None, search.filter)])
    rows = order[start:][fits[order[start:]]][search.offset : search.offset + search.limit].tolist()
    many = len(crops)
    shown = [crop(crops, said, row) if row < many else refused_object(refused, row - many) for row in rows]
    return bodies.Found(total=int(fits.sum()), labelled=labelled, samples=shown)


@lru_cache(maxsize=8)
def together(crops: Crops, refused: Refused, by: str) -> NDArray[np.intp]:
    """The order of crops and refused objects as one: places in their concatenation. by: see `Crops.order`."""
    many = len(crops) + len(refused)
    if by == "shuffled":
        return np.random.default_rng(7).permutation(many)
    if by == "time":
        columns = [each.coded["video"] for each in (crops, refused)]
        videos = [column.names[code] for column in columns for code in column.codes]
        keys = list(zip(videos, [*crops.clips, *refused.clips], strict=True))  # the place of a clip is in its id
        return np.array(sorted(range(many), key=keys.__getitem__), np.intp)
    if by == "unsure_first":
        values = np.concatenate([crops.sureness, np.full(len(refused), np.inf)])
    else:
        figure = by.removeprefix("-")
        values = np.concatenate([crops.figures[figure], refused.figures[figure]])
    return np.argsort(-values if by.startswith("-") else values, kind="stable")  # what was not measured comes last


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


def refused_object(refused: Refused, row: int) -> bodies.RefusedObject:
    """A refused object as the pages see it."""
    identity = refused.ids[row]
    measured = {s.figure: float(refused.figures[s.figure][row]) for s in SHOWN}
    return bodies.RefusedObject(
        sample_id=identity,
        clip_id=refused.clips[row],
        object_id=refused.objects[row],
        prompt=_value(refused.coded["prompt"], row),
        video=_value(refused.coded["video"], row) or "",
        reason=_value(refused.coded["reason"], row) or "",
        value=_number(refused.values[row]),
        threshold=_number(refused.thresholds[row]),
        picture=identity in refused.pictures,
        figures={name: round(value, 5) for name, value in measured.items() if np.isfinite(value)},
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _value(coded: Coded, row: int) -> str | None:
    code = int(coded.codes[row])
    return None if code < 0 else coded.names[code]


def counted(
    crops: Crops, said: Said, refused: Refused, limits: Mapping[str, Limit], wanted: bodies.Filter
) -> bodies.Counted:
    """Histograms and counts; each leaves out what the filter says of it, so that its neighbours can be chosen."""
    both: list[tuple[Crops | Refused, Said | None]] = [(crops, said), (refused, None)]
    fits = [mask(rows, words, wanted) for rows, words in both]
    figures = []
    for shown in SHOWN:
        own, *places = _binned(crops, refused, shown.figure, limits.get(shown.figure))
        here = fits
        if shown.figure in wanted.figures:
            here = [mask(rows, words, wanted, shown.figure) for rows, words in both]
        limit = limits.get(shown.figure)
        figures.append(
            bodies.Bins(
                figure=shown.figure,
                title=shown.title,
                unit=shown.unit,
                scale=shown.scale,
                note=shown.note,
                edges=[float(edge) for edge in own],
                all=_heights(places[0]),
                here=_heights(places[0][here[0]]),
                refused=_heights(places[1]),
                refused_here=_heights(places[1][here[1]]),
                limit=None if limit is None else bodies.Limit(value=limit.value, least=limit.least),
            )
        )
    columns = {name: _values(both, fits, wanted, name) for name in COLUMNS}
    return bodies.Counted(
        total=int(sum(each.sum() for each in fits)),
        kept=int(fits[0].sum()),
        refused=int(fits[1].sum()),
        figures=figures,
        columns=columns,
    )


def _heights(places: NDArray[np.intp]) -> list[int]:
    """How many are in each bin; those in none are -1."""
    return [int(many) for many in np.bincount(places + 1, minlength=BINS + 1)[1:]]


def _values(
    both: list[tuple[Crops | Refused, Said | None]], fits: list[Mask], wanted: bodies.Filter, name: str
) -> list[bodies.Value]:
    """How many have each value, of all that the outcome lets in, and of those that fit."""
    everyone: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    for (rows, words), fit in zip(both, fits, strict=True):
        if wanted.outcome == ("kept" if isinstance(rows, Refused) else "refused"):
            continue
        coded = column(rows, words, name)
        here = mask(rows, words, wanted, name) if getattr(wanted, name) else fit
        names = [NONE, *coded.names]
        for counts, codes in ((everyone, coded.codes), (ours, coded.codes[here])):
            counts.update(dict(zip(names, np.bincount(codes + 1, minlength=len(names)).tolist(), strict=True)))
    found = [(value, many) for value, many in sorted(everyone.items(), key=lambda each: (-each[1], each[0])) if many]
    return [bodies.Value(name=value, all=many, here=ours[value]) for value, many in found[:MOST]]


@lru_cache(maxsize=2 * len(SHOWN))
def _binned(
    crops: Crops, refused: Refused, figure: str, limit: Limit | None
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Edges of a figure's bins, the bin of every crop and of every refused object; -1 where it was not measured. The
    last edge lies just above the greatest value, so that ranges that leave out their upper end leave out nothing."""
    shown = next(each for each in SHOWN if each.figure == figure)
    values = [each.figures[figure].astype(np.float64) for each in (crops, refused)]
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    ends = [0.0] if limit is None else [0.0, limit.value]
    low = min(*ends, 0.0, float(known.min(initial=0.0)))
    greatest = max(*ends, 0.0, float(known.max(initial=0.0)))
    high = 100 / shown.scale if figure in WHOLE else round_up(greatest * shown.scale or 1) / shown.scale
    own = np.linspace(low, max(high, greatest), BINS + 1)
    own[-1] = np.nextafter(np.float32(own[-1]), np.float32(np.inf))

    def bins(each: NDArray[np.float64]) -> NDArray[np.intp]:
        places = np.clip(np.searchsorted(own, each, side="right") - 1, 0, BINS - 1)
        return np.where(np.isfinite(each), places, -1)

    return own, bins(values[0]), bins(values[1])
