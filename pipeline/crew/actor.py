"""A worker as a Ray actor (P. Moritz et al., OSDI 2018), somewhere in a cluster that shares the dataset's folder."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pipeline.crew.drive import WorkerDied
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings

log = logging.getLogger(__name__)

STARTS = 5  # times that a worker may end while it starts
TELL_S = 30.0


class ActorMember:
    """One worker. ray: the imported package. make: starts an actor of `Served`. answers: to its jobs, still to come."""

    def __init__(self, ray: Any, make: Callable[[], Any]) -> None:
        self._ray = ray
        self._make = make
        self._stillborn = 0
        self._begin()

    def _begin(self) -> None:
        self.ready = False
        self.answers: list[Any] = []
        self._actor = self._make()
        self._here = self._actor.here.remote()

    @property
    def awaited(self) -> list[Any]:
        """What may come from it next."""
        return self.answers if self.ready else [self._here]

    def replace(self) -> None:
        self.stop()
        self._begin()

    def give(self, job: Job) -> None:
        if not self.answers:
            self._here = self._actor.here.remote()
        self.answers.append(self._actor.process.remote(job))

    def result(self) -> Outcome | None:
        errors = self._ray.exceptions
        (answer,), self.answers = self._ray.wait(self.awaited, num_returns=1)
        try:
            if not self.ready:
                log.info("a Ray worker has started on %s", self._ray.get(answer))
                self.ready, self._stillborn = True, 0
                return None
            outcome, records = self._ray.get(answer)
        except errors.RayTaskError as error:  # what the worker raised
            raise error.cause from None
        except errors.RayError as error:  # its process, its node, or the way to it
            raise self._loss(error) from error
        for record in records:
            logging.getLogger(record.name).handle(record)
        done: Outcome = outcome
        return done

    def _loss(self, error: Exception) -> WorkerDied | ConfigError:
        """What has become of it."""
        if self.ready:
            return WorkerDied(f"a Ray worker was lost ({type(error).__name__})", idle=not self._was_here())
        self._stillborn += 1
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        if getattr(error, "actor_init_failed", False):
            return ConfigError(
                f"a Ray worker cannot start: {said[-1]}; each node needs this project with its extras in the same place"
            )
        if self._stillborn == STARTS:
            return ConfigError(
                f"a Ray worker ended {STARTS} times while it started: {said[0]} What it said is on its node, in "
                "/tmp/ray/session_latest/logs"
            )
        log.warning("a Ray worker ended while it started (%s); another one is started", type(error).__name__)
        return WorkerDied("a Ray worker ended while it started")

    def _was_here(self) -> bool:
        """Whether it heard of the job that it got when it had none."""
        came, _ = self._ray.wait([self._here], timeout=0)
        try:
            self._ray.get(came)
        except self._ray.exceptions.RayError:
            return False
        return bool(came)

    def stop(self) -> None:
        """End it where it is: nothing that is not committed counts."""
        self._ray.kill(self._actor, no_restart=True)


class Waiting:
    """Waits until at least one worker is done with a job, or has started.

    ray: the imported package. patience: seconds to wait while there is no worker at all, None for as long as it takes.
    need: what a worker takes of the cluster, in words.
    """

    def __init__(self, ray: Any, patience: float | None, need: str) -> None:
        self._ray, self._patience, self._need = ray, patience, need

    def __call__(self, members: Sequence[ActorMember]) -> list[ActorMember]:
        answers = [answer for member in members for answer in member.awaited]
        since, told = time.monotonic(), False
        while True:
            alone = not any(member.ready for member in members)
            done, _ = self._ray.wait(answers, num_returns=1, timeout=TELL_S if alone else None)
            if done:
                return [member for member in members if done[0] in member.awaited]
            waited = time.monotonic() - since
            if self._patience is not None and waited >= self._patience:
                raise ConfigError(
                    f"no Ray worker has started for {waited:.0f} s. {self._room()} Wait for room, ask for less, or say "
                    "executor.workers=N to wait for as long as it takes"
                )
            if not told:
                log.warning("no Ray worker has started for %.0f s. %s", waited, self._room())
                told = True

    def _room(self) -> str:
        free, there = self._ray.available_resources(), self._ray.cluster_resources()
        has = " and ".join(f"{free.get(kind, 0):g} of {there.get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU"))
        return f"Each needs {self._need} on one node, and the cluster has {has} free."


class Served:
    """What runs in the actor's process: a worker in a thread of its own. What it logs goes with the next answer."""

    def __init__(self, settings: Settings, threads: int) -> None:
        import cv2

        from pipeline.layout_of import layout_of
        from pipeline.worker import Worker

        cv2.setNumThreads(threads)
        self._said = _Kept()
        logging.basicConfig(level=logging.INFO, handlers=[self._said], force=True)
        self._layout = layout_of(settings)
        self._worker = Worker(settings, threads)
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._answers: dict[str, Future[Outcome]] = {}
        threading.Thread(target=self._work, name="track", daemon=True).start()

    def here(self) -> str:
        """Answers as soon as it has started: where it is."""
        return socket.gethostname()

    def process(self, job: Job) -> tuple[Outcome, list[logging.LogRecord]]:
        """Called in a thread for each job that the worker may have."""
        answer = self._answers[job.record_id] = Future()
        self._jobs.put(job)
        outcome = answer.result()
        self._layout.settle()  # this may be another machine, on which nobody sends it later
        return outcome, self._said.take()

    def _work(self) -> None:
        try:
            with self._worker:
                for outcome in self._worker.run(iter(self._jobs.get, None)):
                    self._answers.pop(outcome.record_id).set_result(outcome)
        except BaseException as error:  # it has ended: every job gets that for an answer
            for answer in list(self._answers.values()):
                answer.set_exception(error)


class _Kept(logging.Handler):
    """Keeps records, as plain text and values that another process can read."""

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[logging.LogRecord] = deque(maxlen=1000)
        self._plain = QueueHandler(None)  # type: ignore[arg-type]  # only for what it makes of a record

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(self._plain.prepare(record))

    def take(self) -> list[logging.LogRecord]:
        return [self._records.popleft() for _ in range(len(self._records))]
