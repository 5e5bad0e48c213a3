"""The device memory a model tracker has, and how a window is tracked in it: decided before, and learned from failures.

A window's need (`need.Need`) is set against the budget: `tracker.memory_gb`, on CUDA never more than the GPU has. What
does not fit is made to, in this order: nothing is kept for other passes, the objects' state goes to main memory, the
number of objects is limited. Only the last may change the masks, and only where there are more objects; then the window
is tracked once more in the roomiest way before it counts as degraded. Windows are never cut: their objects would get
other masks. What still does not fit is refused in one line.

Memory that ran out all the same is remembered while the tracker is loaded: the next windows are tracked in the
roomiest way, and if that is not enough with the number of objects that fitted; after some that went well more is tried
again.

On CUDA the budget is also enforced, by torch's allocator; that has never been run. On the CPU it is the estimate alone.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sam.backends.limits import fewer
from sam.backends.need import GIB, Need, Window, gib
from sam.errors import TrackerError, TrackerUnavailable, TrackingFailed
from sam.memory import OutOfMemory
from sam.types import SessionFrames

log = logging.getLogger(__name__)

ENOUGH = 8  # objects that must fit, before it is known how many there are
PATIENCE = 3  # windows that must go well before more is tried again


class TooMany(OutOfMemory):
    """A window has more objects than this way of tracking it has room for; there is a roomier one."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A way to track a window.

    state_on_cpu: keep the objects' memory in main memory. most: objects at once; None: as many as the options allow.
    holds: objects at once that `memory_gb` has room for, of a tracker that leaves none out. kept: bytes that may be
    kept for other passes; None: as much as the tracker likes. careful: one thing at a time wherever several at once are
    only faster. last: there is no roomier way.
    """

    state_on_cpu: bool = False
    most: int | None = None
    holds: int | None = None
    kept: int | None = None
    careful: bool = False
    last: bool = True


@dataclass(slots=True)
class Experience:
    """What memory that ran out has taught. ceiling: objects at once that are thought to fit; None: as many as wanted.
    failed: objects at once that did not. careful: memory ran out lately. good: windows since more was tried."""

    ceiling: int | None = None
    failed: int = 0
    careful: bool = False
    good: int = 0

    def ran_out(self, objects: int, limit: int | None) -> None:
        """Memory ran out with so many objects at once. The first time it is enough to be careful; after that their
        number is limited, unless there was one or none."""
        if self.careful and objects > 1:
            self.ceiling, self.failed = fewer(objects, limit), objects
        self.careful, self.good = True, 0

    def went_well(self) -> None:
        """A window was tracked. After PATIENCE of them more objects are tried, and in the end the usual way."""
        if not self.careful:
            return
        self.good += 1
        if self.good < PATIENCE:
            return
        self.good = 0
        if self.ceiling is None:
            self.careful = False
            return
        self.ceiling += max(1, self.ceiling // 2)
        if self.ceiling >= self.failed:
            self.ceiling = None


def check_memory(memory_gb: float | None) -> None:
    """Refuse a budget that is none; raises ValueError."""
    if memory_gb is not None and not 0 < memory_gb < 10**6:
        raise ValueError(f"tracker.memory_gb is a number of GiB above 0, or null, got {memory_gb}")


class Room:
    """See the module docstring.

    memory_gb: the budget in GiB; None: what the GPU has, on the CPU no limit. device: as torch names it. state_on_cpu:
    always keep state there. limit: objects at once that the options allow. caps: whether objects may be left out; those
    that a prompt names may not.
    """

    def __init__(
        self,
        tracker: str,
        memory_gb: float | None,
        device: str,
        state_on_cpu: bool = False,
        limit: int | None = None,
        caps: bool = True,
    ) -> None:
        self._tracker, self._gb, self._device = tracker, memory_gb, device
        self._always, self._limit, self._caps = state_on_cpu, limit, caps
        self._need: Callable[[bool], Need] | None = None
        self._needs: dict[bool, Need] = {}
        self._learned = Experience()
        self._most_seen = 0
        self._crowded = False  # the last failure was a limit of ours, not of the device
        self._failed_with: int | None = None  # objects at once when memory ran out in this very window
        self._said: tuple[bool, bool, int] | None = None

    # -- the budget ---------------------------------------------------------------------------------------------------

    def reserve(self, torch: Any) -> None:
        """Hold this process to the budget on CUDA, before a model is loaded; raises TrackerUnavailable."""
        if self._gb is None or not self._device.startswith("cuda"):
            return
        total = int(torch.cuda.get_device_properties(self._device).total_memory)
        if self._gb * GIB > total:
            raise TrackerUnavailable(
                f"tracker.memory_gb={self._gb:g} is more than {self._device} has ({gib(total)}); null takes what it has"
            )
        torch.cuda.set_per_process_memory_fraction(self._gb * GIB / total, self._device)

    def admit(self, need: Callable[[bool], Need]) -> None:
        """Take the need of the model that was loaded. need: given whether to go carefully. Raises TrackerUnavailable
        where `memory_gb` has no room for it, whatever the window."""
        self._need, self._needs = need, {}
        if self._gb is None:
            return
        least, budget = self._of(True).total(Window(1, 1), 1, self._moves), int(self._gb * GIB)
        if least > budget:
            raise TrackerUnavailable(
                f"tracker.memory_gb={self._gb:g} is too little: tracker={self._tracker} takes {gib(least)} for one "
                f"object ({gib(self._of(True).weights)} of it weights); give it tracker.memory_gb={_up(least)}, or use "
                "tracker.dtype=bfloat16 or a smaller model"
            )

    def release(self, torch: Any) -> None:
        """Undo `reserve`."""
        if self._gb is not None and self._device.startswith("cuda"):
            torch.cuda.set_per_process_memory_fraction(1.0, self._device)

    def budget(self) -> int | None:
        """Bytes that the model and a window may take together now; None: no limit."""
        asked = None if self._gb is None else int(self._gb * GIB)
        if not self._device.startswith("cuda"):
            return asked
        torch = sys.modules.get("torch")
        if torch is None or not torch.cuda.is_initialized():
            return asked
        free, _ = torch.cuda.mem_get_info(self._device)
        there = int(free) + int(torch.cuda.memory_reserved(self._device))
        return there if asked is None else min(asked, there)

    # -- a window -----------------------------------------------------------------------------------------------------

    def window(self, frames: SessionFrames) -> Window:
        """What a window asks for; its first picture, which may have to be decoded, is looked at only with a budget."""
        if self.budget() is None:
            return Window(len(frames), 0)
        height, width = frames.images[0].shape[:2]
        return Window(len(frames), height * width)

    def fit(self, window: Window, video: str, keeps: int = 0, budget: int | None = None) -> Fit:
        """How to track a window; raises TrackingFailed where `memory_gb` has no room for it.

        keeps: bytes that the tracker would keep for other passes. budget: bytes; None: what there is now.
        """
        self._crowded, self._failed_with = False, None
        learned = self._learned
        if learned.careful:
            return self._announce(self._roomiest(window, video), window)
        budget = self.budget() if budget is None else budget
        if budget is None or self._need is None:
            return Fit(self._always)
        need, wanted = self._of(False), self._wanted()
        for on_cpu in (False, True) if self._moves and not self._always else (self._always,):
            if need.most(window, budget, on_cpu) >= wanted:
                spare = min(keeps, budget - need.total(window, wanted, on_cpu))
                most = need.most(window, budget - spare, on_cpu)
                roomier = spare > 0 or (self._moves and not on_cpu)
                fit = Fit(on_cpu, self._capped(most), self._held(most), kept=spare, last=not roomier)
                return self._announce(fit, window)
        return self._announce(self._roomiest(window, video, budget), window)

    def smaller(self, window: Window, video: str) -> Fit:
        """How to track it once more, after `failed`."""
        return self._announce(self._roomiest(window, video), window)

    def check(self, fit: Fit, objects: int, video: str) -> None:
        """Raise TooMany once a window has as many objects as `fit` allows and there is a roomier way; TrackingFailed
        where there are more than fit and none may be left out."""
        over = fit.holds is not None and objects > fit.holds
        if not fit.last and (over or (fit.most is not None and objects >= fit.most)):
            raise TooMany(
                f"{video}: {objects} or more objects at once need more memory than is left to tracker={self._tracker}"
            )
        if over:
            raise TrackingFailed(
                f"{video}: {objects} objects are more than the {fit.holds} that tracker.memory_gb={self._gb:g} has "
                "room for: raise it, or name fewer"
            )

    def done(self, fit: Fit, objects: int) -> bool:
        """A window was tracked with so many objects at once; returns whether it may have left objects out."""
        self._most_seen = max(self._most_seen, objects)
        self._learned.went_well()
        return fit.most is not None and objects >= fit.most

    def failed(self, objects: int, error: TrackerError) -> None:
        """Tracking a window ended in an error, with so many objects at once."""
        self._most_seen = max(self._most_seen, objects)
        self._crowded = isinstance(error, TooMany)
        if isinstance(error, OutOfMemory) and not self._crowded:
            self._learned.ran_out(objects, self._limit)
            self._failed_with = objects
            limit = f", at most {self._learned.ceiling} objects at once" if self._learned.ceiling is not None else ""
            log.info("tracker=%s tracks the next windows with as little memory as it can%s", self._tracker, limit)

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _moves(self) -> bool:
        """Whether state in main memory is off the device."""
        return self._device.startswith("cuda")

    def _of(self, careful: bool) -> Need:
        assert self._need is not None
        if careful not in self._needs:
            self._needs[careful] = self._need(careful)
        return self._needs[careful]

    def _wanted(self) -> int:
        """Objects that should fit before a roomier way is taken."""
        return min(max(ENOUGH, 2 * self._most_seen), self._limit or 10**9)

    def _capped(self, most: int | None) -> int | None:
        """A limit of objects, if it is one."""
        if not self._caps or most is None or (self._limit is not None and most >= self._limit):
            return None
        return most

    def _held(self, most: int | None) -> int | None:
        """A limit of objects that is not kept by leaving some out, but by refusing the window."""
        return None if self._caps or self._gb is None else most

    def _roomiest(self, window: Window, video: str, budget: int | None = None) -> Fit:
        limits, most = [], None
        if self._failed_with is not None:
            limits.append(fewer(self._failed_with, self._limit))
        elif self._learned.ceiling is not None and not self._crowded:
            limits.append(self._learned.ceiling)
        budget = self.budget() if budget is None else budget
        if budget is not None and self._need is not None:
            most = self._of(True).most(window, budget, self._moves)
            if most < 1 and self._gb is not None:
                self._refuse(window, budget, video)
            limits.append(max(1, most))
        return Fit(True, self._capped(min(limits, default=None)), self._held(most), kept=0, careful=True)

    def _refuse(self, window: Window, budget: int, video: str) -> None:
        least = self._of(True).total(window, 1, self._moves)
        raise TrackingFailed(
            f"{video}: tracker={self._tracker} takes {gib(least)} for a window of {window.frames} frames with a single "
            f"object, and tracker.memory_gb={self._gb:g} leaves it {gib(budget)}: give it {_up(least)}, or lower "
            "clip.per_window, clip.num_frames or tracker.max_side"
        )

    def _announce(self, fit: Fit, window: Window) -> Fit:
        """Say once how windows are tracked, with the numbers."""
        kind = (fit.state_on_cpu, fit.careful, (fit.most or 0).bit_length())  # what a GPU has free changes a little
        if kind == self._said:
            return fit
        self._said = kind
        budget = self.budget()
        if budget is None or self._need is None:
            return fit
        need = self._of(fit.careful)
        none, one = (need.total(window, n, fit.state_on_cpu and self._moves) for n in (0, 1))
        where = ", state in main memory" if fit.state_on_cpu and self._moves else ""
        most = f", at most {fit.most} objects at once" if fit.most is not None else ""
        log.info(
            "tracker=%s has %s: %s of weights, a window of %d frames %s and %s for each object%s%s",
            self._tracker, gib(budget), gib(need.weights), window.frames, gib(none - need.weights), gib(one - none),
            where, most,
        )  # fmt: skip
        return fit


def _up(count: int) -> str:
    """A budget in GiB that has room for so many bytes."""
    return f"{-(-count * 10 // GIB) / 10:g}"
