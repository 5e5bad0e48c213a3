"""The table of `sam3_gpu.py` as it grows: what was measured so far, what failed, and what there was no time for."""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.sam3_forced import PER_FRAME, PER_OBJECT, share
from benchmarks.sam3_setup import Plan
from benchmarks.table import Result
from sam.memory import release_cuda
from sam.types import Track

HEAD = (
    "case",
    "ms per frame",
    "ms per object and frame",
    "of the peak",
    "MiB at the peak",
    "least IoU, same masks",
)


class OutOfTime(Exception):
    """The time that was given is over."""


class Report:
    """device: in words. version: of torch. wrote: is given the result whenever there is more of it.

    usual: the tracks without any switch. alike: by case, how much its masks are those. levels: MiB held after each of
    many windows. shared: time of a window that shares half its frames, of one that shares none.
    """

    def __init__(self, plan: Plan, device: str, version: str, wrote: Callable[[Result], None]) -> None:
        self._plan, self._device, self._version, self._wrote = plan, device, version, wrote
        self._begun = time.monotonic()
        self._timed: dict[str, dict[int, list[tuple[float, float]]]] = {}
        self._remarks: list[str] = []
        self.usual: Sequence[Track] = ()
        self.alike: dict[str, tuple[float, float]] = {}
        self.levels: list[float] = []
        self.shared: float | None = None

    def stage(self, name: str, run: Callable[[], None]) -> None:
        """Do one of the things to be done; whatever becomes of it, the next ones are done too."""
        try:
            self.in_time()
            run()
        except OutOfTime:
            self._remarks.append(f"No time was left to finish {name}.")
        except Exception as error:
            traceback.print_exc()
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            self._remarks.append(f"{name} failed: {reason}.")
        release_cuda()
        print(f"{time.monotonic() - self._begun:.0f} s: {name}", flush=True)
        self.write()

    def in_time(self) -> None:
        """Raise OutOfTime when nothing new is to begin."""
        if time.monotonic() - self._begun > 60 * self._plan.minutes:
            raise OutOfTime

    def add(self, name: str, objects: int, seconds: float, peak: float) -> None:
        """A window was tracked. peak: MiB."""
        self._timed.setdefault(name, {}).setdefault(objects, []).append((seconds, peak))
        print(f"{name}, {objects} objects: {seconds:.2f} s", flush=True)

    @property
    def failed(self) -> bool:
        """Whether anything is missing from the table."""
        return bool(self._remarks)

    def write(self) -> None:
        self._wrote(self.result())

    def result(self) -> Result:
        """What there is by now."""
        plan, values = self._plan, dict[str, float]()
        rows = [self._row(name, values) for name in dict.fromkeys([*self._timed, *self.alike])]
        if self.shared is not None:
            values["a window that shares half its frames, of one that shares none"] = self.shared
        if self.levels:
            tenth = self.levels[min(9, len(self.levels) - 1)]
            values |= {"memory_mib_after_10": tenth, "memory_mib_at_the_end": self.levels[-1]}
        what = "the tests' model, which is not SAM3's size" if plan.tiny else "full size, random weights"
        return Result(f"SAM3's switches: {what}", HEAD, tuple(rows), values, self._note(values))

    def _note(self, values: dict[str, float]) -> str:
        import transformers

        plan = self._plan
        said = [
            f"{self._device}, {plan.dtype}; torch {self._version}, transformers {transformers.__version__}. Windows of "
            f"{plan.frames} frames of {plan.size[0]} x {plan.size[1]}, {', '.join(map(str, plan.objects))} objects; "
            f"peak taken as {plan.peak or 'unknown'} TFLOP/s, {PER_FRAME} TFLOP a frame and {PER_OBJECT} an object."
        ]
        if self.shared is not None:
            said.append(
                "A window that shares half its frames with the one before takes "
                f"{self.shared:.2f} of the time of one that shares none."
            )
        if self.levels:
            said.append(
                f"Over {len(self.levels)} windows with {plan.objects[-1]} objects: "
                f"{values['memory_mib_after_10']:.1f} MiB held after 10, {self.levels[-1]:.1f} at the end, "
                f"{max(self.levels):.1f} at the most."
            )
        return " ".join([*said, *self._remarks])

    def _row(self, name: str, values: dict[str, float]) -> tuple[str, ...]:
        """A line of the table; its figures also go into `values`. With fewer than two numbers of objects, no slope."""
        plan, timed = self._plan, self._timed.get(name, {})
        start, slope, used, held = "", "", "", ""
        if timed:
            middle = {n: 1000 * statistics.median(s for s, _ in rounds) / plan.frames for n, rounds in timed.items()}
            most, peak = max(middle), max(m for rounds in timed.values() for _, m in rounds)
            values[f"{name}: peak_mib"], held = peak, f"{peak:.0f}"
            if len(middle) > 1:
                line = np.polyfit([*middle], [*middle.values()], 1)
                values |= {f"{name}: ms_per_frame": float(line[1]), f"{name}: ms_per_object": float(line[0])}
                start, slope = f"{line[1]:.1f}", f"{line[0]:.1f}"
            if plan.peak is not None:
                values[f"{name}: share_of_peak"] = share(middle[most], most, plan.peak)
                used = f"{100 * values[f'{name}: share_of_peak']:.0f} %"
        masks = ""
        if name in self.alike:
            least, same = self.alike[name]
            values |= {f"{name}: least_iou": least, f"{name}: same_masks": same}
            masks = f"{least:.3f}, {100 * same:.0f} %"
        return name, start, slope, used, held, masks
