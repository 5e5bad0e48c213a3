"""How two chains of tracklets look: the log of "one individual : two individuals", from colours or from a model.

`Colours` is the default and knows how likeness counts from `pipeline.linking.gaps`. `Embedded` compares the vectors of
a vision model; what their cosine proves is learnt from pairs of which tracking itself says whether they are one
individual.
It decides nothing and opens no file.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.linking.calibration import NEEDED, Curve, fitted, likeness
from pipeline.linking.gaps import looks, side_by_side, strangers
from pipeline.linking.shared_frames import Shared
from pipeline.linking.tracklets import Tracklet
from pipeline.linking.whitening import Whitening

log = logging.getLogger(__name__)
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
CERTAIN = 0.7  # IoU over shared frames from which two tracklets are one; above 0.5 no other can be as near


class Appearance(Protocol):
    """What is known of the looks of a video's tracklets, by their numbers."""

    def knows(self, n: int) -> bool:
        """Whether there is a picture of this tracklet."""
        ...

    def ratio(self, ones: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> F64:
        """(n, m) log ratios of n chains and m; a chain is its latest tracklets that are known, in order. 0: unknown."""
        ...


class Colours:
    """The histograms of the records. Where the video tells how alike two are, `others` is `gaps.strangers`."""

    def __init__(self, tracklets: Sequence[Tracklet], windows: Sequence[Sequence[int]]) -> None:
        """windows: the numbers of the tracklets of each."""
        self._tracklets = tracklets
        every = [[tracklets[n] for n in window] for window in windows]
        self._others = strangers([(each, side_by_side(each)) for each in every])

    def knows(self, n: int) -> bool:
        return self._tracklets[n].colours is not None

    def ratio(self, ones: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> F64:
        return looks([self._mean(chain) for chain in ones], [self._mean(chain) for chain in others], self._others)

    def _mean(self, chain: Sequence[int]) -> F32 | None:
        found = [c for n in chain if (c := self._tracklets[n].colours) is not None]
        return np.asarray(np.mean(found, axis=0), np.float32) if found else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Likenesses of pairs of one video of which tracking says what they are: (n,) of one individual, (m,) of two."""

    same: F64
    different: F64


class Embedded:
    """The vectors of a vision model, (1 or 2, k) unit vectors of each tracklet, the earlier half of it first.

    A chain looks like the mean of its tracklets' halves; what its cosine with another's proves is the curve's to say.
    Without a curve looks say nothing.
    """

    def __init__(self, vectors: Sequence[F32 | None], curve: Curve | None) -> None:
        self._vectors = vectors
        self._curve = curve

    def knows(self, n: int) -> bool:
        return self._vectors[n] is not None

    def ratio(self, ones: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> F64:
        found = np.zeros((len(ones), len(others)))
        mine, theirs = ([self._mean(chain) for chain in side] for side in (ones, others))
        rows, columns = ([n for n, mean in enumerate(side) if mean is not None] for side in (mine, theirs))
        if self._curve is not None and rows and columns:
            a, b = (np.stack([mean for mean in side if mean is not None]) for side in (mine, theirs))
            found[np.ix_(rows, columns)] = self._curve.ratio(likeness(a @ b.T))
        return found

    def _mean(self, chain: Sequence[int]) -> F32 | None:
        known = [v for n in chain if (v := self._vectors[n]) is not None]
        return unit(np.concatenate(known).mean(axis=0)) if known else None


def unit(vectors: NDArray[np.floating]) -> F32:
    """(..., k) vectors at length 1; zeros stay."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12), np.float32)


def vectors_of(
    tracklets: Sequence[Tracklet], by_sample: Mapping[str, F32], whitening: Whitening | None
) -> list[F32 | None]:
    """Per tracklet the mean of what tells individuals apart in its earlier and its later half, (2, k) of length 1;
    (1, k) where there is only one picture, None where there is none. by_sample: (1 or 2, D) of each crop, in order of
    time. whitening: None where no two pictures of the dataset differ."""
    found: list[F32 | None] = []
    for tracklet in tracklets:
        known = [by_sample[name] for name in tracklet.samples if name in by_sample]
        if not known or whitening is None:
            found.append(None)
            continue
        every = whitening(np.concatenate(known))
        means = np.stack([half.mean(axis=0) for half in np.array_split(every, min(2, len(every)))])
        found.append(unit(means))
    return found


def evidence(tracklets: Sequence[Tracklet], shared: Sequence[Shared], vectors: Sequence[F32 | None]) -> Evidence:
    """The pairs of one video that need no label.

    One individual: both halves of a tracklet; and the earlier half of one and the later half of another that masks in
    shared frames show to be the same. Two: halves of two objects that one frame shows side by side, the earlier of the
    one and the later of the other, so that as much time has passed as within a tracklet.
    """
    windows: dict[str, list[int]] = {}
    for n, tracklet in enumerate(tracklets):
        v = vectors[n]
        if v is not None and len(v) == 2:
            windows.setdefault(tracklet.window_id, []).append(n)
    known = {n for members in windows.values() for n in members}
    same = [vectors[n][0] @ vectors[n][1] for n in sorted(known)]  # type: ignore[index]
    same += [
        vectors[p.first][0] @ vectors[p.second][1]  # type: ignore[index]
        for p in shared
        if p.iou >= CERTAIN and p.by == "masks" and p.first in known and p.second in known
    ]
    different = [np.zeros(0)]
    for members in windows.values():
        if len(members) > 1:
            early, late = (np.stack([vectors[n][half] for n in members]) for half in (0, 1))  # type: ignore[index]
            different.append((early @ late.T)[side_by_side([tracklets[n] for n in members])])
    return Evidence(likeness(np.array(same)), likeness(np.concatenate(different)))


def curve_of(video: str, own: Evidence, every: Evidence) -> Curve | None:
    """The curve for one video: from its own pairs, or, where it has too few of either kind, from all the dataset's.
    every: the pairs of all videos. Says so, and gives None, where these are too few as well."""
    curve = fitted(own.same, own.different) or fitted(every.same, every.different)
    if curve is None:
        log.warning(
            "%s: link.embedding cannot learn here what likeness proves: the dataset has %d pairs of pictures known to "
            "be one individual and %d known to be two, and %d of each are needed. Looks say nothing about links of "
            "this video, which rest on masks and place",
            video,
            len(every.same),
            len(every.different),
            NEEDED,
        )
    return curve
