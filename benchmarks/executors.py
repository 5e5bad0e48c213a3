"""What each executor costs beside a plain loop over the worker, how two processes scale, and Ray Data for the same job.

    python -m benchmarks.executors [--videos 8] [--seconds 64] [--rounds 3] [--json FILE]

Generated footage of 160 x 96 pixels, `tracker=motion`, windows of 5 frames, so that a window is little work and what
is around it shows. Wall time of all chunks from the first call to the last commit, of two short videos, which is
mostly the start of processes, and of more; the difference is what a window costs. A cluster of Ray runs already. Ray
Data gets the same functions the way its users chain them: a map that decodes, actors that track, a map that crops; it
commits no record, so it could not go on where it was stopped. A ratio is the median over the rounds, of cases of the
same round.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.given import settings
from benchmarks.table import Result, arguments, cores, interleaved, publish, ratio
from pipeline.build import Build
from pipeline.footage import survey
from pipeline.job import Job
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.stages.crop_writer import CropWriter
from pipeline.stages.feed import Fed
from pipeline.stages.measure import Measure
from pipeline.stages.tracking import Tracking
from pipeline.stages.window_frames import in_memory
from pipeline.worker import Worker
from video.reader import open_reader
from video.scenes import render_scene
from video.types import Frame

ROOT = Path(__file__).parents[1]
PLAIN, DATA = "plain loop over Worker", "Ray Data, 2 workers"
EXECUTORS: dict[str, tuple[str, ...]] = {
    "local": (),
    "processes, 1 worker": ("executor=processes", "executor.workers=1"),
    "processes, 2 workers": ("executor=processes", "executor.workers=2"),
    "ray, 1 worker": ("executor=ray", "executor.cpus=1", "executor.workers=1"),
    "ray, 2 workers": ("executor=ray", "executor.cpus=1", "executor.workers=2"),
}


def footage(folder: Path, videos: int, seconds: float) -> Path:
    folder.mkdir()
    for number in range(videos):
        render_scene(folder / f"cam{number}.mp4", 80 + number, seconds, width=160, height=96, cows=2, people=0)
    return folder


def timed(folder: Path, scratch: Path, words: Sequence[str], run: Callable[[Settings, list[Job]], int]) -> float:
    """Wall seconds of all chunks; `run` returns the crops it made, which have to be there."""
    with TemporaryDirectory(dir=scratch) as out:
        small = ("crop.size=64", "filters.size.min_side=4", "clip.num_frames=5")
        chosen = settings(f"videos={folder}", f"out={out}/out", *small, *words, tracker="motion")
        build = Build(chosen)
        jobs = build.jobs(survey(chosen, build.ledger))
        began = time.perf_counter()
        crops = run(chosen, jobs)
        seconds = time.perf_counter() - began
        found = sum(1 for _ in Layout(chosen.out, chosen.tracks).crops.rglob("*.mp4"))
    if not crops or crops != found:
        raise SystemExit(f"{crops} crops were made, {found} are there")
    MADE.setdefault(folder.name, set()).add(crops)
    return seconds


MADE: dict[str, set[int]] = {}  # crops by footage; the same number in every case, or something is wrong


def plain(chosen: Settings, jobs: list[Job]) -> int:
    with Worker(chosen, cores()) as worker:
        return sum(worker.process(job).crops for job in jobs)


def executed(chosen: Settings, jobs: list[Job]) -> int:
    return sum(outcome.crops for outcome in chosen.executor.run(chosen, jobs))


# -- the same with Ray Data -------------------------------------------------------------------------------------------

Row = dict[str, Any]


def decode(chosen: Settings, row: Row) -> Row:
    """The frames of one window, (T, h, w, 3) uint8, and their places."""
    job, number = row["job"], row["window"]
    with open_reader(job.chunk.video, chosen.reader, threads=1) as reader:
        frames = list(reader.read(job.chunk.grid, [job.chunk.spans[number]]))
    places = [(f.position, f.index, f.time_s, f.corrupt) for f in frames]
    return row | {"frames": np.stack([f.rgb for f in frames]), "places": places}


class Track:
    """An actor with the tracker."""

    def __init__(self, chosen: Settings) -> None:
        assert chosen.tracker is not None
        self._chosen, self._tracking = chosen, Tracking(chosen)
        self._tracking.load()

    def __call__(self, row: Row) -> Row:
        job = row["job"]
        video, window = job.chunk.video, job.chunk.windows[row["window"]]
        if self._tracking.prepared != video.fingerprint:
            with open_reader(video, self._chosen.reader, threads=1) as reader:
                context = reader.spread(self._tracking.context, self._tracking.max_side)
            self._tracking.prepare(video, context)
        frames = [Fed.of(frame, self._tracking.max_side) for frame in frames_of(row)]
        return row | {"found": self._tracking.track(video, window, in_memory(frames), job.prompts)}


def crop(chosen: Settings, row: Row) -> Row:
    """Write the crops of one window; returns how many."""
    job = row["job"]
    judge = Judge.of(chosen, job.splits)
    writer = CropWriter(chosen, Layout(chosen.out, chosen.tracks))
    drafts = Measure(chosen, judge, {}).drafts(job.chunk.windows[row["window"]], row["found"], job.track_keys)
    pictures = {frame.position: frame.rgb for frame in frames_of(row)}
    made = 0
    for draft in drafts:
        if draft.wanted:
            own = [pictures[p] for p in range(draft.clip.start, draft.clip.stop) if p in pictures]
            made += bool(writer.crop(draft, own, judge).files)
    return {"crops": made}


def frames_of(row: Row) -> list[Frame]:
    return [
        Frame(int(p), int(i), float(t), rgb, bool(c))
        for (p, i, t, c), rgb in zip(row["places"], row["frames"], strict=True)
    ]


def with_ray_data(chosen: Settings, jobs: list[Job]) -> int:
    import ray

    rows = [{"job": job, "window": number} for job in jobs for number in range(len(job.chunk.starts))]
    found = (
        ray.data.from_items(rows)
        .map(partial(decode, chosen))
        .map(Track, fn_constructor_args=(chosen,), concurrency=2, num_cpus=0.5)  # type: ignore[arg-type]
        .map(partial(crop, chosen))
    )
    return sum(row["crops"] for row in found.take_all())


def main() -> None:
    parser = arguments("What each executor costs beside a plain loop, and Ray Data for the same job.")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=64, help="of each video")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    import ray

    os.environ["PYTHONPATH"] = str(ROOT)  # for the processes of the cluster
    ray.init(num_cpus=max(2, cores()), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as folder:
        scratch = Path(folder)
        few, many = footage(scratch / "few", 2, 4), footage(scratch / "many", options.videos, options.seconds)
        more = windows_of(many) - windows_of(few)
        works: dict[str, tuple[tuple[str, ...], Callable[[Settings, list[Job]], int]]] = {PLAIN: ((), plain)}
        works |= {name: (words, executed) for name, words in EXECUTORS.items()}
        works[DATA] = (), with_ray_data
        cases: dict[str, Callable[[], float]] = {}
        for name, (words, run) in works.items():
            cases[f"{name}, few"] = partial(timed, few, scratch, words, run)
            cases[name] = partial(timed, many, scratch, words, run)
        timed(few, scratch, (), plain)  # what it imports
        measured = interleaved(cases, options.rounds)
    ray.shutdown()
    if any(len(made) != 1 for made in MADE.values()):
        raise SystemExit(f"the cases made different numbers of crops: {MADE}")
    rows, values = [], dict[str, float]()
    each = {name: [b - a for a, b in zip(measured[f"{name}, few"], measured[name], strict=True)] for name in works}
    for name in works:
        start = ratio(measured[f"{name}, few"], measured[f"{PLAIN}, few"])
        window = statistics.median(each[name]) / more * 1000
        of_plain = ratio(each[name], each[PLAIN])
        begin = f"{statistics.median(measured[f'{name}, few']):.1f}"
        rows.append((name, begin, f"{start:.2f}", f"{window:.1f}", f"{of_plain:.2f}"))
        values |= {f"{name}: ms per window": window, f"{name}: per window, of the plain loop": of_plain}
    for kind in ("processes", "ray"):
        values[f"{kind}: 2 workers against 1"] = ratio(each[f"{kind}, 1 worker"], each[f"{kind}, 2 workers"])
    against = ratio(each[DATA], each["ray, 2 workers"])
    values["Ray Data against ray, 2 workers"] = against
    note = (
        f"{more} windows more in the second case, {options.rounds} rounds. Two workers do "
        f"{values['processes: 2 workers against 1']:.2f} times as much as one (processes), "
        f"{values['ray: 2 workers against 1']:.2f} times (ray). For each window Ray Data takes {against:.2f} times as "
        "long as executor=ray with as many workers."
    )
    head = ("", "seconds for two short videos", "of the plain loop", "ms for each further window", "of the plain loop")
    publish(Result("Executors", head, tuple(rows), values, note), options.json)


def windows_of(place: Path) -> int:
    return survey(settings(f"videos={place}", f"out={place}/none", "clip.num_frames=5", tracker="motion"), None).clips


if __name__ == "__main__":
    main()
