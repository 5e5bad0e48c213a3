"""Phrases to boxes: the choice with the greatest total confidence, exactly.

Each phrase gets at most one box, each box at most one phrase, and no two chosen boxes overlap by more than a threshold.
Solved as an integer programme by HiGHS (Q. Huangfu and J. A. J. Hall, 2018) through scipy: a greedy choice, or the
Hungarian method without the overlaps, takes one strong box where two others together are worth more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam.errors import TrackingFailed

SCALE = 1e4  # HiGHS stops within 1e-6 of the best total; scores are at most 1 before they are scaled by this


def assign(scores: NDArray[np.floating], boxes: NDArray[np.floating], overlap: float) -> list[int | None]:
    """The box of each phrase, None for none.

    Args:
        scores: (n, m) confidence of phrase i in box j, at most 1; a pair of 0 or less, or NaN, is not allowed.
        boxes: (m, 4) x0, y0, x1, y1.
        overlap: two chosen boxes have an IoU of at most this.

    Returns:
        n indices of boxes. Equal phrases (rows) share what they win in order of confidence, the first the most.

    Raises:
        ValueError: shapes that do not go together, scores above 1, or boxes that are none.
    """
    scores, boxes = np.asarray(scores, float), np.asarray(boxes, float).reshape(-1, 4)
    if scores.ndim != 2 or scores.shape[1] != len(boxes):
        raise ValueError(f"scores must have one column per box, got {scores.shape = } and {len(boxes)} boxes")
    if np.nanmax(scores, initial=0) > 1:
        raise ValueError(f"a score is at most 1, got {np.nanmax(scores):g}")
    if not (np.isfinite(boxes).all() and (boxes[:, :2] < boxes[:, 2:]).all()):
        raise ValueError("a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1")
    kinds, kind_of, counts = np.unique(np.nan_to_num(scores), axis=0, return_inverse=True, return_counts=True)
    rows, columns = np.nonzero(kinds > 0)  # the pairs that are allowed, each a variable
    found: list[int | None] = [None] * len(scores)
    if not len(rows):
        return found
    won: dict[int, list[int]] = {}
    for pair in _solve(kinds[rows, columns], rows, columns, counts, _conflicts(boxes, overlap)):
        won.setdefault(int(rows[pair]), []).append(int(columns[pair]))
    for kind, theirs in won.items():
        best_first = sorted(theirs, key=lambda box: (-kinds[kind, box], box))
        for phrase, box in zip(np.flatnonzero(kind_of.ravel() == kind), best_first, strict=False):
            found[phrase] = box
    return found


def box_iou(boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """(m, m) intersection over union of boxes (m, 4) x0, y0, x1, y1."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.asarray(shared / (areas[:, None] + areas[None, :] - shared), np.float64)


def _conflicts(boxes: NDArray[np.floating], overlap: float) -> list[list[int]]:
    """Groups of boxes of which one at most can be chosen: every pair over the threshold is in one of them.

    Groups as large as they get, found greedily, instead of pairs: the relaxed programme is then far tighter.
    """
    clash = box_iou(boxes) > overlap
    np.fill_diagonal(clash, False)
    open_pairs = np.triu(clash)
    groups: list[list[int]] = []
    while open_pairs.any():
        first, second = (int(v) for v in np.argwhere(open_pairs)[0])
        group = [first, second]
        candidates = clash[first] & clash[second]
        while candidates.any():
            joins = int(np.argmax(np.where(candidates, clash[candidates].sum(axis=0), -1)))
            group.append(joins)
            candidates &= clash[joins]
        open_pairs[np.ix_(group, group)] = False
        groups.append(group)
    return groups


def _solve(
    worth: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    counts: NDArray[np.int64],
    conflicts: Sequence[Sequence[int]],
) -> list[int]:
    """The pairs (indices into worth, rows and columns) of the best choice. Row i may be used counts[i] times."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    lines: list[NDArray[np.int64]] = []
    limits: list[int] = []
    for row in np.unique(rows):
        lines.append(np.flatnonzero(rows == row))
        limits.append(int(counts[row]))
    for group in [[column] for column in np.unique(columns)] + [list(group) for group in conflicts]:
        lines.append(np.flatnonzero(np.isin(columns, group)))
        limits.append(1)
    entries = np.concatenate(lines)
    starts = np.cumsum([0, *map(len, lines)])
    matrix = csr_array((np.ones(len(entries)), entries, starts), shape=(len(lines), len(worth)))
    done = milp(
        -worth * SCALE,
        integrality=np.ones(len(worth)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, ub=np.array(limits)),
        options={"mip_rel_gap": 0.0},
    )
    if done.x is None or not done.success:
        raise TrackingFailed(f"phrases could not be given boxes: {done.message}")
    return [int(pair) for pair in np.flatnonzero(done.x > 0.5)]
