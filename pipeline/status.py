"""How far the runs over a dataset are: what each run says of itself in `runs/<time>/status.json`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.errors import DiskError
from pipeline.layout import Layout
from pipeline.writing import write_bytes

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings
    from video.types import Chunk

SILENT_S = 300.0  # a running run says something every minute


@dataclass
class Status:
    """One run, as far as it is. Times in seconds since 1970; `seconds` of work by stage (`stopwatch.STAGES`), over all
    threads and workers.

    state: running, finished or stopped. clips: of this run's share that were not done before. video_s: seconds of
    footage that are done. chunks: of the whole dataset, all shards together. tracked: windows x prompts. objects: of
    the clips done, kept or not. size: bytes of crops and tracks. memory: the peak of its largest worker, in bytes.
    workers: that have finished a chunk.
    """

    task: str
    shard: str
    chunks: int
    clips: int
    state: str = "running"
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)
    started: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    clips_done: int = 0
    crops: int = 0
    failures: int = 0
    video_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    tracked: int = 0
    objects: int = 0
    size: int = 0
    memory: int = 0
    workers: int = 1

    @classmethod
    def begun(cls, settings: Settings, jobs: Sequence[Job], pending: Sequence[Job]) -> Status:
        """Of a run that starts now. jobs: of all shards. pending: what it has to do."""
        shard = f"{settings.shard.index} of {settings.shard.count}" if settings.shard.count > 1 else ""
        return cls(settings.task, shard, len(jobs), sum(job.chunk.clips for job in pending))

    @property
    def elapsed(self) -> float:
        return max(self.updated - self.started, 1e-9)

    @property
    def remaining_s(self) -> float | None:
        """Seconds until all clips are done at the rate so far; None before the first."""
        return (self.clips - self.clips_done) * self.elapsed / self.clips_done if self.clips_done else None

    @property
    def video_hours_per_day(self) -> float:
        """Hours of footage that a day at this rate does, with all workers of the run."""
        return self.video_s / self.elapsed * 24

    @property
    def video_hours_per_day_per_gpu(self) -> float:
        """The same for each worker, which has a GPU to itself unless it was told otherwise."""
        return self.video_hours_per_day / self.workers

    @property
    def tracker_share(self) -> float:
        """Share of the workers' time in which their trackers are at work, 0..1: of the speed of the tracker alone."""
        return self.share("track")

    @property
    def idle_share(self) -> float:
        """Share of the workers' time in which their trackers wait for something, 0..1."""
        return max(0.0, 1.0 - self.tracker_share)

    def share(self, stage: str) -> float:
        """Of the time of all workers, what a stage took of it; more than 1 for what several threads do at once."""
        return self.seconds.get(stage, 0.0) / (self.elapsed * self.workers)

    @property
    def figures(self) -> dict[str, float | None]:
        """What follows from the counts."""
        return {
            "clips_per_second": self.clips_done / self.elapsed,
            "remaining_s": self.remaining_s,
            "video_hours_per_day": self.video_hours_per_day,
            "video_hours_per_day_per_gpu": self.video_hours_per_day_per_gpu,
            "tracker_share": self.tracker_share if self.tracked else None,
            "idle_share": self.idle_share if self.tracked else None,
        }

    @property
    def speed(self) -> str:
        """How fast it is, and what the trackers wait for, in words."""
        each = f" ({self.video_hours_per_day_per_gpu:.0f} for each of {self.workers} workers)" * (self.workers > 1)
        rate = f"{self.video_hours_per_day:.0f} hours of video a day{each}"
        if not self.tracked:
            return f"{rate}, nothing tracked"
        waits = {"frames": "wait_for_frames", "crops": "wait_for_crops", "the model": "load"}
        shares = ", ".join(f"{self.share(stage):.0%} for {name}" for name, stage in waits.items())
        return f"{rate}, the tracker at work {self.tracker_share:.0%} of the time, waiting {shares}"

    def add(self, outcome: Outcome, chunk: Chunk) -> None:
        """Count a finished chunk."""
        self.clips_done += outcome.clips
        self.crops += outcome.crops
        self.failures += outcome.failures
        self.tracked += outcome.tracked
        self.objects += outcome.objects
        self.size += outcome.size
        self.memory = max(self.memory, outcome.memory)
        self.video_s += chunk.seconds
        self.workers = max(self.workers, outcome.worker + 1)
        for stage, seconds in outcome.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def write(self, path: Path) -> None:
        """Leave it at `path`, with the figures that follow from it. A disk that is full stops no run for this."""
        try:
            write_bytes(path, orjson.dumps(asdict(self) | self.figures, option=orjson.OPT_INDENT_2))
        except DiskError:
            return

    @classmethod
    def read(cls, path: Path) -> Status | None:
        """None where there is none, or none that can be read."""
        try:
            raw: dict[str, Any] = orjson.loads(path.read_bytes())
            return cls(**{f.name: raw[f.name] for f in fields(cls) if f.name in raw})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        shard = f", shard {self.shard}" if self.shard else ""
        where = f"task={self.task} on {self.host}, process {self.pid}{shard}"
        done = f"{self.clips_done} of {self.clips} clips, {self.crops} crops, {self.failures} failed"
        rate = f"{self.clips_done / self.elapsed:.2f} clips a second, {self.speed}"
        left = self.remaining_s
        if self.state == "running" and left is not None:
            done += f", {clock(left)} left"
        return f"{where}: {done}; {rate}" if self.clips_done else f"{where}: {done}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def runs_of(layout: Layout) -> list[tuple[Path, Status]]:
    """Every run that says something about itself, the oldest first, with the place where it does."""
    return [(path, found) for path in sorted(layout.runs.glob("*/status.json")) if (found := Status.read(path))]


def rivals_of(mine: Status, layout: Layout) -> list[str]:
    """Other runs that seem to be at work on the same share of the dataset right now, in words."""
    return [
        f"task={run.task} on {run.host}, process {run.pid}, {clock(mine.started - run.updated)} ago"
        for _, run in runs_of(layout)
        if run.state == "running" and run.shard == mine.shard and mine.started - run.updated < SILENT_S
        if (run.host, run.pid) != (mine.host, mine.pid) and (run.host != mine.host or _lives(run.pid))
    ]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
