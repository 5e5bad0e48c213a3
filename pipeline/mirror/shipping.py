"""Sending chunks that are done while the next ones are made: in order, in a thread of its own, few of them waiting."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

from video.errors import FetchError, SourceError

log = logging.getLogger(__name__)

WAITING = 4  # chunks; then the worker waits for the connection
STOP_S = 5.0  # it may hang in a connection; the process ends without it

Steps = Sequence[Sequence[Path]]


class Shipping:
    """A chunk is steps of files: none of a step is sent before all of the one before it. A chunk that fails is left to
    others, and those behind it are still tried."""

    def __init__(self, send: Callable[[Sequence[Path]], None], sent: Callable[[], None]) -> None:
        """send: raises FetchError or SourceError. sent: called after every chunk."""
        self._send, self._sent = send, sent
        self._queue: queue.Queue[Steps] = queue.Queue(WAITING)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ship", daemon=True)
        self._thread.start()

    def add(self, steps: Steps) -> None:
        """Waits while too many are under way."""
        self._queue.put(steps)

    def wait(self) -> None:
        self._queue.join()

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()
        with suppress(queue.Full):
            self._queue.put_nowait(())  # it may wait for one
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while True:
            steps = self._queue.get()
            try:
                if self._stopped.is_set():
                    return
                for step in steps:
                    self._send(step)
                self._sent()
            except (FetchError, SourceError, OSError) as error:
                log.warning("a chunk is done and not yet sent: %s; it is tried again at the end", error)
            except (RuntimeError, CancelledError):  # the pool of connections is closed: the run ends
                if not self._stopped.is_set():
                    raise
            finally:
                self._queue.task_done()
