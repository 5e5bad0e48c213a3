"""A worker as a Ray actor (P. Moritz et al., OSDI 2018), somewhere in a cluster that shares the dataset's folder."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pipeline.crew.drive import WorkerDied

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings


class ActorMember:
    """One worker. ray: the imported package. make: starts an actor of `Served`. answers: to its jobs, still to come."""

    def __init__(self, ray: Any, make: Callable[[], Any]) -> None:
        self._ray = ray
        self._make = make
        self._actor = make()
        self.answers: list[Any] = []

    def replace(self) -> None:
        self.stop()
        self.answers = []
        self._actor = self._make()

    def give(self, job: Job) -> None:
        self.answers.append(self._actor.process.remote(job))

    def result(self) -> Outcome:
        errors = self._ray.exceptions
        (answer,), self.answers = self._ray.wait(self.answers, num_returns=1)
        try:
            outcome, records = self._ray.get(answer)
        except errors.RayTaskError as error:  # what the worker raised
            raise error.cause from None
        except errors.RayError as error:  # its process, its node, or the way to it
            raise WorkerDied(f"a Ray worker was lost ({type(error).__name__})") from error
        for record in records:
            logging.getLogger(record.name).handle(record)
        done: Outcome = outcome
        return done

    def stop(self) -> None:
        """End it where it is: nothing that is not committed counts."""
        self._ray.kill(self._actor, no_restart=True)


def wait_for(ray: Any, members: Sequence[ActorMember]) -> list[ActorMember]:
    """Wait until at least one of them is done with a job."""
    done, _ = ray.wait([answer for member in members for answer in member.answers], num_returns=1)
    return [member for member in members if done[0] in member.answers]


class Served:
    """What runs in the actor's process: a worker in a thread of its own. What it logs goes with the next answer."""

    def __init__(self, settings: Settings, threads: int) -> None:
        import cv2

        from pipeline.layout import Layout
        from pipeline.worker import Worker

        cv2.setNumThreads(threads)
        self._said = _Kept()
        logging.basicConfig(level=logging.INFO, handlers=[self._said], force=True)
        self._layout = Layout.of(settings)
        self._worker = Worker(settings, threads)
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._answers: dict[str, Future[Outcome]] = {}
        threading.Thread(target=self._work, name="track", daemon=True).start()

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
