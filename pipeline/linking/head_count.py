"""`link.individuals`: how many individuals a video shows is known, so the pieces that are left are put together to that
many, the likeliest way.

With K pieces and N individuals, K - N links are missing. Each piece goes on in at most one later piece, so this is an
assignment with exactly that many pairs; of all, the one with the largest total log-likelihood ratio is taken (the
network-flow view of tracking of L. Zhang, Y. Li, R. Nevatia, Global Data Association for Multi-Object Tracking, CVPR
2008, with the number of tracks given). A number of tracks is fixed by as many dummy ends and dummy starts. What no
frame allows (two at once) or what is hopeless on its own is not joined: then there are more individuals than said.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

HOPELESS = -5.0  # log ratio below which nothing is joined, whatever the count: a chance of less than one in a hundred
AT_MOST = 3000  # pieces that are put together; more would take minutes and gigabytes
NEVER = 1e6


def missing_links(ratio: NDArray[np.float64], individuals: int) -> list[tuple[int, int]]:
    """Pairs (piece, the later piece it goes on in), the likeliest first.

    ratio: (K, K) log-likelihood ratios that the row goes on in the column; -inf where it cannot.
    """
    pieces = len(ratio)
    if pieces <= individuals or pieces > AT_MOST:
        return []
    cost = np.full((pieces + individuals,) * 2, 0.0)
    cost[:pieces, :pieces] = np.where(ratio >= HOPELESS, -np.maximum(ratio, HOPELESS), NEVER)
    cost[pieces:, pieces:] = NEVER
    rows, columns = linear_sum_assignment(cost)
    real = [(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if i < pieces and j < pieces]
    return sorted((pair for pair in real if ratio[pair] >= HOPELESS), key=lambda pair: (-ratio[pair], pair))
