"""Path-and-label lists as VideoMAE, VideoMAEv2, mmaction2 and SlowFast read them.

Each line is `path label_index` with one space between, and those loaders split on it: so no path may hold a space,
and the label is a number. The lists are read back the same way and one video per split is decoded.
This module never changes or re-encodes a crop.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import ConfigError, DatasetError
from pipeline.exports.export import dataset_export, place
from pipeline.exports.rows import classes_of

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

SPLITS = ("train", "val", "test")


@dataset_export("videomae")
@dataclass
class VideoMae:
    """Lists train.csv, val.csv and test.csv of `videos/<sample id>.mp4 <class index>`; a class is a label, or a prompt.

    Paths are relative to the export: point the loader at it (VideoMAEv2 --data_root, mmaction2 data_prefix, SlowFast
    DATA.PATH_PREFIX). Only the main background is exported.

    absolute: list the dataset's own crops by absolute path instead, and place no files: for loaders that know no
    prefix, such as the first VideoMAE's. The lists then hold as long as the dataset stays where it is.
    """

    absolute: bool = False

    reads_crops: ClassVar[bool] = True

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write the lists, labels.txt (line k names class k) and classes.json (class index by name), then check them.

        A split without samples gets an empty list. Raises ConfigError when absolute paths would hold a space,
        DatasetError when a crop is missing or the check fails.
        """
        root = layout.root
        target.mkdir(parents=True, exist_ok=True)
        home = root.resolve()
        if self.absolute and any(letter.isspace() for letter in str(home)):
            raise ConfigError(
                f"export.videomae.absolute=true, but the dataset lies at {str(home)!r} and the loaders split every line"
                " at a space: move the dataset to a path without spaces (out=...), or keep export.videomae.absolute="
                "false and give the loader the export's folder as its prefix"
            )
        columns = [samples[name].to_pylist() for name in ("sample_id", "path", "class", "split", "num_frames")]
        classes = classes_of(columns[2])
        lists: dict[str, list[str]] = {split: [] for split in (*SPLITS, *sorted(set(columns[3])))}
        first_length: dict[str, int] = {}
        for sample_id, path, class_name, split, num_frames in zip(*columns, strict=True):
            name = str(home / path) if self.absolute else f"videos/{sample_id}.mp4"
            if not self.absolute:
                place(root / path, target / name, link)
            lists[split].append(f"{name} {classes[class_name]}\n")
            first_length.setdefault(split, num_frames)
        for split, lines in lists.items():
            (target / f"{split}.csv").write_text("".join(lines), encoding="utf-8")
        (target / "labels.txt").write_text("".join(f"{' '.join(label.split())}\n" for label in classes), "utf-8")
        (target / "classes.json").write_text(json.dumps(classes, indent=2, ensure_ascii=False) + "\n", "utf-8")
        for split, lines in lists.items():
            check(target, split, len(lines), len(classes), first_length.get(split))


def read_list(path: Path) -> list[tuple[str, int]]:
    """Read a list as the loaders do: each line split at every space into exactly a path and a class index.

    Raises DatasetError that names the line when that is not so.
    """
    rows: list[tuple[str, int]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        parts = line.strip().split(" ")
        if len(parts) != 2 or not parts[1].isdecimal():
            raise DatasetError(f"{path}, line {number}: expected 'path label_index', got {line!r}")
        rows.append((parts[0], int(parts[1])))
    return rows


def check(target: Path, split: str, rows: int, classes: int, num_frames: int | None) -> None:
    """Read a split's list back: its count, class indices and files, and the first video's number of frames.

    num_frames: frames of the split's first video; None for an empty split. Raises DatasetError.
    """
    path = target / f"{split}.csv"
    found = read_list(path)
    if len(found) != rows:
        raise DatasetError(f"{path} has {len(found)} lines, samples.parquet has {rows} rows in {split}")
    wrong = sorted({label for _, label in found if label >= classes})
    if wrong:
        raise DatasetError(f"{path}: class indices {wrong} are not below {classes}")
    missing = [name for name, _ in found if not (target / name).is_file()]
    if missing:
        raise DatasetError(f"{path}: {len(missing)} files are missing, the first is {missing[0]}; run the build again")
    if found and num_frames is not None:
        video = target / found[0][0]
        decoded = count_frames(video)
        if decoded != num_frames:
            raise DatasetError(f"{video} decodes to {decoded} frames instead of {num_frames}: run the build again")


def count_frames(video: Path) -> int:
    """Frames that a loader gets: counted by decord, as those loaders use, or by PyAV where decord is not installed.

    Raises DatasetError when the file does not decode.
    """
    import av

    try:
        decord = importlib.import_module("decord")
    except ImportError:
        decord = None
    try:
        if decord is not None:
            reader = decord.VideoReader(str(video), num_threads=1)
            reader[len(reader) - 1]
            return len(reader)
        with av.open(str(video)) as container:
            return sum(1 for _ in container.decode(video=0))
    except (OSError, RuntimeError, av.error.FFmpegError, IndexError) as error:
        raise DatasetError(f"{video} does not decode ({str(error).strip()[-200:]}): run the build again") from error
