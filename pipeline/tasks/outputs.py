"""task=outputs: masks, overlays and alpha videos of a finished dataset, from its stored tracks. No tracker is needed.

A piece is a clip, or with `outputs.per=video` all clips of a video. Its frames are decoded as they are written, so
memory grows with neither; the clips of a video are read in one pass unless they overlap. Each kind of output appears
complete or not at all, and a record beside it says which settings and tracks it was made from: what is there is not
made again. A piece that cannot be made is named, and the others go on.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from tqdm import tqdm

from pipeline.build import Build
from pipeline.cache import Cache
from pipeline.errors import ConfigError, DatasetError
from pipeline.executors.local import cores
from pipeline.footage import Footage, survey
from pipeline.job import Job
from pipeline.layout import Layout
from pipeline.progress import LINE_EVERY_S
from pipeline.settings import Settings
from pipeline.tables import read_table
from pipeline.tasks.chosen import Chosen, Part, no_tracks
from pipeline.tasks.output_files import FILES, KINDS, Item, OutputFiles, Shown, write
from pipeline.writing import disk_errors, remove_stale_parts, write_bytes, writing, writing_folder
from video.connection import shown
from video.errors import VideoError
from video.reader import open_reader
from video.readers.contract import VideoReader
from video.source import matches
from video.types import Frame, Grid, Video, digest

log = logging.getLogger(__name__)

FORMAT = 1  # of what the files hold; another one makes them again
SHOWN_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Piece:
    """What one folder of outputs shows: consecutive clips of one video."""

    name: str
    parts: tuple[Part, ...]

    @property
    def video(self) -> Video:
        return self.parts[0].clip.video

    @property
    def rate(self) -> Fraction | float:
        return self.parts[0].clip.rate


def outputs(settings: Settings, layout: Layout) -> int:
    """Make what is missing; returns the exit status. Raises SourceError, DatasetError, DiskError."""
    if settings.outputs.per == "video" and settings.outputs.per_object and not settings.linking.enabled:
        raise ConfigError("outputs.per_object=true with outputs.per=video needs individuals: set link.enabled=true")
    build = Build(settings)
    footage = survey(settings, build.ledger)
    if not layout.has_tracks():
        raise no_tracks(layout)
    failures = [f"{f.video}: {f.error}" for f in footage.failures] + _missing(layout, settings, footage)
    jobs = build.jobs(footage)
    if not jobs:
        raise DatasetError(f"no video of {layout.root} can be used: " + "; ".join(failures[:5]))
    chosen = Chosen(settings, layout, jobs)
    pieces = _pieces(settings, jobs)
    work = Work(settings, layout, chosen)
    counted: Counter[str] = Counter()
    spoke = time.monotonic()
    with work:
        for n, piece in enumerate(tqdm(pieces, unit=settings.outputs.per, disable=not sys.stderr.isatty())):
            if not sys.stderr.isatty() and time.monotonic() - spoke >= LINE_EVERY_S:
                spoke = time.monotonic()
                log.info("%d of %d %ss, %d failed", n, len(pieces), settings.outputs.per, n - counted.total())
            try:
                counted[work.make(piece)] += 1
            except (VideoError, DatasetError) as error:
                failures.append(str(error))
    failures += work.failures
    log.info(
        "outputs of %d %ss: %d made, %d were there, %d without objects, %d failed; in %s",
        len(pieces), settings.outputs.per, counted["made"], counted["there"], counted["empty"],
        len(pieces) - counted.total(), layout.outputs,
    )  # fmt: skip
    named = list(dict.fromkeys(failures))
    _keep_failures(layout.output_failures(settings.shard.index), named)
    for failure in named[:SHOWN_FAILURES]:
        log.warning("failed: %s", failure)
    if len(named) > SHOWN_FAILURES:
        log.warning("... and %d more; a rerun tries them again", len(named) - SHOWN_FAILURES)
    return 3 if named else 0


def _pieces(settings: Settings, jobs: Sequence[Job]) -> list[Piece]:
    """This shard's share of the clips, or of the videos."""
    options, shard = settings.outputs, settings.shard
    patterns = [options.clips] if isinstance(options.clips, str) else list(options.clips or ["*"])
    parts = [
        Part(job, window, clip)
        for job in jobs
        for window in job.chunk.windows
        for clip in window.clips
        if any(fnmatch(clip.id, str(pattern)) for pattern in patterns)
    ]
    if not parts:
        clips = sum(job.chunk.clips for job in jobs)
        raise DatasetError(f"outputs.clips={options.clips} names none of the {clips} clips, such as {_some_clip(jobs)}")
    if options.per == "clip":
        return [Piece(part.clip.id, (part,)) for part in parts if shard.takes(part.job.chunk.id)]
    videos = groupby(parts, key=lambda part: part.clip.video)
    return [Piece(video.name, tuple(group)) for video, group in videos if shard.takes(video.fingerprint)]


def _keep_failures(path: Path, failures: Sequence[str]) -> None:
    """What could not be made by the last run of this shard; no file when all could."""
    if failures:
        write_bytes(path, orjson.dumps(failures, option=orjson.OPT_INDENT_2))
    else:
        path.unlink(missing_ok=True)


def _some_clip(jobs: Sequence[Job]) -> str:
    return jobs[0].chunk.windows[0].clips[0].id


def _missing(layout: Layout, settings: Settings, footage: Footage) -> list[str]:
    """Videos that the dataset was made from and that are not there any more."""
    if not layout.samples.is_file():
        return []
    known = {v.name for v in footage.videos} | {f.video for f in footage.failures}
    known |= {twin.video for twin in footage.duplicates}
    names = sorted(set(read_table(layout.samples, ["video"])["video"].to_pylist()) - known)
    include, exclude, where = settings.include or ("*",), settings.exclude, ", ".join(map(shown, settings.videos))
    wanted = [n for n in names if any(matches(n, p) for p in include) and not any(matches(n, p) for p in exclude)]
    return [f"{name}, of the dataset, is not in videos={where}: say where it is with videos=..." for name in wanted]


class Work:
    """Makes one piece after another; keeps the video open between them."""

    def __init__(self, settings: Settings, layout: Layout, chosen: Chosen) -> None:
        self._settings = settings
        self._options = settings.outputs
        self._layout = layout
        self._cache = Cache(settings.cache)
        self._chosen = chosen
        self._reader: tuple[str, int, VideoReader] | None = None  # fingerprint, next position
        self._stack = ExitStack()
        self.failures: list[str] = []  # of parts of pieces

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def make(self, piece: Piece) -> str:
        """Make what is missing of a piece: "made", "there" or "empty". Raises VideoError, DatasetError, DiskError."""
        objects = [self._chosen.state(part) for part in piece.parts]
        individuals = self._chosen.individuals(piece.video.name)
        if individuals is not None:
            objects.append(tuple((*what, item.name) for what, item in individuals.items()))
        alone = self._options.per == "clip"
        if alone and not objects[0]:
            return "empty"
        stamps = {kind: self._stamp(kind, piece, objects) for kind in self._options.kinds}
        record = self._record(piece)
        made = {kind: about for kind, about in record.get("made", {}).items() if kind in KINDS}
        folder = self._layout.output(piece.name)
        there = {kind for kind, about in made.items() if (folder / KINDS[kind]).exists() and about["stamp"]}
        missing = [k for k, stamp in stamps.items() if k not in there or made[k]["stamp"] != stamp]
        if not missing:
            return "there"
        items = self._chosen.items(piece.parts[0]) if alone else list(dict.fromkeys((individuals or {}).values()))
        if alone and not items:
            return "empty"
        with disk_errors(folder / KINDS["masks"]):
            folder.mkdir(parents=True, exist_ok=True)
        remove_stale_parts(folder)
        failed = len(self.failures)
        with ExitStack() as stack:
            places = {
                kind: stack.enter_context((writing if kind in FILES else writing_folder)(folder / KINDS[kind]))
                for kind in missing
            }
            size = piece.video.width, piece.video.height
            rate = piece.rate / self._options.every
            files = OutputFiles(places, items, self._options, self._settings.encode, rate, size)
            for group in files.rounds():
                workers = self._settings.executor.workers or cores()
                indices = write(group, self._started(piece), workers)
        whole = len(self.failures) == failed
        now = {"fps": float(rate), "frame_indices": indices, "objects": [asdict(item) for item in items]}
        about = {
            "video": piece.video.name,
            "clips": [part.clip.id for part in piece.parts],
            "width": piece.video.width,
            "height": piece.video.height,
            "made": made | {kind: {"stamp": stamps[kind] if whole else None, **now} for kind in missing},
        }
        write_bytes(self._layout.output_record(piece.name), orjson.dumps(about, option=orjson.OPT_INDENT_2))
        return "made"

    def _stamp(self, kind: str, piece: Piece, objects: Sequence[object]) -> str:
        """Changes with anything that a kind of output is made from."""
        options = self._options
        own = {
            "masks": (options.masks, options.style, options.quality, options.apart),
            "overlay": (asdict(self._settings.encode),),
            "video": (options.style, asdict(self._settings.encode)),
            "alpha": (options.alpha, options.apart, asdict(self._settings.encode)),
        }[kind]
        clips = [part.clip.id for part in piece.parts]
        return digest(FORMAT, kind, own, options.every, clips, list(objects))

    def _record(self, piece: Piece) -> dict[str, Any]:
        try:
            record = orjson.loads(self._layout.output_record(piece.name).read_bytes())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    # -- frames -------------------------------------------------------------------------------------------------------

    def _started(self, piece: Piece) -> Iterator[Shown]:
        """The frames of a piece; raises VideoError when there are none."""
        frames = self._shown(piece)
        first = next(frames, None)
        if first is None:
            raise VideoError(f"{piece.video.name}: none of the frames of {piece.name} can be decoded")
        yield first
        yield from frames

    def _shown(self, piece: Piece) -> Iterator[Shown]:
        """Every n-th frame with the masks of what is chosen, each frame once."""
        start, following = piece.parts[0].clip.start, 0
        for part in piece.parts:
            clip = part.clip
            wanted = [p for p in range(max(clip.start, following), clip.stop) if (p - start) % self._options.every == 0]
            following = max(following, clip.stop)
            if not wanted:
                continue
            try:
                masks = self._chosen.masks(part)
            except DatasetError as error:
                if len(piece.parts) == 1:
                    raise
                self.failures.append(str(error))
                masks = None
            for frame in self._read(clip.video, clip.grid, wanted):
                seen: dict[Item, Any] = {} if masks is None else masks.of(frame)
                yield Shown(frame.index, frame.rgb, seen)

    def _read(self, video: Video, grid: Grid, positions: Sequence[int]) -> Iterator[Frame]:
        if self._reader is None or self._reader[0] != video.fingerprint or positions[0] < self._reader[1]:
            self._stack.close()
            self._reader = None
            here = self._stack.enter_context(self._cache.hold(video))
            reader = self._stack.enter_context(open_reader(here, self._settings.reader))
        else:
            reader = self._reader[2]
        self._reader = (video.fingerprint, positions[-1] + 1, reader)
        try:
            yield from reader.read(grid, [range(p, p + 1) for p in positions])
        except BaseException:  # also when the caller stops half-way
            self._reader = None
            raise
