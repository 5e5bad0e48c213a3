"""How good and how fast `tracker=motion` is, on generated footage with exact truth.

    python -m benchmarks.motion [--seconds 30] [--rounds 3] [--json FILE]

Quality: scenes of 3 cows and a person whose seeds were never used while the tracker was tuned. Speed: scenes of 4 cows
and a person, one core, against decoding the same file to nothing; all windows, and those in which boxes of two animals
overlap. 640 x 360 pixels, every 4th of 25 frames a second, windows of 20 frames. Frames per processor second, in
interleaved rounds of one run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.table import FOLDER, Result, arguments, interleaved, publish, ratio
from sam.backends.motion import MotionConfig
from sam.metrics import Score, total
from sam.types import SessionFrames
from tests.sam.scoring import HELD_OUT, STRIDE, Scene, tracks_of
from video.scenes import truth_path

SPEED = (31, 32)
DECODE, LEARN, ALL, TOUCHING = (
    "decode every frame to nothing",
    "learn the background from 48 frames, spread over the windows",
    "track",
    "track where animals touch or cross",
)


def scene(seed: int, seconds: float, cows: int) -> tuple[Path, Scene]:
    path = FOLDER / f"herd-{seed}-{cows}-{seconds:g}s.mp4"
    options = {"width": 640, "height": 360, "cows": cows, "people": 1}
    return path, Scene.load(path) if truth_path(path).is_file() else Scene.render(path, seed, seconds, **options)


def quality(seconds: float, seeds: Sequence[int]) -> dict[int, Score]:
    """The score of every seed."""
    scores = {}
    for seed in seeds:
        _, made = scene(seed, seconds, cows=3)
        tracker = MotionConfig().build()
        tracker.prepare(made.context(MotionConfig().context))
        scores[seed] = total(made.score(window, tracks_of(tracker, window)) for window in made.windows())
        print(f"seed {seed}: mean mask IoU {scores[seed].iou:.3f}, IDF1 {scores[seed].idf1:.3f}", flush=True)
    return scores


def touches(made: Scene, window: SessionFrames) -> bool:
    """Whether the boxes of two individuals overlap in at least a quarter of a window's frames."""
    frames = [np.array([t.mask.box for t in truth.values()]) for truth in made.truth_of(window)]
    return sum(_overlap(boxes) for boxes in frames if len(boxes)) >= len(frames) / 4


def _overlap(boxes: NDArray[np.int_]) -> bool:
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    return int((low < high).all(axis=2).sum()) > len(boxes)


def decode(path: Path) -> int:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        return sum(1 for _ in container.decode(video=0))


def speed(seconds: float, rounds: int) -> dict[str, list[float]]:
    """Frames per processor second of every case by round."""
    made = [scene(seed, seconds, cows=4) for seed in SPEED]
    trackers = [MotionConfig().build() for _ in made]
    windows = [list(one.windows()) for _, one in made]
    count = sum(len(window) for each in windows for window in each)

    def decoding() -> float:
        began = time.process_time()
        return sum(decode(path) for path, _ in made) / (time.process_time() - began)

    def learning() -> float:
        began = time.process_time()
        for tracker, (_, one) in zip(trackers, made, strict=True):
            tracker.prepare(one.context(MotionConfig().context))
        return count / (time.process_time() - began)

    def tracking(only_touching: bool) -> float:
        frames, began = 0, time.process_time()
        for tracker, (_, one), each in zip(trackers, made, windows, strict=True):
            for window in each:
                if not only_touching or touches(one, window):
                    tracks_of(tracker, window)
                    frames += len(window)
        return frames / (time.process_time() - began)

    learning()
    cases = {DECODE: decoding, LEARN: learning, ALL: lambda: tracking(False), TOUCHING: lambda: tracking(True)}
    return interleaved(cases, rounds)


def main() -> None:
    parser = arguments("Mask IoU and IDF1 of tracker=motion on held-out scenes, and its speed against decoding alone.")
    parser.add_argument("--seconds", type=float, default=30, help="length of each scene")
    parser.add_argument("--seeds", type=int, nargs="+", default=HELD_OUT, help="of the scenes for IoU and IDF1")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    scores = quality(options.seconds, options.seeds)
    rows = [(str(seed), f"{one.iou:.3f}", f"{one.idf1:.3f}", str(one.truths)) for seed, one in scores.items()]
    pooled = total(scores.values())
    rows.append(("all", f"{pooled.iou:.3f}", f"{pooled.idf1:.3f}", str(pooled.truths)))
    values = {f"{name} {seed}": getattr(one, name) for seed, one in scores.items() for name in ("iou", "idf1")}
    values |= {"iou": pooled.iou, "idf1": pooled.idf1}
    head = ("seed", "mean mask IoU", "IDF1", "true masks")
    publish(Result("tracker=motion on held-out scenes", head, tuple(rows), values), None)
    rates = speed(options.seconds, options.rounds)
    fast = [
        (name, f"{statistics.median(rate):.0f}", f"{ratio(rate, rates[DECODE]):.2f}") for name, rate in rates.items()
    ]
    values |= {f"{name}: frames/s": statistics.median(rate) for name, rate in rates.items()}
    heading = ("", "frames per processor second", "of decoding")
    note = f"640 x 360, five animals, every {STRIDE}th frame is tracked; medians of {options.rounds} rounds."
    publish(Result("Speed of tracker=motion", heading, tuple(fast), values, note), options.json)


if __name__ == "__main__":
    main()
