"""The objects that a build refused, as arrays like those of its crops, so that both are searched in the same way."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import DatasetError
from pipeline.layout import Layout
from pipeline.tables import read_table
from pipeline.thumbnails import there
from studio.columns import CODED, FIGURES, coded, nothing

COLUMNS = ("sample_id", "clip_id", "object_id", "value", "threshold")


class Refused:
    """The rows of one version of the table of refused objects. A row without an object is a clip that was refused.

    values, thresholds: of the figure that refused it, NaN where the reason has none. figures: NaN where not measured.
    pictures: thumbnails by sample id; only some have one.
    """

    def __init__(self, layout: Layout) -> None:
        names = [*COLUMNS, "video", "prompt", "reason", *FIGURES]
        try:
            table = read_table(layout.rejected, names)
        except FileNotFoundError:
            table = pa.table({name: pa.array([], pa.string()) for name in names})
        except pa.ArrowException as error:
            raise DatasetError(f"{layout.rejected} cannot be read ({error}): run the build again") from error
        missing = {*names} - set(table.column_names)
        if missing:
            raise DatasetError(
                f"{layout.rejected} was made by an earlier version, without {', '.join(sorted(missing))}: run the "
                "build again"
            )
        self.ids: list[str | None] = table["sample_id"].to_pylist()
        self.clips: list[str] = [clip or "" for clip in table["clip_id"].to_pylist()]
        self.objects: list[int | None] = table["object_id"].to_pylist()
        self.coded = {name: nothing(len(self)) for name in CODED}
        self.coded |= {name: coded(table[name]) for name in ("video", "prompt", "reason")}
        self.predicted = nothing(len(self))
        self.figures = {name: _floats(table[name]) for name in FIGURES}
        self.values, self.thresholds = (_floats(table[name]) for name in ("value", "threshold"))
        own = {name for name in self.ids if name is not None}
        self.pictures = {name: path for name, path in there(layout).items() if name in own}

    def __len__(self) -> int:
        return len(self.ids)


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """NaN for null."""
    return np.array([np.nan if value is None else value for value in column.to_pylist()], np.float64)
