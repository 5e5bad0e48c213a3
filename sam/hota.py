"""HOTA: how well tracks match the truth over a whole video, detection and association weighed alike.

J. Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-object Tracking, IJCV 2021, over mask IoU. At a
threshold a: TP are the pairs of masks that match with an IoU of at least a; DetA = TP / (TP + FN + FP); AssA is the
mean over the TP of TPA / (TPA + FNA + FPA), where TPA counts the frames in which the same two tracks match; HOTA(a) is
the root of their product. The figures are means over a = 0.05, 0.10, ..., 0.95. In a frame, masks are matched
one-to-one so that IoU times the alignment of their tracks over the whole video is largest, as the authors' own
TrackEval does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from sam.types import Mask, iou

THRESHOLDS = np.arange(1, 20) / 20


@dataclass(frozen=True, slots=True)
class Hota:
    """0..1. hota: the whole. det: how well masks are found. ass: how well they keep one identity."""

    hota: float
    det: float
    ass: float


def hota(truth: Sequence[Mapping[int, Mask]], found: Sequence[Mapping[int, Mask]]) -> Hota:
    """Compare two sets of tracks, given per frame by id. Raises ValueError for another number of frames, or nothing in
    either."""
    rows = {name: n for n, name in enumerate(sorted({i for frame in truth for i in frame}))}
    columns = {name: n for n, name in enumerate(sorted({i for frame in found for i in frame}))}
    if not rows and not columns:
        raise ValueError("HOTA needs a mask in the truth or in the tracks, got none in either")
    frames = []
    together = np.zeros((len(rows), len(columns)))
    lengths = np.zeros((len(rows), 1)), np.zeros((1, len(columns)))
    for wanted, seen in zip(truth, found, strict=True):
        i, j = [rows[name] for name in wanted], [columns[name] for name in seen]
        overlap = np.array([[iou(a, b) for b in seen.values()] for a in wanted.values()]).reshape(len(i), len(j))
        union = overlap.sum(axis=0, keepdims=True) + overlap.sum(axis=1, keepdims=True) - overlap
        together[np.ix_(i, j)] += np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
        lengths[0][i, 0] += 1
        lengths[1][0, j] += 1
        frames.append((i, j, overlap))
    alignment = together / (lengths[0] + lengths[1] - together)
    matched = np.zeros((len(THRESHOLDS), len(rows), len(columns)))
    for i, j, overlap in frames:
        for a, b in zip(*linear_sum_assignment(alignment[np.ix_(i, j)] * overlap, maximize=True), strict=True):
            matched[overlap[a, b] >= THRESHOLDS - 1e-9, i[a], j[b]] += 1
    hits = matched.sum(axis=(1, 2))
    either = lengths[0] + lengths[1] - matched
    ass = (matched * matched / np.maximum(either, 1)).sum(axis=(1, 2)) / np.maximum(hits, 1)
    det = hits / (lengths[0].sum() + lengths[1].sum() - hits)
    return Hota(float(np.sqrt(det * ass).mean()), float(det.mean()), float(ass.mean()))
