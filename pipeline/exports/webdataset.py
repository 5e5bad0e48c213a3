"""WebDataset: tar files of samples, read in sequence, for training from network drives and object stores.

A sample is the members with one name up to its first dot: `<sample id>.mp4`, `.cls` (the class number), `.json`, and
`.<variant>.mp4` for further backgrounds. Samples lie in the order of their ids, which are hashes, so neighbours in a
shard come from anywhere and a small shuffle buffer is enough. Equal datasets give equal bytes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from pipeline.errors import DatasetError
from pipeline.exports.export import dataset_export
from pipeline.exports.rows import classes_of, each, metadata

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

INDEX = "dataset.json"


@dataset_export("webdataset")
@dataclass
class WebDataset:
    """WebDataset tar shards: `<split>/<split>-000000.tar` of mp4, cls and json, in hashed order.

    shard_mb: megabytes after which a shard is closed.
    """

    shard_mb: float = 500.0

    def __post_init__(self) -> None:
        if not self.shard_mb > 0:
            raise ValueError(f"export.webdataset.shard_mb must be more than 0, got {self.shard_mb}")

    reads_crops: ClassVar[bool] = True

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write the shards and dataset.json (classes; shards and samples by split), then read every member's name back.

        link: of no use here, a shard holds the bytes. Raises DatasetError when a crop is missing or the check fails.
        """
        import pyarrow.compute as pc

        target.mkdir(parents=True, exist_ok=True)
        classes = classes_of(samples["class"].to_pylist())
        index: dict[str, Any] = {"classes": classes, "splits": {}}
        for split in sorted(set(samples["split"].to_pylist())):
            rows = samples.filter(pc.equal(samples["split"], split)).sort_by("sample_id")
            shards = self._write_split(rows, classes, layout.root, target, split)
            index["splits"][split] = {"samples": len(rows), "shards": shards}
        (target / INDEX).write_bytes(orjson.dumps(index, option=orjson.OPT_INDENT_2))
        check(samples, target)

    def _write_split(self, rows: pa.Table, classes: dict[str, int], root: Path, target: Path, split: str) -> list[str]:
        (target / split).mkdir()
        shards: list[str] = []
        tar, room = None, 0.0
        try:
            for row in each(rows):
                members = list(_members(row, classes, root))
                if tar is None or room <= 0:
                    if tar is not None:
                        tar.close()
                    shards.append(f"{split}/{split}-{len(shards):06d}.tar")
                    tar = tarfile.open(target / shards[-1], "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - many
                    room = self.shard_mb * 1e6
                for name, data in members:
                    info = tarfile.TarInfo(name)
                    info.size, info.mode = len(data), 0o644
                    tar.addfile(info, io.BytesIO(data))
                    room -= len(data)
        finally:
            if tar is not None:
                tar.close()
        return shards


def _members(row: dict[str, Any], classes: dict[str, int], root: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of a sample's members."""
    name = row["sample_id"]
    yield f"{name}.mp4", _crop(root / row["path"])
    for variant in row["variants"]:
        yield f"{name}.{variant['background']}.mp4", _crop(root / variant["path"])
    yield f"{name}.cls", str(classes[row["class"]]).encode()
    yield f"{name}.json", orjson.dumps(metadata(row, boxes=True))


def _crop(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(
            f"{path} is listed in samples.parquet but missing: run the build again to restore it"
        ) from None


def check(samples: pa.Table, target: Path) -> None:
    """Compare the members of all shards with the samples; raises DatasetError that names the first difference."""
    index = orjson.loads((target / INDEX).read_bytes())
    wanted: dict[str, set[str]] = {}
    for row in each(samples.select(["sample_id", "split", "variants"])):
        names = ["mp4", "cls", "json", *(f"{v['background']}.mp4" for v in row["variants"])]
        wanted.setdefault(row["split"], set()).update(f"{row['sample_id']}.{name}" for name in names)
    for split, expected in sorted(wanted.items()):
        found: list[str] = []
        for shard in index["splits"][split]["shards"]:
            with tarfile.open(target / shard) as tar:
                found += tar.getnames()
        if len(found) != len(set(found)) or set(found) != expected:
            odd = sorted(set(found) ^ expected)[:3]
            raise DatasetError(
                f"{target / split}: the shards do not hold the samples, see {odd}; run task=export again"
            )
