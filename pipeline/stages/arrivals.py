"""What the other threads of a worker have ready for the one that tracks: open chunks, outcomes, and errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from pipeline.job import Outcome
from pipeline.stages.open_chunk import OpenChunk

if TYPE_CHECKING:
    from pipeline.stages.ahead import Ahead


@dataclass(frozen=True, slots=True)
class _End:
    """There are no more chunks. wrong: why not, None where all were opened."""

    wrong: BaseException | None


class Arrivals:
    """chunks: open, in their order, not begun. under_way: how many are being committed. broken: what ended a commit.
    wrong: what ended the opening of chunks, to be raised when all before it are committed."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[OpenChunk | Outcome | BaseException | _End] = SimpleQueue()
        self._ended = False
        self.chunks: deque[OpenChunk] = deque()
        self.under_way = 0
        self.broken: BaseException | None = None
        self.wrong: BaseException | None = None

    # -- any thread ---------------------------------------------------------------------------------------------------

    def put(self, message: OpenChunk | Outcome | BaseException) -> None:
        """An error is raised as soon as somebody looks."""
        self._queue.put(message)

    def end(self, wrong: BaseException | None) -> None:
        self._queue.put(_End(wrong))

    # -- the thread that tracks ---------------------------------------------------------------------------------------

    @property
    def more(self) -> bool:
        """Whether anything is still to come."""
        return not self._ended or self.under_way > 0

    def outcomes(self, ahead: Ahead, wait: bool = False) -> Iterator[Outcome]:
        """Take in what has come, and yield the outcomes in it; with `wait` not before something has come. Raises what
        ended a commit. ahead: may open another chunk for each that is committed."""
        while True:
            try:
                message = self._queue.get(block=wait)
            except Empty:
                return
            wait = False
            if isinstance(message, OpenChunk):
                self.chunks.append(message)
            elif isinstance(message, Outcome):
                self.under_way -= 1
                ahead.one_is_done()
                yield message
            elif isinstance(message, _End):
                self._ended, self.wrong = True, message.wrong
            else:
                self.broken = message
                raise message
