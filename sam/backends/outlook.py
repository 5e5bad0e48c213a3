"""What `task=doctor` says about memory: what a window would take, and what would be chosen. Loads no weights.

A model's need follows from its config.json alone; what the GPU has free is asked of its driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from sam.backends import device, weights
from sam.backends.need import GIB, Need, Window, gib
from sam.backends.room import Room
from sam.checks import Check
from sam.errors import TrackerError

WIDE = 1920  # the longer side of a frame that is not scaled down, where it is not known
SHAPE = 9 / 16  # of a frame


class Options(Protocol):
    """The options of a tracker that decide how much memory it takes."""

    device: str
    dtype: str
    weights: str
    max_side: int | None
    memory_gb: float | None
    state_on_cpu: bool


def outlook(
    name: str, options: Options, frames: int, need: Callable[[Path, Any], Need], limit: int | None = None
) -> Iterator[Check]:
    """One check of a model of transformers.

    frames: of a window. need: of the model in a folder of weights, in torch's number format. limit: objects at once
    that the options allow.
    """
    folder = weights.cached(options.weights)
    if weights.is_local(options.weights):
        folder = Path(options.weights).expanduser().absolute()
    if folder is None or not (folder / "config.json").is_file():
        yield Check("memory", "note", "what a window takes is known once the weights are here")
        return
    if any(find_spec(package) is None for package in ("torch", "transformers")):
        yield Check("memory", "note", "what a window takes is known once torch and transformers are installed")
        return
    import torch

    on, dtype = device.resolve(options.device, options.dtype)
    found = need(folder, getattr(torch, dtype))
    side = options.max_side or WIDE
    window = Window(frames, int(side * side * SHAPE))
    room = Room(name, options.memory_gb, on, options.state_on_cpu, limit)
    try:
        room.admit(lambda careful: found)
        yield Check("memory", "ok", _said(found, window, room, on, options))
    except TrackerError as error:
        yield Check("memory", "NO", str(error))


def _said(need: Need, window: Window, room: Room, on: str, options: Options) -> str:
    none, one = (need.total(window, objects, options.state_on_cpu and on != "cpu") for objects in (0, 1))
    text = (
        f"{gib(need.weights)} of weights; a window of {window.frames} frames takes about {gib(none - need.weights)} "
        f"and {gib(one - none)} for each object at once"
    )
    there = _there(on)
    budget = None if options.memory_gb is None else int(options.memory_gb * GIB)
    if there is not None:
        free, total = there
        text += f"; {on} has {gib(free)} of {gib(total)} free"
        budget = free if budget is None else min(budget, free)
    if budget is None:
        return f"{text}; tracker.memory_gb sets a limit, there is none on the CPU"
    fit = room.fit(window, "a window", budget=budget)
    chosen = ["state in main memory"] if fit.state_on_cpu and on != "cpu" else []
    chosen += [f"at most {fit.most} objects at once"] if fit.most is not None else ["as many objects as there are"]
    return f"{text}; with {gib(budget)}: {', '.join(chosen)}"


def _there(on: str) -> tuple[int, int] | None:
    """Bytes free and in all of the GPU that would be used; None on the CPU, or where its driver tells nothing."""
    if not on.startswith("cuda"):
        return None
    found, number = device.gpus(), int(on.partition(":")[2] or 0)
    return (found[number].free, found[number].total) if number < len(found) else None
