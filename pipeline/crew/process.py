"""A worker in a process of its own on this machine, and the pipe through which it is spoken to."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from logging.handlers import QueueHandler
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import TYPE_CHECKING

from pipeline.crew.drive import WorkerDied

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings

STOP_S = 20.0
NEW = multiprocessing.get_context("spawn")  # a forked process would inherit the locks of threads, and a CUDA context


class ProcessMember:
    """One worker. Its pipe carries jobs in, and log records and one outcome per job out, or an error, which ends it."""

    ready = True  # it takes jobs while it starts

    def __init__(self, settings: Settings, threads: int, device: str | None) -> None:
        self._start = (settings, threads, device)
        self.replace()

    def replace(self) -> None:
        self.pipe, theirs = NEW.Pipe()
        self._messages: deque[Outcome | BaseException] = deque()
        self._jobs = 0
        self._died_idle = False
        self._process = NEW.Process(target=_serve, args=(theirs, *self._start), daemon=True, name="worker")
        with _no_interrupts():
            self._process.start()
        theirs.close()  # so that its end is heard here

    def give(self, job: Job) -> None:
        self._died_idle |= not self._jobs and not self._process.is_alive()
        self._jobs += 1
        with suppress(OSError):  # it died with nothing to do: `hear` finds out
            self.pipe.send(job)

    def hear(self) -> bool:
        """Take in one message; whether a job is done with it."""
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            message = WorkerDied(_how(self._process.exitcode), self._died_idle)
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
            return False
        self._messages.append(message)
        self._jobs -= 1
        return True

    def result(self) -> Outcome:
        message = self._messages.popleft()
        if isinstance(message, BaseException):
            raise message
        return message

    def stop(self) -> None:
        """Tell it to end: an idle one by itself, a busy one where it is, as nothing that is not committed counts."""
        self.pipe.close()
        if self._jobs and self._process.is_alive():
            self._process.terminate()

    def join(self, seconds: float) -> None:
        """Wait for its end, and kill it if it takes longer."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def stop(members: Sequence[ProcessMember]) -> None:
    """End them all at once: a worker may need some seconds to leave its window."""
    deadline = time.monotonic() + STOP_S
    for member in members:
        member.stop()
    for member in members:
        member.join(max(0.0, deadline - time.monotonic()))


def wait_for(members: Sequence[ProcessMember]) -> list[ProcessMember]:
    """Wait until at least one of them is done with its job."""
    done: list[ProcessMember] = []
    while not done:
        ready = wait([member.pipe for member in members])
        done = [member for member in members if member.pipe in ready and member.hear()]
    return done


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """What starts here never gets Ctrl-C, which reaches the whole group, not even before it has begun to ignore it. One
    that arrives meanwhile comes after it."""
    resource_tracker.ensure_running()  # multiprocessing starts it beside the first process, and lets signals through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, settings: Settings, threads: int, device: str | None) -> None:
    """The worker's process: do what comes through the pipe until it closes."""
    signal.signal(signal.SIGTERM, _leave)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # else every worker's torch takes all cores
    outbox = _Outbox(pipe)
    teller = _Teller(outbox)  # type: ignore[arg-type]
    teller.setFormatter(logging.Formatter("%(message)s"))  # the log that hears it adds time and level
    logging.basicConfig(level=logging.INFO, handlers=[teller], force=True)
    import cv2

    from pipeline.stages import tracking
    from pipeline.stages.ahead import Abandoned
    from pipeline.worker import Worker

    cv2.setNumThreads(threads)
    try:
        with Worker(settings, threads) as worker, closing(worker.run(_jobs(pipe))) as outcomes:
            while True:
                try:
                    answer: Outcome | Exception | None = next(outcomes, None)
                except Abandoned:  # the other end is closed: there is nothing more to do, or nobody to do it for
                    return
                except Exception as error:
                    answer = error
                if answer is None:
                    return
                outbox.put_nowait(answer)
    except OSError:  # the other end is closed
        pass
    finally:
        tracking.leave()
        if settings.url is not None:  # what is not sent yet stays here for the one who started us
            from pipeline.mirror.layout import close

            close(settings.url, settings.out)


def _jobs(pipe: Connection) -> Iterator[Job]:
    """What comes through the pipe. Raises Abandoned when it closes."""
    from pipeline.stages.ahead import Abandoned

    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            raise Abandoned from None
        yield job


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class _Teller(QueueHandler):
    """Tells what is logged to the one who started us, as long as there is one."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the other end is closed, and threads of this process end after it
            super().enqueue(record)


class _Outbox:
    """One end of the pipe for several threads: the encoders log too. Stands where a logging handler wants a queue."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def put_nowait(self, message: object) -> None:
        with self._lock:
            self._pipe.send(message)


def _how(exitcode: int | None) -> str:
    """How a process ended, in words."""
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = ": out of memory, perhaps, so try fewer executor.workers" if name == "SIGKILL" else ""
        return f"a worker was ended by {name}{hint}"
    return f"a worker ended with status {exitcode}"
