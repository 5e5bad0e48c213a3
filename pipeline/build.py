"""The build: survey, do what is missing, index, split, export, report. Knows the order; does no stage itself.

A derived file (index, export, report) is made again exactly when what it is made from has changed: every one has a
stamp in `records/index.json`. What the current settings no longer name is removed only after the new build is complete.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipeline import thumbnails
from pipeline.corrected_windows import corrections_of, said_of, touching
from pipeline.correcting import Corrector
from pipeline.derive import checksums, export, read_state, report, write_state
from pipeline.errors import DatasetError
from pipeline.footage import Footage, survey
from pipeline.job import Job, Outcome
from pipeline.labels import Label, LabelStore, apply
from pipeline.layout_of import layout_of
from pipeline.ledger import Ledger, record_id
from pipeline.pending import note_done, still_to_do
from pipeline.progress import Progress
from pipeline.records import Failure
from pipeline.settings import Settings
from pipeline.split import Splits, planned_splits
from pipeline.status import Status, rivals_of, runs_of
from pipeline.tables import read_table
from pipeline.task_table import TASKS
from pipeline.tasks.promised import told
from pipeline.track_store import TrackStore, track_key
from pipeline.writing import disk_errors, remove_stale_parts, write_bytes
from sam.errors import TrackerUnavailable
from video.types import digest

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a build ended with. seconds: by stage. reused: windows whose tracks were there already."""

    videos: int
    clips: int
    crops: int
    rejected: int
    failures: int
    tracked_windows: int
    reused_windows: int
    seconds: dict[str, float]
    root: Path = Path()
    prompts: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        return 3 if self.failures else 0


class Build:
    """One run over one dataset root."""

    def __init__(self, settings: Settings, folder: Path | None = None) -> None:
        """folder: of this run, `runs/<time>`, where it says how far it is."""
        self.settings = settings
        self._folder = folder
        self.layout = layout_of(settings)
        self.ledger = Ledger(self.layout)
        self.store = TrackStore(self.layout)
        self.seconds: dict[str, float] = {}
        self._speed = ""

    def jobs(self, footage: Footage) -> list[Job]:
        """Every chunk of this run's settings with the keys of its tracks and its record."""
        settings = self.settings
        identity = self._identity() if settings.task != "clip" and any(footage.prompts.values()) else {}
        if settings.disjoint:
            identity = identity | {"disjoint": True}
        splits = self.splits(footage)
        only = {video.name: splits.only(video.name) for video in footage.videos}
        untouched = {asked: Corrector({}, asked, settings.disjoint) for asked in set(footage.prompts.values())}
        touched = corrections_of(settings, footage)
        crop, encode = asdict(settings.crop), asdict(settings.encode)
        made = []
        for chunk in footage.chunks:
            name = chunk.video.name
            prompts = footage.prompts[name]
            keys, base, entries = [], [], {}
            for p, prompt in enumerate(prompts):
                windows = touched.get(name, {}).get(prompt, {})
                mine = touching(windows, chunk)
                key = partial(track_key, chunk, prompt, settings.tracker_name, reader=settings.reader)
                base.append(key(identity=identity))
                keys.append(key(identity=identity | {"corrections": mine}) if mine is not None else base[p])
                if mine is not None:
                    entries[p] = {each: windows[each] for each in chunk.window_ids if each in windows}
            corrector = Corrector(entries, prompts, settings.disjoint) if entries else untouched[prompts]
            record = record_id(chunk, keys, crop, encode)
            made.append(Job(chunk, prompts, tuple(keys), record, only[name], tuple(base), corrector))
        return made

    def splits(self, footage: Footage) -> Splits:
        """Where every moment of every video belongs; raises ConfigError for a video without a group."""

        def labels() -> list[Label]:
            return [*_labels_of(footage), *LabelStore(self.layout).read()]

        return planned_splits(footage.clips_by_video(), self.settings.split, self.layout, labels)

    def run(self) -> Summary:
        """Do what is missing. Raises SourceError, ConfigError, TrackerUnavailable, DiskError, KeyboardInterrupt."""
        with self._timed("plan"):
            footage = survey(self.settings, self.ledger)
            jobs = self.jobs(footage)
        if not footage.videos and not footage.duplicates:
            self._all_failed(footage.failures)
        self.save_settings()
        if self.settings.task not in ("track", "clip"):
            from pipeline.linking import embeddings

            embeddings.prepare(self.settings.linking, self.layout)
        outcomes = self._work(jobs, footage)
        if self.settings.task in ("track", "clip"):
            return self._summary(footage, outcomes, 0, 0, sum(o.failures for o in outcomes) + len(footage.failures))
        return self._finish(footage, jobs, outcomes)

    # -- doing --------------------------------------------------------------------------------------------------------

    def _work(self, jobs: Sequence[Job], footage: Footage) -> list[Outcome]:
        share = [job for job in jobs if self.settings.shard.takes(job.chunk.id)]
        pending = still_to_do(self.settings, self.layout, share, jobs, lambda: self.splits(footage))
        done = len(share) - len(pending)
        if done:
            log.info("%d of %d chunks are done already", done, len(share))
        if pending:
            self.layout.remove(self.layout.tidy)
        outcomes: list[Outcome] = []
        chunks = {job.record_id: job.chunk for job in pending}
        status = Status.begun(self.settings, jobs, pending)
        rivals = rivals_of(status, self.layout) if pending else []
        if rivals:
            log.warning(
                "another run was just at work on this dataset (%s): if it still is, both do the same work twice; stop "
                "one, or give each a share with shard.index and shard.count",
                "; ".join(rivals),
            )
        with self._timed("work"), Progress(status, self._folder, self.layout.tell) as progress:
            results = self.settings.executor.run(self.settings, pending)
            try:
                for outcome in results:
                    outcomes.append(outcome)
                    progress.advance(outcome, chunks[outcome.record_id])
            finally:
                results.close()
        self.seconds |= status.seconds
        self._speed = status.speed if outcomes else ""
        return outcomes

    # -- finishing ----------------------------------------------------------------------------------------------------

    def _finish(self, footage: Footage, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> Summary:
        wanted = {job.record_id for job in jobs}
        with self._timed("index"), FileLock(self.layout.lock), self.layout.holding():
            complete = False
            while not complete:
                self.layout.exchange()
                self._still_ours()
                missing = self._index(wanted, footage, jobs)
                apply(self.layout, _labels_of(footage))
                self._derive()
                complete = self.layout.deliver()  # unless another machine has finished a chunk meanwhile
        if missing:
            log.info("%d of %d chunks are still to be done by other shards or a rerun", len(missing), len(wanted))
        import pyarrow.parquet as pq

        counts = [
            pq.read_metadata(p).num_rows for p in (self.layout.samples, self.layout.rejected, self.layout.failures)
        ]
        return self._summary(footage, outcomes, *counts)

    def _index(self, wanted: set[str], footage: Footage, jobs: Sequence[Job]) -> set[str]:
        """Make the tables from the records, and remove what these no longer name; returns what is missing of them."""
        left = None
        while not self._is_indexed(stamp := self._index_stamp(jobs, footage)):  # a shard may go on meanwhile
            from pipeline.indexing import write_index

            left = write_index(self.settings, self.layout, footage, jobs, self.splits(footage))
            write_state(self.layout, index=stamp)
        missing = wanted - set(self.layout.record_files())
        if not missing:
            self._remove_superseded(wanted, stamp)
            if not self.settings.keep_tracks:
                for key in {key for job in jobs for key in (*job.track_keys, *job.base_keys)}:
                    self.store.remove(key)
        if left is not None:
            note_done(self.settings, self.layout, jobs, left)
        return missing

    def _is_indexed(self, stamp: str) -> bool:
        return read_state(self.layout).get("index") == stamp and self.layout.samples.is_file()

    def _derive(self) -> None:
        """Exports, report and checksums, where the index or their own settings changed."""
        export(self.settings, self.layout)
        runs = [run for _, run in runs_of(self.layout)]
        planned = told(self.layout, runs, self._folder) if self._speed else []
        report(self.settings, self.layout, self.seconds, self._speed, planned)
        checksums(self.layout)

    def _index_stamp(self, jobs: Sequence[Job], footage: Footage) -> str:
        """Changes with anything the index is made from: records, unusable videos, filters, region and split."""
        settings = self.settings
        files = self.layout.record_files()
        records = []
        for job in jobs:
            stat = files[job.record_id].stat() if job.record_id in files else None
            records.append((job.record_id, stat and (stat.st_size, stat.st_mtime_ns)))
        roi = settings.roi.read_bytes() if settings.roi else b""
        filters = {name: asdict(options) for name, options in settings.filters.items()}
        splits, linking = self.splits(footage), settings.linking.decisive
        refused = footage.duplicates + footage.refused
        said = said_of(settings, footage)
        return digest(records, footage.failures, refused, filters, roi, splits, asdict(settings.split), linking, said)

    def _remove_superseded(self, wanted: set[str], stamp: str) -> None:
        """Remove the records and crops that the current settings do not name, unless that was done for this index and
        nothing was made since."""
        if _read(self.layout.tidy) == stamp.encode():
            return
        for record in set(self.layout.record_files()) - wanted:
            self.ledger.remove(record)
        from pipeline.linking import embeddings

        embeddings.remove_superseded(self.layout, self.settings.linking, wanted)
        rows = read_table(self.layout.samples, ["path", "variants"])
        keep = {*rows["path"].to_pylist(), *_variants(rows)}
        refused = self._refused()
        removed = sorted(path for path in self.layout.crop_paths() if path not in keep)
        mains = ((Path(path).stem, path) for path in removed)
        thumbnails.from_crops(self.layout, ((name, refused[name], path) for name, path in mains if name in refused))
        thumbnails.remove_superseded(self.layout, set(refused))
        for path in removed:
            crop = self.layout.root / path
            self.layout.remove(crop)
            with suppress(OSError):  # others are in it, or it is not here
                crop.parent.rmdir()
        if removed:
            log.info("removed %d crops that the current settings no longer make", len(removed))
        remove_stale_parts(self.layout.root)
        write_bytes(self.layout.tidy, stamp.encode())

    def _refused(self) -> dict[str, str]:
        """The reasons of the refused objects, by sample id."""
        rows = read_table(self.layout.rejected, ["sample_id", "reason"])
        pairs = zip(rows["sample_id"].to_pylist(), rows["reason"].to_pylist(), strict=True)
        return {sample_id: reason for sample_id, reason in pairs if sample_id is not None}

    # -- settings -----------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, Any]:
        """What the tracker says about itself; where it is missing, what it said when the tracks were made."""
        settings = self.settings
        assert settings.tracker is not None
        remembered = self.store.remembered_identity(settings.tracker_name, settings.tracker)
        if TASKS[settings.task].dataset and remembered is not None:
            return remembered
        try:
            tracker = settings.tracker.build()
            return tracker.identity() | {"max_side": tracker.max_side, "context": tracker.context}
        except TrackerUnavailable:
            if remembered is None:
                raise
            log.info("tracker=%s is not installed here: its stored tracks are used", settings.tracker_name)
            return remembered

    def save_settings(self) -> None:
        """Note under `out` what it is made with."""
        with disk_errors(self.layout.dataset_yaml):
            self.layout.root.mkdir(parents=True, exist_ok=True)
            self.layout.records.mkdir(parents=True, exist_ok=True)
        document = self.settings.dataset_document.encode()
        if self.settings.task in ("build", "batch", "crop") and _read(self.layout.dataset_yaml) != document:
            write_bytes(self.layout.dataset_yaml, document)
        if self.settings.tracker is not None and self.settings.task != "clip":
            self.store.remember_identity(self.settings.tracker_name, self.settings.tracker, self._identity())
        settings = self.layout.records / "settings"
        write_bytes(settings, self.settings.digest.encode())
        self.layout.publish([self.layout.dataset_yaml, settings])

    def _still_ours(self) -> None:
        if _read(self.layout.records / "settings") != self.settings.digest.encode():
            raise DatasetError(
                f"another run with other settings has taken over {self.settings.place}: "
                "give each setting its own out=..., and run this command again"
            )

    def _all_failed(self, failures: Sequence[Failure]) -> None:
        from video.errors import SourceError

        shown = "; ".join(f.error if f.video in f.error else f"{f.video}: {f.error}" for f in failures[:5])
        more = f"; and {len(failures) - 5} more" if len(failures) > 5 else ""
        raise SourceError(f"none of the {len(failures)} videos can be used: {shown}{more}")

    def _summary(
        self, footage: Footage, outcomes: Sequence[Outcome], crops: int, rejected: int, failures: int
    ) -> Summary:
        return Summary(
            videos=len(footage.videos),
            clips=footage.clips,
            crops=crops,
            rejected=rejected,
            failures=failures,
            tracked_windows=sum(o.tracked for o in outcomes),
            reused_windows=sum(o.reused for o in outcomes),
            seconds=self.seconds,
            root=self.layout.root,
            prompts=self.settings.prompts,
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - began


def _labels_of(footage: Footage) -> list[Label]:
    """What `clip.spans` says happens where; older than any label that was given."""
    return [
        Label(span.label, span.author, "", video.name, video.fingerprint, span.start_s, span.end_s)
        for video in footage.videos
        for span in footage.spans.get(video.name, ())
        if span.label
    ]


def _variants(rows: pa.Table) -> list[str]:
    """Paths of all further variants."""
    return list(rows["variants"].combine_chunks().flatten().field("path").to_pylist())


def _read(path: Any) -> bytes:
    try:
        return bytes(path.read_bytes())
    except OSError:
        return b""
