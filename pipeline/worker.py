"""The worker: chunk -> record. The only place where the stages meet.

decode (ahead) -> track -> measure -> extract and encode (threads) -> commit. A worker writes crops and tracks under
temporary names, renames them, and writes the chunk's record last, so a chunk is done exactly when its record is there.
It is idempotent: what is already on disk is not made again. Pixels and masks never leave it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Any, Self

from pipeline import thumbnails
from pipeline.crop_writer import CropWriter
from pipeline.errors import DatasetError
from pipeline.feed import Fed, FrameFeed
from pipeline.job import Job, Outcome
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.measure import Draft, Measure
from pipeline.open_video import OpenVideo
from pipeline.peak_memory import peak_memory
from pipeline.records import ChunkRecord, CropFile, Failure, Rejection, Sample
from pipeline.settings import Settings
from pipeline.shortfalls import short_clips, window_failures
from pipeline.stored import Stored, keep, tracked_corrected
from pipeline.track_store import TrackStore, WindowTracks
from pipeline.tracking import Tracking
from pipeline.window_frames import decoded_when_asked, in_memory, is_long
from sam.errors import TrackerUnavailable
from video.errors import FetchError, VideoError
from video.types import Clip, Window

log = logging.getLogger(__name__)

IN_FLIGHT_BYTES = 512 * 2**20


@dataclass(slots=True)
class _State:
    """One window on its way through the stages. known: per prompt; None has to be tracked. before: what is stored.
    base: what was tracked before any correction, as far as it is known."""

    window: Window
    known: list[WindowTracks | None]
    before: list[WindowTracks | None]
    base: list[WindowTracks | None]
    drafts: list[Draft] = field(default_factory=list)
    crops: list[Future[Sample] | None] = field(default_factory=list)  # one per draft
    span: range = range(0)  # grid positions to decode ahead

    @property
    def found(self) -> list[WindowTracks]:
        return [w for w in self.known if w is not None]

    @property
    def untracked(self) -> bool:
        return None in self.known


class Worker:
    """Processes chunks one after another; holds the tracker, an open video and the encoder threads between them."""

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._layout = Layout(settings.out, settings.tracks)
        self._ledger = Ledger(self._layout)
        self._writer = CropWriter(settings, self._layout)
        self._store = TrackStore(self._layout)
        self._threads = threads
        self._stack = ExitStack()
        self._open = OpenVideo(settings)
        self._tracking = Tracking(settings)
        self._seconds: dict[str, float] = {}
        self._tracked = 0
        self._allowed = thumbnails.Allowance()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="encode")
        self._stack.callback(self._pool.shutdown, wait=True, cancel_futures=True)
        self._stack.callback(self._open.close)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def process(self, job: Job) -> Outcome:
        """Do one chunk and commit it. Raises DiskError, TrackerUnavailable or DatasetError."""
        self._seconds = {}
        self._open.following = job.following
        before = self._ledger.read(job.record_id)
        measure = Measure(self._settings, Judge.of(self._settings, job.splits), self._made(before))
        states = self._states(job, measure)
        self._tracked = 0
        self._allowed = thumbnails.Allowance()
        failures = self._stream(job, states, measure)
        if self._tracked or not all(map(self._store.has, job.track_keys)):
            keep(self._store, job, [s.known for s in states], [s.base for s in states])
        record = self._record(job, states, failures)
        if self._settings.task not in ("track", "clip"):
            thumbnails.prune(self._layout, record.samples, measure.judge)
            self._ledger.write(record)
        return Outcome(
            record_id=job.record_id,
            clips=job.chunk.clips,
            crops=sum(bool(s.files) for s in record.samples),
            failed=record.failures,
            tracked=self._tracked,
            reused=len(states) * len(job.track_keys) - self._tracked,
            seconds=self._seconds,
            objects=len(record.samples),
            size=sum(f.size for s in record.samples for f in s.files) + self._store.size(job.track_keys),
            memory=peak_memory().size,
        )

    # -- before decoding ----------------------------------------------------------------------------------------------

    def _made(self, record: ChunkRecord | None) -> dict[str, Sample]:
        """What an earlier record knows, with the files that are still on disk."""
        samples = record.samples if record else ()
        return {s.sample_id: s if all(map(self._is_there, s.files)) else replace(s, files=()) for s in samples}

    def _is_there(self, file: CropFile) -> bool:
        try:
            return (self._layout.root / file.path).stat().st_size == file.size
        except FileNotFoundError:
            return False

    def _states(self, job: Job, measure: Measure) -> list[_State]:
        """Each window with its stored tracks; where all are there, also with its drafts."""
        stored = Stored(self._settings, self._store, job)
        states = []
        for window in job.chunk.windows:
            before, base = stored.before(window), stored.base(window)
            state = _State(window, stored.known(before, base), before, base)
            if state.untracked and self._settings.task == "crop":
                raise DatasetError(
                    f"{job.chunk.video.name}: there are no stored tracks for all of it under {self._settings.tracks}; "
                    "run task=track with the same settings first, on a machine that has the tracker"
                )
            if not state.untracked:
                state.drafts = measure.drafts(window, state.found, job.track_keys)
            state.span = self._span(state)
            states.append(state)
        return states

    def _span(self, state: _State) -> range:
        """The grid positions that have to be decoded for this window; empty when everything is there."""
        if state.untracked:
            return range(0) if self._is_long(state.window) else state.window.positions
        clips = {c.id: c for c in state.window.clips if self._saves(c)}
        if self._settings.task != "track":
            clips |= {draft.clip.id: draft.clip for draft in state.drafts if draft.wanted}
        return range(min(c.start for c in clips.values()), max(c.stop for c in clips.values())) if clips else range(0)

    def _is_long(self, window: Window) -> bool:
        """Whether a window's frames are decoded as the tracker asks for them; only where nothing else needs them."""
        return self._settings.task == "track" and is_long(window)

    def _saves(self, clip: Clip) -> bool:
        wanted = self._settings.clip.save or self._settings.task == "clip"
        return wanted and self._settings.task != "track" and not self._layout.clip(clip.id).is_file()

    # -- the stream ---------------------------------------------------------------------------------------------------

    def _stream(self, job: Job, states: list[_State], measure: Measure) -> list[Failure]:
        """Pass every window through decode, track, crop; returns what could not be decoded."""
        video = job.chunk.video
        flying: deque[tuple[int, list[Future[Any]]]] = deque()
        failures: list[Failure] = []
        try:
            if any(state.untracked for state in states):
                self._load(job, states, measure)
            spans = [state.span for state in states if state.span]
            with ExitStack() as stack:
                feed = None
                if spans:
                    side = self._tracking.max_side
                    with self._timed("fetch"):
                        self._open.file(video)
                    feed = stack.enter_context(FrameFeed(self._open.reader(video), job.chunk.grid, spans, side))
                for state, following in zip_longest(states, states[1:]):
                    with self._timed("decode"):
                        frames = feed.take(state.span) if feed and state.span else []
                    if state.untracked:
                        self._track(job, state, frames, measure, _again(frames, following))
                    crops = self._crop(state, frames, measure.judge)
                    flying.append((sum(fed.frame.rgb.nbytes for fed in frames), crops))
                    self._settle(flying, IN_FLIGHT_BYTES)
        except VideoError as error:
            self._open.let_go()
            stage = "fetch" if isinstance(error, FetchError) else "decode"
            failures = [
                Failure(video.name, clip.id, stage, _reason(error))
                for state in states
                if state.untracked
                for clip in state.window.clips
            ] or [Failure(video.name, None, stage, _reason(error))]
        self._settle(flying, 0)
        return failures

    def _settle(self, flying: deque[tuple[int, list[Future[Any]]]], limit: int) -> None:
        """Wait until the frames that crops are still being made from take no more than `limit` bytes."""
        with self._timed("crop"):
            while flying and (sum(size for size, _ in flying) > limit or all(f.done() for f in flying[0][1])):
                for future in flying.popleft()[1]:
                    error = future.exception()
                    if error is not None and not isinstance(error, ValueError | VideoError):
                        raise error

    # -- tracking -----------------------------------------------------------------------------------------------------

    def _load(self, job: Job, states: Sequence[_State], measure: Measure) -> None:
        """Load the tracker. Where it cannot run, what is stored has to do: then nothing is tried again."""
        video = job.chunk.video
        try:
            with self._timed("load"):
                self._tracking.prepare(video, lambda: self._open.reader(video))
        except TrackerUnavailable as error:
            again = [state for state in states if state.untracked]
            if any(None in state.before for state in again):
                raise
            log.warning("%s: %d windows are not tried again: %s", video.name, len(again), error)
            for state in again:
                state.known = list(state.before)
                state.drafts = measure.drafts(state.window, state.found, job.track_keys)
                state.span = self._span(state)

    def _track(self, job: Job, state: _State, frames: Sequence[Fed], measure: Measure, again: int) -> None:
        missing = [p for p, known in enumerate(state.known) if known is None]
        with ExitStack() as stack:
            given = in_memory(frames)
            if self._is_long(state.window):
                with self._timed("decode"):
                    where = self._open.file(job.chunk.video), self._settings.reader, self._tracking.max_side
                    given = stack.enter_context(decoded_when_asked(state.window, *where))
            track = partial(self._tracking.track, job.chunk.video, state.window, given, again=again)
            with self._timed("track"):
                plain = [p for p in missing if state.base[p] is None]
                tracked = track([job.prompts[p] for p in plain]) if plain else []
                for p, found in zip(plain, tracked, strict=True):
                    state.base[p] = found
                results = [tracked_corrected(job, p, state.base[p], track) for p in missing]
        for p, found in zip(missing, results, strict=True):
            before = state.before[p]
            lost = found.error is not None and before is not None and before.error is None
            state.known[p] = before if lost else found
        self._tracked += len(missing)
        state.drafts = measure.drafts(state.window, state.found, job.track_keys)

    # -- cropping -----------------------------------------------------------------------------------------------------

    def _crop(self, state: _State, frames: Sequence[Fed], judge: Judge) -> list[Future[Any]]:
        """Hand every wanted crop of the window, and every clip to save, to the encoder threads."""
        if self._settings.task == "track":
            return []
        rgb = {fed.frame.position: fed.frame.rgb for fed in frames}
        futures: list[Future[Any]] = []
        for draft in state.drafts:
            pictures = [rgb[p] for p in range(draft.clip.start, draft.clip.stop) if p in rgb]
            if not draft.wanted and pictures and not draft.sample.files and self._shows(draft, judge):
                futures.append(self._pool.submit(self._writer.thumbnail, draft, pictures))
            state.crops.append(self._pool.submit(self._writer.crop, draft, pictures, judge) if draft.wanted else None)
        futures += [future for future in state.crops if future is not None]
        for clip in state.window.clips:
            pictures = [rgb[p] for p in range(clip.start, clip.stop) if p in rgb]
            if len(pictures) == clip.num_frames and self._saves(clip):
                futures.append(self._pool.submit(self._writer.clip, clip, pictures))
        return futures

    def _shows(self, draft: Draft, judge: Judge) -> bool:
        """Whether this refused object gets a thumbnail."""
        refusal = judge.refusal(draft.sample)
        return refusal is not None and self._allowed.takes(refusal.reason)

    # -- committing ---------------------------------------------------------------------------------------------------

    def _record(self, job: Job, states: Sequence[_State], failures: list[Failure]) -> ChunkRecord:
        samples = []
        short: list[Rejection] = []
        for state in states:
            failures += window_failures(state.window, state.found)
            short += short_clips(state.window, state.found, self._settings.clip.whole)
            crops = state.crops or [None] * len(state.drafts)
            for draft, crop in zip(state.drafts, crops, strict=True):
                sample = draft.sample
                try:
                    sample = crop.result() if crop else sample
                except (ValueError, VideoError) as error:
                    failures.append(Failure(sample.video, sample.clip_id, "crop", _reason(error)))
                samples.append(sample)
        return ChunkRecord(
            id=job.record_id,
            chunk_id=job.chunk.id,
            video=job.chunk.video.name,
            clips=tuple(clip.id for w in job.chunk.windows for clip in w.clips),
            samples=tuple(samples),
            short=tuple(short),
            failures=tuple(dict.fromkeys(failures)),
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - began


def _again(frames: Sequence[Fed], following: _State | None) -> int:
    """How many of these frames the next window's tracking begins with, as the same pictures."""
    if following is None or not following.untracked or not following.span:
        return 0
    return sum(fed.frame.position >= following.span.start for fed in frames)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
