"""What SAM3 costs: milliseconds per frame and per object, memory over many windows, loading, several prompts.

    python -m benchmarks.sam3 [--windows 1000] [--rounds 3] [--json FILE]

On a GPU: the real architecture at full size (860 million parameters) with random weights, through tracker=sam3_hf and,
where the package is installed, tracker=sam3. Random weights find nothing real, so the detector is told to take its
surest queries as objects; the work for so many objects is that of real ones. Without a GPU: a small model of the same
architecture, whose figures say nothing about SAM3's speed; the table says which it was.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import FOLDER, Result, arguments, interleaved, publish, ratio
from sam.memory import release_cuda
from sam.session import SAMSession
from sam.types import Prompt, SessionFrames

TEXTS = ("cow", "calf", "dog")
# The small model is that of the tests with an image encoder that takes, as SAM3's does, most of a frame's time.
ENCODER = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_hidden_layers": 16}


@dataclass(frozen=True)
class Bench:
    """What is run. objects: how many at once, ascending. frames: in a window. side: of a frame, in pixels."""

    device: str
    full: bool
    objects: tuple[int, ...]
    frames: int
    side: tuple[int, int]

    @property
    def what(self) -> str:
        return "full size, 860 M random weights" if self.full else "a small model, 18 M random weights"


def main() -> None:
    parser = arguments("What SAM3 costs per frame, object, window and load.")
    parser.add_argument("--windows", type=int, default=0, help="for memory; default 1000 on a GPU, 200 without")
    parser.add_argument("--frames", type=int, default=20, help="in a window")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", choices=("auto", "small", "full"), default="auto", help="auto: full on a GPU")
    options = parser.parse_args()
    import torch

    gpu = torch.cuda.is_available()
    if not gpu:
        torch.set_num_threads(1)  # a small model is many times slower on several
    full = gpu if options.size == "auto" else options.size == "full"
    bench = Bench("cuda" if gpu else "cpu", full, (1, 5, 20) if full else (1, 2, 3), options.frames, (1280, 720))
    print(f"{bench.what}, on {_device(torch, bench)}", flush=True)
    weights = checkpoint(bench)
    rows: list[tuple[str, str]] = []
    values: dict[str, float] = {}

    def note(name: str, value: float, shown: str) -> None:
        rows.append((name, shown))
        values[name] = value
        print(f"{name}: {shown}", flush=True)

    with transformers_tracker(bench, weights) as tracker:
        per_frame(bench, tracker, options.rounds, "sam3_hf", note)
        prompts(bench, tracker, options.rounds, note)
        overlap(bench, tracker, options.rounds, note)
        memory(bench, tracker, options.windows or (1000 if gpu else 200), note)
    loading(bench, weights, options.rounds, note)
    if gpu and full and find_spec("sam3") is not None:
        with official_tracker(bench) as tracker:
            per_frame(bench, tracker, options.rounds, "sam3", note)
    note_text = (
        f"{_device(torch, bench)}; torch {torch.__version__}. Windows of {bench.frames} frames of "
        f"{bench.side[0]} x {bench.side[1]}."
    )
    if not (gpu and full):
        note_text += " Times are processor time of one thread. tracker=sam3 needs a GPU and was not measured."
    title = f"SAM3: {bench.what}, {'on a GPU' if gpu else 'NOT on a GPU'}"
    publish(Result(title, ("measured", "value"), tuple(rows), values, note_text), options.json)


# -- what is measured -------------------------------------------------------------------------------------------------

Note = Callable[[str, float, str], None]


def per_frame(bench: Bench, tracker: Any, rounds: int, name: str, note: Note) -> None:
    """Seconds of a window against its number of objects; a line through them is frame and object."""
    shown = frames(bench)

    def case(count: int) -> Callable[[], float]:
        def run() -> float:
            with taking(tracker, count):
                seconds = window(tracker, shown)
            if tracker._most != count:
                raise SystemExit(f"expected {count} objects, {name} tracked {tracker._most}")
            return seconds

        return run

    case(bench.objects[0])()  # the first window of a process prepares kernels
    timed = interleaved({f"{name}, {n} objects": case(n) for n in bench.objects}, rounds)
    middle = [1000 * statistics.median(seconds) / bench.frames for seconds in timed.values()]
    slope, start = np.polyfit(bench.objects, middle, 1)
    note(f"{name}: ms per frame", float(start), f"{start:.1f}")
    note(f"{name}: ms per frame and object", float(slope), f"{slope:.1f}")


def prompts(bench: Bench, tracker: Any, rounds: int, note: Note) -> None:
    """Windows of several prompts: the backbone once against once per prompt."""
    shown = frames(bench)
    with taking(tracker, 1):
        for count in (2, 3):
            timed = interleaved(
                {
                    "shared": lambda n=count: window(tracker, shown, TEXTS[:n]),  # type: ignore[misc]
                    "each alone": lambda n=count: sum(window(tracker, shown, [t]) for t in TEXTS[:n]),  # type: ignore[misc]
                },
                rounds,
            )
            share = ratio(timed["shared"], timed["each alone"])
            note(f"{count} prompts over shared features, of each alone", share, f"{share:.2f}")


def overlap(bench: Bench, tracker: Any, rounds: int, note: Note) -> None:
    """A window that begins with the half of its frames that the one before ended with, against one that shares none."""
    shown, half = frames(bench, 2 * (bench.frames // 2)), bench.frames // 2
    before = replace(shown, images=[*shown.images[half:], *shown.images[:half]])

    def second(again: int) -> float:
        window(tracker, replace(before, again=again))
        return window(tracker, shown)

    with taking(tracker, 1):
        timed = interleaved({"shared": lambda: second(half), "apart": lambda: second(0)}, rounds)
    share = ratio(timed["shared"], timed["apart"])
    note("a window that shares half its frames with the one before, of one that shares none", share, f"{share:.2f}")


def memory(bench: Bench, tracker: Any, windows: int, note: Note) -> None:
    """Memory after the first window and after many; and the peak."""
    short = frames(bench, min(bench.frames, 4))
    levels = []
    with taking(tracker, bench.objects[-1]):
        for _ in range(windows):
            window(tracker, short)
            levels.append(held(bench))
    tenth = levels[min(9, windows - 1)]
    name = "reserved on the GPU" if bench.device == "cuda" else "resident"
    note(f"MiB {name} after 10 windows", tenth, f"{tenth:.0f}")
    note(f"MiB {name} after {windows} windows", levels[-1], f"{levels[-1]:.0f}")
    with taking(tracker, bench.objects[-1]):
        window(tracker, frames(bench))
    top = peak(bench)
    note(f"MiB at the peak, {bench.frames} frames, {bench.objects[-1]} objects", top, f"{top:.0f}")


def loading(bench: Bench, weights: Path, rounds: int, note: Note) -> None:
    """A clip with the model resident against a clip with a load of its own, as the original pipeline did."""
    shown = frames(bench)

    def own() -> float:
        began = clock()
        with transformers_tracker(bench, weights) as tracker, taking(tracker, 1):
            window(tracker, shown)
        return clock() - began

    with transformers_tracker(bench, weights) as resident, taking(resident, 1):
        timed = interleaved({"resident": lambda: window(resident, shown), "loaded for the clip": own}, rounds)
    loads = [own_ - kept for own_, kept in zip(timed["loaded for the clip"], timed["resident"], strict=True)]
    seconds, times = statistics.median(loads), ratio(timed["loaded for the clip"], timed["resident"])
    note("seconds to load the model", seconds, f"{seconds:.1f}")
    note("a clip with its own load, of one with the model resident", times, f"{times:.1f}")


# -- how it is run ----------------------------------------------------------------------------------------------------


def clock() -> float:
    """Seconds: of the wall where a GPU works, of this process's one thread where other work shares the processor."""
    torch = sys.modules["torch"]
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def window(tracker: Any, shown: SessionFrames, texts: Sequence[str] = TEXTS[:1]) -> float:
    """Seconds to track a window for each text and to give its memory back."""
    began = clock()
    with SAMSession(tracker, shown, passes=len(texts)) as session:
        for text in texts:
            session.reset()
            session.add_prompt(Prompt(text=text))
            list(session.propagate())
    return clock() - began


@contextmanager
def taking(tracker: Any, count: int) -> Iterator[None]:
    """While entered, the detector sees its `count` surest queries in each frame, and those of the first are objects."""
    transformers_model = hasattr(tracker, "_engine")
    model = (tracker._engine if transformers_model else tracker._predictor).model
    step = "run_detection" if transformers_model else "run_backbone_and_detection"
    detect = getattr(model, step)

    def surest(found: dict[str, Any]) -> dict[str, Any]:
        best = found["scores"].argsort(descending=True)[:count]
        return {name: value[best] for name, value in found.items()}

    def some(*given: Any, **options: Any) -> Any:
        found = detect(*given, **options)
        return {p: surest(each) for p, each in found.items()} if transformers_model else surest(found)

    # Every query counts, none is left out for lying over another, nothing new is taken later.
    wanted = {"score_threshold_detection": 0.0, "new_det_thresh": 2.0, "det_nms_thresh": 0.0, "hotstart_delay": 0}
    before = {name: getattr(model, name) for name in wanted}
    for name, value in wanted.items():
        setattr(model, name, value)
    setattr(model, step, some)
    try:
        yield
    finally:
        delattr(model, step)
        for name, value in before.items():
            setattr(model, name, value)


def frames(bench: Bench, count: int = 0) -> SessionFrames:
    """A window of noise that moves: what is in it decides nothing here."""
    width, height = bench.side
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (height, width, 3), np.uint8)
    images = [np.roll(picture, 8 * n, axis=1) for n in range(count or bench.frames)]
    numbers = np.arange(len(images))
    return SessionFrames(images, numbers, numbers / 25, width, height, "noise.mp4")


@contextmanager
def transformers_tracker(bench: Bench, weights: Path) -> Iterator[Any]:
    from sam.backends.sam3_hf import Sam3HfConfig

    with Sam3HfConfig(device=bench.device, weights=str(weights)).build() as tracker:
        yield tracker
    gc.collect()
    release_cuda()


@contextmanager
def official_tracker(bench: Bench) -> Iterator[Any]:
    """The official package with random weights of its own."""
    import torch

    from sam.backends import official
    from sam.backends.sam3 import Sam3Config

    found = official.find()
    found.load()
    file = FOLDER / "sam3-official-random.pt"
    if not file.is_file():
        import sam3.model_builder as builder

        torch.manual_seed(0)
        words = str(official.vocabulary(None, found))
        model = builder.build_sam3_video_model(bpe_path=words, load_from_HF=False)
        torch.save({"model": model.state_dict()}, file.with_suffix(".part"))
        file.with_suffix(".part").rename(file)
        del model
        release_cuda()
    with Sam3Config(device=bench.device, weights=str(file)).build() as tracker:
        yield tracker


def checkpoint(bench: Bench) -> Path:
    """The folder of the weights, made once."""
    from tests.sam3 import tiny

    folder = FOLDER / ("sam3-random" if bench.full else "sam3-small")
    if (folder / "done").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    import torch
    import transformers as hf

    torch.manual_seed(0)
    words = tiny.tokenizer()
    hf.Sam3VideoModel(hf.Sam3VideoConfig() if bench.full else tiny.config(words, ENCODER)).save_pretrained(folder)
    if bench.full:
        scale = {"size": {"height": 1008, "width": 1008}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        hf.Sam3VideoProcessor(
            image_processor=hf.Sam3ImageProcessor(**scale),
            video_processor=hf.Sam2VideoVideoProcessor(**scale),
            tokenizer=words,
            target_size=1008,
        ).save_pretrained(folder)
    else:
        tiny.processor(words).save_pretrained(folder)
    (folder / "done").touch()
    return folder


def held(bench: Bench) -> float:
    """MiB held now: reserved on the GPU, or resident in main memory."""
    if bench.device == "cuda":
        import torch

        return float(torch.cuda.memory_reserved()) / 2**20
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak(bench: Bench) -> float:
    """MiB at the most so far: allocated on the GPU, or resident in main memory."""
    if bench.device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated()) / 2**20
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _device(torch: Any, bench: Bench) -> str:
    return str(torch.cuda.get_device_name()) if bench.device == "cuda" else "the CPU, one thread"


if __name__ == "__main__":
    main()
