"""What SAM3 and SAM2 take of a device at full size, as the budget counts it: weights, a frame, an object.

    python -m benchmarks.sam3_budget [--frames 20] [--json FILE]

Shapes alone, on torch's meta device: no weights, no GPU, nothing computed, the same figures on every machine. What the
CUDA context and its libraries take for themselves is not counted. Needs torch and transformers.
"""

from __future__ import annotations

from typing import Any

from benchmarks.table import Result, arguments, publish
from sam.backends.need import Need, Window

WIDTH, HEIGHT = 1280, 720
MIB = 2**20
BUDGETS = (4, 8, 16, 24)  # GiB


def needs() -> dict[str, Need]:
    """By model and number format."""
    import torch
    from transformers import Sam2VideoConfig, Sam2VideoModel, Sam3VideoConfig

    from sam.backends.hf_need import promptable_need, sam3_need

    config: Any = Sam3VideoConfig()
    found = {
        "sam3_hf, bfloat16": sam3_need(config, torch.bfloat16, config.hotstart_delay),
        "sam3_hf, float32": sam3_need(config, torch.float32, config.hotstart_delay),
        "sam3_hf, bfloat16, 8 frames and 8 objects at a time": sam3_need(
            config, torch.bfloat16, config.hotstart_delay, 8, 8
        ),
    }
    found["sam2 (tiny), bfloat16"] = promptable_need(Sam2VideoConfig(), torch.bfloat16, Sam2VideoModel)
    return found


def row(need: Need, window: Window) -> dict[str, float]:
    """MiB, and how many objects fit into a budget."""
    return {
        "weights": need.weights / MIB,
        "window": (need.total(window, 0, False) - need.weights) / MIB,
        "object": (need.total(window, 101, False) - need.total(window, 100, False)) / MIB,
        "moved": (need.total(window, 101, True) - need.total(window, 100, True)) / MIB,
        **{f"fit {gib}": float(need.most(window, gib * 2**30, False)) for gib in BUDGETS},
    }


def main() -> None:
    parser = arguments("What SAM3 and SAM2 take of a device at full size.")
    parser.add_argument("--frames", type=int, default=20)
    options = parser.parse_args()
    window = Window(options.frames, WIDTH * HEIGHT)
    results = {name: row(need, window) for name, need in needs().items()}
    columns = ("weights", "window", "object", "moved", *(f"fit {gib}" for gib in BUDGETS))
    heads = ("weights", "a window", "an object", "an object, state in main memory")
    publish(
        Result(
            f"Memory by shape, in MiB: windows of {options.frames} frames of {WIDTH} x {HEIGHT}",
            ("model", *heads, *(f"objects in {gib} GiB" for gib in BUDGETS)),
            tuple((name, *(f"{found[column]:,.0f}" for column in columns)) for name, found in results.items()),
            {f"{name}: {column}": value for name, found in results.items() for column, value in found.items()},
            "Counted from shapes, not measured on a device; the CUDA context is not in it.",
        ),
        options.json,
    )


if __name__ == "__main__":
    main()
