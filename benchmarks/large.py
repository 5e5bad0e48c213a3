"""Time and peak memory of what is done with 100,000 samples: index, audit, report, exports; rates of the filters.

    python -m benchmarks.large [--samples 100000] [--parts index audit report ...] [--json FILE]

The metadata are synthetic: clips of 20 frames with five objects, 60 videos of three cameras, two prompts, four labels,
and one refused object for every five crops. The crops are eight real, tiny files under as many names as there are
samples (hard links). Every part is a process of its own; its peak is what the kernel says when it ends, "imports" is
one that only imports. Linking 10,000 tracks is measured here as well. Rates are per processor second of one core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.process import Cost, cost
from benchmarks.table import FOLDER, Result, arguments, publish
from pipeline import audit
from pipeline import index as indexing
from pipeline.derive import with_classes
from pipeline.exports.export import exports
from pipeline.filters.filter import filters
from pipeline.index import FAILURES, REJECTED, SAMPLES
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.records import FIGURES, ChunkRecord, CropFile, Figures, PixelFigures, Sample
from pipeline.report.render import write_report
from pipeline.roi import Regions
from pipeline.settings import SPLITS
from pipeline.split import Span, Splits
from pipeline.tables import read_table, write_table
from video.encoder import EncodeConfig, encode
from video.types import digest

OBJECTS, FRAMES, VIDEOS, PER_CHUNK = 5, 20, 60, 160
REFUSED = 5  # one object in so many more is refused
PARTS = ("imports", "index", "audit", "report", "videofolder", "videomae", "webdataset", "mot")
LABELS = ("lying", "standing", "walking", None)


def sample_of(n: int, rng: np.random.Generator) -> Sample:
    """The n-th object, as a worker leaves it."""
    clip, number = divmod(n, OBJECTS)
    video = clip % VIDEOS
    start = clip // VIDEOS * 80
    at = tuple(range(start, start + 4 * FRAMES, 4))
    x, y = (int(v) for v in rng.integers(0, 400, 2))
    boxes = tuple((x + k, y, x + k + 80, y + 60) for k in range(FRAMES))
    name, chances = f"{n:016x}", rng.random(14).tolist()
    masks = Figures(0.5 + chances[0] / 2, 20 + 100 * chances[1], 900, chances[2] / 2, 0, 0, *chances[3:7])
    return Sample(
        sample_id=name,
        video=f"cam{video % 3}/{video:03}.mp4",
        video_fingerprint=digest("video", video),
        recorded_at=f"2026-06-{1 + video % 28:02}T06:00:00",
        clip_id=f"c{clip:07}",
        window_id=f"w{clip:07}",
        track_key="k" * 32,
        tracker="given",
        object_id=number + 1,
        prompt=("cow", "calf")[n % 2],
        first_score=chances[7],
        start_frame=start,
        stride=4,
        num_frames=FRAMES,
        fps=6.25,
        frame_indices=at,
        timestamps_s=tuple(i / 25 for i in at),
        boxes=boxes,
        crop_windows=boxes,
        source_width=640,
        source_height=360,
        degraded=False,
        duplicate_of=None,
        figures=masks,
        pixels=PixelFigures(*chances[8:12]),
        colours=None,
        phash=rng.bytes(7).hex() + "00",
        files=(CropFile("black", f"crops/c{clip:07}/{name}.mp4", f"{n:064x}", 4000),),
    )


def split_of(video: str) -> str:
    return SPLITS[(0, 0, 0, 1, 2)[int(video[5:8]) % 5]]


def make(root: Path, count: int) -> None:
    """Records, tables and crops of `count` samples."""
    layout = Layout(root, root / "tracks")
    ledger, rng = Ledger(layout), np.random.default_rng(0)
    tiny = _tiny(root)
    tables, refused = [], []
    total = count + count // REFUSED
    for first in range(0, total, PER_CHUNK):
        samples = tuple(sample_of(n, rng) for n in range(first, min(first + PER_CHUNK, total)))
        clips = tuple(dict.fromkeys(s.clip_id for s in samples))
        ledger.write(ChunkRecord(f"{first:024x}", "chunk", samples[0].video, clips, samples, (), ()))
        rows = []
        for n, sample in enumerate(samples, start=first):
            if n >= count:
                refused.append(_refused(sample))
                continue
            path = root / sample.files[0].path
            path.parent.mkdir(parents=True, exist_ok=True)
            os.link(tiny[n % len(tiny)], path)
            rows.append(indexing._row(sample, split_of(sample.video), 32) | {"label": LABELS[n % len(LABELS)]})
        tables.append(indexing._table(rows, SAMPLES))
    import pyarrow as pa

    write_table(layout.samples, pa.concat_tables(tables))
    write_table(layout.rejected, pa.Table.from_pylist(refused, schema=REJECTED))
    write_table(layout.failures, pa.Table.from_pylist([], schema=FAILURES))


def _refused(sample: Sample) -> dict[str, Any]:
    row = {name: getattr(sample, name) for name in REJECTED.names if hasattr(sample, name)}
    figures = {name: sample.figure(name) for name in FIGURES}
    return row | figures | {"reason": "size", "value": sample.figures.side, "threshold": 32.0}


def _tiny(root: Path) -> list[Path]:
    """Eight crops of 32 pixels."""
    made = []
    for n in range(8):
        path = root / f"tiny{n}.mp4"
        pictures = np.random.default_rng(n).integers(0, 255, (FRAMES, 32, 32, 3), dtype=np.uint8)
        root.mkdir(parents=True, exist_ok=True)
        encode(path, pictures, 6.25, EncodeConfig(), size=(32, 32))
        made.append(path)
    return made


# -- the parts, each in a process of its own --------------------------------------------------------------------------


def part(name: str, root: Path) -> None:
    layout = Layout(root, root / "tracks")
    if name.startswith("make "):
        make(root, int(name.removeprefix("make ")))
    elif name == "index":
        ledger = Ledger(layout)
        judge = Judge([], Regions(), Splits(_splits()))
        records = (r for record in sorted(layout.record_files()) if (r := ledger.read(record)) is not None)
        indexing.build(records, judge, 32).write(Layout(root / "again", root / "tracks"))
    elif name == "audit":
        audit.check(read_table(layout.samples, audit.COLUMNS))
    elif name == "report":
        settings = {
            "filters": {key: asdict(options()) for key, options in filters().items()},
            "prompt": ["cow", "calf"],
        }
        write_report(root, layout.report, settings=settings, timings=None)
    elif name != "imports":
        target = layout.exports / name
        target.mkdir(parents=True)
        exports()[name]().write(with_classes(read_table(layout.samples), "prompt"), layout, target, "hard")


def _splits() -> dict[str, tuple[Span, ...]]:
    names = [f"cam{v % 3}/{v:03}.mp4" for v in range(VIDEOS)]
    return {name: (Span(0.0, float("inf"), split_of(name)),) for name in names}


def measured(name: str, root: Path) -> Cost:
    """What a part costs."""
    return cost("-m", "benchmarks.large", "--child", name, str(root))


# -- rates ------------------------------------------------------------------------------------------------------------


def rates() -> Iterator[tuple[str, float]]:
    """How many a processor second does, on one thread."""
    import cv2

    from benchmarks.footage import mask_of
    from pipeline.extractor import CropConfig, place_object, render_crop
    from pipeline.near_duplicates import phash
    from pipeline.stages.quality import mask_figures, pixel_figures
    from sam.types import Track

    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    samples = [sample_of(n, rng) for n in range(2000)]
    for sample in samples:
        assert sample.pixels is not None
    every = [options(enabled=True) for options in filters().values()]
    judge = Judge(every, Regions(), Splits(_splits()))
    lenient = Judge([options for options in every if not options.refuse(samples[0], 1.0)], Regions(), judge.splits)
    yield (
        f"objects judged by {len(lenient.filters)} filters",
        _rate(lambda: [lenient.refusal(s) for s in samples], 2000),
    )
    frames = [rng.integers(0, 255, (720, 1280, 3), dtype=np.uint8) for _ in range(FRAMES)]
    masks = [tuple(mask_of(k, 4 * n, 1280, 720) for n in range(FRAMES)) for k in range(OBJECTS)]
    track = Track(1, "x", np.arange(FRAMES, dtype=np.int32), masks[0], 1.0)
    placement = place_object(track, 0, FRAMES, CropConfig())
    assert placement is not None
    others = [[masks[k][n] for k in range(1, OBJECTS)] for n in range(FRAMES)]
    (pictures,) = render_crop(placement, frames, CropConfig()).values()
    yield "crops: figures of the masks", _rate(lambda: mask_figures(placement, (1280, 720), 0, others))
    yield "crops: figures of the pixels", _rate(lambda: pixel_figures(placement, frames, pictures))
    yield "crops: perceptual hash", _rate(lambda: phash(pictures[0]))
    yield "crops: cut out, 224 px on black, not encoded", _rate(lambda: render_crop(placement, frames, CropConfig()))


def _rate(work: Callable[[], object], each: int = 1) -> float:
    work()
    done, began = 0, time.process_time()
    while time.process_time() - began < 2:
        work()
        done += each
    return done / (time.process_time() - began)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--child", nargs=2, metavar=("PART", "ROOT"), help="one part, in this process")
    options = parser.parse_args()
    if options.child:
        part(options.child[0], Path(options.child[1]))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = []
    values: dict[str, float] = {}
    with TemporaryDirectory(dir=FOLDER) as folder:
        root = Path(folder) / "large"
        measured(f"make {options.samples}", root)  # not here: a child begins with the peak of its parent
        print("made", flush=True)
        for name in options.parts:
            spent = measured(name, root)
            rows.append((name, f"{spent.seconds:.1f}", f"{spent.processor:.1f}", f"{spent.mebibytes:.0f}"))
            values |= {f"{name}: seconds": spent.seconds, f"{name}: MiB": spent.mebibytes}
            print(" | ".join(rows[-1]), flush=True)
    from benchmarks.link import speed

    began = time.process_time()
    seconds = speed(10_000)
    rows.append(("linking 10,000 tracks", f"{seconds:.1f}", f"{time.process_time() - began:.1f}", ""))
    for what, rate in rates():
        rows.append((f"{what}, per processor second", f"{rate:,.0f}", "", ""))
        values[what] = rate
    head = (f"{options.samples:,} samples", "seconds", "processor seconds", "peak MiB")
    publish(Result("Large datasets", head, tuple(rows), values), options.json)


if __name__ == "__main__":
    main()
