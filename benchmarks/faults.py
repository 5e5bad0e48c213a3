"""kill -9 at random moments, of workers, of Ray actors and of runs; the datasets compared byte for byte.

    python -m benchmarks.faults [--kills 50] [--kinds worker driver actor] [--seed 0] [--json FILE]

Four generated videos. A run is killed, or loses a worker or an actor, at a random moment; another executor with another
number of workers goes on, until the dataset is finished; then the next dataset is begun, until every kind was killed so
often. All crops, tracks and tables must equal those of a run in one process that nobody disturbed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.table import Result, arguments, publish
from tests.pipeline.killing import EXECUTORS, Kill, disturbed, finished_files
from tests.pipeline.mortal import made
from tests.running import run_process
from video.scenes import render_scene

SETTINGS = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5")
UNDER = {"worker": "processes", "actor": "ray"}  # who can be hit under which executors
AT_ONCE = 5  # kills of one dataset
KINDS = ("worker", "driver", "actor")


def some_kills(kind: str, count: int, chance: random.Random) -> list[Kill]:
    """So many of a kind, under executors drawn for each."""
    names = [name for name in EXECUTORS if name.startswith(UNDER.get(kind, ""))]
    return [(chance.choice(names), kind) for _ in range(count)]


def main() -> None:
    parser = arguments("Kill processes at random moments and compare the datasets byte for byte.")
    parser.add_argument("--kills", type=int, default=50, help="of each kind")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, values = random.Random(options.seed), dict[str, float]()
    rows: list[tuple[str, ...]] = []
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        root = Path(scratch)
        (root / "videos").mkdir()
        for seed in range(4):
            render_scene(root / "videos" / f"cam{seed}.mp4", 60 + seed, 12.0, width=320, height=192, cows=2, people=1)
        words = [f"videos={root / 'videos'}", *SETTINGS]
        first = run_process(*words, f"out={root / 'alone'}")
        if first.status:
            raise SystemExit(first.text)
        alone, files = made(root / "alone"), finished_files(root / "alone")
        for kind in options.kinds:
            hits, datasets, began = Counter[str](), 0, time.perf_counter()
            while hits[kind] < options.kills:
                out = root / f"{kind}{datasets}"
                kills = some_kills(kind, min(AT_ONCE, options.kills - hits[kind]), chance)
                hits += disturbed(words, out, kills, 2 * files // 3, chance.randrange(2**32))
                datasets += 1
                found = made(out)
                if found != alone:
                    wrong = sorted(name for name in found.keys() | alone.keys() if found.get(name) != alone.get(name))
                    raise SystemExit(f"{out.name} differs in {len(wrong)} files, such as {wrong[0]}")
                print(f"{kind}: {dict(hits)}, {datasets} datasets equal", flush=True)
            seconds = time.perf_counter() - began
            others = hits["driver"] if kind != "driver" else 0
            rows.append((kind, *map(str, (hits[kind], others, hits["starts"], datasets)), f"{seconds:.0f}"))
            values |= {f"{kind}: kills": float(hits[kind]), f"{kind}: datasets": float(datasets)}
    head = ("hit", "kills", "runs killed between", "starts", "datasets, all byte-equal", "seconds")
    note = f"{len(alone)} files in each dataset, seed {options.seed}."
    publish(Result("Killed at random moments", head, tuple(rows), values, note), options.json)


if __name__ == "__main__":
    main()
