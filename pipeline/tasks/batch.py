"""task=batch: every video tracked whole by its own prompts: an overlay video and a JSON of what was found, for each.

`<name>_segmented.mp4` and `<name>_metadata.json` lie under `out` as the videos lie under `videos=`. The tracker is
loaded once. A video's files are written as soon as it is tracked, and are not made again while what they are made from
stays the same; its tracks are stored as those of any build, so `task=outputs` and `task=crop` go on from them. What
cannot be done is named, and the others go on.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from pipeline.build import Build
from pipeline.cache import Cache
from pipeline.errors import ConfigError, DatasetError
from pipeline.executors.local import cores
from pipeline.footage import survey
from pipeline.job import Job
from pipeline.layout import Layout
from pipeline.progress import Progress
from pipeline.settings import Settings
from pipeline.status import Status
from pipeline.tasks.batch_metadata import metadata
from pipeline.tasks.chosen import Chosen, ClipMasks, Part
from pipeline.tasks.output_files import OutputFiles, Shown, write
from pipeline.writing import remove_stale_parts, write_bytes, writing
from video.connection import is_remote
from video.errors import VideoError
from video.reader import open_reader
from video.types import digest

log = logging.getLogger(__name__)

FORMAT = 1  # of what the files hold; another one makes them again
SHOWN_FAILURES = 10
SEGMENTED, METADATA = "segmented", "metadata"


@dataclass(frozen=True, slots=True)
class Task:
    """One video. name: of its files, relative to `out`, without their endings."""

    job: Job
    name: str

    @property
    def part(self) -> Part:
        window = self.job.chunk.windows[0]
        return Part(self.job, window, window.clips[0])


def batch(settings: Settings, layout: Layout, folder: Path | None = None) -> int:
    """Make what is missing; returns the exit status. Raises SourceError, ConfigError, TrackerUnavailable, DiskError.

    folder: of this run, `runs/<time>`, where it says how far it is.
    """
    build = Build(settings)
    footage = survey(settings, build.ledger)
    _refuse_own(settings)
    jobs = [job for job in build.jobs(footage) if settings.shard.takes(job.chunk.id)]
    failures = [f.error if f.video in f.error else f"{f.video}: {f.error}" for f in footage.failures]
    if footage.videos:
        build.save_settings()
        remove_stale_parts(layout.root)
    work = Work(settings, layout)
    names = file_names([video.name for video in footage.videos])
    tasks = [Task(job, names[job.chunk.video.name]) for job in jobs]
    pending: dict[str, list[Task]] = {}  # by what is tracked: videos of equal bytes and prompts are tracked once
    for task in tasks:
        if work.is_done(task):
            failures += work.known_failures(task)
        else:
            pending.setdefault(task.job.record_id, []).append(task)
    counted = Counter(there=len(tasks) - sum(map(len, pending.values())))
    tracking = replace(settings, task="track")
    results = settings.executor.run(tracking, [group[0].job for group in pending.values()])
    try:
        doing = [group[0].job for group in pending.values()]
        chunks = {job.record_id: job.chunk for job in doing}
        with Progress(Status.begun(settings, jobs, doing), folder) as progress:
            for outcome in results:
                reasons = list(dict.fromkeys(f.error for f in outcome.failed))
                for task in pending[outcome.record_id]:
                    lacking = work.finish(task, reasons)
                    failures += lacking
                    counted["failed" if lacking else "made"] += 1
                progress.advance(outcome, chunks[outcome.record_id])
    finally:
        results.close()
    unreadable = len(footage.failures)
    log.info(
        "%d videos: %d made, %d were there, %d failed; in %s",
        len(tasks) + unreadable, counted["made"], counted["there"], counted["failed"] + unreadable, layout.root,
    )  # fmt: skip
    for failure in failures[:SHOWN_FAILURES]:
        log.warning("failed: %s", failure)
    if len(failures) > SHOWN_FAILURES:
        log.warning("... and %d more, in the log above", len(failures) - SHOWN_FAILURES)
    return 3 if failures else 0


def file_names(videos: Sequence[str]) -> dict[str, str]:
    """What the files of each video are called: its name without the ending, or with it where two would be alike."""
    plain = {name: PurePosixPath(name).with_suffix("").as_posix() for name in videos}
    times = Counter(plain.values())
    return {name: short if times[short] == 1 else name for name, short in plain.items()}


def _refuse_own(settings: Settings) -> None:
    """Refuse to write overlays among the videos, where the next run would take them for videos."""
    for entry in (Path(each) for each in settings.videos if not is_remote(each)):
        searched = next(folder for folder in (entry, *entry.parents) if folder.is_dir())
        if searched.resolve() == settings.out.resolve() and not entry.is_file():
            raise ConfigError(
                f"out={settings.out} is where the videos are, and the next run would take their overlays for videos: "
                f"choose another folder, such as out={settings.out / 'segmented'}"
            )


class Work:
    """Writes the two files of one video after another."""

    def __init__(self, settings: Settings, layout: Layout) -> None:
        shown = replace(settings.outputs, objects="all", masks=None, overlay=True, alpha=None, every=1, per="clip")
        self._settings = replace(settings, outputs=shown)
        self._layout = layout
        self._cache = Cache(settings.cache)
        self._store = Build(settings).store

    def is_done(self, task: Task) -> bool:
        """Whether both files are there, made from what the settings ask for, and nothing is to be tried again."""
        again = self._settings.retry_failed
        if not all(self._store.has(key, complete=again) for key in task.job.track_keys):
            return False
        made = self._record(task).get("made", {})
        return all(
            made.get(kind) == stamp and self._layout.batch_file(task.name, kind).is_file()
            for kind, stamp in self._stamps(task).items()
        )

    def known_failures(self, task: Task) -> list[str]:
        """What was wrong with a video whose files are there."""
        return list(self._record(task).get("failures", ()))

    def finish(self, task: Task, reasons: Sequence[str]) -> list[str]:
        """Write what is missing; returns what is wrong with this video. reasons: why some of it was not tracked."""
        name = task.job.chunk.video.name
        wrong = [reason if name in reason else f"{name}: {reason}" for reason in reasons]
        try:
            chosen = Chosen(self._settings, self._layout, [task.job])
            masks = chosen.masks(task.part)
            stamps = self._stamps(task)
            made = self._record(task).get("made", {})
            files = {kind: self._layout.batch_file(task.name, kind) for kind in stamps}
            missing = [kind for kind in stamps if made.get(kind) != stamps[kind] or not files[kind].is_file()]
            if SEGMENTED in missing:
                self._overlay(files[SEGMENTED], task, chosen, masks)
            if METADATA in missing:
                document = metadata(self._settings, task.job, chosen.windows(task.part))
                write_bytes(files[METADATA], orjson.dumps(document, option=orjson.OPT_INDENT_2))
        except (VideoError, DatasetError) as error:
            return wrong or [str(error)]
        about = {"made": stamps, "failures": wrong}
        write_bytes(self._layout.batch_record(task.name), orjson.dumps(about, option=orjson.OPT_INDENT_2))
        return wrong

    def _overlay(self, path: Path, task: Task, chosen: Chosen, masks: ClipMasks) -> None:
        video, clip = task.job.chunk.video, task.part.clip
        items = chosen.items(task.part)

        def shown() -> Iterator[Shown]:
            count = 0
            with self._cache.hold(video) as here, open_reader(here, self._settings.reader) as reader:
                for frame in reader.read(clip.grid, [range(clip.start, clip.stop)]):
                    yield Shown(frame.index, frame.rgb, masks.of(frame))
                    count += 1
            if not count:
                raise VideoError(f"{video.name}: no frame of it can be decoded")

        size = video.width, video.height
        with writing(path) as part:
            files = OutputFiles(
                {"overlay": part}, items, self._settings.outputs, self._settings.encode, clip.rate, size
            )
            (group,) = files.rounds()
            write(group, shown(), self._settings.executor.workers or cores())

    def _stamps(self, task: Task) -> dict[str, str]:
        """For each file, what changes with anything it is made from."""
        keys = [(key, self._store.has(key, complete=True)) for key in task.job.track_keys]
        tracks = digest(FORMAT, task.part.clip.id, task.job.prompts, keys)
        return {
            SEGMENTED: digest(tracks, asdict(self._settings.encode)),
            METADATA: digest(tracks, task.job.chunk.video.origin),
        }

    def _record(self, task: Task) -> dict[str, Any]:
        try:
            record = orjson.loads(self._layout.batch_record(task.name).read_bytes())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}
