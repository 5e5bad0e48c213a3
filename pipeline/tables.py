"""Parquet files in and out, whole and atomically."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.writing import writing

if TYPE_CHECKING:
    import pyarrow as pa


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One file as a table. `pq.read_table` would import the dataset machinery, and pandas where that is installed."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns=columns)


def write_table(path: Path, table: pa.Table) -> None:
    """Equal tables give equal bytes."""
    import pyarrow.parquet as pq

    with writing(path) as part:
        pq.write_table(table, part, compression="zstd")
