"""Hugging Face VideoFolder: a folder per split with the videos and one metadata.jsonl inside it.

`datasets` keeps silent about most mistakes in such a folder: metadata above the split folders is ignored, a row without
a file and a file without a row raise nothing; and a folder further down that is called like a split makes a split of
its own, which may stop the loading. So this module avoids them and then checks what it wrote, in both directions.
It never changes or re-encodes a crop, and it never imports `datasets`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from pipeline.checksums import write_checksums_of
from pipeline.errors import DatasetError
from pipeline.exports.card import card
from pipeline.exports.export import dataset_export, place
from pipeline.exports.rows import each, metadata
from pipeline.layout import Layout
from pipeline.release import read_release

if TYPE_CHECKING:
    import pyarrow as pa

METADATA = "metadata.jsonl"
BATCH = 1024
SPLIT_WORDS = "training|train|validation|valid|val|dev|testing|test|evaluation|eval"


@dataset_export("videofolder")
@dataclass
class VideoFolder:
    """Hugging Face VideoFolder: `load_dataset("videofolder", data_dir=...)` gives train, validation and test.

    boxes: also put each frame's box and crop window (source pixels) into the rows; they make rows much larger.
    """

    boxes: bool = False
    released: ClassVar[bool] = True
    reads_crops: ClassVar[bool] = True

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write `<target>/<split>/<video>/<sample id>.mp4`, `<split>/metadata.jsonl` and README.md, and check them;
        then release.json and checksums, for a folder that is passed on by itself.

        Further variants lie beside the main crop and are named in its row, so they load as columns of their own.
        Raises DatasetError when a crop is missing or when rows and files do not match.
        """
        import pyarrow.compute as pc

        root = layout.root
        target.mkdir(parents=True, exist_ok=True)
        variants = variant_names(samples)
        digests: dict[str, str] = {}
        for split in sorted(set(samples["split"].to_pylist())):
            rows = samples.filter(pc.equal(samples["split"], split))
            (target / split).mkdir()
            with (target / split / METADATA).open("wb") as lines:
                for row in each(rows):
                    line = self._export(row, variants, root, target / split, link)
                    digests |= {f"{split}/{name}": sha256 for name, sha256 in _files(line, row)}
                    lines.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        (target / "README.md").write_text(card(samples, variants, read_release(layout)), encoding="utf-8")
        check(samples, target)
        if layout.release.is_file():
            shutil.copyfile(layout.release, Layout(target, target).release)
        write_checksums_of(target, digests)

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


def _files(line: dict[str, Any], row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The files that a line of metadata names, with their digests."""
    yield line["file_name"], row["sha256"]
    yield from ((line[f"{v['background']}_file_name"], v["sha256"]) for v in row["variants"])


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
