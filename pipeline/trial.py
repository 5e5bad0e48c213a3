"""task=plan plan.trial=N: N windows spread over the footage go through the whole job, and what they took tells what all
of it will take. Their crops and tracks lie in a temporary folder and are thrown away.
"""

from __future__ import annotations

import math
import statistics
import sys
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
from pipeline.layout import Layout, write_bytes
from pipeline.ledger import Ledger
from pipeline.settings import Settings
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

    def times(self, factor: float) -> Estimate:
        return Estimate(self.mean * factor, self.error * factor)

    def text(self, decimals: int = 0) -> str:
        band = f" ± {self.error:,.{decimals}f}" if self.error else ""
        return f"{self.mean:,.{decimals}f}{band}"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a build will take, from the windows tried. crops, gib (crops and tracks), hours (of tracking, one worker).

    objects: tracked in a clip. load_s: until the model was ready. memory_gib: the peak of the GPU, else of the process.
    """

    windows: int
    videos: int
    failed: int
    objects: Estimate
    crops: Estimate
    gib: Estimate
    hours: Estimate
    load_s: float
    memory_gib: float
    gpu: bool

    @property
    def duration(self) -> str:
        """Of tracking, in hours or minutes."""
        return f"{self.hours.text(1)} hours" if self.hours.mean >= 1 else f"{self.hours.times(60).text(1)} minutes"

    @property
    def disk(self) -> str:
        """Of crops and tracks, in GiB or MiB."""
        return f"{self.gib.text(1)} GiB" if self.gib.mean >= 1 else f"{self.gib.times(1024).text(1)} MiB"

    def rows(self, price: float | None) -> list[tuple[str, str]]:
        """As lines of the plan. price: of an hour of the machine."""
        failed = f", {self.failed} failed" if self.failed else ""
        rows = [
            ("tried", f"{self.windows} windows of {self.videos} videos{failed}; ready after {self.load_s:.0f} s"),
            ("objects", f"{self.objects.text(1)} a clip"),
            ("crops", self.crops.text()),
            ("tracking", f"{self.duration} with one worker"),
            ("disk", f"{self.disk} of crops and tracks"),
            ("memory", f"{self.memory_gib:.1f} GiB at most, of the {'GPU' if self.gpu else 'process'}"),
        ]
        if price is not None:
            rows.append(("price", f"{self.hours.times(price).text(2)} at {price:g} an hour"))
        return rows

    def write(self, path: Path) -> None:
        """Keep it, for task=status to compare with what happens."""
        write_bytes(path, orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))

    @classmethod
    def read(cls, path: Path) -> Trial | None:
        """None where there is none, or none that can be read."""
        try:
            raw = orjson.loads(path.read_bytes())
            sums = {name: Estimate(**raw[name]) for name in ("objects", "crops", "gib", "hours")}
            return cls(**raw | sums)
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class _Tried:
    """One window. clips: in it. seconds: of tracking."""

    clips: int
    objects: int
    crops: int
    size: int
    seconds: float
    failed: bool


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
        gpu, peak = _peak_bytes()
    timed = [each for each in found[1:] or found if not each.failed] or found
    clips = sum(len(window.clips) for _, window in every)
    per_clip = [each.clips for each in timed]
    return Trial(
        windows=len(found),
        videos=len({job.chunk.video.fingerprint for job, _ in chosen}),
        failed=sum(each.failed for each in found),
        objects=Estimate.of([each.objects / n for each, n in zip(timed, per_clip, strict=True)], 1),
        crops=Estimate.of([each.crops / n for each, n in zip(timed, per_clip, strict=True)], clips),
        gib=Estimate.of([each.size / n / 2**30 for each, n in zip(timed, per_clip, strict=True)], clips),
        hours=Estimate.of([each.seconds / 3600 / len(chosen[0][0].track_keys) for each in timed], to_track),
        load_s=load_s,
        memory_gib=peak / 2**30,
        gpu=gpu,
    )


def _try(worker: Worker, settings: Settings, job: Job, window: Window) -> _Tried:
    """One window as a chunk of its own, under names of its own."""
    keys = tuple(digest("trial", key, window.id) for key in job.track_keys)
    chunk = Chunk.of(window)
    record_id = digest("trial", job.record_id, window.id)
    own = replace(job, chunk=chunk, track_keys=keys, base_keys=keys, record_id=record_id)
    outcome = worker.process(own)
    layout = Layout(settings.out, settings.tracks)
    record = Ledger(layout).read(record_id)
    samples = record.samples if record else ()
    tracks = [layout.track_file(key) for key in keys]
    size = sum(file.size for sample in samples for file in sample.files)
    return _Tried(
        clips=len(window.clips),
        objects=len(samples),
        crops=outcome.crops,
        size=size + sum(path.stat().st_size for path in tracks if path.is_file()),
        seconds=outcome.seconds.get("track", 0.0),
        failed=bool(outcome.failed),
    )


def _peak_bytes() -> tuple[bool, int]:
    """Whether a GPU was used, and the most memory that was taken: of the GPU, else of this process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return True, int(torch.cuda.max_memory_allocated())
    import resource

    return False, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
