"""Where the seconds of a chunk went, by stage, in whichever thread they were spent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

STAGES = (
    "fetch",
    "decode",
    "wait_for_frames",
    "load",
    "track",
    "measure",
    "crop",
    "wait_for_crops",
    "commit",
)

Item = TypeVar("Item")


class Stopwatch:
    """Adds up seconds by stage. Several threads may measure at once: then a stage has more seconds than went by."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count what the block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - began)

    def each(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        """The same items; what it takes to make each is counted, what is done with it is not."""
        while True:
            with self.timed(stage):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, in the order of `STAGES`."""
        with self._lock:
            return {stage: self._seconds[stage] for stage in STAGES if stage in self._seconds}
