"""Peak memory and time of task=batch around a tracker that costs nothing, for videos of several lengths.

    python -m benchmarks.batch [--minutes 1 5] [--json FILE]

640 x 360, 30 frames a second, five objects, every frame: decoded for its place, stored, and drawn into an overlay. Each
batch is a process of its own; its peak is what the kernel says when it ends.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.footage import OBJECTS, long_video
from benchmarks.process import cost
from benchmarks.table import Result, arguments, publish

RATE = 30


def child(video: str, out: str) -> None:
    """What the measured process does."""
    from benchmarks.given import settings
    from pipeline.layout import Layout
    from pipeline.tasks.batch import batch

    chosen = settings(f"videos={video}", f"out={out}", "task=batch", "clip.whole=true", "clip.stride=1")
    raise SystemExit(batch(chosen, Layout(chosen.out, chosen.tracks)))


def peak(video: Path) -> tuple[float, float]:
    """Peak resident set of a batch in MiB, and the seconds it took."""
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        spent = cost("-m", "benchmarks.batch", "--child", str(video), f"{scratch}/out")
        return spent.mebibytes, spent.seconds


def main() -> None:
    parser = arguments("Peak memory and time of task=batch around a tracker that costs nothing.")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5])
    parser.add_argument("--child", nargs=2, metavar=("VIDEO", "OUT"), help="run, in this process")
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    rows, costs = [], []
    for minutes in options.minutes:
        mebibytes, seconds = peak(long_video(minutes * 60))
        costs.append((minutes * 60 * RATE * OBJECTS, mebibytes))
        rows.append((f"{minutes:g} minutes", f"{mebibytes:.0f}", f"{seconds / minutes:.1f}"))
    masks, peaks = zip(*costs, strict=True)
    each = (peaks[-1] - peaks[0]) * 2**10 / (masks[-1] - masks[0]) if len(costs) > 1 else float("nan")
    publish(
        Result(
            "A batch of whole videos, around the model",
            ("video", "peak MiB", "seconds per video-minute"),
            tuple(rows),
            {"KiB per mask": each},
            f"640x360, {RATE} frames a second, {OBJECTS} objects: {each:.1f} KiB more for each object and frame.",
        ),
        options.json,
    )


if __name__ == "__main__":
    main()
