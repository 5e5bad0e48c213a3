"""SAM3 with a set number of objects, whatever its weights: all the work, and results that are decided beforehand.

Speed does not depend on the weights, but random ones find nothing. So every part of the model runs as always, and then
what it made of the frame is replaced, in two places: the detector's findings become N ellipses that score 0.9, and the
masks that the tracker propagated become the same N ellipses. From there on everything is what it would be for N animals
that are found, followed and confirmed in every frame: association, clean-up, memory, output, encoding.

Both the official model and transformers' have these two places, under almost the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# TFLOP of the full-size model (1008 px), counted on the meta device with 1 MAC = 2 FLOP: a frame with one prompt (image
# encoder 5.40, necks 0.43, detector 0.42), and one object in it (memory attention over 7 frames 0.95, the rest 0.02).
PER_FRAME, PER_OBJECT = 6.25, 0.97

# Dense bfloat16 TFLOP/s by device name as NVIDIA's data sheets state them; the first name that fits counts.
PEAKS = {
    "H100 PCIe": 756,
    "H100": 989,
    "H200": 989,
    "GH200": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "A10G": 70,
    "A10": 125,
    "RTX 4090": 165,
}


def peak_of(device: str) -> float | None:
    """TFLOP/s of a device of this name; None for one that is not in the list."""
    return next((float(peak) for name, peak in PEAKS.items() if name in device), None)


def share(ms_per_frame: float, objects: int, peak: float) -> float:
    """How much of the device's limit a frame with so many objects uses."""
    return (PER_FRAME + PER_OBJECT * objects) / (ms_per_frame / 1000 * peak)


@contextmanager
def forced(model: Any, count: int) -> Iterator[None]:
    """While entered, every frame has `count` objects. model: transformers' `Sam3VideoModel`, or the official one."""
    several = hasattr(model, "run_detection")  # transformers answers for each prompt
    step = "run_detection" if several else "run_backbone_and_detection"
    detect, propagate = getattr(model, step), model.run_tracker_propagation

    def found(real: dict[str, Any]) -> dict[str, Any]:
        masks = ellipses(real["mask"], count)
        boxes = real["bbox"].new_tensor([[0.0, 0.0, 1.0, 1.0]]).expand(count, 4)
        return {"bbox": boxes, "mask": masks, "scores": real["scores"].new_full((count,), 0.9)}

    def detected(*given: Any, **options: Any) -> Any:
        real = detect(*given, **options)
        return {prompt: found(each) for prompt, each in real.items()} if several else found(real)

    def propagated(*given: Any, **options: Any) -> Any:
        masks, scores = propagate(*given, **options)
        if not len(masks):
            return masks, scores
        return ellipses(masks, count).repeat(-(-len(masks) // count), 1, 1)[: len(masks)], scores.new_full(
            scores.shape, 10
        )

    setattr(model, step, detected)
    model.run_tracker_propagation = propagated
    try:
        yield
    finally:
        delattr(model, step)
        del model.run_tracker_propagation


def ellipses(like: Any, count: int) -> Any:
    """(count, h, w) logits, +10 inside of one ellipse each and -10 around it; no two overlap. like: (n, h, w)."""
    import torch

    height, width = like.shape[-2:]
    across = max(1, int(count**0.5 + 0.999))
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = []
    for n in range(count):
        cx, cy = (n % across + 0.5) * width / across, (n // across + 0.5) * height / across
        inside = ((x - cx) / (0.4 * width / across)) ** 2 + ((y - cy) / (0.3 * height / across)) ** 2 < 1
        planes.append(torch.where(inside, 10.0, -10.0))
    return torch.stack(planes).to(device=like.device, dtype=like.dtype)
