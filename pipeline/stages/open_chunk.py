"""A chunk on its way through the stages, and its windows: what each stage leaves for the next.

Every field has one writer, and each stage reads only what the one before has left, so no lock is needed but those of
the queues between the threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import thumbnails
from pipeline.job import Job
from pipeline.records import Failure, Sample
from pipeline.stages.feed import FrameFeed
from pipeline.stages.measure import Draft, Measure
from pipeline.stages.stopwatch import Stopwatch
from pipeline.track_store import WindowTracks
from video.types import Video, Window


@dataclass(slots=True)
class OpenWindow:
    """One window. known: per prompt; None has to be tracked. before: what is stored. base: what was tracked before any
    correction, as far as it is known. span: grid positions to decode for it. drafts: None until it is measured. crops:
    one per draft, None for what is not wanted. work: done when its drafts are made and everything that is to be written
    of it is handed out; its result is all of that."""

    window: Window
    known: list[WindowTracks | None]
    before: list[WindowTracks | None]
    base: list[WindowTracks | None]
    span: range = range(0)
    drafts: list[Draft] | None = None
    crops: list[Future[Sample] | None] = field(default_factory=list)
    work: Future[list[Future[Any]]] | None = None

    @property
    def found(self) -> list[WindowTracks]:
        return [w for w in self.known if w is not None]

    @property
    def untracked(self) -> bool:
        return None in self.known


@dataclass(frozen=True, slots=True)
class Source:
    """The video of a chunk. file: with the path of a file of this machine. context: what the tracker wants to see of it
    before its first window; None where it has seen it, or wants none."""

    file: Video
    context: Sequence[NDArray[np.uint8]] | None


@dataclass(slots=True)
class OpenChunk:
    """One chunk. source: once the video is here. may_decode: set when it is known what has to be decoded, which can
    depend on the tracker. tracked: set when nothing more is read from the video. failures: what could not be decoded.
    tracked_windows: windows x prompts that the tracker did."""

    job: Job
    windows: list[OpenWindow]
    measure: Measure
    feed: FrameFeed
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    allowed: thumbnails.Allowance = field(default_factory=thumbnails.Allowance)
    source: Future[Source] = field(default_factory=Future)
    may_decode: threading.Event = field(default_factory=threading.Event)
    tracked: threading.Event = field(default_factory=threading.Event)
    failures: list[Failure] = field(default_factory=list)
    tracked_windows: int = 0

    @property
    def video(self) -> Video:
        return self.job.chunk.video

    @property
    def untracked(self) -> list[OpenWindow]:
        return [each for each in self.windows if each.untracked]

    @property
    def spans(self) -> list[range]:
        """What has to be decoded, ascending."""
        return [each.span for each in self.windows if each.span]

    def fail(self, error: BaseException) -> None:
        """The video cannot be read, or no further: whoever waits for it gets the error."""
        if not self.source.done():
            self.source.set_exception(error)
        self.feed.end(error)

    def let_go(self) -> None:
        """Nothing more is read from the video."""
        self.feed.close()
        self.tracked.set()
        self.may_decode.set()
