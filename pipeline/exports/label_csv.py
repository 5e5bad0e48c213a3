"""The labels of a dataset as the plain table that task=label reads: one line for every crop, labelled or not."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.exports.export import dataset_export
from pipeline.exports.rows import each

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

COLUMNS = ("sample_id", "label", "path", "individual_id", "video", "start_s", "end_s", "prompt", "split")


@dataset_export("csv")
@dataclass
class LabelCsv:
    """A table of the crops with their labels, to fill in: labels.csv, which task=label reads again."""

    everything: ClassVar[bool] = True

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write labels.csv. Lines without a label are refused by task=label, so take out what stays empty."""
        target.mkdir(parents=True, exist_ok=True)
        with (target / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
            table.writeheader()
            for row in each(samples):
                span = {"start_s": f"{row['timestamps_s'][0]:.6f}", "end_s": f"{row['timestamps_s'][-1]:.6f}"}
                table.writerow(row | span)
