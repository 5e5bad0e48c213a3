"""The worker: chunk -> record. The only place where the stages meet.

decode (ahead) -> track -> measure -> extract and encode -> commit; each in threads of its own but tracking, which has
the thread that called. Chunks overlap: while one is cropped and committed, the next is tracked and the one after it
decoded, so what the tracker waits for is only what it takes longer to make than to track. A worker writes crops and
tracks under temporary names, renames them, and writes a chunk's record last, so a chunk is done exactly when its record
is there. It is idempotent: what is already on disk is not made again. Pixels and masks never leave it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import zip_longest
from typing import Self

from pipeline.job import Job, Outcome
from pipeline.layout_of import layout_of
from pipeline.records import Failure
from pipeline.settings import Settings
from pipeline.stages import cropping
from pipeline.stages.ahead import Ahead
from pipeline.stages.arrivals import Arrivals
from pipeline.stages.committing import Committing
from pipeline.stages.cropping import Cropping
from pipeline.stages.feed import Fed
from pipeline.stages.open_chunk import OpenChunk, OpenWindow
from pipeline.stages.open_video import OpenVideo
from pipeline.stages.opening import Opening
from pipeline.stages.stored import tracked_corrected
from pipeline.stages.tracking import Tracking
from pipeline.stages.window_frames import decoded_when_asked, in_memory
from sam.errors import TrackerUnavailable
from video.errors import FetchError, VideoError

TURN_S = 0.0005


class Worker:
    """Processes chunks; holds the tracker and an open video between them. threads: that crop and encode."""

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._layout = layout_of(settings)
        self._threads = threads
        self._opening = Opening(settings, self._layout)
        self._tracking = Tracking(settings)
        self._video = OpenVideo(settings)

    def __enter__(self) -> Self:
        self._layout.attach()
        return self

    def __exit__(self, *exc: object) -> None:
        self._video.close()

    def process(self, job: Job) -> Outcome:
        """Do one chunk and commit it. Raises what `run` raises."""
        (outcome,) = self.run([job])
        return outcome

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        """Do chunks and commit them; yields the outcome of each, in their order, once it is committed.

        jobs: asked for in another thread, which may wait for the next one; it is asked for a few chunks ahead. Raises
        DiskError, TrackerUnavailable or DatasetError: chunks before the one that fails are committed then, if they can
        be. Closing the iterator stops it where it is, and `Abandoned` from the jobs after the window that is tracked.
        """
        with ExitStack() as stack:
            stack.enter_context(_turns_of(TURN_S))
            arrivals = Arrivals()
            commits = stack.enter_context(Committing(self._settings, self._layout, arrivals.put))
            crops = stack.enter_context(Cropping(self._settings, self._layout, self._opening, self._threads))
            ahead = Ahead(iter(jobs), self._opening, self._video, self._tracking, arrivals.put, arrivals.end)
            stack.enter_context(ahead)
            while True:
                began = time.perf_counter()
                while not arrivals.chunks and arrivals.more:
                    yield from arrivals.outcomes(ahead, wait=True)
                if not arrivals.chunks:
                    if arrivals.wrong is not None:
                        raise arrivals.wrong
                    return
                chunk = arrivals.chunks.popleft()
                chunk.stopwatch.add("wait_for_frames", time.perf_counter() - began)
                try:
                    for each in self._windows(chunk):
                        crops.add(chunk, *each)
                        with chunk.stopwatch.timed("wait_for_crops"):
                            crops.settle(cropping.IN_FLIGHT_BYTES)
                        yield from arrivals.outcomes(ahead)
                except Exception:
                    with suppress(Exception):  # what was tracked before is worth its commit
                        while arrivals.under_way and arrivals.broken is None:
                            yield from arrivals.outcomes(ahead, wait=True)
                    raise
                arrivals.under_way += 1
                commits.add(chunk)

    # -- the thread that tracks ---------------------------------------------------------------------------------------

    def _windows(self, chunk: OpenChunk) -> Iterator[tuple[OpenWindow, Sequence[Fed]]]:
        """Every window of a chunk, tracked, with its frames; ends early where the video cannot be read further."""
        try:
            self._ready(chunk)
            for each, following in zip_longest(chunk.windows, chunk.windows[1:]):
                with chunk.stopwatch.timed("wait_for_frames"):
                    frames = chunk.feed.take(each.span) if each.span else []
                if each.untracked:
                    self._track(chunk, each, frames, _again(frames, following))
                yield each, frames
        except VideoError as error:
            stage, reason = "fetch" if isinstance(error, FetchError) else "decode", str(error) or type(error).__name__
            clips: list[str | None] = [clip.id for each in chunk.untracked for clip in each.window.clips]
            chunk.failures += [Failure(chunk.video.name, clip, stage, reason) for clip in clips or [None]]
        finally:
            chunk.let_go()

    def _ready(self, chunk: OpenChunk) -> None:
        """Load the tracker, and show it the video's place. Where it cannot run, what is stored has to do."""
        watch = chunk.stopwatch
        if chunk.untracked:
            try:
                with watch.timed("load"):
                    self._tracking.load()
            except TrackerUnavailable as error:
                self._opening.without_tracker(chunk, error)
        chunk.may_decode.set()
        if chunk.untracked:
            with watch.timed("wait_for_frames"):
                context = chunk.source.result().context
            if context is not None:
                with watch.timed("load"):
                    self._tracking.prepare(chunk.video, context)

    def _track(self, chunk: OpenChunk, each: OpenWindow, frames: Sequence[Fed], again: int) -> None:
        job, watch = chunk.job, chunk.stopwatch
        missing = [p for p, known in enumerate(each.known) if known is None]
        with ExitStack() as stack:
            given = in_memory(frames)
            if self._opening.is_long(each):
                with watch.timed("wait_for_frames"):
                    where = chunk.source.result().file, self._settings.reader, self._tracking.max_side
                    given = stack.enter_context(decoded_when_asked(each.window, *where))
            track = partial(self._tracking.track, chunk.video, each.window, given, again=again)
            with watch.timed("track"):
                plain = [p for p in missing if each.base[p] is None]
                tracked = track([job.prompts[p] for p in plain]) if plain else []
                for p, found in zip(plain, tracked, strict=True):
                    each.base[p] = found
                results = [tracked_corrected(job, p, each.base[p], track) for p in missing]
        for p, found in zip(missing, results, strict=True):
            before = each.before[p]
            lost = found.error is not None and before is not None and before.error is None
            each.known[p] = before if lost else found
        chunk.tracked_windows += len(missing)


@contextmanager
def _turns_of(seconds: float) -> Iterator[None]:
    """Give way to a thread that wants Python's lock after so long, instead of 5 ms: the tracker wants it back each time
    its device is done, many times a frame, from threads that measure and crop."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _again(frames: Sequence[Fed], following: OpenWindow | None) -> int:
    """How many of these frames the next window's tracking begins with, as the same pictures."""
    if following is None or not following.untracked or not following.span:
        return 0
    return sum(fed.frame.position >= following.span.start for fed in frames)
