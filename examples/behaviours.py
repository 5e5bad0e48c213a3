"""Generated footage of cows that walk, stand, turn and feed, as a labelled dataset: something to try a probe on.

    python -m examples.behaviours --out demo/behaviours [--videos 12] [--seconds 60]

Footage with its truth, a build with the embedded tracker (no model), and labels: every crop gets the behaviour that the
truth says of the cow in it for at least half of its time, by task=label, as labels made by hand would come in. A crop
whose object is no cow of the truth, or that lies between two behaviours, gets none.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.tables import read_table
from video.scenes import SceneTruth, load_bouts, load_truth, render_scene, truth_path

ROOT = Path(__file__).parents[1]
SAME = 0.5  # mean IoU of the boxes from which a crop shows a cow of the truth
PART = 0.5  # of a crop's time, as everywhere for spans
BUILD = (
    "prompt=cow", "tracker=motion", "clip.num_frames=16", "clip.stride=2", "clip.per_window=8", "crop.size=112",
    "crop.variants=[black,context]", "split.fractions=[0.5,0.1,0.4]", "exports=[]",
)  # fmt: skip


def make_footage(folder: Path, videos: int, seconds: float, seed: int) -> None:
    """Render what is not there yet: every video another place, light and herd of three to five cows."""
    for n in range(videos):
        path = folder / f"farm{n + 1:02d}.mp4"
        if not (path.is_file() and truth_path(path).is_file()):
            render_scene(path, 1000 * seed + n, seconds, 640, 360, cows=3 + n % 3, people=0, behaviours=True)
            print(f"{path} rendered", flush=True)


def run(*arguments: str) -> None:
    """`python main.py ...`; ends this program with its status if it is not 0."""
    done = subprocess.run([sys.executable, str(ROOT / "main.py"), *arguments], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def true_label(row: dict[str, Any], truth: SceneTruth, spans: dict[str, list[tuple[int, int, str]]]) -> str | None:
    """What the cow in a crop does for at least half of its time; None if the truth does not say."""
    overlap: dict[int, list[float]] = defaultdict(list)
    for frame, box in zip(row["frame_indices"], row["boxes"], strict=True):
        if box is not None:
            for n in truth.rows(frame):
                overlap[int(truth.individual[n])].append(_iou(np.array(box), truth.boxes[n]))
    seen = sum(box is not None for box in row["boxes"])
    score, who = max(((sum(ious) / seen, who) for who, ious in overlap.items()), default=(0.0, -1))
    if score < SAME:
        return None
    frames = np.array(row["frame_indices"])
    shares: Counter[str] = Counter()
    for start, end, behaviour in spans[truth.names[who]]:
        shares[behaviour] += int(((frames >= start) & (frames < end)).sum())
    behaviour, count = shares.most_common(1)[0] if shares else ("", 0)
    return behaviour if count >= PART * len(frames) else None


def _iou(one: Any, other: Any) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)


def write_labels(out: Path, footage: Path) -> Counter[str]:
    """`labels.csv` for the crops of the dataset in `out`; returns how many got which label."""
    columns = ["sample_id", "video", "frame_indices", "boxes"]
    truths: dict[str, tuple[SceneTruth, dict[str, list[tuple[int, int, str]]]]] = {}
    counts: Counter[str] = Counter()
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("sample_id", "label", "author"))
        for row in read_table(out / "samples.parquet", columns).to_pylist():
            video = footage / row["video"]
            if row["video"] not in truths:
                spans: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
                for bout in load_bouts(video):
                    spans[bout.individual].append((bout.start, bout.end, bout.behaviour))
                truths[row["video"]] = load_truth(video), spans
            label = true_label(row, *truths[row["video"]])
            counts[label or "none"] += 1
            if label:
                table.writerow((row["sample_id"], label, "truth"))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description="A labelled dataset of generated behaviours.")
    parser.add_argument("--out", type=Path, default=Path("demo/behaviours"))
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    out = options.out.absolute()
    footage = out.with_name(f"{out.name}-footage")
    make_footage(footage, options.videos, options.seconds, options.seed)
    run(f"videos='{footage}'", f"out='{out}'", *BUILD)
    counts = write_labels(out, footage)
    print("labels: " + ", ".join(f"{count} {label}" for label, count in sorted(counts.items())), flush=True)
    run("task=label", f"out='{out}'", f"labels='{out / 'labels.csv'}'")


if __name__ == "__main__":
    main()
