"""Arrays on their way to a device, without anybody waiting for it.

A plain copy to a GPU waits until the GPU has done everything it was asked for before. From pinned memory the copy takes
its place in the GPU's own order, and the processor goes on; torch keeps the pinned memory until the copy is done. What
comes back from a device is in `hf_masks`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def onto(array: NDArray[Any], device: Any) -> Any:
    """A tensor with the values of `array` on `device`, which is torch's or a name. On the CPU it may share memory."""
    import torch

    here = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if torch.device(device).type != "cuda":
        return here.to(device)
    return here.pin_memory().to(device, non_blocking=True)
