"""From masks on the device to `FrameMasks`, while the model is already at the next frame.

Only the pixels inside the boxes leave the device, as one array of bool; on CUDA they are copied into pinned memory
without waiting for them. A thread of its own encodes them. What comes out is what `found.gather` makes of whole masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam.backends.found import Cut, gather_cuts
from sam.types import FrameMasks, SessionFrames


@dataclass(frozen=True, slots=True)
class Found:
    """The objects of one frame on their way off the device.

    size: (h, w) of the frame. boxes: n (x0, y0, x1, y1), half-open, in it, that contain the masks. pixels: the masks
    inside their boxes, one after the other, flat, bool; `ready` returns once they are there.
    """

    frame: int
    size: tuple[int, int]
    ids: Sequence[int]
    scores: Sequence[float]
    boxes: Sequence[tuple[int, int, int, int]]
    pixels: Any
    ready: Callable[[], None]

    def cuts(self) -> list[Cut]:
        """The masks as arrays in main memory."""
        self.ready()
        flat: NDArray[np.bool_] = self.pixels.numpy()
        sizes = [(y1 - y0) * (x1 - x0) for x0, y0, x1, y1 in self.boxes]
        parts = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
        return [
            Cut(part.reshape(y1 - y0, x1 - x0), (x0, y0))
            for part, (x0, y0, x1, y1) in zip(parts, self.boxes, strict=True)
        ]


def leave_device(frame: int, ids: Sequence[int], scores: Sequence[float], masks: Any, boxes: Any) -> Found:
    """Begin to copy a frame's masks off the device.

    masks: (n, h, w) bool tensor. boxes: (n, 4) tensor, x0, y0, x1, y1 of the outermost pixels, inclusive, as
    torchvision's masks_to_boxes gives them; a mask may have fewer pixels than its box by now.
    """
    import torch

    size = (int(masks.shape[1]), int(masks.shape[2]))
    places = [(int(x0), int(y0), int(x1) + 1, int(y1) + 1) for x0, y0, x1, y1 in boxes.tolist()]
    parts = [mask[y0:y1, x0:x1].reshape(-1) for mask, (x0, y0, x1, y1) in zip(masks, places, strict=True)]
    flat = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.bool)
    if not flat.is_cuda:
        return Found(frame, size, ids, scores, places, flat, lambda: None)
    pinned = torch.empty(flat.shape, dtype=torch.bool, pin_memory=True)
    pinned.copy_(flat, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(flat.device))  # which need not be the process's current device
    return Found(frame, size, ids, scores, places, pinned, copied.synchronize)


class Encoder:
    """Encodes masks in one thread, in the order in which they come. `close` ends the thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="masks")

    def encode(self, found: Found, frames: SessionFrames) -> Future[FrameMasks]:
        """The objects of a frame at the source's size."""
        return self._pool.submit(_encode, found, (frames.width, frames.height))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _encode(found: Found, source: tuple[int, int]) -> FrameMasks:
    return gather_cuts(found.frame, found.ids, found.scores, found.cuts(), found.size, source)
