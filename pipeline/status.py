"""How far the runs over a dataset are: what each run says of itself in `runs/<time>/status.json`, and task=status."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.errors import DatasetError, DiskError
from pipeline.layout import Layout, write_bytes
from pipeline.promised import compared

if TYPE_CHECKING:
    from pipeline.job import Job, Outcome
    from pipeline.settings import Settings

SILENT_S = 300.0  # a running run says something every minute
SHOWN = 20


@dataclass
class Status:
    """One run, as far as it is. Times in seconds since 1970; `seconds` by stage, over all workers.

    state: running, finished or stopped. clips: of this run's share that were not done before. video_s: seconds of
    footage that are done. chunks: of the whole dataset, all shards together. tracked: windows x prompts. objects: of
    the clips done, kept or not. size: bytes of crops and tracks. memory: the peak of its largest worker, in bytes.
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

    @classmethod
    def begun(cls, settings: Settings, jobs: Sequence[Job], pending: Sequence[Job]) -> Status:
        """Of a run that starts now. jobs: of all shards. pending: what it has to do."""
        shard = f"{settings.shard.index} of {settings.shard.count}" if settings.shard.count > 1 else ""
        return cls(settings.task, shard, len(jobs), sum(job.chunk.clips for job in pending))

    def count(self, outcome: Outcome) -> None:
        """Add what a finished chunk took."""
        self.tracked += outcome.tracked
        self.objects += outcome.objects
        self.size += outcome.size
        self.memory = max(self.memory, outcome.memory)

    @property
    def speed(self) -> tuple[float, float]:
        """Hours of video a day, and the percentage of the time in which the tracker is at work."""
        return self.video_hours_per_day, 100 * self.tracking

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
    def tracking(self) -> float:
        """Share of the time in which the tracker is at work, 0..1; with several workers up to their number."""
        return self.seconds.get("track", 0.0) / self.elapsed

    def write(self, path: Path) -> None:
        """Leave it at `path`, with the figures that follow from it. A disk that is full stops no run for this."""
        figures = {
            "clips_per_second": self.clips_done / self.elapsed,
            "remaining_s": self.remaining_s,
            "video_hours_per_day": self.video_hours_per_day,
            "tracking": self.tracking,
        }
        try:
            write_bytes(path, orjson.dumps(asdict(self) | figures, option=orjson.OPT_INDENT_2))
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
        rate = f"{self.clips_done / self.elapsed:.2f} clips a second, {self.speed[0]:.0f} hours of video a day"
        at_work = f"tracking {self.tracking:.0%} of the time"
        left = self.remaining_s
        if self.state == "running" and left is not None:
            done += f", {clock(left)} left"
        return f"{where}: {done}; {rate}, {at_work}" if self.clips_done else f"{where}: {done}"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def status(settings: Settings, now: float | None = None) -> str:
    """What task=status prints: every run that is under way or was cut off, the last ones, and what is there.

    Raises DatasetError where there is nothing to say anything about.
    """
    layout = Layout(settings.out, settings.tracks)
    runs = runs_of(layout)
    if not runs:
        raise DatasetError(f"no run has worked on {layout.root} yet: build it first, with task=build")
    return "\n".join([*_runs(runs, time.time() if now is None else now), *_dataset(layout, [run for _, run in runs])])


def runs_of(layout: Layout) -> list[tuple[Path, Status]]:
    """Every run that says something about itself, the oldest first, with the place where it does."""
    return [(path, found) for path in sorted(layout.runs.glob("*/status.json")) if (found := Status.read(path))]


def _runs(runs: list[tuple[Path, Status]], now: float) -> Iterator[str]:
    older = len(runs) - SHOWN
    if older > 0:
        yield f"({older} older runs in {runs[0][0].parents[1]})"
    for _, run in runs[-SHOWN:]:
        state, silent = run.state, now - run.updated
        if state == "running" and silent > SILENT_S:
            state = f"cut off, or stuck: no sign of life for {clock(silent)}"
        yield f"{datetime.fromtimestamp(run.started):%Y-%m-%d %H:%M:%S}  {state}: {run}"


def _dataset(layout: Layout, runs: list[Status]) -> Iterator[str]:
    yield f"chunks done: {len(layout.record_files())} of {runs[-1].chunks}"
    if layout.samples.is_file():
        import pyarrow.parquet as pq

        files = {"crops": layout.samples, "refused": layout.rejected, "failures": layout.failures}
        counts = {name: pq.read_metadata(path).num_rows for name, path in files.items() if path.is_file()}
        yield f"indexed: {', '.join(f'{name} {count}' for name, count in counts.items())}"
    yield from map(str, compared(layout, runs))
