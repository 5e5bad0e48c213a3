"""A budget of clips spread over cameras, hours and activity: which of all possible clips are taken.

Every camera (folder) gets an equal part of the budget, within it every hour of the day, within that quiet, medium and
lively moments, within these every video; what one cannot use goes to the others (max-min fairness). Who gets the odd
clips, and which clips are taken where there are more than needed, follows from a hash of the seed and the clip: the
same footage and settings give the same clips, and a larger budget takes more of the same. Knows no files, and makes no
clip: a million of them are counted, and named only where some of a kind are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from video.clipper import Places, daytime
from video.types import Video, clip_names

LEVELS = ("quiet", "medium", "lively")
AT_ONCE = 2**20  # seconds of activity that are averaged at once


@dataclass(frozen=True, slots=True)
class Cell:
    """What a clip is spread by. hour: of the day, or where no recording time is known, since the video's start."""

    camera: str
    hour: str
    activity: str
    video: str


@dataclass(frozen=True, slots=True)
class Spread:
    """chosen: the clips of every video of which some are. available, taken: number of clips by camera, hour and
    activity."""

    chosen: tuple[Places, ...]
    available: Mapping[tuple[str, str, str], int]
    taken: Mapping[tuple[str, str, str], int]


def spread(videos: Sequence[Places], rates: Mapping[str, NDArray[np.float64]], total: int, seed: int) -> Spread:
    """Choose up to `total` of the clips. videos: what each has to give. rates: by fingerprint, `activity` of it."""
    levels = _levels(videos, rates)
    found = [list(_cells(each, level)) for each, level in zip(videos, levels, strict=True)]
    counts = [(cell, len(places)) for cells in found for cell, places in cells]
    shares = _shares(counts, total, seed, 0)
    chosen = []
    available: dict[tuple[str, str, str], int] = {}
    taken: dict[tuple[str, str, str], int] = {}
    for each, cells in zip(videos, found, strict=True):
        starts: list[int] = []
        for cell, places in cells:
            place, share = (cell.camera, cell.hour, cell.activity), shares[cell]
            available[place] = available.get(place, 0) + len(places)
            taken[place] = taken.get(place, 0) + share
            starts += _taken(each, places, share, seed)
        if starts:
            chosen.append(replace(each, starts=tuple(sorted(starts))))
    return Spread(tuple(chosen), available, taken)


def camera_of(video: Video) -> str:
    """Its folder."""
    name = PurePosixPath(video.name).parent.as_posix()
    return "(top folder)" if name == "." else name


def _levels(videos: Sequence[Places], rates: Mapping[str, NDArray[np.float64]]) -> list[NDArray[np.int64]]:
    """Of every video, whether its clips are quiet, medium or lively: the thirds of its camera's clips, by bytes per
    second."""
    means = [mean_rates(each, rates[each.video.fingerprint]) for each in videos]
    cameras: dict[str, list[int]] = {}
    for n, each in enumerate(videos):
        cameras.setdefault(camera_of(each.video), []).append(n)
    levels: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(videos)
    for own in cameras.values():
        borders = np.quantile(np.concatenate([means[n] for n in own]), [1 / 3, 2 / 3])
        for n in own:
            levels[n] = (means[n][:, None] > borders[None]).sum(axis=1)
    return levels


def mean_rates(places: Places, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean bytes per second over each clip's time."""
    first, last = (np.clip(s.astype(np.int64), 0, len(rates) - 1) for s in (places.first_s(), places.last_s()))
    means = np.empty(len(first))
    for length in np.unique(last - first + 1).tolist():
        stretches = np.lib.stride_tricks.sliding_window_view(rates, length)
        these = np.flatnonzero(last - first + 1 == length)
        for some in np.array_split(these, -(-len(these) * length // AT_ONCE)):
            means[some] = stretches[first[some]].mean(axis=1)
    return means


def _cells(places: Places, levels: NDArray[np.int64]) -> Iterator[tuple[Cell, NDArray[np.int64]]]:
    """The cells of one video, with the clips in each, by their place among its clips."""
    video, began = places.video, places.first_s()
    hours = (began if video.recorded_at is None else daytime(video.recorded_at, began)).astype(np.int64) // 3600
    kinds, of = np.unique(hours * len(LEVELS) + levels, return_inverse=True)
    for n, (hour, level) in enumerate(zip(*np.divmod(kinds, len(LEVELS)), strict=True)):
        named = f"{hour} h after the start" if video.recorded_at is None else f"{hour:02}:00"
        yield Cell(camera_of(video), named, LEVELS[level], video.name), np.flatnonzero(of == n)


def _shares(cells: Sequence[tuple[Cell, int]], budget: int, seed: int, level: int) -> dict[Cell, int]:
    """Share a budget among the cells of one camera, hour, ... and go on within each. cells: with their clips."""
    names = ("camera", "hour", "activity", "video")
    groups: dict[str, list[tuple[Cell, int]]] = {}
    for cell, many in cells:
        groups.setdefault(getattr(cell, names[level]), []).append((cell, many))
    ordered = sorted(groups, key=lambda name: _order(seed, name))
    shares = fair_shares([sum(many for _, many in groups[name]) for name in ordered], budget)
    if level == len(names) - 1:
        return {groups[name][0][0]: share for name, share in zip(ordered, shares, strict=True)}
    found: dict[Cell, int] = {}
    for name, share in zip(ordered, shares, strict=True):
        found |= _shares(groups[name], share, seed, level + 1)
    return found


def _taken(places: Places, of_cell: NDArray[np.int64], share: int, seed: int) -> list[int]:
    """Where the clips start that are taken of those in a cell."""
    starts = [places.starts[n] for n in of_cell.tolist()]
    if not 0 < share < len(starts):
        return starts if share else []
    name = clip_names(places.video, places.grid, places.num_frames)
    return nsmallest(share, starts, key=lambda start: _order(seed, name(start)))


def fair_shares(wanted: Sequence[int], budget: int) -> list[int]:
    """Max-min fair: nobody gets more than wanted, and nobody less than another unless it wanted less; odd ones go to
    the first."""
    left, level = min(budget, sum(wanted)), 0  # what everybody gets who wants as much
    for n, most in enumerate(sorted(wanted)):
        hungry = len(wanted) - n
        more = min(most - level, left // hungry)
        level, left = level + more, left - more * hungry
        if level < most:
            break
    shares = [min(level, most) for most in wanted]
    for n in [n for n, most in enumerate(wanted) if most > level][:left]:
        shares[n] += 1
    return shares


def _order(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()
