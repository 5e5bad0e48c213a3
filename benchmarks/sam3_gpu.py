"""What SAM3 costs on a GPU and what each switch saves: full size, random weights, a set number of objects.

    python -m benchmarks.sam3_gpu [--windows 1000] [--frames 20] [--objects 1 5 20] [--rounds 3] [--markdown FILE]
    python -m benchmarks.sam3_gpu --tiny     the same code on the CPU with the tests' model; its times say nothing
    python -m benchmarks.sam3_gpu --meta     without a GPU: can the full-size model be made, how many TFLOP is a frame

Milliseconds per frame and per object are a line through windows with several numbers of objects (`sam3_forced.py` says
how objects are forced); the share is that of the device's peak at the FLOP of the full-size model. Agreement is of real
masks: the tests' small model, which finds coloured things and tracks them, on the same device, switch on against off.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import sam3
from benchmarks.sam3_forced import PER_FRAME, PER_OBJECT, forced, peak_of, share
from benchmarks.sam3_setup import (
    SWITCHES,
    Plan,
    entered,
    full_model,
    kernel,
    kernel_set,
    meta,
    reset_peak,
    shown,
    small_model,
)
from benchmarks.table import Result, arguments, interleaved, markdown, publish, ratio
from sam.memory import release_cuda
from sam.session import SAMSession
from sam.types import Prompt, SessionFrames, Track, iou

LIBRARY, OFFICIAL = "transformers as it comes", "official package"


def main() -> None:
    options = _options()
    import torch

    if options.meta:
        meta()
        return
    gpu = torch.cuda.is_available()
    if not gpu and not options.tiny:
        raise SystemExit(
            "benchmarks.sam3_gpu needs an NVIDIA GPU that torch can use, and there is none. --tiny runs the same code "
            "on the CPU with the tests' model, and --meta says what the full-size model is made of"
        )
    if not gpu:
        torch.set_num_threads(1)  # a small model is many times slower on several
    name = torch.cuda.get_device_name() if gpu else "the CPU, one thread"
    plan = Plan(
        device="cuda" if gpu else "cpu",
        dtype="bfloat16" if gpu and not options.tiny else "float32",
        tiny=options.tiny,
        objects=(1, 2, 3) if options.tiny else tuple(sorted(options.objects)),
        frames=options.frames or (4 if options.tiny else 20),
        size=(160, 112) if options.tiny else (1280, 720),
        rounds=options.rounds,
        windows=options.windows or (5 if options.tiny else 1000),
        peak=None if options.tiny else options.tflops or peak_of(name),
        cases=tuple(options.cases or (c for c in SWITCHES if gpu or c not in ("compile", "all of them"))),
        official=gpu and not options.tiny and find_spec("sam3") is not None,
    )
    if plan.peak is None and not plan.tiny:
        print(f"{name} is not in the list of peaks: give its dense bfloat16 TFLOP/s as --tflops", file=sys.stderr)
    result = run(plan, name, torch.__version__)
    publish(result, options.json)
    if options.markdown:
        options.markdown.write_text(markdown(result) + "\n")


def _options() -> argparse.Namespace:
    parser = arguments("What SAM3 costs on a GPU, and what each switch saves.")
    parser.add_argument("--tiny", action="store_true", help="the tests' model, also on the CPU")
    parser.add_argument("--meta", action="store_true", help="only make the full-size model, without memory")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table to FILE")
    parser.add_argument("--windows", type=int, default=0, help="for memory; default 1000, 5 with --tiny")
    parser.add_argument("--frames", type=int, default=0, help="in a window; default 20, 4 with --tiny")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tflops", type=float, help="the device's dense bfloat16 peak, if its name is not known here")
    parser.add_argument("--cases", nargs="+", choices=SWITCHES, help="default: all")
    return parser.parse_args()


def run(plan: Plan, device: str, version: str) -> Result:
    """Measure everything; `device` and `version` (of torch) are for the note."""
    import transformers

    rows: list[tuple[str, ...]] = []
    values: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        small = small_model(Path(folder), plan)
        alike = agreement(plan, small)
        model = small if plan.tiny else full_model(plan)
        timed = times(plan, model)
        for name, by_count in timed.items():
            rows.append(row(plan, name, by_count, alike.get(name), values))
        half = overlap(plan, model)
        levels = memory(plan, model)
    if plan.official:
        with sam3.official_tracker(plan.bench) as tracker:
            official = _timed(
                {OFFICIAL: lambda n: window(plan, tracker, shown(plan), tracker._predictor.model, n)}, plan
            )
        rows.append(row(plan, OFFICIAL, official[OFFICIAL], None, values))
    values |= {"memory_mib_after_10": levels[min(9, len(levels) - 1)], "memory_mib_at_the_end": levels[-1]}
    values["a window that shares half its frames, of one that shares none"] = half
    what = "the tests' model, which is not SAM3's size" if plan.tiny else "full size, random weights"
    note = (
        f"{device}, {plan.dtype}; torch {version}, transformers {transformers.__version__}. Windows of {plan.frames} "
        f"frames of {plan.size[0]} x {plan.size[1]}, {', '.join(map(str, plan.objects))} objects; peak taken as "
        f"{plan.peak or 'unknown'} TFLOP/s, {PER_FRAME} TFLOP a frame and {PER_OBJECT} an object. A window that shares "
        f"half its frames with the one before takes {half:.2f} of the time of one that shares none. "
        f"Over {plan.windows} windows with {plan.objects[-1]} objects: {levels[min(9, len(levels) - 1)]:.1f} MiB held "
        f"after 10, {levels[-1]:.1f} at the end, {max(levels):.1f} at the most."
    )
    head = (
        "case",
        "ms per frame",
        "ms per object and frame",
        "of the peak",
        "MiB at the peak",
        "least IoU, same masks",
    )
    return Result(f"SAM3's switches: {what}", head, tuple(rows), values, note)


# -- what is measured -------------------------------------------------------------------------------------------------

Times = dict[int, list[tuple[float, float]]]  # by number of objects: seconds of a window and peak MiB, per round


def times(plan: Plan, model: tuple[Any, Any]) -> dict[str, Times]:
    """Every case with every number of objects, interleaved."""
    with cases(plan, model) as each:
        return _timed(each, plan)


@contextmanager
def cases(plan: Plan, model: tuple[Any, Any]) -> Iterator[dict[str, Callable[[int], tuple[float, float]]]]:
    """A tracker for each case, all entered at once; by name, what runs a window with so many objects."""
    with ExitStack() as stack:
        each: dict[str, Callable[[int], tuple[float, float]]] = {}
        for name in plan.cases:
            tracker = stack.enter_context(entered(plan, model, SWITCHES[name]))
            each[name] = partial(_case, plan, model, tracker, kernel())
        each[LIBRARY] = partial(as_it_comes, plan, model)
        yield each


def _case(plan: Plan, model: tuple[Any, Any], tracker: Any, own: Any, count: int) -> tuple[float, float]:
    """A window of one of several trackers that are entered at once; own: what cleans its masks."""
    with kernel_set(own):
        return window(plan, tracker, shown(plan), model[0], count)


def _timed(cases: Mapping[str, Callable[[int], tuple[float, float]]], plan: Plan) -> dict[str, Times]:
    """One round first that does not count: it compiles, and finds out which kernels are quick."""
    peaks: dict[tuple[str, int], list[float]] = {}

    def once(name: str, count: int) -> float:
        seconds, held = cases[name](count)
        peaks.setdefault((name, count), []).append(held)
        return seconds

    for name in cases:
        cases[name](plan.objects[0])
    each = {f"{name}|{n}": (lambda name=name, n=n: once(name, n)) for n in plan.objects for name in cases}
    seconds = interleaved(each, plan.rounds)
    return {
        name: {n: list(zip(seconds[f"{name}|{n}"], peaks[name, n], strict=True)) for n in plan.objects}
        for name in cases
    }


def row(
    plan: Plan, name: str, timed: Times, alike: tuple[float, float] | None, values: dict[str, float]
) -> tuple[str, ...]:
    """A line of the table; its figures also go into `values`."""
    middle = [1000 * statistics.median(s for s, _ in timed[n]) / plan.frames for n in plan.objects]
    slope, start = (float(each) for each in np.polyfit(plan.objects, middle, 1))
    held = max(m for rounds in timed.values() for _, m in rounds)
    used = None if plan.peak is None else share(middle[-1], plan.objects[-1], plan.peak)
    values |= {f"{name}: ms_per_frame": start, f"{name}: ms_per_object": slope, f"{name}: peak_mib": held}
    if used is not None:
        values[f"{name}: share_of_peak"] = used
    if alike is not None:
        values |= {f"{name}: least_iou": alike[0], f"{name}: same_masks": alike[1]}
    shown_share = "" if used is None else f"{100 * used:.0f} %"
    shown_alike = "" if alike is None else f"{alike[0]:.3f}, {100 * alike[1]:.0f} %"
    return name, f"{start:.1f}", f"{slope:.1f}", shown_share, f"{held:.0f}", shown_alike


def window(plan: Plan, tracker: Any, frames: SessionFrames, model: Any, count: int) -> tuple[float, float]:
    """Seconds of a window with `count` objects, and the most memory in MiB."""
    reset_peak(plan)
    began = sam3.clock()
    with forced(model, count), SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text="cow"))
        seen = [len(each.object_ids) for each in session.propagate()]
    seconds = sam3.clock() - began
    if seen != [count] * len(frames):
        raise SystemExit(f"{count} objects were forced on every frame, {tracker.name} gave {seen}")
    return seconds, sam3.peak(plan.bench)


def as_it_comes(plan: Plan, model: tuple[Any, Any], count: int) -> tuple[float, float]:
    """The same with the library's own loop over its own session, masks as arrays at the end; seconds and MiB.

    Its clean-up of masks is ours, since its own would be downloaded.
    """
    import torch

    frames, (network, processor) = shown(plan), model
    reset_peak(plan)
    began = sam3.clock()
    with forced(network, count):
        session = processor.init_video_session(
            video=np.stack(frames.images),
            inference_device=plan.device,
            video_storage_device="cpu",
            dtype=getattr(torch, plan.dtype),
        )
        session.video_height, session.video_width = map(int, (session.video_height, session.video_width))
        processor.add_text_prompt(session, "cow")
        for output in network.propagate_in_video_iterator(session):
            processor.postprocess_outputs(session, output)["masks"].cpu().numpy()
    held = sam3.clock() - began, sam3.peak(plan.bench)
    del session, output
    release_cuda()
    return held


def overlap(plan: Plan, model: tuple[Any, Any]) -> float:
    """Time of a window of which the one before kept half the frames, of one without; each with one object."""
    whole, half = shown(plan), plan.frames // 2
    first = replace(whole, images=[*whole.images[half:], *whole.images[:half]])

    with entered(plan, model, {}) as tracker:

        def second(again: int) -> float:
            window(plan, tracker, replace(first, again=again), model[0], 1)
            return window(plan, tracker, whole, model[0], 1)[0]

        timed = interleaved({"shared": lambda: second(half), "apart": lambda: second(0)}, plan.rounds)
    return ratio(timed["shared"], timed["apart"])


def memory(plan: Plan, model: tuple[Any, Any]) -> list[float]:
    """MiB held after each of many short windows with the most objects."""
    short = shown(plan, min(plan.frames, 4))
    levels = []
    with entered(plan, model, {}) as tracker:
        for _ in range(plan.windows):
            window(plan, tracker, short, model[0], plan.objects[-1])
            levels.append(sam3.held(plan.bench))
    return levels


def agreement(plan: Plan, small: tuple[Any, Any]) -> dict[str, tuple[float, float]]:
    """Per switch the least IoU with the masks without it, and the share of masks that are the same to the pixel."""
    from tests.sam3.footage import LATE, blobs

    frames, found = blobs(LATE + plan.frames).session(), {}
    for name in ("sam3_hf", *plan.cases):
        with entered(plan, small, SWITCHES[name]) as tracker, SAMSession(tracker, frames) as session:
            session.add_prompt(Prompt(text="cow"))
            found[name] = session.tracks()
    return {name: alike(tracks, found["sam3_hf"]) for name, tracks in found.items()}


def alike(one: Sequence[Track], other: Sequence[Track]) -> tuple[float, float]:
    """Least IoU of the masks of two results, and the share of equal ones; 0 where one has an object the other lacks."""
    a, b = ({(t.object_id, int(f)): m for t in r for f, m in zip(t.frames, t.masks, strict=True)} for r in (one, other))
    both = a.keys() & b.keys()
    least = min((iou(a[each], b[each]) for each in both), default=1.0) if a.keys() == b.keys() else 0.0
    return least, sum(a[each] == b[each] for each in both) / max(1, len(a.keys() | b.keys()))


if __name__ == "__main__":
    main()
