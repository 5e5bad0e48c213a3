"""The most memory this process has taken: of the GPU where its tracker runs on one, else main memory.

It never imports torch: it looks at one that someone else loaded.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """gpu: whether it is the GPU's, as torch allocated it. size: bytes."""

    gpu: bool
    size: int


def peak_memory() -> PeakMemory:
    """Since the process began, or since `reset` where a GPU is used."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        # Of whichever GPU it is: tracker.device may name another than the first.
        most = max(int(torch.cuda.max_memory_allocated(n)) for n in range(torch.cuda.device_count()))
        if most:
            return PeakMemory(True, most)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return PeakMemory(False, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def reset() -> None:
    """Count the GPU's memory from now on; main memory's peak cannot be reset."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        for number in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(number)
