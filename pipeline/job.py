"""What an executor passes to a worker, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.correcting import Corrector
from pipeline.records import Failure
from pipeline.split import Splits
from video.types import Chunk, Video


@dataclass(frozen=True, slots=True)
class Job:
    """One chunk to do.

    prompts: what is asked of its video. track_keys: where the tracks of each prompt are stored. record_id: the name its
    record gets. splits: of its video. base_keys: where its tracks are without corrections; the same keys where nothing
    is corrected. corrector: its corrections. following: another video, which the worker will most likely want after
    this one; fetched meanwhile if it lies on a server.
    """

    chunk: Chunk
    prompts: tuple[str, ...]
    track_keys: tuple[str, ...]
    record_id: str
    splits: Splits
    base_keys: tuple[str, ...] = ()
    corrector: Corrector = field(default_factory=Corrector)
    following: Video | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What doing a job came to.

    tracked, reused: windows x prompts. seconds: of work by stage, see `stopwatch`. objects: tracked, kept or not. size:
    bytes of its crops and tracks. memory: peak of its worker so far, in bytes. worker: the number of the one that did
    it.
    """

    record_id: str
    clips: int
    crops: int
    failed: tuple[Failure, ...]
    tracked: int
    reused: int
    seconds: dict[str, float]
    objects: int = 0
    size: int = 0
    memory: int = 0
    worker: int = 0

    @property
    def failures(self) -> int:
        return len(self.failed)
