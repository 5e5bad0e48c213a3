"""Several workers at once: who does which chunk next, and what happens when a worker's process ends.

One loop, in the process that started the run, hands chunks out and takes outcomes in. It holds no result that matters:
every chunk commits itself, so whatever is lost with a worker, or with this loop, is done again.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pipeline.job import Job, Outcome
from pipeline.layout_of import layout_of
from pipeline.ledger import Ledger
from pipeline.records import ChunkRecord, Failure

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from video.types import Video

log = logging.getLogger(__name__)

TRIES = 2  # workers that a chunk may take down before it is recorded as failed
AHEAD = 2  # jobs that a worker may have: the one it is at, and the next


class WorkerDied(Exception):
    """The process of a worker ended; the message says how. idle: it had nothing to do then, so no job is to blame."""

    def __init__(self, how: str, idle: bool = False) -> None:
        super().__init__(how)
        self.idle = idle


class Member(Protocol):
    """One worker, in a process of its own, that has a job or two at a time."""

    @property
    def ready(self) -> bool:
        """Whether it may have jobs: one that still waits for its place in a cluster would sit on them."""
        ...

    def give(self, job: Job) -> None:
        """Hand over a job, to be done after those it has."""
        ...

    def result(self) -> Outcome | None:
        """What came of one of its jobs, once one is done; None when it has become ready. Raises WorkerDied, or what the
        worker raised."""
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
        self._count = 0
        for job in jobs:
            self.put_back(job)
        for own in self._waiting.values():
            own.reverse()  # taken from the end

    def __len__(self) -> int:
        return self._count

    def take(self, last: Job | None, others: Sequence[Job]) -> Job | None:
        """The next job for a worker that last did `last`, while others are at `others`; None when all are taken."""
        if not self._waiting:
            return None
        own = last.chunk.video.fingerprint if last else None
        if own not in self._waiting:
            own = self._next(others)
        assert own is not None
        job = self._waiting[own].pop()
        self._count -= 1
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
        self._count += 1


def drive(
    settings: Settings,
    jobs: Sequence[Job],
    members: Sequence[Kind],
    wait: Callable[[Sequence[Kind]], Sequence[Kind]],
) -> Iterator[Outcome]:
    """Yield the outcome of every job, in the order they are done.

    wait: of the members that have jobs or are not ready, those that are done with one or have become ready. What a dead
    worker had is done once more by new ones, each job alone with its worker so that it is known which one takes it
    down. A job is recorded as failed when it has taken down `TRIES`. Raises what a worker raises.
    """
    crew = Crew(jobs, members)
    while True:
        crew.share_out()
        if not crew.left:
            return
        for number in map(members.index, wait(crew.awaited)):
            try:
                outcome = members[number].result()
            except WorkerDied as death:
                members[number].replace()
                for job in crew.lost(number, death.idle):
                    if crew.deaths[job.record_id] < TRIES:
                        log.warning("%s: %s; the chunk is tried again", job.chunk.video.name, death)
                        crew.suspects.append(job)
                    else:
                        log.error("%s: %s, for the second time", job.chunk.video.name, death)
                        yield replace(given_up(settings, job, str(death)), worker=number)
            else:
                if outcome is not None:
                    crew.done(number, outcome)
                    yield replace(outcome, worker=number)


class Crew(Generic[Kind]):
    """Who has which jobs. A worker gets its next job while it is still at one, so that it can begin with it at once;
    not the last jobs, which would wait for a slow worker while others have nothing to do, or are about to be ready.

    suspects: jobs of workers that died, to be done again. deaths: of workers, by the record id of the job to blame.
    """

    def __init__(self, jobs: Sequence[Job], members: Sequence[Kind]) -> None:
        self._members = members
        self._waiting = Jobs(jobs)
        self._at: list[list[Job]] = [[] for _ in members]
        self._last: list[Job | None] = [None] * len(members)
        self._alone: set[str] = set()
        self.suspects: deque[Job] = deque()
        self.deaths: Counter[str] = Counter()

    @property
    def awaited(self) -> list[Kind]:
        """The members that have something to do, or are not ready for it."""
        return [member for member, own in zip(self._members, self._at, strict=True) if own or not member.ready]

    @property
    def left(self) -> bool:
        """Whether anything is still to be done."""
        return any(self._at) or bool(self.suspects) or len(self._waiting) > 0

    def share_out(self) -> None:
        """Give every member its first job, then every member the one after it, while there is one for each of them."""
        fresh = []
        for depth in range(AHEAD):
            for number, own in enumerate(self._at):
                job = self._for(number) if len(own) == depth else None
                if job is not None:
                    own.append(job)
                    fresh.append((number, depth))
        for number, depth in fresh:
            job = self._at[number][depth]
            others = [other for own in self._at for other in own if other is not job]
            given = replace(job, following=self._waiting.following(job, others))
            self._at[number][depth] = self._last[number] = given
            self._members[number].give(given)

    def _for(self, number: int) -> Job | None:
        """The next job for a member. A suspect is alone with its worker."""
        own = self._at[number]
        if not self._members[number].ready:
            return None
        if not own and self.suspects:
            return self.suspects.popleft()
        if own and len(self._waiting) < len(self._members):
            return None
        if any(job.record_id in self._alone for job in own):
            return None
        others = [job for n, each in enumerate(self._at) for job in each if n != number]
        return self._waiting.take(own[-1] if own else self._last[number], others)

    def done(self, number: int, outcome: Outcome) -> None:
        """A member is done with one of its jobs."""
        self._at[number] = [job for job in self._at[number] if job.record_id != outcome.record_id]

    def lost(self, number: int, idle: bool) -> list[Job]:
        """What a member had when it died. The death is counted for the first of them, which it was most likely at,
        unless it was idle before it got that one; each is alone with its worker from now on."""
        jobs, self._at[number] = self._at[number], []
        if jobs and not idle:
            self.deaths[jobs[0].record_id] += 1
        self._alone.update(job.record_id for job in jobs)
        return jobs


def given_up(settings: Settings, job: Job, reason: str) -> Outcome:
    """Record a chunk that takes its workers down, so that the other chunks are done and a rerun tries it again."""
    video, clips = job.chunk.video.name, tuple(job.chunk.clip_ids)
    failures = tuple(Failure(video, clip, "worker", reason) for clip in clips)
    if settings.task not in ("track", "clip"):
        record = ChunkRecord(job.record_id, job.chunk.id, video, clips, (), (), failures)
        Ledger(layout_of(settings)).write(record)
    return Outcome(job.record_id, len(clips), 0, failures, 0, 0, {})
