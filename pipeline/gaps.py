"""Across a gap: how much likelier it is that two tracklets show one individual than that they show two.

A likelihood ratio of two parts. Where: an individual that stayed in sight rests or went on as before, so its distance
from the place foretold, in sides of the object, is Gaussian with a spread that grows with the gap; one that left and
came back may be anywhere, and the share of those grows with the gap as well. Another individual may be anywhere. How it
looks: the likeness of the colours, against that of objects of the same video that one frame shows side by side, which
are certainly two: in a herd that looks alike, colours therefore say little. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration import AT_LEAST, AT_MOST
from pipeline.colours import likeness
from pipeline.tracklets import Tracklet

F64 = NDArray[np.float64]
RECENT = 5  # visible frames at an end from which the motion is taken
COASTS = 1.0  # seconds after which hardly anything still goes the way it went
NEAR = 0.12  # spread of the distance from the place foretold, sides, without a gap
WALKING, RESTING = 0.45, 0.04  # how it grows for who walks and for who rests, sides per second of the gap
RESTS = 4.0  # seconds after which one of three that rested still does
GROWS, OTHERS_SIZE = 0.25, 0.8  # spread of the size: of one individual over a gap, of two individuals; octaves
STAYS = 20.0  # seconds after which two of three have left sight, or the tracker has lost them
LOST = 0.01  # how often it is somewhere else even without a gap: the tracker took another
SAME, SPREAD = -3.3, 0.75  # log(1 - likeness) of one individual: mean and deviation, fitted where the ratio turns
OTHERS = -1.6  # the same of two individuals, where the video does not tell
NEEDED = 10  # pairs side by side from which the video tells


@dataclass(frozen=True, slots=True)
class End:
    """One end of a chain: when, where (centre), how large (longer side), and how fast, in pixels and seconds."""

    time_s: float
    centre: F64
    side: float
    velocity: F64


def end_of(tracklet: Tracklet, last: bool) -> End:
    """The last or the first end. The velocity is that of a line through the centres of up to five visible frames."""
    which = slice(-RECENT, None) if last else slice(None, RECENT)
    times, boxes = tracklet.times_s[which], tracklet.boxes[which].astype(np.float64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    at = -1 if last else 0
    velocity = np.zeros(2)
    away = times - times.mean()
    if len(times) >= 3 and times[-1] - times[0] <= RECENT * COASTS:
        velocity = away @ (centres - centres.mean(axis=0)) / (away @ away)
    side = median((boxes[:, 2:] - boxes[:, :2]).max(axis=1).tolist())  # of so few, ten times as fast as NumPy's
    return End(float(times[at]), centres[at], max(side, 1.0), velocity)


def where(ends: Sequence[End], starts: Sequence[End], size: tuple[int, int]) -> F64:
    """(n, m) log ratios for every chain end and start; -inf unless the start comes after the end.

    The distance is the root mean square of two: of the start from where the end was going, and of the end from where
    the start came from. Motion fades within a second.

    size: (width, height) of the picture, where another individual could be.
    """
    gap = np.array([s.time_s for s in starts])[None] - np.array([e.time_s for e in ends])[:, None]
    ahead = np.maximum(gap, 0)
    sides = np.sqrt(np.outer([e.side for e in ends], [s.side for s in starts]))
    coasted = COASTS * (1 - np.exp(-ahead / COASTS))[..., None]
    moved = np.array([s.centre for s in starts])[None] - np.array([e.centre for e in ends])[:, None]
    forth = moved - coasted * np.array([e.velocity for e in ends])[:, None]
    back = moved - coasted * np.array([s.velocity for s in starts])[None]
    off = np.sqrt(((forth**2).sum(axis=2) + (back**2).sum(axis=2)) / 2) / sides
    rests = np.exp(-ahead / RESTS) / 2
    space = size[0] * size[1] / sides**2
    place = np.logaddexp(
        np.log(rests) + _gaussian(off, NEAR + RESTING * ahead),
        np.log1p(-rests) + _gaussian(off, NEAR + WALKING * ahead),
    ) + np.log(space)
    octaves = np.log2(np.outer([1 / e.side for e in ends], [s.side for s in starts]))
    growth = np.log(OTHERS_SIZE / GROWS) - octaves**2 / 2 * (GROWS**-2 - OTHERS_SIZE**-2)
    left = 1 - (1 - LOST) * np.exp(-ahead / STAYS)
    ratio = np.logaddexp(np.log1p(-left) + place + growth, np.log(left))
    return np.asarray(np.where(gap > 0, ratio, -np.inf), np.float64)


def _gaussian(distance: F64, spread: F64) -> F64:
    """The log density of an isotropic Gaussian in the plane."""
    return np.asarray(-(distance**2) / (2 * spread**2) - np.log(2 * np.pi * spread**2), np.float64)


def side_by_side(tracklets: Sequence[Tracklet]) -> NDArray[np.bool_]:
    """(n, n): whether some frame shows both of two tracklets of one window, which are then two individuals."""
    frames = np.unique(np.concatenate([t.frames for t in tracklets]))
    seen = np.array([np.isin(frames, t.frames, assume_unique=True) for t in tracklets], np.float32)
    both = seen @ seen.T > 0
    np.fill_diagonal(both, False)
    return np.asarray(both)


def strangers(windows: Sequence[tuple[Sequence[Tracklet], NDArray[np.bool_]]]) -> float:
    """log(1 - likeness) that the more alike of two individuals have in this video: the lower quartile over all pairs
    that a frame shows. windows: the tracklets of each, and `side_by_side` of them."""
    found = [np.zeros(0)]
    for tracklets, both in windows:
        known = [n for n, t in enumerate(tracklets) if t.colours is not None]
        if len(known) > 1:
            colours = np.array([tracklets[n].colours for n in known])
            pairs = np.triu(both[np.ix_(known, known)])
            found.append(unlikeness(colours, colours)[pairs])
    every = np.concatenate(found)
    return float(np.quantile(every, 0.25)) if len(every) >= NEEDED else OTHERS


def unlikeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> F64:
    """(n, m) log(1 - likeness) of colours, at least that of a rounded byte."""
    return np.asarray(np.log(np.maximum(1 - likeness(a, b), 1e-4)), np.float64)


def looks(a: Sequence[NDArray[np.float32] | None], b: Sequence[NDArray[np.float32] | None], others: float) -> F64:
    """(n, m) log ratios of two Gaussians of one deviation; 0 where colours are unknown.

    others: `strangers` of the video.
    """
    known = np.outer([c is not None for c in a], [c is not None for c in b])
    if not known.any():
        return np.zeros(known.shape)
    blank = np.full(216, 1 / 216, np.float32)
    off = unlikeness(*(np.array([blank if c is None else c for c in side]) for side in (a, b)))
    apart = max(others - SAME, 0.0)
    ratio = apart / SPREAD**2 * ((SAME + others) / 2 - off)
    return np.asarray(np.where(known, np.clip(ratio, AT_LEAST, AT_MOST), 0.0), np.float64)
