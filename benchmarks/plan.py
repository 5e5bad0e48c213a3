"""How long a user waits before anything happens: help, a plan, and a rerun that finds everything done.

    python -m benchmarks.plan [--windows 10000] [--objects 5] [--rounds 5] [--json FILE]

Every figure is the wall time of a whole `python main.py ...` process, next to a Python that only starts. The dataset
of the rerun is made from real jobs and records, with one tiny crop file copied for every sample.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.footage import FPS, long_video
from benchmarks.given import settings
from benchmarks.table import Result, arguments, interleaved, publish
from pipeline.build import Build
from pipeline.footage import survey
from pipeline.job import Job
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.records import ChunkRecord, CropFile, Figures, PixelFigures, Sample
from video.encoder import EncodeConfig, encode
from video.types import Clip, Window, digest

ROOT = Path(__file__).parents[1]
CLIP = 20 * 4  # source frames of a clip
VIDEOS = 10
Timed = Callable[[], float]


class Processes:
    """Runs Python processes as a user does after the first time: with compiled modules, kept in a folder of our own."""

    def __init__(self, folder: Path) -> None:
        self._environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._environment["PYTHONPYCACHEPREFIX"] = str(folder)
        self.busy: dict[str, list[float]] = {}  # processor seconds by case

    def seconds(self, name: str, *command: str) -> float:
        """Wall time of a process."""
        began, before = time.perf_counter(), os.times()
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=self._environment, capture_output=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode()}")
        after = os.times()
        self.busy.setdefault(name, []).append(sum(after[2:4]) - sum(before[2:4]))
        return time.perf_counter() - began


def videos_of(folder: Path, windows: int) -> Path:
    """`VIDEOS` videos with so many windows in all: one file, made different by a box that no reader looks at."""
    each = -(-windows // VIDEOS) * CLIP / FPS
    source = long_video(-(-each // 60) * 60, 160, 96, noise=0.0).read_bytes()
    folder.mkdir()
    for number in range(VIDEOS):
        (folder / f"cam{number}.mp4").write_bytes(source + (16).to_bytes(4) + b"free" + number.to_bytes(8))
    return folder


def commit(arguments_: list[str], objects: int) -> int:
    """Write the crops and records that a finished build of these settings leaves; returns the number of windows."""
    chosen = settings(*arguments_, tracker="motion")
    layout = Layout(chosen.out, chosen.tracks)
    build, ledger = Build(chosen), Ledger(layout)
    blob = _tiny_crop(chosen.out)
    jobs = build.jobs(survey(chosen, ledger))
    for job in jobs:
        samples = [
            _sample(layout, job, window, clip, number, blob)
            for window in job.chunk.windows
            for clip in window.clips
            for number in range(1, objects + 1)
        ]
        clips = tuple(clip.id for window in job.chunk.windows for clip in window.clips)
        video = job.chunk.video.name
        ledger.write(ChunkRecord(job.record_id, job.chunk.id, video, clips, tuple(samples), (), ()))
    return sum(len(job.chunk.windows) for job in jobs)


def _tiny_crop(folder: Path) -> bytes:
    folder.mkdir(parents=True)
    path = folder / "tiny.mp4"
    encode(path, [np.full((16, 16, 3), 99, np.uint8)] * 20, Fraction(15, 2), EncodeConfig(), size=(16, 16))
    blob = path.read_bytes()
    path.unlink()
    return blob


def _sample(layout: Layout, job: Job, window: Window, clip: Clip, number: int, blob: bytes) -> Sample:
    video, key = clip.video, job.track_keys[0]
    sample_id = digest("sample", key, clip.id, number)
    path = layout.crop(clip.id, sample_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    blob += (16).to_bytes(4) + b"free" + bytes.fromhex(sample_id)[:8]  # no two crops are the same
    path.write_bytes(blob)
    indices = tuple(range(clip.start * 4, clip.stop * 4, 4))
    file = CropFile("black", layout.relative(path), hashlib.sha256(blob).hexdigest(), len(blob))
    return Sample(
        *(sample_id, video.name, video.fingerprint, None, clip.id, window.id, key, "motion", number, "ellipse", 0.9),
        *(indices[0], 4, clip.num_frames, clip.rate, indices, tuple(i / FPS for i in indices)),
        boxes=tuple((10 + n, 20, 90 + n, 60) for n in range(clip.num_frames)),
        crop_windows=tuple((2 + n, 0, 98 + n, 96) for n in range(clip.num_frames)),
        source_width=video.width,
        source_height=video.height,
        degraded=False,
        duplicate_of=None,
        figures=Figures(1.0, 80.0, 2400.0, 0.0, 0, 0, 0.0, 0.0, 0.9, 0.0),
        pixels=PixelFigures(10.0, 0.4, 0.0, 0.02),
        colours=None,
        phash=sample_id[:16],
        files=(file,),
    )


def cases(run: Processes, scratch: Path, windows: int, objects: int) -> dict[str, Timed]:
    """What is measured, by name. Everything has run once before."""
    film = long_video(7200)
    chosen = [f"videos={videos_of(scratch / 'videos', windows)}", f"out={scratch}/done"]
    committed = commit(chosen, objects)
    commands = {
        "python -c pass": ["-c", "pass"],
        "--help": ["main.py", "--help"],
        "task=plan of a 2-hour video": [
            *("main.py", "task=plan", f"videos={film}", f"out={scratch}/none", "prompt=cow", "tracker=motion")
        ],
        f"rerun with nothing to do, {committed} windows, {committed * objects} crops": [
            *("main.py", *chosen, "prompt=ellipse", "tracker=motion")
        ],
    }
    for name, command in commands.items():
        print(f"first time, {name}: {run.seconds('first', *command):.1f} s", flush=True)
    return {name: partial(run.seconds, name, *command) for name, command in commands.items()}


def main() -> None:
    parser = arguments("Wall time of help, of a plan, and of a rerun that finds everything done.")
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=5, help="crops per window")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        run = Processes(Path(scratch) / "compiled")
        measured = interleaved(cases(run, Path(scratch), options.windows, options.objects), options.rounds)
    middle = {name: statistics.median(m) for name, m in measured.items()}
    busy = {name: statistics.median(run.busy[name]) for name in measured}
    rows = tuple((n, f"{middle[n]:.2f}", f"{min(m):.2f}", f"{busy[n]:.2f}") for n, m in measured.items())
    values = middle | {f"{name}: processor": seconds for name, seconds in busy.items()}
    note = f"Whole processes, medians of {options.rounds} rounds, files in the page cache, modules compiled."
    head = ("", "seconds", "fastest", "processor seconds")
    publish(Result("Before anything happens", head, rows, values, note), options.json)


if __name__ == "__main__":
    main()
