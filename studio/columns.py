"""Columns of a dataset's tables as arrays: few values as codes, figures as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.records import FIGURES as MEASURED

Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]
CODED = ("prompt", "video", "split", "individual_id")
FIGURES = (*MEASURED, "first_score")


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few values. codes: per crop the place of its value in `names`, -1 for none."""

    names: list[str]
    codes: Ints

    def among(self, wanted: Iterable[str]) -> Mask:
        """Which crops have one of these values."""
        places = [place for place, name in enumerate(self.names) if name in set(wanted)]
        return np.isin(self.codes, np.array(places, np.int32))


def nothing(many: int) -> Coded:
    """A column without a value."""
    return Coded([], np.full(many, -1, np.int32))


def coded(column: pa.ChunkedArray) -> Coded:
    """Values in their order as text."""
    names: list[str] = sorted(v for v in column.unique().to_pylist() if v is not None)
    place = {name: n for n, name in enumerate(names)}
    encoded = column.combine_chunks().dictionary_encode()
    own = np.array([-1 if v is None else place[v] for v in [*encoded.dictionary.to_pylist(), None]], np.int32)
    return Coded(names, own[encoded.indices.fill_null(len(own) - 1).to_numpy()])
