"""A budget of clips spread over cameras, hours and activity: which of all possible clips are taken.

Every camera (folder) gets an equal part of the budget, within it every hour of the day, within that quiet, medium and
lively moments, within these every video; what one cannot use goes to the others (max-min fairness). Who gets the odd
clips, and which clips are taken where there are more than needed, follows from a hash of the seed and the clip: the
same footage and settings give the same clips, and a larger budget takes more of the same. Knows no files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from video.types import Clip

LEVELS = ("quiet", "medium", "lively")


@dataclass(frozen=True, slots=True)
class Cell:
    """What a clip is spread by. hour: of the day, or where no recording time is known, since the video's start."""

    camera: str
    hour: str
    activity: str
    video: str


@dataclass(frozen=True, slots=True)
class Spread:
    """chosen: ids of clips. available, taken: number of clips by camera, hour and activity."""

    chosen: frozenset[str]
    available: Mapping[tuple[str, str, str], int]
    taken: Mapping[tuple[str, str, str], int]


def spread(clips: Sequence[Clip], rates: Mapping[str, NDArray[np.float64]], total: int, seed: int) -> Spread:
    """Choose up to `total` of the clips. rates: by fingerprint, `activity` of the video."""
    cells = cells_of(clips, rates)
    tree: dict[Cell, list[Clip]] = {}
    for clip, cell in zip(clips, cells, strict=True):
        tree.setdefault(cell, []).append(clip)
    chosen = _taken(list(tree.items()), total, seed, 0)
    names = frozenset(clip.id for clip in chosen)
    available: dict[tuple[str, str, str], int] = {}
    taken: dict[tuple[str, str, str], int] = {}
    for clip, cell in zip(clips, cells, strict=True):
        place = cell.camera, cell.hour, cell.activity
        available[place] = available.get(place, 0) + 1
        taken[place] = taken.get(place, 0) + (clip.id in names)
    return Spread(names, available, taken)


def cells_of(clips: Sequence[Clip], rates: Mapping[str, NDArray[np.float64]]) -> list[Cell]:
    """Where each clip belongs. Quiet, medium and lively are the thirds of a camera's clips, by bytes per second."""
    cameras = [PurePosixPath(clip.video.name).parent.as_posix() for clip in clips]
    cameras = ["(top folder)" if name == "." else name for name in cameras]
    lively = np.array([_rate(clip, rates[clip.video.fingerprint]) for clip in clips])
    levels = np.zeros(len(clips), np.int64)
    for camera in set(cameras):
        own = np.flatnonzero([name == camera for name in cameras])
        levels[own] = (lively[own][:, None] > np.quantile(lively[own], [1 / 3, 2 / 3])[None]).sum(axis=1)
    return [
        Cell(camera, _hour(clip), LEVELS[level], clip.video.name)
        for clip, camera, level in zip(clips, cameras, levels.tolist(), strict=True)
    ]


def _rate(clip: Clip, rates: NDArray[np.float64]) -> float:
    """The mean bytes per second over a clip's time."""
    first, last = (clip.grid.seconds(p, clip.video) for p in (clip.start, clip.stop - 1))
    seconds = np.clip([int(first), int(last)], 0, len(rates) - 1)
    return float(rates[seconds[0] : seconds[1] + 1].mean())


def _hour(clip: Clip) -> str:
    start = clip.grid.seconds(clip.start, clip.video)
    if clip.video.recorded_at is None:
        return f"{int(start // 3600)} h after the start"
    return f"{(clip.video.recorded_at + timedelta(seconds=start)).hour:02}:00"


def _taken(cells: Sequence[tuple[Cell, list[Clip]]], budget: int, seed: int, level: int) -> list[Clip]:
    """Share a budget among the cells of one camera, hour, ... and go on within each."""
    names = ("camera", "hour", "activity", "video")
    if level == len(names):
        clips = [clip for _, found in cells for clip in found]
        return sorted(clips, key=lambda clip: _order(seed, clip.id))[:budget]
    groups: dict[str, list[tuple[Cell, list[Clip]]]] = {}
    for cell, clips in cells:
        groups.setdefault(getattr(cell, names[level]), []).append((cell, clips))
    ordered = sorted(groups, key=lambda name: _order(seed, name))
    shares = fair_shares([sum(len(clips) for _, clips in groups[name]) for name in ordered], budget)
    return [
        clip
        for name, share in zip(ordered, shares, strict=True)
        for clip in _taken(groups[name], share, seed, level + 1)
    ]


def fair_shares(wanted: Sequence[int], budget: int) -> list[int]:
    """Max-min fair: nobody gets more than wanted, and nobody less than another unless it wanted less; odd ones go to
    the first."""
    shares = [0] * len(wanted)
    left = min(budget, sum(wanted))
    while left:
        hungry = [n for n, most in enumerate(wanted) if shares[n] < most]
        each = max(1, min(left // len(hungry), min(wanted[n] - shares[n] for n in hungry)))
        for n in hungry[: left // each]:
            shares[n] += each
            left -= each
    return shares


def _order(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()
