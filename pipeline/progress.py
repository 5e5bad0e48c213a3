"""Progress a person can read: a bar with rate and remaining time on a terminal, a line a minute in a job's log."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pipeline.job import Outcome

log = logging.getLogger(__name__)

LINE_EVERY_S = 60.0


class Progress:
    """Counts clips. total: clips to do."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        self._total = total
        self._done = self._crops = self._failures = 0
        self._began = self._spoke = time.monotonic()
        self._bar = tqdm(total=total, unit="clip", disable=not sys.stderr.isatty() or total == 0, dynamic_ncols=True)
        self._redirect = logging_redirect_tqdm()

    def __enter__(self) -> Self:
        if not self._bar.disable:
            self._redirect.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.close()
        if not self._bar.disable:
            self._redirect.__exit__(None, None, None)

    def advance(self, outcome: Outcome) -> None:
        """Count a finished chunk."""
        self._done += outcome.clips
        self._crops += outcome.crops
        self._failures += outcome.failures
        self._bar.update(outcome.clips)
        self._bar.set_postfix(crops=self._crops, failed=self._failures)
        now = time.monotonic()
        if self._bar.disable and now - self._spoke >= LINE_EVERY_S:
            self._spoke = now
            rate = self._done / (now - self._began)
            left = (self._total - self._done) / rate if rate else 0.0
            log.info(
                "%d of %d clips (%.1f a second, %s left), %d crops, %d failed",
                self._done, self._total, rate, _clock(left), self._crops, self._failures,
            )  # fmt: skip


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
