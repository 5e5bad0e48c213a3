"""BORIS: labels as state events, in the columns of its "aggregated events" table; the subject is the individual.

Crops of one individual with one label that follow one another become one event. task=label takes such a table in again,
and clip.spans cuts clips from it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.exports.export import dataset_export
from pipeline.exports.rows import each

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

COLUMNS = (
    "Observation id", "Observation date", "Description", "Media file name", "FPS (frame/s)", "Subject", "Behavior",
    "Behavioral category", "Behavior type", "Start (s)", "Stop (s)", "Duration (s)", "Comment start", "Comment stop",
)  # fmt: skip
NEEDED = ["sample_id", "individual_id", "video", "recorded_at", "label", "timestamps_s", "fps", "frame_indices"]
NEXT = 1.5  # sampled frames from one crop's last to the next one's first, up to which they follow one another


@dataset_export("boris")
@dataclass
class Boris:
    """BORIS's table of aggregated events: events.csv, an event for every bout of an individual."""

    everything: ClassVar[bool] = True

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write events.csv. A crop without an individual_id is a subject of its own; one without a label no event."""
        target.mkdir(parents=True, exist_ok=True)
        rows = [row for row in each(samples.select(NEEDED)) if row["label"] is not None]
        for row in rows:
            row["individual_id"] = row["individual_id"] or row["sample_id"]
        rows.sort(key=lambda row: (row["video"], row["individual_id"], row["timestamps_s"][0]))
        with (target / "events.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            table.writeheader()
            for (video, who), group in groupby(rows, key=lambda row: (row["video"], row["individual_id"])):
                for event in _events(list(group)):
                    table.writerow({"Observation id": video, "Media file name": video, "Subject": who} | event)


def _events(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    bouts: list[list[Any]] = []  # first row, start, end
    for row in rows:
        start, end = row["timestamps_s"][0], row["timestamps_s"][-1]
        if bouts and bouts[-1][0]["label"] == row["label"] and start - bouts[-1][2] <= NEXT / row["fps"]:
            bouts[-1][2] = max(bouts[-1][2], end)
        else:
            bouts.append([row, start, end])
    return [
        {
            "Observation date": row["recorded_at"] or "",
            "FPS (frame/s)": _rate(row),
            "Behavior": row["label"],
            "Behavior type": "STATE",
            "Start (s)": f"{start:.3f}",
            "Stop (s)": f"{end:.3f}",
            "Duration (s)": f"{end - start:.3f}",
        }
        for row, start, end in bouts
    ]


def _rate(row: dict[str, Any]) -> str:
    """Frames a second of the source, from the frames and times of one crop."""
    frames, times = row["frame_indices"], row["timestamps_s"]
    return f"{(frames[-1] - frames[0]) / (times[-1] - times[0]):.6g}" if times[-1] > times[0] else ""
