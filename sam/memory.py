"""Device memory of model trackers: what running out of it looks like, and how a window is tracked again in less.

A tracker that can do more than `Tracker` asks for is a `ModelTracker`: it says which prompt found an object, how memory
is given back, can track a window again smaller, and may keep between passes what depends on no prompt. This module
never imports torch: it only looks at errors that torch raised and at a torch that someone else loaded.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from sam.errors import TrackingFailed
from sam.types import FrameMasks, Prompt, SessionFrames

RELEASES = ("window", "never")
_SIGNS = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")  # lower case, in torch's messages


class OutOfMemory(TrackingFailed):
    """The device's memory did not hold a window; it may fit when tracked again smaller."""


@runtime_checkable
class ModelTracker(Protocol):
    """What a tracker with a large model offers besides `sam.tracker.Tracker`.

    release: "window" gives cached device memory back after every window, "never" leaves it to the allocator.
    degraded: whether the last window was tracked with fewer objects than there were, for want of memory.
    found_by: object id -> the text that found it, of the last window.
    """

    release: str
    degraded: bool
    found_by: Mapping[int, str]

    def track_smaller(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """Like `track`, after it raised `OutOfMemory`: in less memory, if need be with fewer objects."""
        ...

    def keep(self, frames: SessionFrames | None, last: int | None = None) -> None:
        """Calls of `track` with these very frames follow: keep what depends on no prompt. None: drop it.

        last: only the last so many of them are needed again, by calls with frames that begin with the same arrays. Said
        of frames that are kept already, it drops the others. What `track` yields is the same with and without it.
        """
        ...


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error that torch raised means that a device or the machine had no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


def release_cuda() -> None:
    """Give cached CUDA memory back to the driver. Does nothing unless torch is loaded and has used a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.ipc_collect()
