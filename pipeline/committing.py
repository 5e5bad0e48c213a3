"""The thread that commits: it waits for the crops of a chunk, keeps its tracks, and writes its record last.

One chunk after another, in their order. A chunk whose record is there is done, whatever happens next.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from pipeline import thumbnails
from pipeline.cropping import FORGIVEN, wait
from pipeline.job import Outcome
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.open_chunk import OpenChunk
from pipeline.peak_memory import peak_memory
from pipeline.records import ChunkRecord, Failure, Rejection
from pipeline.settings import Settings
from pipeline.shortfalls import short_clips, window_failures
from pipeline.stored import keep
from pipeline.track_store import TrackStore


class Committing:
    """Commits open chunks. told: called with the outcome of each, or with what ends the run.

    Leaving the block ends the commit that has been begun and drops the others.
    """

    def __init__(self, settings: Settings, layout: Layout, told: Callable[[Outcome | BaseException], None]) -> None:
        self._settings = settings
        self._layout = layout
        self._ledger = Ledger(layout)
        self._store = TrackStore(layout)
        self._told = told

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def add(self, chunk: OpenChunk) -> None:
        """Commit a chunk, all of whose windows are with the threads that crop."""
        self._thread.submit(self._tell, chunk)

    def _tell(self, chunk: OpenChunk) -> None:
        try:
            outcome: Outcome | BaseException = self._commit(chunk)
        except BaseException as error:  # handed to the thread that tracks
            outcome = error
        self._told(outcome)

    def _commit(self, chunk: OpenChunk) -> Outcome:
        job = chunk.job
        for each in chunk.windows:
            wait(each)
        with chunk.stopwatch.timed("commit"):
            if chunk.tracked_windows or not all(map(self._store.has, job.track_keys)):
                keep(self._store, job, [each.known for each in chunk.windows], [each.base for each in chunk.windows])
            record = self._record(chunk)
            if self._settings.task not in ("track", "clip"):
                thumbnails.prune(self._layout, record.samples, chunk.measure.judge)
                self._ledger.write(record)
            self._layout.committed(record, (*job.track_keys, *job.base_keys))
        return Outcome(
            record_id=job.record_id,
            clips=job.chunk.clips,
            crops=sum(bool(s.files) for s in record.samples),
            failed=record.failures,
            tracked=chunk.tracked_windows,
            reused=len(chunk.windows) * len(job.track_keys) - chunk.tracked_windows,
            seconds=chunk.stopwatch.seconds,
            objects=len(record.samples),
            size=sum(f.size for s in record.samples for f in s.files) + self._store.size(job.track_keys),
            memory=peak_memory().size,
        )

    def _record(self, chunk: OpenChunk) -> ChunkRecord:
        samples = []
        failures = list(chunk.failures)
        short: list[Rejection] = []
        for each in chunk.windows:
            failures += window_failures(each.window, each.found)
            short += short_clips(each.window, each.found, self._settings.clip.whole)
            drafts = each.drafts or []
            for draft, crop in zip(drafts, each.crops or [None] * len(drafts), strict=True):
                sample = draft.sample
                try:
                    sample = crop.result() if crop else sample
                except FORGIVEN as error:
                    failures.append(Failure(sample.video, sample.clip_id, "crop", str(error) or type(error).__name__))
                samples.append(sample)
        return ChunkRecord(
            id=chunk.job.record_id,
            chunk_id=chunk.job.chunk.id,
            video=chunk.video.name,
            clips=tuple(clip.id for w in chunk.job.chunk.windows for clip in w.clips),
            samples=tuple(samples),
            short=tuple(short),
            failures=tuple(dict.fromkeys(failures)),
        )
