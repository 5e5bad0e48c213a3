"""Progress a person can read: a bar with rate and remaining time on a terminal, a line a minute in a job's log, and the
run's `status.json` for whoever looks from elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipeline.status import Status, clock

if TYPE_CHECKING:
    from pipeline.job import Outcome
    from video.types import Chunk

log = logging.getLogger(__name__)

LINE_EVERY_S = 60.0
HEARD_S = 10.0  # it may hang in a connection
STATUS_EVERY_S = 10.0


class Progress:
    """Counts clips. status: what the run says about itself, kept up to date in its `folder`, if it has one."""

    def __init__(self, status: Status, folder: Path | None, tell: Callable[[Path], None] = lambda path: None) -> None:
        """tell: called with the file once a minute, and when the run begins."""
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self.status = status
        self._path = folder and folder / "status.json"
        quiet = not sys.stderr.isatty() or status.clips == 0
        self._bar = tqdm(total=status.clips, unit="clip", disable=quiet, dynamic_ncols=True)
        self._redirect = logging_redirect_tqdm()
        self._spoke = self._told = time.monotonic()
        self._publish = tell
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._heart = threading.Thread(target=self._beat, name="status", daemon=True)

    def __enter__(self) -> Self:
        if not self._bar.disable:
            self._redirect.__enter__()
        if self.status.clips:
            self._tell()
            self._tell_others()
            self._heart.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        if self._heart.is_alive():
            self._heart.join(HEARD_S)
        self.status.state = "finished" if exc[0] is None else "stopped"
        self._tell()
        if self.status.clips_done:
            log.info("%s", self.status.speed)
        self._bar.close()
        if not self._bar.disable:
            self._redirect.__exit__(None, None, None)

    def advance(self, outcome: Outcome, chunk: Chunk) -> None:
        """Count a finished chunk."""
        with self._lock:
            self.status.add(outcome, chunk)
        self._bar.update(outcome.clips)
        self._bar.set_postfix(crops=self.status.crops, failed=self.status.failures)

    def _beat(self) -> None:
        while not self._ended.wait(STATUS_EVERY_S):
            self._tell()
            if time.monotonic() - self._told >= LINE_EVERY_S:
                self._tell_others()
            if self._bar.disable and time.monotonic() - self._spoke >= LINE_EVERY_S:
                self._spoke = time.monotonic()
                log.info("%s", self._line())

    def _tell_others(self) -> None:
        self._told = time.monotonic()
        if self._path is not None and self._path.is_file():
            self._publish(self._path)

    def _line(self) -> str:
        status = self.status
        left = clock(status.remaining_s) if status.remaining_s is not None else "unknown time"
        rate = status.clips_done / status.elapsed
        share = f", the tracker at work {status.tracker_share:.0%} of the time" if status.tracked else ""
        return (
            f"{status.clips_done} of {status.clips} clips ({rate:.1f} a second, {left} left), "
            f"{status.crops} crops, {status.failures} failed{share}"
        )

    def _tell(self) -> None:
        with self._lock:
            self.status.updated = time.time()
            if self._path is not None:
                self.status.write(self._path)
