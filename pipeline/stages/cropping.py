"""The threads behind the tracker: one measures what was tracked, window by window; the others crop and encode.

The frames that crops are still made from take at most `IN_FLIGHT_BYTES`, over all chunks together: whoever brings more
waits. Nothing here knows when a chunk is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.stages.crop_writer import CropWriter
from pipeline.stages.feed import Fed
from pipeline.stages.measure import Draft
from pipeline.stages.open_chunk import OpenChunk, OpenWindow
from pipeline.stages.opening import Opening
from video.errors import VideoError

IN_FLIGHT_BYTES = 512 * 2**20
FORGIVEN = (ValueError, VideoError)  # one crop that cannot be made is recorded; anything else ends the run

Pictures = Sequence[NDArray[np.uint8]]


class Cropping:
    """Makes the crops of open chunks. Leaving the block ends what has been begun and drops what has not."""

    def __init__(self, settings: Settings, layout: Layout, opening: Opening, threads: int) -> None:
        self._tracks_only = settings.task == "track"
        self._writer = CropWriter(settings, layout)
        self._opening = opening
        self._threads = threads
        self._flying: deque[tuple[int, OpenWindow]] = deque()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._encoders = self._pool(self._threads, "encode")
        self._measurer = self._pool(1, "measure")  # in the order of the record, which thumbnails are chosen by
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
        self._flying.clear()

    def add(self, chunk: OpenChunk, each: OpenWindow, frames: Sequence[Fed]) -> None:
        """Make everything that is wanted of a window. frames: what was decoded of it."""
        if self._tracks_only:
            return
        each.work = self._measurer.submit(self._hand_out, chunk, each, frames)
        self._flying.append((sum(fed.nbytes for fed in frames), each))

    def settle(self, limit: int) -> None:
        """Wait until the frames in use take no more than `limit` bytes. Raises what ends the run, as DiskError."""
        while self._flying and (self.in_flight > limit or _is_done(self._flying[0][1])):
            _, each = self._flying.popleft()
            wait(each)

    @property
    def in_flight(self) -> int:
        """Bytes of the frames that are still in use."""
        return sum(size for size, _ in self._flying)

    def _pool(self, threads: int, name: str) -> ThreadPoolExecutor:
        pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        return pool

    # -- the thread that measures -------------------------------------------------------------------------------------

    def _hand_out(self, chunk: OpenChunk, each: OpenWindow, frames: Sequence[Fed]) -> list[Future[Any]]:
        """Measure the window if that is not done, and hand its crops, thumbnails and clips to the encoders."""
        if each.drafts is None:
            with chunk.stopwatch.timed("measure"):
                each.drafts = chunk.measure.drafts(each.window, each.found, chunk.job.track_keys)
        rgb = {fed.frame.position: fed.frame.rgb for fed in frames}
        handed: list[Future[Any]] = []
        submit = partial(self._submit, chunk)
        for draft in each.drafts:
            pictures = [rgb[p] for p in range(draft.clip.start, draft.clip.stop) if p in rgb]
            if not draft.wanted and pictures and not draft.sample.files and self._shows(chunk, draft):
                handed.append(submit(self._writer.thumbnail, draft, pictures))
            each.crops.append(submit(self._writer.crop, draft, pictures, chunk.measure.judge) if draft.wanted else None)
        handed += [crop for crop in each.crops if crop is not None]
        for clip in each.window.clips:
            pictures = [rgb[p] for p in range(clip.start, clip.stop) if p in rgb]
            if len(pictures) == clip.num_frames and self._opening.saves(clip):
                handed.append(submit(self._writer.clip, clip, pictures))
        return handed

    def _submit(self, chunk: OpenChunk, make: Any, *arguments: Any) -> Future[Any]:
        return self._encoders.submit(_timed, chunk, make, *arguments)

    @staticmethod
    def _shows(chunk: OpenChunk, draft: Draft) -> bool:
        """Whether this refused object gets a thumbnail."""
        refusal = chunk.measure.judge.refusal(draft.sample)
        return refusal is not None and chunk.allowed.takes(refusal.reason)


def wait(each: OpenWindow) -> None:
    """Until everything that was handed out of a window is made. Raises the first error that is not a crop's own."""
    for future in each.work.result() if each.work is not None else ():
        error = future.exception()
        if error is not None and not isinstance(error, FORGIVEN):
            raise error


def _is_done(each: OpenWindow) -> bool:
    work = each.work
    return work is None or (work.done() and (work.exception() is not None or all(f.done() for f in work.result())))


def _timed(chunk: OpenChunk, make: Any, *arguments: Any) -> Any:
    with chunk.stopwatch.timed("crop"):
        return make(*arguments)
