"""Peak memory of a whole build of a long video against that of a short one.

    python -m benchmarks.memory [--minutes 120] [--against 5] [--json FILE]

640 x 360, a tracker that knows the masks, five objects, every clip cut, cropped, indexed, exported and reported. Each
build is a process of its own; its peak is what the kernel says when it ends.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.footage import OBJECTS, long_video
from benchmarks.process import cost
from benchmarks.table import Result, arguments, publish


def child(video: str, out: str) -> None:
    """What the measured process does."""
    from benchmarks.given import settings
    from pipeline.build import Build

    summary = Build(settings(f"videos={video}", f"out={out}")).run()
    if summary.crops != summary.clips * OBJECTS:
        raise SystemExit(f"expected {summary.clips * OBJECTS} crops, got {summary.crops}")
    print(f"{summary.clips} clips; " + ", ".join(f"{k} {v:.1f} s" for k, v in summary.seconds.items()), flush=True)


def peak(video: Path) -> tuple[float, float]:
    """Peak resident set of a build in MiB, and the seconds it took."""
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        spent = cost("-m", "benchmarks.memory", "--child", str(video), f"{scratch}/out")
        return spent.mebibytes, spent.seconds


def main() -> None:
    parser = arguments("Peak memory of a build of a long video against that of a short one.")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--against", type=float, default=5)
    parser.add_argument("--child", nargs=2, metavar=("VIDEO", "OUT"), help="build, in this process")
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    rows, peaks = [], []
    for minutes in (options.against, options.minutes):
        mebibytes, seconds = peak(long_video(minutes * 60))
        peaks.append(mebibytes)
        rows.append((f"{minutes:g} minutes", f"{mebibytes:.0f}", f"{mebibytes / peaks[0]:.2f}", f"{seconds:.0f}"))
    publish(
        Result(
            "Peak memory of a build",
            ("video", "MiB", "ratio", "seconds"),
            tuple(rows),
            {"ratio": peaks[1] / peaks[0], "short MiB": peaks[0], "long MiB": peaks[1]},
            f"640x360, {OBJECTS} objects, 224 px crops, the whole of Build.run.",
        ),
        options.json,
    )


if __name__ == "__main__":
    main()
