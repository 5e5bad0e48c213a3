"""How long a user waits before anything happens: help, a plan, and a rerun that finds everything done.

    python -m benchmarks.plan [--windows 10000] [--objects 5] [--videos 10] [--rounds 5] [--json FILE]
    python -m benchmarks.plan --windows 1000000 --videos 300 --objects 0 --rounds 3 \
        --also clip.sampling=spread clip.total=200000 --also select.hours=[6,18] --also task=track

Every figure is the wall time and the peak memory of a whole `python main.py ...` process, next to a Python that only
starts. The dataset of the plan and of the rerun is made from real jobs and records, with one tiny crop file copied for
every sample. Its videos are empty files whose headers an earlier run remembers, as neither a plan nor a rerun opens a
video that it knows. `--also` plans with other settings: what goes on in the videos is remembered, too. With task=track
it is a rerun over track files that an earlier one looked into.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.footage import FPS, long_video
from benchmarks.given import settings
from benchmarks.process import Cost, cost
from benchmarks.table import Result, arguments, interleaved, publish
from pipeline.build import Build
from pipeline.footage import survey
from pipeline.job import Job
from pipeline.layout import Layout
from pipeline.ledger import Ledger, VideoEntry
from pipeline.records import ChunkRecord, CropFile, Figures, PixelFigures, Sample
from pipeline.track_store import TrackStore, WindowTracks
from video.encoder import EncodeConfig, encode
from video.types import Clip, Video, Window, digest

CLIP = 20 * 4  # source frames of a clip
Timed = Callable[[], float]


class Processes:
    """Runs Python processes as a user does after the first time: with compiled modules, kept in a folder of our own."""

    def __init__(self, folder: Path) -> None:
        self._environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._environment["PYTHONPYCACHEPREFIX"] = str(folder)
        self.costs: dict[str, list[Cost]] = {}

    def seconds(self, name: str, *command: str) -> float:
        """Wall time of a process; what else it cost goes to `costs`."""
        spent = cost(*command, environment=self._environment, quiet=True)
        self.costs.setdefault(name, []).append(spent)
        return spent.seconds


def commit(root: Path, windows: int, videos: int, objects: int) -> list[str]:
    """Write the crops and records that a finished build leaves; returns the settings of that build."""
    words = [f"videos={root / 'videos'}", f"out={root / 'out'}", "crop.size=64", "tracker=motion"]
    chosen = settings(*words)
    layout = Layout(chosen.out, chosen.tracks)
    build, ledger = Build(chosen), Ledger(layout)
    (root / "videos").mkdir(parents=True)
    for number in range(videos):
        _remember(ledger, root / "videos" / f"cam{number:04}.mp4", -(-windows // videos))
    blob = _tiny_crop(chosen.out)
    for job in build.jobs(survey(chosen, ledger)):
        samples = [
            _sample(layout, job, window, clip, number, blob)
            for window in (job.chunk.windows if objects else ())
            for clip in window.clips
            for number in range(1, objects + 1)
        ]
        video, clips = job.chunk.video.name, tuple(job.chunk.clip_ids)
        ledger.write(ChunkRecord(job.record_id, job.chunk.id, video, clips, tuple(samples), (), ()))
    return [*words, "prompt=ellipse"]


def _remember(ledger: Ledger, path: Path, windows: int) -> None:
    """An empty file, and the header that an earlier run found in it."""
    path.touch()
    frames, fingerprint = windows * CLIP, digest("video", path.name, length=32)
    moment = datetime(2026, 6, 1, int(path.stem[3:]) % 24)
    video = Video(
        *(str(path), path.name, fingerprint, 640, 360, 0, Fraction(FPS), frames, frames / FPS, "h264", "tv", 10**9),
        recorded_at=moment,
    )
    ledger.remember_video(str(path), path.name, None, VideoEntry(video, None))
    activity = np.random.default_rng(int(path.stem[3:])).gamma(2, 1000, int(frames / FPS) + 1)
    ledger.remember_activity(fingerprint, activity.tolist())


def _tiny_crop(folder: Path) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
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
    top = 10 + 60 * number  # each object in a lane of its own
    indices = tuple(range(clip.start * 4, clip.stop * 4, 4))
    file = CropFile("black", layout.relative(path), hashlib.sha256(blob).hexdigest(), len(blob))
    return Sample(
        *(sample_id, video.name, video.fingerprint, None, clip.id, window.id, key, "motion", number, "ellipse", 0.9),
        *(indices[0], 4, clip.num_frames, clip.rate, indices, tuple(i / FPS for i in indices)),
        boxes=tuple((10 + n, top, 90 + n, top + 40) for n in range(clip.num_frames)),
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


def _track_files(root: Path, words: Sequence[str]) -> None:
    """Track files without an object for every chunk, as task=track leaves them, made an hour ago."""
    chosen = settings(*words, f"out={root / 'out'}")
    layout = Layout(chosen.out, chosen.tracks)
    build, ledger, store = Build(chosen), Ledger(layout), TrackStore(layout)
    for job in build.jobs(survey(chosen, ledger)):
        nothing = np.zeros(0, np.int64)
        windows = [WindowTracks(name, nothing, nothing, nothing.astype(float), (), ()) for name in job.chunk.window_ids]
        for key, prompt in zip(job.track_keys, job.prompts, strict=True):
            store.write(key, prompt, windows)
            os.utime(layout.track_file(key), (time.time() - 3600,) * 2)


def cases(
    run: Processes, scratch: Path, windows: int, videos: int, objects: int, also: Sequence[Sequence[str]]
) -> dict[str, Timed]:
    """What is measured, by name. Everything has run once before."""
    film = long_video(7200)
    cost("-m", "benchmarks.plan", "--commit", str(scratch), *map(str, (windows, videos, objects)))
    done = (scratch / "settings").read_text().splitlines()
    commands = {
        "python -c pass": ["-c", "pass"],
        "--help": ["main.py", "--help"],
        "task=plan of a 2-hour video": [
            *("main.py", "task=plan", f"videos={film}", f"out={scratch}/none", "prompt=cow", "tracker=motion")
        ],
        f"task=plan of {windows:,} windows": ["main.py", "task=plan", *done, f"out={scratch}/out"],
        f"rerun with nothing to do, {windows:,} windows, {windows * objects:,} crops": ["main.py", *done],
    }
    for words in also:
        out = ["main.py", *done, f"out={scratch}/out"]
        if "task=track" in words:
            cost("-m", "benchmarks.plan", "--tracks", str(scratch), *done)
            commands[f"rerun with nothing to track, {windows:,} windows"] = [*out, *words]
        else:
            commands[f"task=plan with {' '.join(words)}"] = [*out, "task=plan", *words]
    for name, command in commands.items():
        print(f"first time, {name}: {run.seconds('first', *command):.1f} s", flush=True)
    return {name: partial(run.seconds, name, *command) for name, command in commands.items()}


def main() -> None:
    parser = arguments("Wall time and peak memory of help, of a plan, and of a rerun that finds everything done.")
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--objects", type=int, default=5, help="crops per window")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--also", nargs="+", action="append", default=[], help="plan with these settings as well")
    parser.add_argument("--tracks", nargs="+", metavar=("FOLDER", "SETTING"), help="write track files")
    parser.add_argument("--commit", nargs=4, metavar=("FOLDER", "WINDOWS", "VIDEOS", "OBJECTS"), help="write a dataset")
    options = parser.parse_args()
    if options.commit:
        root = Path(options.commit[0])
        (root / "settings").write_text("\n".join(commit(root, *map(int, options.commit[1:]))))
        return
    if options.tracks:
        _track_files(Path(options.tracks[0]), options.tracks[1:])
        return
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        run = Processes(Path(scratch) / "compiled")
        timed = cases(run, Path(scratch), options.windows, options.videos, options.objects, options.also)
        measured = interleaved(timed, options.rounds)
    rows: list[tuple[str, ...]] = []
    values: dict[str, float] = {}
    for name, seconds in measured.items():
        middle = statistics.median(seconds)
        busy = statistics.median(each.processor for each in run.costs[name])
        peak = max(each.mebibytes for each in run.costs[name])
        rows.append((name, f"{middle:.2f}", f"{min(seconds):.2f}", f"{busy:.2f}", f"{peak:.0f}"))
        values |= {name: middle, f"{name}: processor": busy, f"{name}: MiB": peak}
    note = f"Whole processes, medians of {options.rounds} rounds, files in the page cache, modules compiled."
    head = ("", "seconds", "fastest", "processor seconds", "peak MiB")
    publish(Result("Before anything happens", head, tuple(rows), values, note), options.json)


if __name__ == "__main__":
    main()
