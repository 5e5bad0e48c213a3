"""Every path under the dataset root: the only place that spells a path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.place import Place


@dataclass(frozen=True, slots=True)
class Layout(Place):
    """Paths of one dataset. `tracks` may lie elsewhere, shared between datasets."""

    root: Path
    tracks: Path

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
