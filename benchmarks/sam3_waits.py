"""How often a tracker would wait for a GPU, and what would go over the bus: counted on a pretend GPU, on any machine.

    python -m benchmarks.sam3_waits [--frames 12] [--json FILE]

The tests' small models run on `tests/sam3/pretend_cuda.py`. Counts do not depend on the size of a model, and hardly on
the machine; bytes do depend on the picture's size and on the model's. A wait stops the processor until the GPU is done
with everything: fewer of them let the two work at the same time. No time is measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sam3_forced import forced
from benchmarks.table import Result, arguments, publish
from sam.session import SAMSession
from sam.types import Prompt

CASES: Mapping[str, Mapping[str, Any]] = {
    "sam3_hf": {},
    "object_batch=8": {"object_batch": 8},
    "clean_on_device": {"clean_on_device": True},
    "both": {"object_batch": 8, "clean_on_device": True},
    "state_on_cpu": {"state_on_cpu": True},
}
FEW, MANY = 2, 6  # objects between which the share of each is counted


@dataclass(frozen=True, slots=True)
class Waits:
    """Of one window. own, all: waits of this repository's lines, and with those of the libraries. to_gpu, from_gpu:
    bytes."""

    own: int
    all: int
    to_gpu: int
    from_gpu: int

    def per(self, other: Waits, count: int) -> tuple[float, float, float, float]:
        """What is more here than there, shared out."""
        a, b = ((w.own, w.all, w.to_gpu, w.from_gpu) for w in (self, other))
        own, every, there, back = ((x - y) / count for x, y in zip(a, b, strict=True))
        return own, every, there, back


def main() -> None:
    parser = arguments("How often trackers would wait for a GPU.")
    parser.add_argument("--frames", type=int, default=12, help="in a window")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder) / "sam3", options.frames)
    publish(result, options.json)


def run(folder: Path, frames: int) -> Result:
    """Count everything; the small model is made in `folder`."""
    import torch
    import transformers

    from tests.sam3 import tiny

    tiny.build(folder)
    rows, values = [], dict[str, float]()
    for name, switches in CASES.items():
        with _entered(folder, switches) as (gpu, tracker):
            count(gpu, tracker, 2, FEW)  # what the library makes once
            short, few, many = (count(gpu, tracker, n, m) for n, m in ((2, FEW), (frames, FEW), (frames, MANY)))
        each = many.per(few, (MANY - FEW) * frames)
        frame = [value - FEW * part for value, part in zip(few.per(short, frames - 2), each, strict=True)]
        for of, figures in (("frame", frame), ("object", each)):
            values |= {f"{name}: {what} per {of}": figures[n] for n, what in enumerate(("own waits", "waits"))}
        shown = [f"{a:.1f} + {b:.1f}" for a, b in zip(frame[:2], each[:2], strict=True)]
        shown += [f"{a / 1024:.1f} + {b / 1024:.1f}" for a, b in zip(frame[2:], each[2:], strict=True)]
        rows.append((name, *shown))
    head = ("case", "waits of ours", "waits in all", "KiB to the GPU", "KiB from the GPU")
    note = (
        f"For a frame + for each object in it, from windows of {FEW} and of {MANY} objects that are found in each "
        f"frame. Pictures of 160 x 112, masks of 64 x 64 cells. torch {torch.__version__}, transformers "
        f"{transformers.__version__}."
    )
    return Result("How often SAM3 waits for a GPU", head, tuple(rows), values, note)


@contextmanager
def _entered(folder: Path, switches: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    from sam.backends.sam3_hf import Sam3HfConfig
    from tests.sam3.pretend_cuda import pretend

    config = Sam3HfConfig(device="cuda", dtype="float32", weights=str(folder), hotstart_delay=0, **switches)
    with pretend() as gpu, config.build() as tracker:
        yield gpu, tracker


def count(gpu: Any, tracker: Any, frames: int, objects: int) -> Waits:
    """One window with so many objects in every frame."""
    from tests.sam3.footage import blobs

    shown = blobs(frames).session()
    with forced(tracker._engine.model, objects), gpu.counting() as counts, SAMSession(tracker, shown) as session:
        session.add_prompt(Prompt(text="cow"))
        seen = [len(each.object_ids) for each in session.propagate()]
    if seen != [objects] * frames:
        raise SystemExit(f"{objects} objects were forced on every frame, {tracker.name} gave {seen}")
    own, every = counts.own(), counts.waits
    forcing = sum(n for (_, where), n in every.items() if where.startswith("benchmarks/"))
    return Waits(
        sum(own.values()) - forcing,
        sum(every.values()) - forcing,
        sum(n for where, n in counts.to_gpu.items() if not where.startswith("benchmarks/")),
        sum(counts.from_gpu.values()),
    )


if __name__ == "__main__":
    main()
