"""The whole job with given masks against decoding alone, and against a plain version of the original pipeline.

    python -m benchmarks.pipeline [--seconds 86] [--rounds 3] [--json FILE]

Five ellipses in 1080p30 H.264, stride 4, clips of 20 frames, crops of 224 px. All in one run on the same cores, in
interleaved rounds; a ratio is the median over the rounds.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2

from benchmarks.footage import OBJECTS, mask_of, short_video
from benchmarks.given import settings
from benchmarks.original import original
from benchmarks.table import Result, arguments, cores, interleaved, publish, ratio
from pipeline.build import Build
from pipeline.footage import survey
from pipeline.worker import Worker

STORED, GIVEN, DECODE, FFMPEG, ORIGINAL = (
    "ours, stored tracks",
    "ours, tracker that knows the masks",
    "PyAV decodes every frame to nothing",
    "ffmpeg decodes every frame to nothing",
    "the original pipeline, plain",
)


PROCESSOR = ("per processor second: of decoding", "of the original")
Rounds = dict[str, list[float]]


def decode_to_nothing(path: Path) -> int:
    """Decode every frame with all cores and look at none; returns how many there were."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return sum(1 for _ in container.decode(stream))


def ffmpeg_to_nothing(path: Path) -> None:
    """The same with the ffmpeg program, as many threads as there are cores."""
    command = ["ffmpeg", "-v", "error", "-threads", str(cores()), "-i", str(path), "-f", "null", "-"]
    subprocess.run(command, check=True)


def ours(path: Path, out: Path, tracks: Path) -> None:
    """Every chunk through the real worker, into a fresh dataset."""
    chosen = settings(f"videos={path}", f"out={out}", f"tracks.path={tracks}")
    build = Build(chosen)
    jobs = build.jobs(survey(chosen, build.ledger))
    with Worker(chosen, cores()) as worker:
        crops = sum(outcome.crops for outcome in worker.run(jobs))
    clips = sum(job.chunk.clips for job in jobs)
    if crops != clips * OBJECTS:
        raise SystemExit(f"expected {clips * OBJECTS} crops, got {crops}")


def measure(path: Path, frames: int, rounds: int, scratch: Path) -> tuple[Rounds, Rounds]:
    """Source frames per second of wall time, and per second of processor time, of every case by round."""
    stored = scratch / "tracks"
    ours(path, scratch / "warm", stored)  # leaves the tracks that `STORED` reuses
    work: Rounds = {}

    def rate(name: str, case: Callable[[Path], object]) -> Callable[[], float]:
        def run() -> float:
            with TemporaryDirectory(dir=scratch) as folder:
                began, busy = time.perf_counter(), _processor_seconds()
                case(Path(folder))
                work.setdefault(name, []).append(frames / (_processor_seconds() - busy))
                return frames / (time.perf_counter() - began)

        return run

    cases: dict[str, Callable[[Path], object]] = {
        DECODE: lambda folder: decode_to_nothing(path),
        STORED: lambda folder: ours(path, folder / "out", stored),
        GIVEN: lambda folder: ours(path, folder / "out", folder / "tracks"),
        ORIGINAL: lambda folder: original(path, folder),
    }
    if shutil.which("ffmpeg"):
        cases[FFMPEG] = lambda folder: ffmpeg_to_nothing(path)
    return interleaved({name: rate(name, case) for name, case in cases.items()}, rounds), work


def _processor_seconds() -> float:
    """Of this process, all its threads, and the processes it waited for."""
    return sum(os.times()[:4])


def main() -> None:
    parser = arguments("The whole job with given masks, against decoding alone and against the original pipeline.")
    parser.add_argument("--seconds", type=float, default=86, help="length of the footage; 86 fill one chunk")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    path = short_video(options.seconds)
    frames = decode_to_nothing(path)
    cv2.setNumThreads(cores())
    for number in range(OBJECTS):  # the masks are known before anything is timed
        for index in range(0, frames, 4):
            mask_of(number, index, 1920, 1080)
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        rates, work = measure(path, frames, options.rounds, Path(scratch))
    rows: list[tuple[str, ...]] = []
    values: dict[str, float] = {}
    for name, measured in rates.items():
        figures = {
            "frames/s": statistics.median(measured),
            "of decoding": ratio(measured, rates[DECODE]),
            "of the original": ratio(measured, rates[ORIGINAL]),
            "processor, of decoding": ratio(work[name], work[DECODE]),
            "processor, of the original": ratio(work[name], work[ORIGINAL]),
        }
        first, *others = figures.values()
        rows.append((name, f"{first:.0f}", *(f"{value:.2f}" for value in others)))
        values |= {f"{name}: {key}": value for key, value in figures.items()}
    megabits = path.stat().st_size * 8 / (frames / 30) / 1e6
    publish(
        Result(
            "The whole job with given masks",
            ("", "source frames/s", "of decoding to nothing", "of the original", *PROCESSOR),
            tuple(rows),
            values,
            f"{frames} frames of 1080p30 H.264, {megabits:.1f} Mbit/s, {OBJECTS} objects, medians of "
            f"{options.rounds} rounds.",
        ),
        options.json,
    )


if __name__ == "__main__":
    main()
