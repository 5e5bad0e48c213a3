"""MOTChallenge text: the boxes of the samples, one folder per source video, for trackers' tools and their scores.

`<split>/<video>/gt/gt.txt` has a line per object and frame: frame (from 1), id, left, top, width, height, 1, class
(from 1), 1; `seqinfo.ini` beside it says the size and the rate. Frames are source frames, so with a stride most have no
line. An id is one object of one tracked window; windows that overlap name the same individual twice.
"""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.exports.export import dataset_export
from pipeline.exports.rows import classes_of, each
from pipeline.exports.videofolder import video_slug

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

COLUMNS = ["video", "video_fingerprint", "split", "track_key", "window_id", "object_id", "class", "frame_indices"]
SHAPE = ["timestamps_s", "boxes", "source_width", "source_height"]


@dataset_export("mot")
@dataclass
class Mot:
    """MOTChallenge text: `<split>/<video>/gt/gt.txt` and `seqinfo.ini`, boxes by source frame."""

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write a folder per video, and labels.txt (line k names class k)."""
        target.mkdir(parents=True, exist_ok=True)
        classes = classes_of(samples["class"].to_pylist())
        (target / "labels.txt").write_text("".join(f"{' '.join(name.split())}\n" for name in classes), "utf-8")
        rows = each(samples.select(COLUMNS + SHAPE))
        for (split, video), group in groupby(rows, key=lambda row: (row["split"], row["video"])):
            _write_video(list(group), target / split, video, classes)


def _write_video(rows: list[dict[str, Any]], folder: Path, video: str, classes: dict[str, int]) -> None:
    sequence = folder / (video_slug(video).replace("/", "-") or rows[0]["video_fingerprint"][:12])
    if sequence.exists():
        sequence = folder / f"{sequence.name}-{rows[0]['video_fingerprint'][:12]}"
    (sequence / "gt").mkdir(parents=True)
    ids: dict[tuple[str, str, int], int] = {}
    lines: dict[tuple[int, int], str] = {}  # the clips of a window may share frames
    for row in rows:
        number = ids.setdefault((row["track_key"], row["window_id"], row["object_id"]), len(ids) + 1)
        for index, box in zip(row["frame_indices"], row["boxes"], strict=True):
            if box is not None:
                x0, y0, x1, y1 = box
                place = f"{x0},{y0},{x1 - x0},{y1 - y0}"
                lines[index + 1, number] = f"{index + 1},{number},{place},1,{classes[row['class']] + 1},1\n"
    (sequence / "gt" / "gt.txt").write_text("".join(line for _, line in sorted(lines.items())))
    _write_info(sequence / "seqinfo.ini", sequence.name, rows)


def _write_info(path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    last = max(rows, key=lambda row: row["frame_indices"][-1])
    elapsed = last["timestamps_s"][-1]
    info = ConfigParser()
    info.optionxform = str  # type: ignore[assignment,method-assign]
    info["Sequence"] = {
        "name": name,
        "imDir": "img1",
        "frameRate": f"{last['frame_indices'][-1] / elapsed:g}" if elapsed > 0 else "0",
        "seqLength": str(last["frame_indices"][-1] + 1),
        "imWidth": str(last["source_width"]),
        "imHeight": str(last["source_height"]),
        "imExt": ".jpg",
    }
    with path.open("w", encoding="utf-8") as file:
        info.write(file, space_around_delimiters=False)
