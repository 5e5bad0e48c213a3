"""The one thread that runs the model, and the queue of what it is asked to do.

A job is a generator: it does a little, yields, and returns its result at the end. Sessions take turns after a tenth of
a second, so that a click is answered while another session tracks a long video; within a session jobs run in order.
A job that fails, whatever way, fails alone: its future gets the error, and the thread goes on.

The model can be told to rest, so that another process has the device's memory: it is freed between two jobs, and
loaded again by the next one that needs it.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sam.memory import release_cuda
from sam.tracker import Tracker
from studio.errors import Cancelled

log = logging.getLogger(__name__)

TURN_S = 0.1
STATES = ("waiting", "running", "done", "failed", "cancelled")
Steps = Generator[None, None, Any]


@dataclass
class Job:
    """Something that the model is asked to do. done, total: frames. needs_model: whether it must be loaded for it."""

    id: int
    session: str
    name: str
    total: int
    steps: Callable[[Job], Steps]
    needs_model: bool = True
    future: Future[Any] = field(default_factory=Future)
    state: str = "waiting"
    done: int = 0
    cancelled: bool = False
    error: str | None = None
    running: Steps | None = None

    def describe(self) -> dict[str, Any]:
        """What progress reports say."""
        return {
            "job": self.id, "name": self.name, "state": self.state, "done": self.done, "total": self.total,
            "error": self.error,
        }  # fmt: skip


class ModelThread:
    """See the module docstring.

    failed: called in the thread with the session whose job failed, and the error. resting: called in the thread before
    the model is freed; whatever holds device memory is to be dropped.
    """

    def __init__(
        self, tracker: Tracker, failed: Callable[[str, BaseException], None], resting: Callable[[], None]
    ) -> None:
        self.tracker = tracker
        self.failed = failed
        self.resting = resting
        self._loaded = False
        self._rest: Future[None] | None = None  # asked for, and not done yet
        self._ready: Future[None] = Future()
        self._wake = threading.Condition()
        self._queues: dict[str, deque[Job]] = {}
        self._turn: deque[str] = deque()
        self._last: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Load the model; returns when it is ready. Raises what loading raises."""
        self._thread.start()
        self._ready.result()

    def stop(self) -> None:
        """Cancel what waits and runs, and free the model."""
        with self._wake:
            self._stopping = True
            for jobs in self._queues.values():
                for job in jobs:
                    job.cancelled = True
            self._wake.notify()
        self._thread.join(timeout=30)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        with self._wake:
            return bool(self._queues)

    @property
    def loaded(self) -> bool:
        return self._loaded

    def rest(self) -> Future[None]:
        """Free the model once the jobs that have begun are over; what waits begins after that. Done when it is free."""
        with self._wake:
            if self._rest is None:
                self._rest = Future()
            asked = self._rest
            if self._stopping or not self._thread.is_alive():
                self._rested()
            self._wake.notify()
        return asked

    def submit(
        self, session: str, name: str, steps: Callable[[Job], Steps], total: int = 1, needs_model: bool = True
    ) -> Job:
        """Put a job at the end of its session's queue."""
        job = Job(next(self._numbers), session, name, total, steps, needs_model)
        with self._wake:
            if self._stopping or not self._thread.is_alive():
                raise Cancelled("the studio is stopping")
            if session not in self._queues:
                self._queues[session] = deque()
                self._turn.append(session)
            self._queues[session].append(job)
            self._wake.notify()
        return job

    def jobs(self, session: str) -> list[Job]:
        """What runs or waits for a session, in order."""
        with self._wake:
            return list(self._queues.get(session, ()))

    def last(self, session: str) -> Job | None:
        """What ended last for a session."""
        return self._last.get(session)

    def forget(self, session: str) -> None:
        """Nothing of a session is asked for any more."""
        self._last.pop(session, None)

    def cancel(self, session: str) -> int:
        """Stop a session's jobs at their next step; returns how many."""
        with self._wake:
            jobs = [job for job in self._queues.get(session, ()) if not job.cancelled]
            for job in jobs:
                job.cancelled = True
            self._wake.notify()
        return len(jobs)

    def _run(self) -> None:
        try:
            self.tracker.__enter__()
        except BaseException as error:
            self._ready.set_exception(error)
            return
        self._loaded = True
        self._ready.set_result(None)
        while True:
            job = self._next()
            if job is not None:
                self._advance(job)
                continue
            self._unload()
            with self._wake:
                self._rested()
                if self._stopping and not self._turn:
                    return

    def _next(self) -> Job | None:
        """The first job of the session whose turn it is; waits for one. None when the model is to be freed."""
        with self._wake:
            while not self._turn and self._rest is None:
                if self._stopping:
                    return None
                self._wake.wait()
            for _ in range(len(self._turn)):
                job = self._queues[self._turn[0]][0]
                self._turn.rotate(-1)
                if self._rest is None or job.running is not None:
                    return job
            return None

    def _unload(self) -> None:
        if not self._loaded:
            return
        self._loaded = False
        try:
            self.resting()
            self.tracker.__exit__(None, None, None)
        except Exception:
            log.exception("the model could not be freed")
        release_cuda()

    def _rested(self) -> None:
        """With the lock: whoever waits for the rest is told."""
        asked, self._rest = self._rest, None
        if asked is not None:
            asked.set_result(None)

    def _load(self) -> None:
        self.tracker.__enter__()
        self._loaded = True

    def _advance(self, job: Job) -> None:
        """Give a job its turn; when it ends, tell its future and take it off the queue."""
        until = time.monotonic() + TURN_S
        try:
            if job.running is None:
                if job.needs_model and not self._loaded and not job.cancelled:
                    self._load()
                job.running = job.steps(job)
                job.state = "running"
            while True:
                if job.cancelled:
                    job.running.close()
                    raise Cancelled(f"{job.name} was cancelled after {job.done} of {job.total} frames")
                next(job.running)
                if time.monotonic() >= until:
                    return
        except StopIteration as end:
            self._finish(job, "done", end.value, None)
        except Cancelled as error:
            self._finish(job, "cancelled", None, error)
        except BaseException as error:  # also SystemExit, which a library may raise
            self._finish(job, "failed", None, error)

    def _finish(self, job: Job, state: str, result: Any, error: BaseException | None) -> None:
        job.state, job.running = state, None
        job.error = None if error is None else f"{error}" or type(error).__name__
        if state == "failed":
            try:
                assert error is not None
                self.failed(job.session, error)
            except Exception:
                log.exception("session %s could not be cleaned up", job.session)
            release_cuda()
        with self._wake:
            self._last[job.session] = job
            queue = self._queues[job.session]
            queue.popleft()
            if not queue:
                del self._queues[job.session]
                self._turn.remove(job.session)
        if error is None:
            job.future.set_result(result)
        else:
            error.__traceback__ = None if state == "cancelled" else error.__traceback__
            job.future.set_exception(error if isinstance(error, Exception) else RuntimeError(job.error))
