"""What a file of labels says, in one form for every format.

It knows files alone: whether a crop, an individual or a video of that name exists, and whether two lines contradict one
another, is the business of `pipeline.label_import`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.span_table import Line


@dataclass(frozen=True, slots=True)
class Run:
    """One object with one label over a stretch of source frames.

    number: of its track in the file. video: as the file names it. frames: (n,) ascending source frames. boxes: (n, 4)
    xyxy half-open source pixels.
    """

    number: int
    video: str
    label: str
    author: str
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Said:
    """unit: what the numbers count, such as "line". lines: numbered values by the names of `span_table.NAMES`; without
    a label nothing is said of it. runs: of a format that draws boxes."""

    unit: str
    lines: tuple[Line, ...] = ()
    runs: tuple[Run, ...] = ()
