"""Hugging Face VideoFolder: a folder per split with the videos and one metadata.jsonl inside it.

`datasets` keeps silent about most mistakes in such a folder: metadata above the split folders is ignored, a row without
a file and a file without a row raise nothing; and a folder further down that is called like a split makes a split of
its own, which may stop the loading. So this module avoids them and then checks what it wrote, in both directions.
It never changes or re-encodes a crop, and it never imports `datasets`.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.errors import DatasetError
from pipeline.exports.export import dataset_export, place
from pipeline.exports.rows import each, metadata

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

METADATA = "metadata.jsonl"
BATCH = 1024
HF_SPLITS = {"val": "validation"}  # what `datasets` calls the split it reads from the folder val/
SPLIT_WORDS = "training|train|validation|valid|val|dev|testing|test|evaluation|eval"


@dataset_export("videofolder")
@dataclass
class VideoFolder:
    """Hugging Face VideoFolder: `load_dataset("videofolder", data_dir=...)` gives train, validation and test.

    boxes: also put each frame's box and crop window (source pixels) into the rows; they make rows much larger.
    """

    boxes: bool = False

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write `<target>/<split>/<video>/<sample id>.mp4`, `<split>/metadata.jsonl` and README.md, then check them.

        Further variants lie beside the main crop and are named in its row, so they load as columns of their own.
        Raises DatasetError when a crop is missing or when rows and files do not match.
        """
        import pyarrow.compute as pc

        root = layout.root
        target.mkdir(parents=True, exist_ok=True)
        variants = variant_names(samples)
        for split in sorted(set(samples["split"].to_pylist())):
            rows = samples.filter(pc.equal(samples["split"], split))
            (target / split).mkdir()
            with (target / split / METADATA).open("wb") as lines:
                for row in each(rows):
                    line = self._export(row, variants, root, target / split, link)
                    lines.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        (target / "README.md").write_text(_card(samples, variants), encoding="utf-8")
        check(samples, target)

    def _export(
        self, row: dict[str, Any], variants: tuple[str, ...], root: Path, folder: Path, link: str
    ) -> dict[str, Any]:
        """Put one sample's files into the split's folder; returns its line of metadata.

        `file_name` comes first: `datasets` pops it for the first video column. The source is `source_video` because
        that first column is called `video`.
        """
        name = f"{video_slug(row['video']) or row['video_fingerprint'][:12]}/{row['sample_id']}"
        others = {v["background"]: v["path"] for v in row["variants"]}
        place(root / row["path"], folder / f"{name}.mp4", link)
        line: dict[str, Any] = {"file_name": f"{name}.mp4"}
        for variant in variants:
            place(root / others[variant], folder / f"{name}.{variant}.mp4", link)
            line[f"{variant}_file_name"] = f"{name}.{variant}.mp4"
        return line | metadata(row, self.boxes)


def variant_names(samples: pa.Table) -> tuple[str, ...]:
    """The further backgrounds of every sample, sorted. Raises DatasetError when a sample has others than the rest."""
    found: dict[tuple[str, ...], str] = {}
    for batch in samples.select(["sample_id", "variants"]).to_batches(max_chunksize=BATCH):
        for row in batch.to_pylist():
            found.setdefault(tuple(sorted(v["background"] for v in row["variants"])), row["sample_id"])
    if len(found) > 1:
        listed = "; ".join(f"{sample} has {', '.join(names) or 'none'}" for names, sample in sorted(found.items()))
        raise DatasetError(f"samples.parquet: the samples differ in crop.variants ({listed}): run the build again")
    return next(iter(found), ())


def video_slug(video: str) -> str:
    """A folder name for a video: ASCII letters, digits, dots, dashes and underscores; "" when nothing is left.

    Words that `datasets` takes for splits are capitalised (it is case-sensitive): with `train/barn-test/x.mp4` it
    looks for a test split too, and stops when that has no metadata; `train/barn-Test/x.mp4` is only train.
    """
    stem = video.rsplit(".", 1)[0] if "." in video.rsplit("/", 1)[-1] else video
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)[-80:].strip("._-")
    return re.sub(rf"(?<![A-Za-z])({SPLIT_WORDS})(?![A-Za-z])", lambda word: word[0].capitalize(), slug)


def check(samples: pa.Table, target: Path) -> None:
    """Compare rows and files in both directions, and the counts with the samples table.

    Raises DatasetError that names the first offenders.
    """
    expected = Counter(samples["split"].to_pylist())
    folders = {entry.name for entry in target.iterdir() if entry.is_dir()}
    _refuse("folders that are no split of the samples", folders - expected.keys(), target)
    _refuse("splits without a folder", expected.keys() - folders, target)
    for split, count in sorted(expected.items()):
        folder = target / split
        named: list[str] = []
        rows = 0
        for line in _lines(folder / METADATA):
            row = orjson.loads(line)
            named += [value for key, value in row.items() if key == "file_name" or key.endswith("_file_name")]
            rows += 1
        files = {
            f"{top[len(str(folder)) :]}/{name}".replace(os.sep, "/").lstrip("/")
            for top, _, names in os.walk(folder)
            for name in names
        } - {METADATA}
        _refuse("rows without a file", set(named) - files, folder)
        _refuse("files without a row", files - set(named), folder)
        _refuse("files with several rows", {name for name, times in Counter(named).items() if times > 1}, folder)
        if rows != count:
            raise DatasetError(f"{folder / METADATA} has {rows} rows, samples.parquet has {count} in {split}")


def _refuse(what: str, offenders: Iterable[str], folder: Path) -> None:
    names = sorted(offenders)
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise DatasetError(f"{folder}: {what}: {shown}; run task=export again")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as lines:
            yield from lines
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing: run task=export again") from None


def _card(samples: pa.Table, variants: tuple[str, ...]) -> str:
    """The dataset card: a header that tells the Hub and `datasets` the splits, counts, and how to load it."""
    counts = Counter(samples["split"].to_pylist())
    header = ["---", "task_categories:", "- video-classification"]
    if counts:
        header += ["configs:", "- config_name: default", "  data_files:"]
        for split in sorted(counts):
            header += [
                f"  - split: {json.dumps(HF_SPLITS.get(split, split))}",
                f"    path: {json.dumps(split + '/**')}",
            ]
    names = sorted(set(samples["class"].to_pylist()))
    trackers = sorted(set(samples["tracker"].to_pylist()))
    shapes = sorted(set(zip(samples["num_frames"].to_pylist(), samples["size"].to_pylist(), strict=True)))
    table = [f"| {split} | {HF_SPLITS.get(split, split)} | {count} |" for split, count in sorted(counts.items())]
    columns = "".join(f", `{name}`" for name in ("video", *variants))[2:]
    return "\n".join(
        [
            *header,
            "---",
            "# Object crop videos",
            "",
            f"{len(samples)} crop videos, each following one object through one clip"
            f" ({', '.join(f'{n} frames at {s} x {s} pixels' for n, s in shapes) or 'none'}).",
            "",
            f"- Classes (column `label`): {', '.join(json.dumps(n, ensure_ascii=False) for n in names) or 'none'}",
            f"- Tracker: {', '.join(trackers) or 'none'}",
            f"- Source videos: {len(set(samples['video'].to_pylist()))}, no video is in two splits unless you said so",
            "",
            "| folder | split in `datasets` | videos |",
            "|---|---|---|",
            *table,
            "",
            "```python",
            "from datasets import Video, load_dataset",
            "",
            'dataset = load_dataset("videofolder", data_dir="path/to/this/folder")',
            f"# {columns} decode with torchcodec; without it, take the paths instead:",
            *(f'dataset = dataset.cast_column("{name}", Video(decode=False))' for name in ("video", *variants)),
            'dataset = dataset.class_encode_column("label")  # class numbers instead of words',
            "```",
            "",
        ]
    )
