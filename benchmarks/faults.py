"""Kill processes at random moments until a dataset is done, many times over, and compare it byte for byte.

    python -m benchmarks.faults [--kills 50] [--seed 0] [--json FILE]

`executor=processes` with two workers; at a random moment kill -9 hits one of the workers or the process that started
the run, with equal odds; a run that ended is started again with the same command. A dataset is done when a run ends by
itself; then the next one begins, until so many kills have hit. Crops, tracks and tables must equal those of a run in
one process that nobody disturbed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Result, arguments, publish
from video.scenes import render_scene

ROOT = Path(__file__).parents[1]
SETTINGS = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5")
STABLE = ("crops", "tracks", "samples.parquet", "rejected.parquet", "failures.parquet", "splits.parquet")
LONGEST_S = 12.0  # from the start of a run to its kill


def command(videos: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, str(ROOT / "main.py"), f"videos={videos}", f"out={out}", *SETTINGS, *more]


def made(out: Path) -> dict[str, bytes]:
    """Every finished file that has to be the same."""
    files = [path for name in STABLE for path in [out / name, *(out / name).rglob("*")] if path.is_file()]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files if not p.name.endswith(".part")}


def workers_of(parent: int) -> list[int]:
    """The worker processes that a run has started."""
    listing = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listing.stdout.splitlines()]
    return [int(pid) for pid, above, words in rows if int(above) == parent and "spawn_main" in words]


def disturbed(videos: Path, out: Path, chance: random.Random, left: int) -> dict[str, int]:
    """Build a dataset while at most `left` kills hit; returns how many hit whom."""
    hits = {"worker": 0, "driver": 0, "starts": 0}
    while True:
        hits["starts"] += 1
        run = subprocess.Popen(
            command(videos, out, "executor=processes", "executor.workers=2"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while run.poll() is None:
            if hits["worker"] + hits["driver"] >= left:
                run.wait()
                break
            try:
                run.wait(chance.uniform(0.3, LONGEST_S))
                break
            except subprocess.TimeoutExpired:
                workers = workers_of(run.pid)
                whom = "worker" if workers and chance.random() < 0.5 else "driver"
                try:
                    os.kill(chance.choice(workers) if whom == "worker" else run.pid, signal.SIGKILL)
                    hits[whom] += 1
                except ProcessLookupError:  # it ended by itself in this very moment
                    continue
        if run.wait() >= 0:
            # 3: a chunk whose workers were hit twice is recorded as failed, and the next run does it.
            if run.returncode == 0:
                return hits
            if run.returncode != 3:
                raise SystemExit(f"a run ended with status {run.returncode}")


def main() -> None:
    parser = arguments("Kill processes at random moments and compare the datasets byte for byte.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    hits = {"worker": 0, "driver": 0, "starts": 0}
    datasets = 0
    began = time.perf_counter()
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        videos = Path(scratch) / "videos"
        videos.mkdir()
        for seed in range(4):
            size = {"seconds": 12.0, "width": 320, "height": 192, "cows": 2, "people": 1}
            render_scene(videos / f"cam{seed}.mp4", seed=60 + seed, **size)  # type: ignore[arg-type]
        subprocess.run(command(videos, Path(scratch) / "alone"), check=True, capture_output=True)
        alone = made(Path(scratch) / "alone")
        while hits["worker"] + hits["driver"] < options.kills:
            out = Path(scratch) / f"out{datasets}"
            for whom, count in disturbed(videos, out, chance, options.kills - hits["worker"] - hits["driver"]).items():
                hits[whom] += count
            datasets += 1
            found = made(out)
            if found != alone:
                wrong = sorted(name for name in found.keys() | alone.keys() if found.get(name) != alone.get(name))
                raise SystemExit(f"dataset {datasets} differs in {len(wrong)} files, such as {wrong[0]}")
            print(f"{hits['worker'] + hits['driver']} kills, {datasets} datasets equal", flush=True)
    seconds = time.perf_counter() - began
    head = ("kill -9 of a worker", "of the run itself", "starts", "datasets, all byte-equal", "files in each")
    row = (str(hits["worker"]), str(hits["driver"]), str(hits["starts"]), str(datasets), str(len(alone)))
    values = {name: float(count) for name, count in hits.items()} | {"datasets": float(datasets)}
    note = f"seed {options.seed}, {seconds:.0f} s."
    publish(Result("Killed at random moments", head, (row,), values, note), options.json)


if __name__ == "__main__":
    main()
