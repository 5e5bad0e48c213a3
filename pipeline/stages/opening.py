"""Opening a chunk: what is there of it, what has to be tracked, and which frames that needs.

Reads records and stored tracks, never a video; writes nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from pipeline.errors import DatasetError
from pipeline.job import Job
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.records import ChunkRecord, CropFile, Sample
from pipeline.settings import Settings
from pipeline.stages.feed import Budget, FrameFeed
from pipeline.stages.measure import Measure
from pipeline.stages.open_chunk import OpenChunk, OpenWindow
from pipeline.stages.stored import Stored
from pipeline.stages.window_frames import is_long
from pipeline.track_store import TrackStore
from sam.errors import TrackerUnavailable
from video.types import Clip

log = logging.getLogger(__name__)


class Opening:
    """How chunks are opened under one layout."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        self._settings = settings
        self._layout = layout
        self._ledger = Ledger(layout)
        self._store = TrackStore(layout)

    def open(self, job: Job, budget: Budget) -> OpenChunk:
        """A chunk whose windows have their stored tracks; where all are there, also their drafts. Raises DatasetError.

        budget: of the bytes that may be decoded ahead.
        """
        before = self._ledger.read(job.record_id)
        measure = Measure(self._settings, Judge.of(self._settings, job.splits), self._made(before))
        chunk = OpenChunk(job, [], measure, FrameFeed(budget))
        with chunk.stopwatch.timed("measure"):
            stored = Stored(self._settings, self._store, job)
            for window in job.chunk.windows:
                known, base = stored.before(window), stored.base(window)
                each = OpenWindow(window, stored.known(known, base), known, base)
                if each.untracked and self._settings.task == "crop":
                    raise DatasetError(
                        f"{chunk.video.name}: there are no stored tracks for all of it under {self._settings.tracks}; "
                        "run task=track with the same settings first, on a machine that has the tracker"
                    )
                self._settle(chunk, each)
                chunk.windows.append(each)
        return chunk

    def without_tracker(self, chunk: OpenChunk, error: TrackerUnavailable) -> None:
        """Make do with what is stored, so that nothing is tried again. Raises `error` where something is not stored."""
        again = chunk.untracked
        if any(None in each.before for each in again):
            raise error
        log.warning("%s: %d windows are not tried again: %s", chunk.video.name, len(again), error)
        for each in again:
            each.known = list(each.before)
            self._settle(chunk, each)

    def is_long(self, each: OpenWindow) -> bool:
        """Whether its frames are decoded as the tracker asks for them; only where nothing else needs them."""
        return self._settings.task == "track" and is_long(each.window)

    def saves(self, clip: Clip) -> bool:
        """Whether the clip's own frames are to be written."""
        wanted = self._settings.clip.save or self._settings.task == "clip"
        return wanted and self._settings.task != "track" and not self._layout.has(self._layout.clip(clip.id))

    def _settle(self, chunk: OpenChunk, each: OpenWindow) -> None:
        """Measure what is tracked, and find the grid positions that have to be decoded: none if everything is there."""
        if each.untracked:
            each.span = range(0) if self.is_long(each) else each.window.positions
            return
        clips = {c.id: c for c in each.window.clips if self.saves(c)}
        if self._settings.task != "track":
            each.drafts = chunk.measure.drafts(each.window, each.found, chunk.job.track_keys)
            clips |= {draft.clip.id: draft.clip for draft in each.drafts if draft.wanted}
        starts, stops = [c.start for c in clips.values()], [c.stop for c in clips.values()]
        each.span = range(min(starts), max(stops)) if clips else range(0)

    def _made(self, record: ChunkRecord | None) -> dict[str, Sample]:
        """What an earlier record knows, with the files that are still on disk."""
        samples = record.samples if record else ()
        return {s.sample_id: s if all(map(self._is_there, s.files)) else replace(s, files=()) for s in samples}

    def _is_there(self, file: CropFile) -> bool:
        return self._layout.size(self._layout.root / file.path) == file.size
