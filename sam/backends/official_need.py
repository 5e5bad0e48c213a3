"""What the official SAM3 package takes of a device, from the sizes of the model that it built.

It keeps every frame of a window and, for every object in every frame, its memory, its mask at the model's size and its
mask at the frame's. What a step takes while it runs is not counted: its model can be made on a GPU only.

Source of what is kept, and of the formats: sam3 0.1.4, `Sam3VideoInference` and `Sam3TrackerPredictor`.
"""

from __future__ import annotations

from typing import Any

from sam.backends.counting import parameter_bytes
from sam.backends.need import Memory, Need

FRAME, MEMORY, LOGITS, POINTER = 2, 2, 4, 4  # bytes of a value: float16, bfloat16, float32, float32


def official_need(model: Any) -> Need:
    """Of SAM 3.0's video model as its predictor holds it."""
    tracker = model.tracker
    cells = int(tracker.sam_image_embedding_size) ** 2
    return Need(
        weights=parameter_bytes(model),
        steps=(),
        memory=Memory(),
        frame=3 * int(model.image_size) ** 2 * FRAME,
        moment=(
            int(tracker.mem_dim) * cells * MEMORY
            + int(tracker.low_res_mask_size) ** 2 * LOGITS
            + int(tracker.hidden_dim) * POINTER
        ),
        shown=1.0,
        delay=None,
    )
