"""Everything around the model of task=segment: processor seconds per minute of video, and against decoding to nothing.

    python -m benchmarks.around [--seconds 10] [--rounds 3] [--json FILE]

1080p30 H.264, five objects. The tracker knows its masks: it asks for every frame at 1280 pixels, as a model does, and
gives masks of that size, which become run-length codes at the source's size. The time it takes to draw them is measured
and taken off. Processor time of all threads, in one run on the same cores, in interleaved rounds; a ratio is the median
over the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import cv2
import numpy as np

from benchmarks.footage import FPS, OBJECTS, mask_of, short_video
from benchmarks.given import settings
from benchmarks.pipeline import decode_to_nothing
from benchmarks.table import Result, arguments, interleaved, publish, ratio
from pipeline.layout import Layout
from pipeline.stages.source_frames import session_frames
from pipeline.tasks.segment import segment
from sam.backends.found import gather
from sam.tracker import Dialogue
from sam.types import FrameMasks, Prompt, SessionFrames

WIDTH, HEIGHT, SIDE = 1920, 1080, 1280
NOTHING = ("outputs.masks=null", "outputs.overlay=false")
CASES = {
    "masks.json": NOTHING,
    "masks.json and an overlay": ("outputs.masks=null",),
    "masks.json and a PNG per object and frame": ("outputs.overlay=false",),
    "masks.json, overlay and PNGs: task=segment as it comes": (),
}
DECODE, FRAMES = "PyAV decodes every frame to nothing", "decode, to RGB, to 1280 pixels"


@dataclass
class KnownConfig:
    """See the module docstring."""

    def build(self) -> Known:
        return Known()


class Known:
    """Implements `sam.tracker.Tracker` and `DialogueTracker`. drawing: seconds that drawing masks has taken."""

    name = "known"
    understands = frozenset({"points", "box"})
    context = 0
    max_side: int | None = SIDE
    drawing = 0.0

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...

    def prepare(self, context: Sequence[Any]) -> None: ...

    def begin(self, frames: SessionFrames) -> Dialogue:
        raise NotImplementedError("whole windows only")

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        ids = [prompt.object_id or 0 for prompt in prompts]
        for n in range(len(frames)):
            height, width = frames.images[n].shape[:2]
            began = time.thread_time()
            full = [mask_of(k, n, WIDTH, HEIGHT).full(WIDTH, HEIGHT) for k in range(OBJECTS)]
            small = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_NEAREST) for plane in full]
            planes = np.stack(small) > 0
            Known.drawing += time.thread_time() - began
            yield gather(n, ids, [0.9] * len(ids), planes, frames)


def frames_alone(path: Path) -> None:
    """What a tracker sees, one frame after the other."""
    with session_frames(str(path), max_side=SIDE) as frames:
        for n in range(len(frames)):
            _ = frames.images[n]


def segmented(path: Path, out: Path, *words: str) -> None:
    clicks = ",".join(f"{{object:{k + 1},points:[[960,{int((k + 0.5) * HEIGHT / OBJECTS)}]]}}" for k in range(OBJECTS))
    chosen = settings("task=segment", f"videos={path}", f"out={out}", f"segment.clicks=[{clicks}]", *words)
    chosen = replace(chosen, tracker=KnownConfig(), tracker_name="known")
    if segment(chosen, Layout(chosen.out, chosen.tracks)) != 0:
        raise SystemExit("task=segment failed")


def main() -> None:
    parser = arguments("Everything around the model of task=segment, per minute of video.")
    parser.add_argument("--seconds", type=float, default=10, help="length of the footage")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    path = short_video(options.seconds)
    frames = decode_to_nothing(path)
    for number in range(OBJECTS):  # the masks are known before anything is timed
        for index in range(frames):
            mask_of(number, index, WIDTH, HEIGHT)
    per_minute = 60 * FPS / frames

    def timed(case: Callable[[Path], object]) -> Callable[[], float]:
        def run() -> float:
            with TemporaryDirectory(prefix="clipcrop-benchmark-") as folder:
                Known.drawing, began = 0.0, time.process_time()
                case(Path(folder))
                return (time.process_time() - began - Known.drawing) * per_minute

        return run

    cases: dict[str, Callable[[], float]] = {
        DECODE: timed(lambda folder: decode_to_nothing(path)),
        FRAMES: timed(lambda folder: frames_alone(path)),
    }
    for name, words in CASES.items():
        cases[name] = timed(lambda folder, words=words: segmented(path, folder / "out", *words))  # type: ignore[misc]
    measured = interleaved(cases, options.rounds)
    rows: list[tuple[str, ...]] = []
    values: dict[str, float] = {}
    for name, seconds in measured.items():
        middle, against = statistics.median(seconds), ratio(seconds, measured[DECODE])
        rows.append((name, f"{middle:.1f}", f"{against:.2f}"))
        values |= {f"{name}: seconds per minute": middle, f"{name}: of decoding": against}
    note = f"{frames} frames of 1080p30 H.264, {OBJECTS} objects, medians of {options.rounds} rounds."
    head = ("", "processor seconds per minute of video", "of decoding to nothing")
    publish(Result("Everything around the model", head, tuple(rows), values, note), options.json)


if __name__ == "__main__":
    main()
