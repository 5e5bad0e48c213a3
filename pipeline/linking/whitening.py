"""What of a model's vectors tells the individuals of a dataset apart, learnt from its own tracks.

What all crops have in common is taken away, the few directions in which they differ most are kept, and among these each
counts the less the more it changes within one track: pose and light go, coat and shape stay. This is the within-class
covariance normalisation of speaker recognition (A. O. Hatch, S. Kajarekar, A. Stolcke, Interspeech 2006) after
principal components, with tracks as classes, so it needs no label.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
DIRECTIONS = 16
SHRUNK = 0.1  # part of the covariance within tracks that is replaced by an equal one in all directions


@dataclass(frozen=True, slots=True)
class Whitening:
    """mean: (D,). matrix: (D, k), k <= DIRECTIONS."""

    mean: F32
    matrix: F32

    def __call__(self, vectors: F32) -> F32:
        """(n, D) to (n, k); their length means nothing."""
        return np.asarray((vectors - self.mean) @ self.matrix, np.float32)

    @classmethod
    def of(cls, crops: Iterable[F32]) -> Whitening | None:
        """From the vectors of every crop, (1 or 2, D): the earlier and the later half of a track. One crop at a time is
        in memory. None where they do not differ at all."""
        total, spread, within = np.zeros(()), np.zeros(()), np.zeros(())
        count, pairs = 0, 0
        for crop in crops:
            vectors = crop.astype(np.float64)
            count, total, spread = count + len(vectors), total + vectors.sum(axis=0), spread + vectors.T @ vectors
            if len(vectors) == 2:
                change = (vectors[0] - vectors[1]) / 2
                pairs, within = pairs + 1, within + 2 * np.outer(change, change)
        if count < 2:
            return None
        mean = total / count
        values, directions = np.linalg.eigh(spread / count - np.outer(mean, mean))
        most = values > 1e-9 * max(float(np.trace(spread)) / count, 1e-12)
        kept = np.flatnonzero(most)[::-1][: min(DIRECTIONS, count - 1)]
        if not len(kept):
            return None
        axes = directions[:, kept]
        if pairs and float(np.trace(inside := axes.T @ within @ axes / (2 * pairs))) > 0:
            level = np.eye(len(kept)) * np.trace(inside) / len(kept)
            axes = axes @ np.linalg.cholesky(np.linalg.inv((1 - SHRUNK) * inside + SHRUNK * level))
        return cls(np.asarray(mean, np.float32), np.asarray(axes, np.float32))
