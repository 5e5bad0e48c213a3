"""A worker as a Ray actor (P. Moritz et al., OSDI 2018), somewhere in a cluster that shares the dataset's folder."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from logging.handlers import QueueHandler
from typing import TYPE_CHECKING, Any

from pipeline.crew.drive import WorkerDied

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings


class ActorMember:
    """One worker. ray: the imported package. make: starts an actor of `Served`."""

    def __init__(self, ray: Any, make: Callable[[], Any]) -> None:
        self._ray = ray
        self._make = make
        self._actor = make()
        self.answer: Any = None

    def replace(self) -> None:
        self.stop()
        self._actor = self._make()

    def give(self, job: Job) -> None:
        self.answer = self._actor.process.remote(job)

    def result(self) -> Outcome:
        errors = self._ray.exceptions
        try:
            outcome, records = self._ray.get(self.answer)
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
    """Wait until at least one of them is done with its job."""
    done, _ = ray.wait([member.answer for member in members], num_returns=1)
    return [member for member in members if member.answer in done]


class Served:
    """What runs in the actor's process: a worker, and what it logs until the next job is done."""

    def __init__(self, settings: Settings, threads: int) -> None:
        import cv2

        from pipeline.layout import Layout
        from pipeline.worker import Worker

        cv2.setNumThreads(threads)
        self._said = _Kept()
        logging.basicConfig(level=logging.INFO, handlers=[self._said], force=True)
        self._layout = Layout.of(settings)
        self._worker = Worker(settings, threads)
        self._worker.__enter__()

    def process(self, job: Job) -> tuple[Outcome, list[logging.LogRecord]]:
        outcome = self._worker.process(job)
        self._layout.settle()  # this may be another machine, on which nobody sends it later
        return outcome, self._said.take()


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
