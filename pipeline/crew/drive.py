"""Several workers at once: who does which chunk next, and what happens when a worker's process ends.

One loop, in the process that started the run, hands chunks out and takes outcomes in. It holds no result that matters:
every chunk commits itself, so whatever is lost with a worker, or with this loop, is done again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline.job import Job, Outcome
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.records import ChunkRecord, Failure

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from video.types import Video

log = logging.getLogger(__name__)

TRIES = 2  # workers that a chunk may take down before it is recorded as failed


class WorkerDied(Exception):
    """The process of a worker ended; the message says how."""


class Member(Protocol):
    """One worker, in a process of its own, that does one job at a time."""

    def give(self, job: Job) -> None:
        """Start on a job."""
        ...

    def result(self) -> Outcome:
        """What came of the job, once it is done. Raises WorkerDied, or what the worker raised."""
        ...

    def replace(self) -> None:
        """Start a new process in place of the one that died."""
        ...


Kind = TypeVar("Kind", bound=Member)


class Jobs:
    """The chunks still to be done. Keeps a worker on the video it has open: another one costs it a new background
    model and a seek."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting: dict[str, list[Job]] = {}
        for job in jobs:
            self.put_back(job)
        for own in self._waiting.values():
            own.reverse()  # taken from the end

    def take(self, last: Job | None, others: Sequence[Job]) -> Job | None:
        """The next job for a worker that last did `last`, while others are at `others`; None when all are taken."""
        if not self._waiting:
            return None
        own = last.chunk.video.fingerprint if last else None
        if own not in self._waiting:
            own = self._next(others)
        assert own is not None
        job = self._waiting[own].pop()
        if not self._waiting[own]:
            del self._waiting[own]
        return job

    def following(self, job: Job, others: Sequence[Job]) -> Video | None:
        """The video that a worker at `job` would most likely turn to next; not one that another will turn to."""
        taken = {other.following.fingerprint for other in others if other.following is not None}
        own = self._next([job, *others], without={job.chunk.video.fingerprint, *taken})
        return self._waiting[own][-1].chunk.video if own is not None else None

    def _next(self, others: Sequence[Job], without: Set[str] = frozenset()) -> str | None:
        """The video with fewest workers at it, then with most to do."""
        busy = Counter(job.chunk.video.fingerprint for job in others)
        left = [video for video in self._waiting if video not in without]
        return min(left, key=lambda video: (busy[video], -len(self._waiting[video])), default=None)

    def put_back(self, job: Job) -> None:
        self._waiting.setdefault(job.chunk.video.fingerprint, []).append(job)


def drive(
    settings: Settings,
    jobs: Sequence[Job],
    members: Sequence[Kind],
    wait: Callable[[Sequence[Kind]], Sequence[Kind]],
) -> Iterator[Outcome]:
    """Yield the outcome of every job, in the order they are done.

    wait: of the members that are at work, those that are done. A job whose worker died is done once more by a new
    worker, and recorded as failed if that one dies too. Raises what a worker raises.
    """
    waiting = Jobs(jobs)
    last: dict[int, Job] = {}
    at: dict[int, Job] = {}
    deaths: Counter[str] = Counter()
    while True:
        fresh = []
        for number in range(len(members)):
            if number not in at:
                job = waiting.take(last.get(number), list(at.values()))
                if job is not None:
                    at[number] = last[number] = job
                    fresh.append(number)
        for number in fresh:
            others = [job for other, job in at.items() if other != number]
            at[number] = replace(at[number], following=waiting.following(at[number], others))
            members[number].give(at[number])
        if not at:
            return
        for member in wait([members[number] for number in at]):
            number = members.index(member)
            job = at.pop(number)
            try:
                yield member.result()
            except WorkerDied as death:
                deaths[job.record_id] += 1
                member.replace()
                if deaths[job.record_id] < TRIES:
                    log.warning("%s: %s; the chunk is tried again", job.chunk.video.name, death)
                    waiting.put_back(job)
                else:
                    log.error("%s: %s, for the second time", job.chunk.video.name, death)
                    yield given_up(settings, job, str(death))


def given_up(settings: Settings, job: Job, reason: str) -> Outcome:
    """Record a chunk that takes its workers down, so that the other chunks are done and a rerun tries it again."""
    video, clips = job.chunk.video.name, tuple(job.chunk.clip_ids)
    failures = tuple(Failure(video, clip, "worker", reason) for clip in clips)
    if settings.task not in ("track", "clip"):
        record = ChunkRecord(job.record_id, job.chunk.id, video, clips, (), (), failures)
        Ledger(Layout(settings.out, settings.tracks)).write(record)
    return Outcome(job.record_id, len(clips), 0, failures, 0, 0, {})
