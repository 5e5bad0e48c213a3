"""How much of the tracker's speed is lost to everything around it: decoding, cropping, encoding, committing.

    python -m benchmarks.overlap [--seconds 30] [--videos 2] [--windows 4] [--rounds 5] [--ms 200 100 50 25 12]

The tracker knows the masks and takes a set time per frame, asleep, as a GPU is at work while the processor is free.
Five ellipses in 1080p30 H.264, stride 4, clips of 20 frames, crops of 224 px, chunks of few windows, so that there are
more borders between chunks, and between videos, than in a real run. "Alone" is the tracker on as many frames without
anything else, in the same round; a ratio is the median over the rounds. Waits are shares of the wall time.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.footage import OBJECTS, mask_of, short_video, twin
from benchmarks.given import Given, settings
from benchmarks.table import Result, arguments, cores, interleaved, publish, ratio
from pipeline.build import Build
from pipeline.footage import survey
from pipeline.job import Job
from pipeline.settings import Settings
from pipeline.stages.stopwatch import STAGES
from pipeline.worker import Worker
from sam import tracker as registry
from sam.session import SAMSession
from sam.types import FrameMasks, Prompt, SessionFrames
from video import clipper

Stages = dict[str, list[float]]


@registry.tracker("timed")
@dataclass
class TimedConfig:
    """The masks of the benchmarks' own footage, after a set time per frame."""

    ms: float = 50.0

    def build(self) -> Timed:
        return Timed(self.ms)


class Timed(Given):
    """Implements `sam.tracker.Tracker`."""

    name = "timed"

    def __init__(self, ms: float) -> None:
        self._seconds = ms / 1000

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        for masks in super().track(frames, prompts):
            time.sleep(self._seconds)
            yield masks


class Case:
    """One tracker, on its own and with everything around it. stages: seconds by stage, by round."""

    def __init__(self, videos: Sequence[Path], scratch: Path, ms: float) -> None:
        self._videos = ",".join(map(str, videos))
        self._scratch = scratch
        self._ms = ms
        self.stages: Stages = defaultdict(list)

    def alone(self) -> float:
        """Wall seconds of the tracker over the same windows, with pictures that cost nothing."""
        _, jobs = self._jobs(self._scratch / "alone")
        took = 0.0
        with Timed(self._ms) as tracker:
            for job in jobs:
                video, grid = job.chunk.video, job.chunk.grid
                for window in job.chunk.windows:
                    numbers = np.array([p * grid.stride for p in window.positions])
                    pictures = [np.empty((0, 0, 3), np.uint8)] * len(numbers)
                    times = numbers / float(video.fps)
                    frames = SessionFrames(pictures, numbers, times, video.width, video.height, video.name)
                    began = time.perf_counter()
                    with SAMSession(tracker, frames) as session:
                        session.add_prompt(Prompt(text="ellipse"))
                        session.tracks()
                    took += time.perf_counter() - began
        return took

    def wall(self) -> float:
        """Wall seconds of every chunk through the real worker."""
        with TemporaryDirectory(dir=self._scratch) as folder:
            chosen, jobs = self._jobs(Path(folder))
            began = time.perf_counter()
            with Worker(chosen, cores()) as worker:
                outcomes = list(worker.run(jobs))
            seconds = time.perf_counter() - began
        if sum(outcome.crops for outcome in outcomes) != sum(job.chunk.clips for job in jobs) * OBJECTS:
            raise SystemExit(f"there are not {OBJECTS} crops for every clip")
        for stage in STAGES:
            self.stages[stage].append(sum(outcome.seconds.get(stage, 0.0) for outcome in outcomes))
        return seconds

    def _jobs(self, out: Path) -> tuple[Settings, list[Job]]:
        chosen = settings(f"videos=[{self._videos}]", f"out={out}", f"tracker.ms={self._ms}", tracker="timed")
        build = Build(chosen)
        return chosen, build.jobs(survey(chosen, build.ledger))


def main() -> None:
    parser = arguments("What everything around the tracker adds to its own time.")
    parser.add_argument("--seconds", type=float, default=30, help="length of each video")
    parser.add_argument("--videos", type=int, default=2)
    parser.add_argument("--windows", type=int, default=4, help="of a chunk; 32 in a real run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ms", type=float, nargs="+", default=[200, 100, 50, 25, 12], help="per frame of the tracker")
    options = parser.parse_args()
    clipper.MAX_WINDOWS_PER_CHUNK = options.windows  # type: ignore[attr-defined]
    videos = [twin(short_video(options.seconds), n) for n in range(options.videos)]
    for number in range(OBJECTS):
        for frame in range(0, round(options.seconds * 30), 4):
            mask_of(number, frame, 1920, 1080)  # they are remembered: making them is no tracker's work
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        by_ms = {ms: Case(videos, Path(scratch), ms) for ms in options.ms}
        runs: dict[str, Callable[[], float]] = {}
        for ms, case in by_ms.items():
            runs |= {f"{ms:g} ms, alone": case.alone, f"{ms:g} ms": case.wall}
        measured = interleaved(runs, options.rounds)
    rows, values = [], {}
    for ms, case in by_ms.items():
        alone, wall = measured[f"{ms:g} ms, alone"], measured[f"{ms:g} ms"]
        over = ratio(wall, alone)
        share = partial(_share, case.stages, wall)
        rows.append(
            (
                f"{ms:g} ms",
                f"{statistics.median(alone):.1f}",
                f"{statistics.median(wall):.1f}",
                f"{over:.2f}",
                *(f"{share(stage):.0%}" for stage in ("wait_for_frames", "wait_for_crops")),
                f"{share('decode') + share('measure') + share('crop') + share('commit'):.1f}",
            )
        )
        values[f"{ms:g} ms"] = over
        values |= {f"{ms:g} ms, {stage}": share(stage) for stage in STAGES}
    head = (
        "tracker, per frame",
        "alone, seconds",
        "wall",
        "wall / alone",
        "waits for frames",
        "for crops",
        "busy threads",
    )
    note = (
        f"{options.videos} videos of {options.seconds:g} s, chunks of {options.windows} windows, {OBJECTS} objects, "
        f"medians of {options.rounds} rounds."
    )
    publish(Result("Overlap with the tracker", head, tuple(rows), values, note), options.json)


def _share(stages: Stages, wall: Sequence[float], stage: str) -> float:
    return ratio(stages[stage], wall)


if __name__ == "__main__":
    main()
