"""How long a user waits before anything happens: help, a plan, and a rerun that finds everything done.

    python -m benchmarks.plan [--windows 10000] [--objects 5] [--rounds 5] [--json FILE]

Every figure is the wall time of a whole `python main.py ...` process, next to a Python that only starts. The dataset
of the rerun is made from real jobs and records, with one tiny crop file copied for every sample.
"""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.footage import FPS, long_video
from benchmarks.given import settings
from benchmarks.table import Result, arguments, interleaved, publish
from pipeline.build import Build
from pipeline.footage import survey
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.records import ChunkRecord, CropFile, Figures, Sample
from pipeline.worker import Job
from video.encoder import EncodeConfig, encode
from video.types import Clip, Window, digest

ROOT = Path(__file__).parents[1]
CLIP = 20 * 4  # source frames of a clip
VIDEOS = 10
Timed = Callable[[], float]


def seconds(*command: str) -> float:
    """Wall time of a process."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
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
        figures=Figures(1.0, 80.0, 2400.0, 0.0, 0, 0),
        files=(file,),
    )


def cases(scratch: Path, windows: int, objects: int) -> dict[str, Timed]:
    """What is measured, by name."""
    film = long_video(7200)
    plan = ["main.py", "task=plan", f"videos={film}", f"out={scratch}/none", "prompt=cow", "tracker=motion"]
    chosen = [f"videos={videos_of(scratch / 'videos', windows)}", f"out={scratch}/done"]
    committed = commit(chosen, objects)
    rerun = ["main.py", *chosen, "prompt=ellipse", "tracker=motion"]
    first = seconds(*rerun)
    print(f"{committed} windows; index, export and report of the first run: {first:.1f} s", flush=True)
    return {
        "python -c pass": lambda: seconds("-c", "pass"),
        "--help": lambda: seconds("main.py", "--help"),
        "task=plan of a 2-hour video": lambda: seconds(*plan),
        f"rerun with nothing to do, {committed} windows, {committed * objects} crops": lambda: seconds(*rerun),
    }


def main() -> None:
    parser = arguments("Wall time of help, of a plan, and of a rerun that finds everything done.")
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=5, help="crops per window")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        measured = interleaved(cases(Path(scratch), options.windows, options.objects), options.rounds)
    rows = tuple((n, f"{statistics.median(m):.2f}", f"{min(m):.2f}") for n, m in measured.items())
    values = {name: statistics.median(m) for name, m in measured.items()}
    note = f"Whole processes, medians of {options.rounds} rounds, files in the page cache."
    publish(Result("Before anything happens", ("", "seconds", "fastest"), rows, values, note), options.json)


if __name__ == "__main__":
    main()
