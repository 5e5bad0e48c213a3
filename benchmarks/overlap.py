"""How much of the tracker's time is lost to everything around it: decoding, cropping, encoding, committing.

    python -m benchmarks.overlap [--seconds 43] [--rounds 5] [--ms 20 50 100] [--json FILE]

The tracker knows the masks and takes a set time per frame, asleep, as a GPU is at work while the processor is free.
Five ellipses in 1080p30 H.264, stride 4, clips of 20 frames, crops of 224 px. Wall time of the whole chunk loop against
the time that the tracker itself took; a ratio is the median over the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.footage import OBJECTS, short_video
from benchmarks.given import Given, settings
from benchmarks.table import Result, arguments, cores, interleaved, publish, ratio
from pipeline.build import Build
from pipeline.footage import survey
from pipeline.worker import Worker
from sam import tracker as registry
from sam.types import FrameMasks, Prompt, SessionFrames


@registry.tracker("timed")
@dataclass
class TimedConfig:
    """The masks of the benchmarks' own footage, after a set time per frame."""

    ms: float = 50.0

    def build(self) -> Timed:
        return Timed(self.ms)


class Timed(Given):
    """Implements `sam.tracker.Tracker`. took: seconds it was at work, of all instances."""

    name = "timed"
    took = 0.0

    def __init__(self, ms: float) -> None:
        self._seconds = ms / 1000

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        for masks in super().track(frames, prompts):
            began = time.perf_counter()
            time.sleep(self._seconds)
            Timed.took += time.perf_counter() - began
            yield masks


def wall(path: Path, scratch: Path, ms: float, own: dict[float, list[float]]) -> float:
    """Wall seconds of every chunk through the real worker; the tracker's own go to `own`."""
    with TemporaryDirectory(dir=scratch) as folder:
        chosen = settings(f"videos={path}", f"out={folder}/out", f"tracker.ms={ms}", tracker="timed")
        build = Build(chosen)
        jobs = build.jobs(survey(chosen, build.ledger))
        Timed.took, began = 0.0, time.perf_counter()
        with Worker(chosen, cores()) as worker:
            crops = sum(worker.process(job).crops for job in jobs)
        seconds = time.perf_counter() - began
    if crops != sum(job.chunk.clips for job in jobs) * OBJECTS:
        raise SystemExit(f"{crops} crops are not {OBJECTS} for every clip")
    own.setdefault(ms, []).append(Timed.took)
    return seconds


def main() -> None:
    parser = arguments("What everything around the tracker adds to its own time.")
    parser.add_argument("--seconds", type=float, default=43, help="length of the footage")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ms", type=float, nargs="+", default=[20, 50, 100, 200], help="per frame of the tracker")
    options = parser.parse_args()
    path = short_video(options.seconds)
    own: dict[float, list[float]] = {}
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        cases = {f"{ms:g} ms": partial(wall, path, Path(scratch), ms, own) for ms in options.ms}
        measured = interleaved(cases, options.rounds)
    rows, values = [], {}
    for ms, (name, seconds) in zip(options.ms, measured.items(), strict=True):
        over = ratio(seconds, own[ms])
        rows.append((name, f"{statistics.median(own[ms]):.1f}", f"{statistics.median(seconds):.1f}", f"{over:.2f}"))
        values[name] = over
    note = f"{options.seconds:g} s of 1080p30 H.264, {OBJECTS} objects, medians of {options.rounds} rounds."
    head = ("tracker, per frame", "tracker's own seconds", "wall seconds", "wall / tracker")
    publish(Result("Overlap with the tracker", head, tuple(rows), values, note), options.json)


if __name__ == "__main__":
    main()
