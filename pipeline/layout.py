"""Every path under the dataset root, and atomic writes: the only place that spells a path.

A file appears under its final name complete or not at all: it is written beside it under a temporary name ending in
`.part`, flushed to disk, and renamed.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import DiskError
from pipeline.place import Place

if TYPE_CHECKING:
    from pipeline.settings import Settings

STALE_PART_S = 3600.0


@dataclass(frozen=True, slots=True)
class Layout(Place):
    """Paths of one dataset. `tracks` may lie elsewhere, shared between datasets."""

    root: Path
    tracks: Path

    @staticmethod
    def of(settings: Settings) -> Layout:
        """Of the dataset that a run works on; it may lie on a server."""
        if settings.url is None:
            return Layout(settings.out, settings.tracks)
        from pipeline.mirror.layout import mirrored

        return mirrored(settings)

    @property
    def named(self) -> str:
        """The dataset's folder or URL, for people."""
        return str(self.root)

    @property
    def dataset_yaml(self) -> Path:
        return self.root / "dataset.yaml"

    @property
    def crops(self) -> Path:
        return self.root / "crops"

    @property
    def clips(self) -> Path:
        return self.root / "clips"

    @property
    def records(self) -> Path:
        return self.root / "records"

    @property
    def video_records(self) -> Path:
        return self.records / "videos"

    @property
    def index_state(self) -> Path:
        """What the index, the exports and the report were last made from."""
        return self.records / "index.json"

    @property
    def tidy(self) -> Path:
        """Holds the index stamp for which nothing superseded is left; absent while a run makes crops."""
        return self.records / "tidy"

    @property
    def done(self) -> Path:
        """The chunks that were found finished, see `pipeline.done`."""
        return self.records / "done.json"

    @property
    def tracks_seen(self) -> Path:
        """The track files that were looked into, see `pipeline.done`."""
        return self.records / "tracks.json"

    @property
    def lock(self) -> Path:
        return self.records / "index.lock"

    @property
    def samples(self) -> Path:
        return self.root / "samples.parquet"

    @property
    def rejected(self) -> Path:
        return self.root / "rejected.parquet"

    @property
    def failures(self) -> Path:
        return self.root / "failures.parquet"

    @property
    def links(self) -> Path:
        """Who is taken for the same individual, and what was left open."""
        return self.root / "links.parquet"

    @property
    def splits(self) -> Path:
        return self.root / "splits.parquet"

    @property
    def labels(self) -> Path:
        """Every label that was ever given, a line each."""
        return self.root / "labels.jsonl"

    @property
    def open_labels(self) -> Path:
        """The labels that fit no sample, or may fit one."""
        return self.root / "labels.open.jsonl"

    @property
    def corrections(self) -> Path:
        """Where the studio writes corrections, unless the dataset was built with others."""
        return self.root / "corrections"

    @property
    def label_classes(self) -> Path:
        """The classes a labeller chooses from, and their keys."""
        return self.root / "label_classes.json"

    @property
    def checksums(self) -> Path:
        return self.root / "checksums.sha256"

    @property
    def release(self) -> Path:
        """Licence, sources, config and versions, for those who get the dataset."""
        return self.root / "release.json"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def report(self) -> Path:
        return self.root / "report" / "index.html"

    @property
    def preview(self) -> Path:
        return self.root / "preview" / "index.html"

    def segment(self, video: str) -> Path:
        """Where task=segment puts what it found in a video, given by its name."""
        return self.root / "segment" / Path(video).with_suffix("")

    @property
    def outputs(self) -> Path:
        return self.root / "outputs"

    def output(self, name: str) -> Path:
        """Where task=outputs puts what it makes of a clip, given by its id, or of a video, by its name."""
        return self.outputs / name

    def output_record(self, name: str) -> Path:
        """What is there of it, and from which settings."""
        return self.output(name) / "outputs.json"

    def output_failures(self, shard: int) -> Path:
        """What the last run of task=outputs, or of one of its shards, could not make."""
        return self.outputs / f"failures-{shard}.json"

    def batch_file(self, name: str, kind: str) -> Path:
        """A file of a video of task=batch, beside those of its folder. kind: "segmented" or "metadata"."""
        return self.root / f"{name}_{kind}{'.mp4' if kind == 'segmented' else '.json'}"

    def batch_record(self, name: str) -> Path:
        """What the files of a video of task=batch were made from."""
        return self.records / "batch" / f"{name}.json"

    @property
    def thumbnails(self) -> Path:
        return self.records / "thumbnails"

    def thumbnail(self, sample_id: str) -> Path:
        """A small picture of a refused object."""
        return self.thumbnails / sample_id[:2] / f"{sample_id}.jpg"

    @property
    def spread(self) -> Path:
        """How clip.sampling=spread dealt its budget."""
        return self.records / "spread.json"

    @property
    def embeddings(self) -> Path:
        """What vision models see of the crops."""
        return self.records / "embeddings"

    def embedding_model(self, key: str) -> Path:
        """Which model the vectors of this key are of."""
        return self.embeddings / key / "model.json"

    def embeddings_of(self, key: str, record_id: str) -> Path:
        """The vectors of the crops of one record."""
        return self.embeddings / key / f"{record_id}.parquet"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def plan(self) -> Path:
        """What the last trial of task=plan promised."""
        return self.runs / "plan.json"

    def record(self, record_id: str) -> Path:
        return self.records / record_id[:2] / f"{record_id}.json"

    def video_record(self, key: str) -> Path:
        return self.video_records / f"{key}.json"

    def track_file(self, key: str) -> Path:
        return self.tracks / key[:2] / f"{key}.parquet"

    def has_tracks(self) -> bool:
        """Whether there are any tracks at all."""
        return any(True for _ in self.tracks.glob("??/*.parquet"))

    def tracker_identity(self, key: str) -> Path:
        return self.tracks / "trackers" / f"{key}.json"

    def crop(self, clip_id: str, sample_id: str, variant: str | None = None) -> Path:
        name = f"{sample_id}.mp4" if variant is None else f"{sample_id}.{variant}.mp4"
        return self.crops / clip_id / name

    def clip(self, clip_id: str) -> Path:
        return self.clips / f"{clip_id}.mp4"

    def relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def track_keys(self) -> set[str]:
        """The key of every track file."""
        shelves = (shelf for shelf in _scan(self.tracks) if len(shelf.name) == 2 and shelf.is_dir())
        names = (entry.name for shelf in shelves for entry in _scan(shelf.path))
        return {name.removesuffix(".parquet") for name in names if name.endswith(".parquet") and name[0] != "."}

    def stamp(self, path: Path) -> tuple[int, int] | None:
        """Size and time of a file, bytes and nanoseconds since 1970; None where there is none, and a time to come where
        that cannot be told."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        return stat.st_size, stat.st_mtime_ns

    def record_files(self) -> dict[str, os.DirEntry[str]]:
        """Every chunk record on disk by id."""
        found: dict[str, os.DirEntry[str]] = {}
        for shelf in _scan(self.records):
            if shelf.is_dir() and len(shelf.name) == 2:
                for entry in _scan(shelf.path):
                    if entry.name.endswith(".json"):
                        found[entry.name.removesuffix(".json")] = entry
        return found

    def crop_paths(self) -> Iterator[str]:
        """Every finished file under crops/ by its path relative to the root, in no order."""
        clips = (folder.name for folder in _scan(self.crops) if folder.is_dir())
        return (path for clip in clips for path, _ in self._crop_files(clip))

    def _crop_files(self, clip_id: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        inside = f"crops/{clip_id}/"
        try:
            with os.scandir(f"{self.crops}/{clip_id}") as entries:
                for entry in entries:
                    name = entry.name
                    if not name.endswith(".part"):
                        yield inside + name, entry
        except FileNotFoundError:
            return

    def crop_times(self, clip_ids: Iterable[str]) -> list[int]:
        """When a crop of each clip last came or went, nanoseconds since 1970; 0 where there are none, and a time to
        come where that cannot be told."""
        times = []
        for clip_id in clip_ids:
            try:
                times.append(os.stat(f"{self.crops}/{clip_id}").st_mtime_ns)
            except FileNotFoundError:
                times.append(0)
        return times

    def crop_sizes(self, clip_ids: Iterable[str]) -> dict[str, int]:
        """Size in bytes of every finished crop of these clips, by path relative to the root."""
        return {path: entry.stat().st_size for clip_id in clip_ids for path, entry in self._crop_files(clip_id)}


def _scan(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda e: e.name)
    except FileNotFoundError:
        return []


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success flush it to disk and rename it to `path`, else remove it.

    Raises DiskError when the disk is full or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            with open(part, "rb+") as written:
                os.fsync(written.fileno())
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with writing(path) as part:
        part.write_bytes(data)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces the folder at `path`, else it is removed."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with disk_errors(path):
            part.mkdir(parents=True)
            yield part
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old.part")
            if path.exists():
                os.replace(path, old)
            os.replace(part, path)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space", "read-only" and "permission denied" into a DiskError that names the folder and the fix."""
    try:
        yield
    except OSError as error:
        folder = path.parent
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskError(
                f"no space left in {folder}: free some space and run the same command to continue"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise DiskError(
                f"{folder} cannot be written ({error.strerror}): choose a writable folder with out=..., "
                "or give yourself write access, and run the same command again"
            ) from error
        raise


def remove_stale_parts(folder: Path) -> int:
    """Remove temporary files that a killed run left more than an hour ago; returns how many."""
    removed = 0
    for place, folders, files in os.walk(folder):
        for name in [n for n in (*folders, *files) if n.endswith(".part") and n.startswith(".")]:
            part = Path(place, name)
            try:
                if time.time() - part.stat().st_mtime > STALE_PART_S:
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
                    removed += 1
            except FileNotFoundError:  # its own run has just finished it
                continue
    return removed
