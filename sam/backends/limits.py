"""Options that both SAM3 trackers share: how many objects, from which score, confirmed within how many frames.

SAM3's official model and transformers' read these values from attributes of the same names on the loaded model, so
they are set there and never by editing a source file or a checkpoint's config.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sam.errors import TrackerError, TrackerUnavailable, TrackingFailed
from sam.memory import RELEASES, OutOfMemory, is_out_of_memory

NO_COMPILER = "Failed to find C compiler"  # what triton says, also through torch.compile
COMPILER = "triton compiles them when they first run, with a C compiler: install gcc and Python's headers, or set CC"


@dataclass(frozen=True, slots=True)
class Limits:
    """None everywhere means the model's own value; see `Sam3HfConfig` for what each one does."""

    max_objects: int | None = None
    detection_threshold: float | None = None
    new_object_threshold: float | None = None
    hotstart_delay: int | None = None

    def identity(self) -> dict[str, Any]:
        return asdict(self)

    def apply(self, model: Any) -> None:
        """Set them on a loaded model; raises TrackerUnavailable if it has no such attributes."""
        given: dict[str, int | float | None] = {
            "max_num_objects": self.max_objects,
            "score_threshold_detection": self.detection_threshold,
            "new_det_thresh": self.new_object_threshold,
            "hotstart_delay": self.hotstart_delay,
        }
        if self.hotstart_delay is not None:  # the model asks that neither threshold exceeds the delay
            for name in ("hotstart_unmatch_thresh", "hotstart_dup_thresh"):
                given[name] = min(int(getattr(model, name, 0)), self.hotstart_delay)
        for name, value in given.items():
            if not hasattr(model, name):
                raise TrackerUnavailable(
                    f"this SAM3 model has no {name}, so its package is not one that was tested; install the tested "
                    "versions: make setup EXTRAS=sam3-hf"
                )
            if value is not None:
                setattr(model, name, value)


def check_limits(max_side: int | None, limits: Limits, release: str) -> None:
    """Refuse options out of range; raises ValueError naming the key."""
    if max_side is not None and max_side < 64:
        raise ValueError(f"tracker.max_side is at least 64 pixels or null, got {max_side}")
    if limits.max_objects is not None and limits.max_objects < 1:
        raise ValueError(f"tracker.max_objects is at least 1 or null, got {limits.max_objects}")
    if limits.hotstart_delay is not None and limits.hotstart_delay < 0:
        raise ValueError(f"tracker.hotstart_delay is at least 0 frames or null, got {limits.hotstart_delay}")
    for key in ("detection_threshold", "new_object_threshold"):
        value = getattr(limits, key)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"tracker.{key} is a score between 0 and 1 or null, got {value}")
    if release not in RELEASES:
        raise ValueError(f"tracker.release must be one of {', '.join(RELEASES)}, got {release!r}")


def fewer(tracked: int, limit: int | None) -> int:
    """Half the objects that memory ran out with, at least one."""
    return max(1, min(tracked, limit or tracked) // 2)


def failure(error: Exception, tracker: str, video: str) -> TrackerError:
    """What an exception of a model means for a window: out of memory, this window alone, or no window any more.

    Empties the frames of the exception's traceback, which would hold the window's tensors while it is handled.
    """
    each: BaseException | None = error
    while each is not None:
        traceback.clear_frames(each.__traceback__)
        each = each.__context__
    if isinstance(error, TrackerError):
        return error
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if is_out_of_memory(error):
        return OutOfMemory(f"{video}: tracker={tracker} ran out of memory: {_first_line(error)}")
    if "CUDA error" in str(error) or "cudaError" in str(error):
        return TrackerUnavailable(
            f"tracker={tracker}: the GPU stopped working ({_first_line(error)}); nothing more can be tracked in this "
            "process. Run the same command again to continue; if it happens again, try tracker.device=cpu"
        )
    if NO_COMPILER in str(error):
        return TrackerUnavailable(f"tracker={tracker} cannot compile its GPU kernels: {COMPILER}")
    return TrackingFailed(f"{video}: tracker={tracker} failed: {reason}")


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Keep libraries' loading chatter out of the log while a model loads; warnings and errors pass."""
    loggers = [logging.getLogger(name) for name in libraries]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
