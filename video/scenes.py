"""Synthetic footage of a fixed camera, with the exact visible pixels of every individual in every frame.

A scene is a meadow with a fence, a shed and a bush in the wind, where cows and people walk, stop, cross, leave and come
back, under changing light, with cast shadows (never part of an individual), sensor noise and H.264 on top. The same
arguments give the same pixels and the same truth. It serves the demo, the tests and the benchmarks; it imports no
tracker, and the truth never looks at the encoded video.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from video.synthetic.behaviour import BehavingHerd, Bout
from video.synthetic.figures import COATS, JACKETS, Figure, make_cow, make_person
from video.synthetic.herd import Herd
from video.synthetic.renderer import Renderer

U8 = NDArray[np.uint8]

TRUTH_SUFFIX = ".truth.npz"
BOUTS_SUFFIX = ".behaviours.csv"


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """Who is where in a scene: n rows, one per individual and source frame in which at least one pixel is visible.

    names, kinds: per individual, such as "cow-1" and "cow". frame, individual: (n,) int32, ascending by frame.
    boxes: (n, 4) int32, xyxy half-open pixels, tight around the visible pixels. counts: n compressed COCO RLEs of the
    boxes. silhouette: (n,) int32 pixels it would show with nothing in front of it and no edge of the frame.
    """

    width: int
    height: int
    fps: Fraction
    frames: int
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    frame: NDArray[np.int32]
    individual: NDArray[np.int32]
    boxes: NDArray[np.int32]
    counts: tuple[bytes, ...]
    silhouette: NDArray[np.int32]

    def rows(self, frame: int) -> range:
        """The rows of one source frame."""
        return range(*(int(i) for i in np.searchsorted(self.frame, [frame, frame + 1])))

    def mask(self, row: int) -> U8:
        """(height, width) uint8, 1 on the visible pixels of this row's individual."""
        plane = np.zeros((self.height, self.width), np.uint8)
        x0, y0, x1, y1 = (int(v) for v in self.boxes[row])
        plane[y0:y1, x0:x1] = coco.decode({"size": [y1 - y0, x1 - x0], "counts": self.counts[row]})
        return plane

    def visible(self, row: int) -> float:
        """The part of the silhouette that is seen, 0..1."""
        x0, y0, x1, y1 = (int(v) for v in self.boxes[row])
        area = int(coco.area({"size": [y1 - y0, x1 - x0], "counts": self.counts[row]}))
        return area / max(int(self.silhouette[row]), 1)


def truth_path(video: str | os.PathLike[str]) -> Path:
    """Where the truth of a rendered video lies: beside it, `<stem>.truth.npz`."""
    return Path(video).with_suffix(TRUTH_SUFFIX)


def load_truth(video: str | os.PathLike[str]) -> SceneTruth:
    """The truth of a rendered video, given the path of the video or of the truth file."""
    path = Path(video)
    path = path if path.name.endswith(TRUTH_SUFFIX) else truth_path(path)
    with np.load(path) as stored:
        ends = np.cumsum(stored["lengths"])
        blob = stored["counts"].tobytes()
        return SceneTruth(
            width=int(stored["size"][0]),
            height=int(stored["size"][1]),
            fps=Fraction(int(stored["fps"][0]), int(stored["fps"][1])),
            frames=int(stored["frames"]),
            names=tuple(str(name) for name in stored["names"]),
            kinds=tuple(str(kind) for kind in stored["kinds"]),
            frame=stored["frame"],
            individual=stored["individual"],
            boxes=stored["boxes"],
            counts=tuple(blob[end - n : end] for end, n in zip(ends, stored["lengths"], strict=True)),
            silhouette=stored["silhouette"],
        )


def load_bouts(video: str | os.PathLike[str]) -> list[Bout]:
    """Who does what when in a video that was rendered with `behaviours`."""
    with Path(video).with_suffix(BOUTS_SUFFIX).open(newline="", encoding="utf-8") as file:
        return [
            Bout(row["individual"], int(row["start_frame"]), int(row["end_frame"]), row["behaviour"])
            for row in csv.DictReader(file)
        ]


def render_scene(
    path: str | os.PathLike[str],
    seed: int,
    seconds: float,
    width: int = 1280,
    height: int = 720,
    fps: int = 25,
    cows: int = 4,
    people: int = 1,
    noise: float = 1.8,
    crf: int = 22,
    coats: Sequence[int] = (),
    behaviours: bool = False,
) -> SceneTruth:
    """Render a scene to an H.264 mp4 and its truth beside it, and return the truth.

    Both files appear complete or not at all, the video last. width and height are multiples of 4. noise is the
    deviation of the sensor noise in 8-bit levels. coats: what the cows wear in turn, rows of `COATS`; drawn by the seed
    if empty. behaviours: cows walk, stand, turn and feed, each for some seconds, and who does what when is written
    beside the video too (`load_bouts`). Raises ValueError if a number makes no scene.
    """
    if width % 4 or height % 4 or min(width, height) < 64:
        raise ValueError(f"width and height are multiples of 4 from 64 on, got {width}x{height}")
    if fps < 1 or not 1 <= seconds * fps < np.inf:
        raise ValueError(f"a scene needs at least one frame, got {seconds = }, {fps = }")
    if min(seed, cows, people, noise) < 0:
        raise ValueError(f"these are at least 0: {seed = }, {cows = }, {people = }, {noise = }")
    rng = np.random.default_rng([seed, 0x5CE4E])
    count = round(seconds * fps)
    figures = _figures(rng, cows, people, coats)
    herd = BehavingHerd if behaviours else Herd
    renderer = Renderer(rng, count / fps, width, height, fps, figures, noise, herd)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _encode(partial, renderer.render(count), width, height, fps, crf)
        truth = _truth(renderer, figures, (width, height), fps, count)
        _save_truth(truth, truth_path(path))
        if isinstance(renderer.herd, BehavingHerd):
            _save_bouts(renderer.herd.bouts(), path.with_suffix(BOUTS_SUFFIX))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return truth


def make_footage(folder: str | os.PathLike[str], count: int, seconds: float, seed: int, workers: int = 1) -> list[Path]:
    """Render `count` videos as two farms' cameras would name them; files that are already complete are kept.

    workers: processes that render side by side; the files are the same with any number.

    Names: farm1/cam1_20260601_0900.mp4, farm1/cam2_20260601_1215.mp4, farm2/cam1_20260601_1530.mp4, ...: farm and
    camera alternate and the time of recording moves on by 3 h 15 min per video, so that the hours of a day, a time
    pattern and the camera can be told from the name. Returns the paths in that order. Raises ChildProcessError when
    a process that renders is killed.
    """
    folder, paths = Path(folder), []
    missing: list[tuple[Path, dict[str, Any]]] = []
    for i in range(count):
        start = datetime(2026, 6, 1, 9) + timedelta(hours=3 * i, minutes=15 * i)
        path = folder / f"farm{i // 2 % 2 + 1}" / f"cam{i % 2 + 1}_{start:%Y%m%d_%H%M}.mp4"
        paths.append(path)
        if not (path.is_file() and truth_path(path).is_file()):
            missing.append(
                (path, {"seed": 1000 * seed + i, "seconds": seconds, "cows": 3 + i % 3, "people": 1 + i % 2})
            )
    if min(workers, len(missing)) > 1:
        _render_beside(missing, min(workers, len(missing)))
    else:
        for path, options in missing:
            render_scene(path, **options)
    return paths


def _render_beside(scenes: Sequence[tuple[Path, dict[str, Any]]], workers: int) -> None:
    """Render scenes in processes of their own. Whatever stops this process stops them, and they clean up."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_when_told)
    try:
        results = [pool.submit(render_scene, path, **options) for path, options in scenes]
        for result in as_completed(results):
            result.result()
    except BrokenProcessPool:
        raise ChildProcessError(
            f"a process that rendered generated footage was killed, maybe for want of memory: {workers} ran side by "
            "side and each needs about 200 MB; complete videos are kept, so run it again, on fewer cores if need be"
        ) from None
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _end_when_told() -> None:
    """In a process that renders: leave Ctrl-C to the parent, on its word end as on an error; one core each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cv2.setNumThreads(1)


def _figures(rng: np.random.Generator, cows: int, people: int, coats: Sequence[int]) -> list[Figure]:
    drawn, looks = rng.permutation(len(COATS)), rng.permutation(len(JACKETS))
    coats = coats or drawn.tolist()
    herd = [make_cow(rng, f"cow-{i + 1}", int(coats[i % len(coats)])) for i in range(cows)]
    return herd + [make_person(rng, f"person-{i + 1}", int(looks[i % len(looks)])) for i in range(people)]


def _truth(renderer: Renderer, figures: list[Figure], size: tuple[int, int], fps: int, frames: int) -> SceneTruth:
    frame, individual, boxes, counts, silhouette = zip(*renderer.rows, strict=True) if renderer.rows else ((),) * 5
    return SceneTruth(
        width=size[0],
        height=size[1],
        fps=Fraction(fps),
        frames=frames,
        names=tuple(figure.name for figure in figures),
        kinds=tuple(figure.kind for figure in figures),
        frame=np.array(frame, np.int32),
        individual=np.array(individual, np.int32),
        boxes=np.array(boxes, np.int32).reshape(-1, 4),
        counts=tuple(counts),
        silhouette=np.array(silhouette, np.int32),
    )


def _encode(path: Path, pictures: Iterator[U8], width: int, height: int, fps: int, crf: int) -> None:
    """Write I420 pictures as H.264 with BT.601 tags; the encoder runs beside the drawing, always on two threads."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        options = {"crf": str(crf), "preset": "ultrafast"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.thread_count = 2
        context.color_range, context.colorspace = 1, 6  # limited range, SMPTE 170M: BT.601
        context.color_primaries, context.color_trc = 6, 6

        def write(picture: U8) -> None:
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            container.mux(stream.encode(frame))

        with ThreadPoolExecutor(1) as encoder:
            pending = None
            for picture in pictures:
                if pending is not None:
                    pending.result()
                pending = encoder.submit(write, picture)
            if pending is not None:
                pending.result()
        container.mux(stream.encode())


def _save_truth(truth: SceneTruth, path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(partial, "wb") as file:
            np.savez_compressed(
                file,
                size=np.array([truth.width, truth.height]),
                fps=np.array([truth.fps.numerator, truth.fps.denominator]),
                frames=np.array(truth.frames),
                names=np.array(truth.names, np.str_),
                kinds=np.array(truth.kinds, np.str_),
                frame=truth.frame,
                individual=truth.individual,
                boxes=truth.boxes,
                counts=np.frombuffer(b"".join(truth.counts), np.uint8),
                lengths=np.array([len(c) for c in truth.counts], np.int64),
                silhouette=truth.silhouette,
            )
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _save_bouts(bouts: Sequence[Bout], path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(partial, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("individual", "start_frame", "end_frame", "behaviour"))
            table.writerows((bout.individual, bout.start, bout.end, bout.behaviour) for bout in bouts)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
