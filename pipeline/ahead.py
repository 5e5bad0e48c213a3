"""The thread that is ahead of the tracker: it opens chunks, fetches their videos and decodes their frames.

It goes on to the next chunk as soon as the last one is decoded, so the tracker finds frames waiting across the borders
of chunks and videos. At most `OPEN_CHUNKS` are under way, up to their commit, and at most `feed.AHEAD_BYTES` of frames
wait in all of them. The reader and the cache of videos are this thread's alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Self

from pipeline.feed import Budget, Fed
from pipeline.job import Job
from pipeline.open_chunk import OpenChunk, Source
from pipeline.open_video import OpenVideo
from pipeline.opening import Opening
from pipeline.tracking import Tracking
from video.errors import VideoError

OPEN_CHUNKS = 4  # one that is committed, one that is tracked, one that is decoded, and one between them
CLOSE_S = 5.0  # the thread may hang in a connection; the process ends without it
IDLE_S = 0.2  # or it waits for a job, perhaps for ever


class Abandoned(Exception):
    """Nobody waits for any outcome any more; for the iterator of jobs to raise. What is under way is dropped."""


class Ahead:
    """Opens the chunks of jobs, in their order.

    opened: called with each open chunk, which is then filled meanwhile, or with `Abandoned`, to be raised at once.
    ended: called once at last, with what went wrong, if anything did; a VideoError is not that, it waits in its chunk
    for whoever reads from it.
    """

    def __init__(
        self,
        jobs: Iterator[Job],
        opening: Opening,
        video: OpenVideo,
        tracking: Tracking,
        opened: Callable[[OpenChunk | Abandoned], None],
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._jobs = jobs
        self._opening = opening
        self._video = video
        self._tracking = tracking
        self._opened, self._ended = opened, ended
        self._budget = Budget()
        self._room = threading.Semaphore(OPEN_CHUNKS)
        self._stopped = self._idle = False
        self._chunk: OpenChunk | None = None
        self._shown = tracking.prepared
        self._thread = threading.Thread(target=self._go, name="decode", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop where it is, and let all frames go."""
        self._stopped = True
        self._room.release()
        if self._chunk is not None:
            self._chunk.let_go()
        if exc[0] is not None:
            self._video.stop_fetching()
        patience = None if exc[0] is None else CLOSE_S
        self._thread.join(IDLE_S if self._idle else patience)

    def one_is_done(self) -> None:
        """A chunk is committed, so another one may be opened."""
        self._room.release()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        wrong: BaseException | None = None
        try:
            while (job := self._next()) is not None:
                self._chunk = chunk = self._opening.open(job, self._budget)
                if self._stopped:
                    break
                self._opened(chunk)
                self._read(chunk)
        except Abandoned as error:
            self._opened(error)
        except BaseException as error:  # handed to the thread that tracks
            wrong = error
        finally:
            self._video.let_go()
            self._ended(wrong)

    def _next(self) -> Job | None:
        """The next job, once there is room for its chunk; None when there are no more, or this was stopped."""
        self._room.acquire()
        self._idle = True
        job = None if self._stopped else next(self._jobs, None)
        self._idle = False
        return None if self._stopped else job

    def _read(self, chunk: OpenChunk) -> None:
        """Bring the chunk's video and put its frames into the feed."""
        try:
            if chunk.untracked and not self._tracking.loaded:
                chunk.may_decode.wait()
            if chunk.spans or chunk.untracked:
                chunk.source.set_result(self._source(chunk))
                if chunk.spans:
                    chunk.feed.fill(self._frames(chunk))
            chunk.feed.end()
            if any(map(self._opening.is_long, chunk.untracked)):  # they are read from the file that is held here
                chunk.tracked.wait()
        except BaseException as error:
            self._video.let_go()
            chunk.fail(error)
            if not isinstance(error, VideoError):
                raise

    def _source(self, chunk: OpenChunk) -> Source:
        self._video.following = chunk.job.following
        with chunk.stopwatch.timed("fetch"):
            file = self._video.file(chunk.video)
        context = None
        if chunk.untracked and self._tracking.context and self._shown != chunk.video.fingerprint:
            with chunk.stopwatch.timed("decode"):
                context = self._video.reader(chunk.video).spread(self._tracking.context, self._tracking.max_side)
            self._shown = chunk.video.fingerprint
        return Source(file, context)

    def _frames(self, chunk: OpenChunk) -> Iterator[Fed]:
        side = self._tracking.max_side
        read = self._video.reader(chunk.video).read(chunk.job.chunk.grid, chunk.spans)
        return chunk.stopwatch.each("decode", (Fed.of(frame, side) for frame in read))
