"""What a vision model sees of every crop, computed once and kept beside the records.

`records/embeddings/<model>/<record>.parquet` has a row per crop: its sample id and the vectors of its earlier and its
later half, each the mean over up to two visible frames of the crop on black. They are not part of the record, so
another model crops nothing anew; a record of other crop settings has another name, and so have its vectors. What is
missing is computed again from the crops.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.layout import Layout
from pipeline.linking.appearance import unit
from pipeline.linking.vision_model import ModelName, VisionModel, open_model
from pipeline.loader import decode
from pipeline.records import ChunkRecord, Sample
from pipeline.settings import LinkConfig
from pipeline.tables import read_table, write_table
from pipeline.writing import write_bytes

log = logging.getLogger(__name__)
U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
LOOKED_AT = 4  # frames of a crop, two for either half
CROPS_AT_ONCE = 16
BACKGROUND = "black"
ROWS = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("vectors", pa.list_(pa.list_(pa.float16())), nullable=False),
    ]
)
Keeps = Callable[[Sample], bool]


@dataclass(slots=True)
class Embeddings:
    """The vectors of one dataset by one model, which is opened when the first one is missing."""

    layout: Layout
    name: ModelName
    device: str = "auto"
    key: str = ""
    _model: VisionModel | None = None
    _records: dict[str, list[str]] = field(default_factory=dict)
    _kept: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = self.key or self.name.key()

    @classmethod
    def of(cls, config: LinkConfig, layout: Layout) -> Embeddings | None:
        """None where none are wanted."""
        if config.embedding is None or not config.enabled:
            return None
        return cls(layout, ModelName.of(config.embedding), config.device)

    def open(self) -> VisionModel:
        """The model. Vectors of other weights under this name are removed: they cannot be compared with these."""
        if self._model is None:
            self._model = open_model(self.name, self.device)
            card = {"model": f"{self.name}", "weights": self._model.weights}
            path = self.layout.embedding_model(self.key)
            known = orjson.loads(path.read_bytes()) if path.is_file() else card
            if known["weights"] != card["weights"]:
                log.warning("%s has other weights than before: every crop is embedded anew", self.name)
                _remove(self.layout, path.parent)
            write_bytes(path, orjson.dumps(card))
        return self._model

    def update(self, records: Callable[[], Iterator[ChunkRecord]], keeps: Keeps) -> None:
        """Compute what is missing of the crops of these records. keeps: whether a crop is in the dataset.

        Raises ConfigError when the model cannot be opened, DatasetError for a crop that cannot be read, DiskError.
        """
        missing = sum(len(self._missing(record, keeps)) for record in records())
        if missing:
            model = self.open()  # before anything is looked up again: other weights remove what there is
            log.info("embedding %d crops with %s on %s", missing, self.name, model.device)
        for record in records():
            names = frozenset(sample.sample_id for sample in record.samples if _wanted(sample, keeps))
            self._records.setdefault(_video_of(record), []).append(record.id)
            self._kept[record.id] = names
            todo = self._missing(record, keeps)
            if todo:
                found = self._read(record.id) | dict(self._computed(todo))
                self._write(record.id, {name: v for name, v in found.items() if name in names})

    def of_video(self, fingerprint: str) -> dict[str, F32]:
        """By sample id, (1 or 2, D) of every kept crop of a video of `update`'s records."""
        found: dict[str, F32] = {}
        for record in self._records.get(fingerprint, ()):
            found |= {name: v for name, v in self._read(record).items() if name in self._kept[record]}
        return found

    def every(self) -> Iterator[F32]:
        """The vectors of every kept crop of the dataset, video by video."""
        for fingerprint in sorted(self._records):
            yield from self.of_video(fingerprint).values()

    def _missing(self, record: ChunkRecord, keeps: Keeps) -> list[Sample]:
        there = self._read(record.id)
        return [s for s in record.samples if _wanted(s, keeps) and s.sample_id not in there]

    def _computed(self, samples: Sequence[Sample]) -> Iterator[tuple[str, F32]]:
        for first in range(0, len(samples), CROPS_AT_ONCE):
            part = samples[first : first + CROPS_AT_ONCE]
            self.layout.bring(self.layout.root / file.path for sample in part for file in sample.files)
            pictures = [self._pictures(sample) for sample in part]
            vectors = self.open().embed(np.concatenate(pictures))
            ends = np.cumsum([len(each) for each in pictures])[:-1]
            for sample, own in zip(part, np.split(vectors, ends), strict=True):
                yield sample.sample_id, halves(own)

    def _pictures(self, sample: Sample) -> U8:
        """(1 to 4, S, S, 3) uint8 RGB: visible frames, spread evenly over the crop."""
        (path,) = (f.path for f in sample.files if f.background == BACKGROUND)
        seen = np.flatnonzero(sample.visible)
        at = seen[np.linspace(0, len(seen) - 1, min(len(seen), LOOKED_AT)).round().astype(int)]
        return np.ascontiguousarray(decode(self.layout.root / path)[at])

    def _read(self, record: str) -> dict[str, F32]:
        path = self.layout.embeddings_of(self.key, record)
        if not path.is_file():
            return {}
        try:
            table = read_table(path)
            rows = zip(table["sample_id"].to_pylist(), table["vectors"], strict=True)
            return {name: np.stack([v.values.to_numpy() for v in vectors]).astype(np.float32) for name, vectors in rows}
        except (pa.ArrowException, KeyError, ValueError, AttributeError) as error:
            log.warning("%s cannot be read (%s): its crops are embedded again", path, error)
            return {}

    def _write(self, record: str, found: Mapping[str, F32]) -> None:
        rows = [{"sample_id": name, "vectors": list(v.astype(np.float16))} for name, v in sorted(found.items())]
        write_table(self.layout.embeddings_of(self.key, record), pa.Table.from_pylist(rows, schema=ROWS))


def halves(vectors: F32) -> F32:
    """(2, D) means of the earlier and the later half of (n, D) vectors in order of time, of length 1; (1, D) of one."""
    return unit(np.stack([half.mean(axis=0) for half in np.array_split(vectors, min(2, len(vectors)))]))


def prepare(config: LinkConfig, layout: Layout) -> None:
    """Find out before hours of tracking whether the model can be had: what is from the hub is fetched now, unless crops
    were embedded with it before. Raises ConfigError."""
    wanted = Embeddings.of(config, layout)
    if wanted is not None:
        wanted.name.check()
        if wanted.name.folder is None and not layout.embedding_model(wanted.key).is_file():
            wanted.open()


def remove_superseded(layout: Layout, config: LinkConfig, records: set[str]) -> None:
    """Remove the vectors of other models than that of the config, and of other records than these."""
    if not layout.embeddings.is_dir():
        return
    wanted = Embeddings.of(config, layout)
    for folder in sorted(layout.embeddings.iterdir()):
        if wanted is None or folder.name != wanted.key:
            _remove(layout, folder)
            continue
        for path in folder.glob("*.parquet"):
            if path.stem not in records:
                layout.remove(path)
    if layout.embeddings.is_dir() and not any(layout.embeddings.iterdir()):
        layout.embeddings.rmdir()


def _remove(layout: Layout, folder: Path) -> None:
    for path in layout.files(folder):
        layout.remove(path)
    shutil.rmtree(folder, ignore_errors=True)


def _wanted(sample: Sample, keeps: Keeps) -> bool:
    return bool(sample.files) and sample.duplicate_of is None and any(sample.visible) and keeps(sample)


def _video_of(record: ChunkRecord) -> str:
    return record.samples[0].video_fingerprint if record.samples else ""
