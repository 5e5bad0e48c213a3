"""From how alike two pictures are to how likely they show one individual, learnt from pairs that need no label.

A model's cosine similarity has no meaning of its own: 0.9 is certainty for one model and chance for another. Tracks
bring their own answers (R. G. Cinbis, J. Verbeek, C. Schmid, Unsupervised Metric Learning for Face Identification in TV
Video, ICCV 2011): what one track shows at two moments is one individual, what one frame shows side by side are two.
From such pairs a logistic curve is fitted (J. Platt, Probabilistic Outputs for Support Vector Machines, 1999, with his
targets, so that pairs without any overlap do not make it infinitely steep). Both kinds weigh the same in total, so its
log odds are a log-likelihood ratio. It decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
NEEDED = 20  # pairs of either kind, from which a curve is fitted
FINEST = 1e-5  # 1 - cosine below which two vectors are equal, rounded as they are stored
AT_LEAST, AT_MOST = -3.0, 4.0  # what looks may say, in nats


@dataclass(frozen=True, slots=True)
class Curve:
    """log ratio = slope * likeness + offset, within AT_LEAST..AT_MOST; slope >= 0."""

    slope: float
    offset: float

    def ratio(self, alike: F64) -> F64:
        """The log of "one individual : two individuals", for any shape of likenesses."""
        return np.asarray(np.clip(self.slope * alike + self.offset, AT_LEAST, AT_MOST), np.float64)


def likeness(cosine: NDArray[np.floating]) -> F64:
    """-log(1 - cosine): where vectors are nearly parallel, as those of one herd are, this tells them apart."""
    return np.asarray(-np.log(np.maximum(1 - np.asarray(cosine, np.float64), FINEST)), np.float64)


def fitted(same: F64, different: F64) -> Curve | None:
    """The curve through the likenesses of pairs known to be one individual, (n,), and known to be two, (m,).

    None where there are fewer than NEEDED of either. Where the two are no more alike than the others, the curve is 0:
    looks say nothing.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    if min(len(same), len(different)) < NEEDED:
        return None
    every = np.concatenate([same, different])
    middle, spread = float(every.mean()), float(every.std())
    if spread <= 1e-9 * (1 + abs(middle)):
        return Curve(0.0, 0.0)  # all are equal but for rounding
    x = (every - middle) / spread
    counts = np.repeat([len(same), len(different)], [len(same), len(different)])
    is_same = np.arange(len(every)) < len(same)
    target = np.where(is_same, (counts + 1) / (counts + 2), 1 / (counts + 2))

    def loss(at: F64) -> tuple[float, F64]:
        odds = at[0] * x + at[1]
        off = (expit(odds) - target) / counts
        value = (np.logaddexp(0, odds) - target * odds) / counts
        return float(value.sum()), np.array([off @ x, off.sum()])

    best = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 1e-14})
    slope = float(best.x[0]) / spread
    return Curve(slope, float(best.x[1]) - slope * middle) if slope > 0 else Curve(0.0, 0.0)
