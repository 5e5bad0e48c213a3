"""Phrases to boxes: the processor time of the exact choice by size, and whether it is the best one where that is tried.

    OMP_NUM_THREADS=1 python -m benchmarks.assign [--cases 50] [--json FILE]

Random scores and boxes; "crowd" packs the boxes so densely that most overlap others by more than the threshold. Up to
4 phrases x 7 boxes every possible choice is tried as well. Greedy: phrase by phrase the surest box that is left.
"""

from __future__ import annotations

import itertools
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import Result, arguments, publish
from sam.assign import assign, box_iou

OVERLAP = 0.5
SIZES = ((2, 5), (4, 7), (5, 20), (10, 50), (20, 100))
TRIED = 7  # boxes up to which every choice is tried
ROOM = {"spread": 4.0, "crowd": 1.2}  # of the picture, in sides of a box


def case(seed: int, phrases: int, boxes: int, room: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores (n, m), a third of them not allowed, and boxes (m, 4)."""
    random = np.random.default_rng(seed)
    scores = np.where(random.random((phrases, boxes)) < 0.67, random.random((phrases, boxes)), 0.0)
    corners = random.random((boxes, 2)) * room
    return scores, np.hstack([corners, corners + 0.7 + 0.3 * random.random((boxes, 2))])


def worth(scores: NDArray[np.float64], chosen: list[int | None]) -> float:
    return float(sum(scores[n, box] for n, box in enumerate(chosen) if box is not None))


def tried(scores: NDArray[np.float64], boxes: NDArray[np.float64]) -> float:
    """The greatest total of all choices there are."""
    clash = box_iou(boxes) > OVERLAP
    best = 0.0
    for choice in itertools.product([None, *range(len(boxes))], repeat=len(scores)):
        taken = [box for box in choice if box is not None]
        if len(set(taken)) == len(taken) and not any(clash[a, b] for a, b in itertools.combinations(taken, 2)):
            allowed = all(box is None or scores[n, box] > 0 for n, box in enumerate(choice))
            best = max(best, worth(scores, list(choice))) if allowed else best
    return best


def greedy(scores: NDArray[np.float64], boxes: NDArray[np.float64]) -> float:
    """The total of always taking the surest pair that is left."""
    clash = box_iou(boxes) > OVERLAP
    left, total = scores.copy(), 0.0
    while left.max(initial=0) > 0:
        phrase, box = np.unravel_index(int(np.argmax(left)), left.shape)
        total += float(left[phrase, box])
        left[phrase] = 0
        left[:, clash[box]] = 0
        left[:, box] = 0
    return total


def main() -> None:
    parser = arguments("Exact assignment of phrases to boxes: time by size, and the best total where it can be tried.")
    parser.add_argument("--cases", type=int, default=50, help="random cases of each size")
    options = parser.parse_args()
    assign(*case(0, 2, 2, 4.0), OVERLAP)  # the solver is imported before anything is timed
    rows: list[tuple[str, ...]] = []
    values: dict[str, float] = {}
    for kind, room in ROOM.items():
        for phrases, boxes in SIZES:
            taken, against_greedy, wrong = [], [], 0
            for seed in range(options.cases):
                scores, places = case(seed, phrases, boxes, room)
                began = time.process_time()
                total = worth(scores, assign(scores, places, OVERLAP))
                taken.append(1000 * (time.process_time() - began))
                against_greedy.append(total / max(greedy(scores, places), 1e-9))
                wrong += boxes <= TRIED and abs(total - tried(scores, places)) > 1e-6
            name = f"{kind}, {phrases} x {boxes}"
            checked = f"{options.cases - wrong} of {options.cases}" if boxes <= TRIED else "not tried"
            median, worst, gain = statistics.median(taken), max(taken), statistics.mean(against_greedy)
            rows.append((name, f"{median:.1f}", f"{worst:.1f}", checked, f"{gain:.3f}", f"{max(against_greedy):.3f}"))
            values |= {f"{name}: ms": median, f"{name}: worst ms": worst, f"{name}: of greedy": gain}
    head = ("phrases x boxes", "processor ms, median", "worst", "best of all", "of greedy's total, mean", "most")
    publish(Result("Phrases to boxes", head, tuple(rows), values), options.json)


if __name__ == "__main__":
    main()
