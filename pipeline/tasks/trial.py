"""task=plan plan.trial=N: N windows spread over the footage go through the whole job, and what they took tells what all
of it will take. Their crops and tracks lie in a temporary folder and are thrown away.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from pipeline.executors.local import cores
from pipeline.job import Job
from pipeline.settings import Settings
from pipeline.stages.peak_memory import peak_memory, reset
from pipeline.writing import write_bytes
from video.types import Chunk, Window, digest

if TYPE_CHECKING:
    from pipeline.worker import Worker


@dataclass(frozen=True, slots=True)
class Estimate:
    """A sum over everything: `mean` give or take `error`, two standard errors of the windows tried; 0 for one alone."""

    mean: float
    error: float

    @classmethod
    def of(cls, each: Sequence[float], times: float) -> Estimate:
        """each: of the windows tried. times: how many of them make the whole."""
        spread = statistics.stdev(each) if len(each) > 1 else 0.0
        return cls(times * statistics.fmean(each), times * 2 * spread / math.sqrt(len(each)))

    @classmethod
    def peak(cls, each: Sequence[float]) -> Estimate:
        """The most that any takes, give or take twice their spread."""
        return cls(max(each), 2 * statistics.stdev(each) if len(each) > 1 else 0.0)

    def times(self, factor: float) -> Estimate:
        return Estimate(self.mean * factor, self.error * factor)

    def text(self, decimals: int = 0) -> str:
        band = f" ± {self.error:,.{decimals}f}" if self.error else ""
        return f"{self.mean:,.{decimals}f}{band}"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a build will take, from the windows tried.

    settings: their digest. made: seconds since 1970. clips, to_track: clips of the whole, and windows x prompts without
    tracks. objects: tracked in a clip. crops, gib (crops and tracks), hours (of tracking, one worker): of the whole.
    memory: the peak in GiB, of the GPU, else of the process. load_s: until the model was ready. price: of an hour.
    """

    settings: str
    made: float
    clips: int
    to_track: int
    windows: int
    videos: int
    failed: int
    objects: Estimate
    crops: Estimate
    gib: Estimate
    hours: Estimate
    memory: Estimate
    load_s: float
    gpu: bool
    price: float | None = None

    @property
    def memory_of(self) -> str:
        return "of the GPU" if self.gpu else "of the process"

    @property
    def most(self) -> Estimate:
        """What a run takes at most; without a band of the process, which decodes ahead and crops behind in a run, and
        does a window at a time in a trial."""
        return self.memory if self.gpu else Estimate(self.memory.mean, 0.0)

    def rows(self) -> list[tuple[str, str]]:
        """As lines of the plan."""
        failed = f", {self.failed} failed" if self.failed else ""
        rows = [
            ("tried", f"{self.windows} windows of {self.videos} videos{failed}; ready after {self.load_s:.0f} s"),
            ("objects", f"{self.objects.text(1)} a clip"),
            ("crops", self.crops.text()),
            ("tracking", f"{spent(self.hours)} with one worker"),
            ("disk", f"{room(self.gib)} of crops and tracks"),
            (
                "memory",
                f"{room(self.most)} at most, {self.memory_of}{'' if self.gpu else ' that does a window at a time'}",
            ),
        ]
        if self.price is not None:
            rows.append(("price", f"{money(self.hours.times(self.price))} at {self.price:g} an hour"))
        return rows

    def write(self, path: Path) -> None:
        """Keep it, for task=status to compare with what happens."""
        write_bytes(path, orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, path: Path) -> Trial | None:
        """None where there is none, or none that can be read."""
        try:
            raw = orjson.loads(path.read_bytes())
            sums = {name: Estimate(**raw[name]) for name in ("objects", "crops", "gib", "hours", "memory")}
            return cls(**raw | sums)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def spent(hours: Estimate) -> str:
    """A time, in hours, minutes or seconds."""
    if hours.mean >= 1:
        return f"{hours.text(1)} hours"
    return f"{hours.times(60).text(1)} minutes" if hours.mean >= 1 / 60 else f"{hours.times(3600).text(1)} seconds"


def room(gib: Estimate) -> str:
    """A size, in GiB or MiB."""
    return f"{gib.text(1)} GiB" if gib.mean >= 1 else f"{gib.times(1024).text(1)} MiB"


def money(sum_: Estimate) -> str:
    """A price, which may be a small part of one."""
    return sum_.text(2 if sum_.mean >= 1 else 4)


@dataclass(frozen=True, slots=True)
class _Tried:
    """One window. clips: in it. seconds: of tracking. memory: GiB at most."""

    clips: int
    objects: int
    crops: int
    size: int
    seconds: float
    failed: bool
    memory: float


def trial(settings: Settings, jobs: Sequence[Job], to_track: int, count: int) -> Trial:
    """Try `count` windows, and one before them that warms up and counts for nothing but the crops.

    to_track: windows x prompts whose tracks are not stored. Raises TrackerUnavailable and what reading raises.
    """
    from pipeline.worker import Worker

    every = [(job, window) for job in jobs for window in job.chunk.windows]
    places = np.linspace(0, len(every) - 1, min(count + 1, len(every))).round().astype(int)
    chosen = [every[n] for n in dict.fromkeys(places.tolist())]
    with tempfile.TemporaryDirectory(prefix="clipcrop-trial-") as scratch:
        out = Path(scratch) / "out"
        tried = replace(settings, task="build", out=out, url=None, tracks=Path(scratch) / "tracks")
        began = time.perf_counter()
        with Worker(tried, cores()) as worker:
            found = [_try(worker, tried, *chosen[0])]
            load_s = time.perf_counter() - began - found[0].seconds
            found += [_try(worker, tried, job, window) for job, window in chosen[1:]]
        gpu = peak_memory().gpu
    timed = [each for each in found[1:] or found if not each.failed] or found
    clips = sum(len(window.clips) for _, window in every)
    per_clip = [each.clips for each in timed]
    return Trial(
        settings=settings.digest,
        made=time.time(),
        clips=clips,
        to_track=to_track,
        windows=len(found),
        videos=len({job.chunk.video.fingerprint for job, _ in chosen}),
        failed=sum(each.failed for each in found),
        objects=Estimate.of([each.objects / n for each, n in zip(timed, per_clip, strict=True)], 1),
        crops=Estimate.of([each.crops / n for each, n in zip(timed, per_clip, strict=True)], clips),
        gib=Estimate.of([each.size / n / 2**30 for each, n in zip(timed, per_clip, strict=True)], clips),
        hours=Estimate.of([each.seconds / 3600 / len(chosen[0][0].track_keys) for each in timed], to_track),
        memory=Estimate.peak([each.memory for each in found]),
        load_s=load_s,
        gpu=gpu,
        price=settings.plan.price,
    )


def _try(worker: Worker, settings: Settings, job: Job, window: Window) -> _Tried:
    """One window as a chunk of its own, under names of its own."""
    keys = tuple(digest("trial", key, window.id) for key in job.track_keys)
    chunk = Chunk.of(window)
    record_id = digest("trial", job.record_id, window.id)
    own = replace(job, chunk=chunk, track_keys=keys, base_keys=keys, record_id=record_id)
    reset()
    outcome = worker.process(own)
    return _Tried(
        clips=len(window.clips),
        objects=outcome.objects,
        crops=outcome.crops,
        size=outcome.size,
        seconds=outcome.seconds.get("track", 0.0),
        failed=bool(outcome.failed),
        memory=outcome.memory / 2**30,
    )
