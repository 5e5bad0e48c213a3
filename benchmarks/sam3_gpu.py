"""What SAM3 costs on a GPU and what each switch saves: full size, random weights, a set number of objects.

    python -m benchmarks.sam3_gpu [--minutes 8] [--windows 60] [--frames 20] [--objects 1 5 20] [--markdown FILE]
    python -m benchmarks.sam3_gpu --tiny     the same code on the CPU with the tests' model; its times say nothing
    python -m benchmarks.sam3_gpu --meta     without a GPU: can the full-size model be made, how many TFLOP is a frame

Milliseconds per frame and per object are a line through windows with several numbers of objects (`sam3_forced.py` says
how objects are forced); the share is that of the device's peak at the FLOP of the full-size model. Agreement is of real
masks: the tests' small model, which finds coloured things and tracks them, on the same device, switch on against off.
Files are written after every round, so that a run that is cut off leaves what it had. Besides torch, torchvision and
transformers it imports numpy, OpenCV and pycocotools.
"""

from __future__ import annotations

import argparse
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
from benchmarks.sam3_forced import forced, peak_of
from benchmarks.sam3_report import Report
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
from benchmarks.table import Result, arguments, interleaved, markdown, publish, ratio, write
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
        windows=options.windows or (5 if options.tiny else 60),
        minutes=options.minutes,
        peak=None if options.tiny else options.tflops or peak_of(name),
        cases=tuple(options.cases or (c for c in SWITCHES if gpu or c not in ("compile", "all of them"))),
        official=gpu and not options.tiny and find_spec("sam3") is not None,
    )
    if plan.peak is None and not plan.tiny:
        print(f"{name} is not in the list of peaks: give its dense bfloat16 TFLOP/s as --tflops", file=sys.stderr)

    def wrote(result: Result) -> None:
        write(result, options.json)
        if options.markdown:
            options.markdown.write_text(markdown(result) + "\n")

    result = run(plan, name, torch.__version__, wrote)
    publish(result, options.json)


def _options() -> argparse.Namespace:
    parser = arguments("What SAM3 costs on a GPU, and what each switch saves.")
    parser.add_argument("--tiny", action="store_true", help="the tests' model, also on the CPU")
    parser.add_argument("--meta", action="store_true", help="only make the full-size model, without memory")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table to FILE")
    parser.add_argument("--windows", type=int, default=0, help="for memory; default 60, 5 with --tiny")
    parser.add_argument("--frames", type=int, default=0, help="in a window; default 20, 4 with --tiny")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=8.0, help="begin nothing new after so many; default 8")
    parser.add_argument("--tflops", type=float, help="the device's dense bfloat16 peak, if its name is not known here")
    parser.add_argument("--cases", nargs="+", choices=SWITCHES, help="default: all")
    return parser.parse_args()


def run(plan: Plan, device: str, version: str, wrote: Callable[[Result], None] = lambda result: None) -> Result:
    """Measure everything; `device` and `version` (of torch) are for the note. wrote: is given what there is so far.

    What compiles comes last, since it takes longest. What fails, or is not reached in time, is said in the note.
    """
    report = Report(plan, device, version, wrote)
    plain = tuple(name for name in plan.cases if not SWITCHES[name].get("compile"))
    with tempfile.TemporaryDirectory() as folder:
        small = small_model(Path(folder), plan)
        model = small if plan.tiny else full_model(plan)
        report.stage("the masks of each switch", lambda: agreement(plan, small, plain, report))
        report.stage("the switches", lambda: times(plan, model, (*plain, LIBRARY), report))
        report.stage("shared frames", lambda: overlap(plan, model, report))
        report.stage("many windows", lambda: memory(plan, model, report))
        if plan.official:
            report.stage(OFFICIAL, lambda: official(plan, report))
        for name in (name for name in plan.cases if name not in plain):
            report.stage(name, lambda name=name: times(plan, model, (name,), report))  # type: ignore[misc]
            report.stage(f"the masks of {name}", lambda name=name: agreement(plan, small, (name,), report))  # type: ignore[misc]
    return report.result()


# -- what is measured -------------------------------------------------------------------------------------------------

Case = Callable[[int], tuple[float, float]]  # runs a window with so many objects: seconds, and peak MiB


def times(plan: Plan, model: tuple[Any, Any], names: Sequence[str], report: Report) -> None:
    """These cases with every number of objects, interleaved; one round first that does not count."""
    with cases(plan, model, names) as each:
        _timed(each, plan, report)


@contextmanager
def cases(plan: Plan, model: tuple[Any, Any], names: Sequence[str]) -> Iterator[dict[str, Case]]:
    """A tracker for each case, all entered at once; by name, what runs a window with so many objects."""
    with ExitStack() as stack:
        each: dict[str, Case] = {}
        for name in names:
            if name == LIBRARY:
                each[name] = partial(as_it_comes, plan, model)
                continue
            tracker = stack.enter_context(entered(plan, model, SWITCHES[name]))
            each[name] = partial(_case, plan, model, tracker, kernel())
        yield each


def _case(plan: Plan, model: tuple[Any, Any], tracker: Any, own: Any, count: int) -> tuple[float, float]:
    """A window of one of several trackers that are entered at once; own: what cleans its masks."""
    with kernel_set(own):
        return window(plan, tracker, shown(plan), model[0], count)


def _timed(each: Mapping[str, Case], plan: Plan, report: Report) -> None:
    """The first round does not count: it compiles, and finds out which kernels are quick."""
    for case in each.values():
        case(plan.objects[0])
    for _ in range(plan.rounds):
        for count in plan.objects:
            for name, case in each.items():
                report.in_time()
                report.add(name, count, *case(count))
        report.write()


def official(plan: Plan, report: Report) -> None:
    """The official package with its own random weights."""
    with sam3.official_tracker(plan.bench) as tracker:
        model = tracker._predictor.model
        _timed({OFFICIAL: lambda n: window(plan, tracker, shown(plan), model, n)}, plan, report)


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


def overlap(plan: Plan, model: tuple[Any, Any], report: Report) -> None:
    """Time of a window of which the one before kept half the frames, of one without; each with one object."""
    whole, half = shown(plan), plan.frames // 2
    first = replace(whole, images=[*whole.images[half:], *whole.images[:half]])

    with entered(plan, model, {}) as tracker:

        def second(again: int) -> float:
            window(plan, tracker, replace(first, again=again), model[0], 1)
            return window(plan, tracker, whole, model[0], 1)[0]

        timed = interleaved({"shared": lambda: second(half), "apart": lambda: second(0)}, plan.rounds)
    report.shared = ratio(timed["shared"], timed["apart"])


def memory(plan: Plan, model: tuple[Any, Any], report: Report) -> None:
    """MiB held after each of many short windows with the most objects."""
    short = shown(plan, min(plan.frames, 4))
    with entered(plan, model, {}) as tracker:
        for _ in range(plan.windows):
            report.in_time()
            window(plan, tracker, short, model[0], plan.objects[-1])
            report.levels.append(sam3.held(plan.bench))


def agreement(plan: Plan, small: tuple[Any, Any], names: Sequence[str], report: Report) -> None:
    """Per switch the least IoU with the masks without it, and the share of masks that are the same to the pixel."""
    from tests.sam3.footage import LATE, blobs

    frames = blobs(LATE + plan.frames).session()

    def found(switches: Mapping[str, Any]) -> Sequence[Track]:
        with entered(plan, small, switches) as tracker, SAMSession(tracker, frames) as session:
            session.add_prompt(Prompt(text="cow"))
            return session.tracks()

    report.usual = report.usual or found({})
    for name in names:
        report.in_time()
        report.alike[name] = alike(found(SWITCHES[name]), report.usual)


def alike(one: Sequence[Track], other: Sequence[Track]) -> tuple[float, float]:
    """Least IoU of the masks of two results, and the share of equal ones; 0 where one has an object the other lacks."""
    a, b = ({(t.object_id, int(f)): m for t in r for f, m in zip(t.frames, t.masks, strict=True)} for r in (one, other))
    both = a.keys() & b.keys()
    least = min((iou(a[each], b[each]) for each in both), default=1.0) if a.keys() == b.keys() else 0.0
    return least, sum(a[each] == b[each] for each in both) / max(1, len(a.keys() | b.keys()))


if __name__ == "__main__":
    main()
