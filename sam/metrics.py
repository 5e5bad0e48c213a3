"""How well predicted tracks match the truth: mean mask IoU and IDF1 of one window, and both over many windows.

Masks are `sam.types.Mask` of one source size. It never reads a file and never guesses which truth belongs to a window.

- Don't care: a truth object in a frame counts only if it shows at least `min_area` of the picture and at least
  `min_visible` of its whole outline. One that shows less is neither missed nor wanted: a predicted mask that lies
  mostly (more than half of its own pixels) on such objects in that frame is left out as well.
- Mean IoU: every truth track is paired with at most one predicted track, and the reverse, so that the IoUs summed over
  all frames are largest. Then the mean runs over all pairs (truth object, frame) that count; a frame in which the
  paired track has no mask, and an unpaired truth track, count 0.
- IDF1 (E. Ristani et al., Performance measures and a data set for multi-target, multi-camera tracking, ECCV Workshops
  2016): pairs tracks so that the frames in which they match (mask IoU of at least 0.5) are most; with IDTP that number,
  IDF1 = 2 IDTP / (truth masks + predicted masks), over what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from sam.types import Mask, Track, iou

MATCH = 0.5


@dataclass(frozen=True, slots=True)
class TruthMask:
    """One true object in one frame; visible: the part of its whole outline that is seen, 0..1."""

    mask: Mask
    visible: float = 1.0


Truth = Sequence[Mapping[int, TruthMask]]  # per session frame: truth id -> mask


@dataclass(frozen=True, slots=True)
class Score:
    """Sums, so that windows can be added; `iou` and `idf1` are the figures.

    iou_sum: of the paired IoUs. matches: IDTP. truths, predictions: masks that count.
    """

    iou_sum: float
    matches: int
    truths: int
    predictions: int

    @property
    def iou(self) -> float:
        """Mean mask IoU, 0..1; 1 where there was nothing to find."""
        return self.iou_sum / self.truths if self.truths else 1.0

    @property
    def idf1(self) -> float:
        """IDF1, 0..1; 1 where there was nothing to find and nothing was found."""
        total = self.truths + self.predictions
        return 2 * self.matches / total if total else 1.0


def evaluate(
    tracks: Sequence[Track],
    truth: Truth,
    size: tuple[int, int],
    min_area: float = 0.0005,
    min_visible: float = 0.3,
) -> Score:
    """Compare the tracks of one window with its truth; see the module docstring for the definitions.

    truth: one mapping per session frame. size: the source's (width, height).
    """
    counted, found = that_count(tracks, truth, size, min_area, min_visible)
    overlaps = _overlaps(counted, found)
    total = float(_best(overlaps.sum(axis=0)))
    matches = int(_best((overlaps >= MATCH).sum(axis=0).astype(float)))
    return Score(total, matches, sum(map(len, counted)), sum(map(len, found)))


def that_count(
    tracks: Sequence[Track],
    truth: Truth,
    size: tuple[int, int],
    min_area: float = 0.0005,
    min_visible: float = 0.3,
) -> tuple[list[dict[int, Mask]], list[dict[int, Mask]]]:
    """Per frame, by id, the masks of the truth and of the tracks that count; the rest is "don't care"."""
    counted = [
        {
            i: t.mask
            for i, t in frame.items()
            if t.visible >= min_visible and t.mask.area >= min_area * size[0] * size[1]
        }
        for frame in truth
    ]
    ignored = [[t.mask for i, t in frame.items() if i not in counted[n]] for n, frame in enumerate(truth)]
    found: list[dict[int, Mask]] = [{} for _ in truth]
    for track in tracks:
        for frame, mask in zip(track.frames.tolist(), track.masks, strict=True):
            if _covered(mask, ignored[frame]) <= 0.5:
                found[frame][track.object_id] = mask
    return counted, found


def total(scores: Iterable[Score]) -> Score:
    """Many windows as one: every mask weighs the same, identities are judged within each window."""
    scores = list(scores)
    return Score(
        sum(s.iou_sum for s in scores),
        sum(s.matches for s in scores),
        sum(s.truths for s in scores),
        sum(s.predictions for s in scores),
    )


def _overlaps(truth: Sequence[Mapping[int, Mask]], found: Sequence[Mapping[int, Mask]]) -> NDArray[np.float64]:
    """(frames, truth tracks, predicted tracks) IoU, 0 where either is missing."""
    rows = {i: n for n, i in enumerate(sorted({i for frame in truth for i in frame}))}
    columns = {i: n for n, i in enumerate(sorted({i for frame in found for i in frame}))}
    values = np.zeros((len(truth), len(rows), len(columns)))
    for n, (wanted, seen) in enumerate(zip(truth, found, strict=True)):
        for i, true_mask in wanted.items():
            for j, mask in seen.items():
                values[n, rows[i], columns[j]] = iou(true_mask, mask)
    return values


def _best(gain: NDArray[np.float64]) -> float:
    """The largest sum of a one-to-one pairing."""
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return float(gain[rows, columns].sum())


def _covered(mask: Mask, others: Sequence[Mask]) -> float:
    """The part of the mask's pixels that lie on any of the others; those are disjoint."""
    return sum(_shared(mask, other) for other in others) / mask.area


def _shared(a: Mask, b: Mask) -> int:
    """Pixels in both masks."""
    overlap = iou(a, b)
    return round(overlap * (a.area + b.area) / (1 + overlap))
