"""The windows of a built dataset: which there are, which to look at first, and what was tracked in each.

Everything is read from what the build wrote: settings, tables, tracks, corrections. Nothing is tracked, and no video is
decoded. A build that runs meanwhile is seen by the next `refresh`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.build import Build
from pipeline.config import of_dataset
from pipeline.errors import ConfigError, PipelineError
from pipeline.footage import Footage, survey
from pipeline.job import Job
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.settings import Settings
from pipeline.stored import Stored
from pipeline.track_store import TrackStore, WindowTracks
from studio.errors import SourcesMissing, StudioError
from studio.window_order import Doubts, doubts_of
from video.errors import VideoError
from video.types import Chunk, Video, Window

CHUNKS_HELD = 4  # chunks whose tracks stay in memory


@dataclass(frozen=True, slots=True)
class Place:
    """One window of the dataset. prompts: what was asked of its video."""

    video: Video
    chunk: Chunk
    window: Window
    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the dataset is at one moment. places: by window id, in order of video and time."""

    settings: Settings
    footage: Footage
    places: Mapping[str, Place]


class Windows:
    """See the module docstring; may be used from several threads. out: the dataset's folder.

    Its settings are read when they are first needed; StudioError (404) when there are none that this version can read.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._lock = threading.RLock()
        self._made_with: Settings | None = None
        self._seen: Seen | None = None
        self._doubts: tuple[object, dict[str, Doubts]] | None = None
        self._jobs: OrderedDict[str, dict[str, Job]] = OrderedDict()
        self._stored: OrderedDict[tuple[str, ...], Stored] = OrderedDict()

    @property
    def settings(self) -> Settings:
        """What the dataset was built with."""
        with self._lock:
            if self._made_with is None:
                try:
                    self._made_with = of_dataset(self.out, "crop")
                except ConfigError as error:
                    raise StudioError(404, f"nothing can be corrected here: {error}") from error
            return self._made_with

    @property
    def layout(self) -> Layout:
        return Layout(self.out, self.settings.tracks)

    @property
    def corrections(self) -> Path:
        """The folder or file of the dataset's corrections; it may not exist yet."""
        return self.settings.corrections or self.layout.corrections

    def file_of(self, video: Video) -> Path:
        """The corrections file of one video."""
        place = self.corrections
        return place if place.suffix == ".json" and not place.is_dir() else place / f"{video.name}.json"

    def refresh(self) -> None:
        """Forget what was read: the dataset was built anew."""
        with self._lock:
            self._made_with = self._seen = self._doubts = None
            self._jobs.clear()
            self._stored.clear()

    def changed(self, video: Video) -> None:
        """The corrections of a video have changed."""
        with self._lock:
            self._jobs.pop(video.name, None)
            self._stored.clear()

    def seen(self) -> Seen:
        """The dataset as it is. Raises SourcesMissing where none of its videos is at hand."""
        with self._lock:
            if self._seen is None:
                self._seen = self._look()
            return self._seen

    def _look(self) -> Seen:
        try:
            footage = survey(self.settings, Ledger(self.layout))
        except (VideoError, ConfigError, OSError) as error:
            raise SourcesMissing(f"the source videos of {self.out} are not at hand: {error}") from error
        places = {
            window.id: Place(chunk.video, chunk, window, tuple(footage.prompts[chunk.video.name]))
            for chunk in footage.chunks
            for window in chunk.windows
        }
        return Seen(self.settings, footage, places)

    def find(self, identity: str) -> Place:
        """A window by its id. Raises StudioError (404)."""
        place = self.seen().places.get(identity)
        if place is None:
            raise StudioError(404, f"there is no window {identity[:64]!r}; GET /dataset/windows lists them")
        return place

    def doubts(self) -> dict[str, Doubts]:
        """By window id, what speaks for looking at it."""
        seen = self.seen()
        files = (self.layout.samples, self.layout.rejected, self.layout.failures, self.layout.links)
        stamp = (id(seen), *((f.stat().st_size, f.stat().st_mtime_ns) if f.is_file() else None for f in files))
        with self._lock:
            if self._doubts is None or self._doubts[0] != stamp:
                windows = {clip.id: name for name, place in seen.places.items() for clip in place.window.clips}
                self._doubts = stamp, doubts_of(self.layout, windows)
            return self._doubts[1]

    def job(self, place: Place) -> Job:
        """The work of a window's chunk, with the corrections that there are now. Raises StudioError (409) for
        corrections that cannot be."""
        with self._lock:
            name = place.video.name
            if name not in self._jobs:
                self._jobs[name] = {job.chunk.id: job for job in self._jobs_of(place.video)}
                while len(self._jobs) > CHUNKS_HELD:
                    self._jobs.popitem(last=False)
            self._jobs.move_to_end(name)
            return self._jobs[name][place.chunk.id]

    def _jobs_of(self, video: Video) -> list[Job]:
        seen, path = self.seen(), self.file_of(video)
        of_it = replace(
            seen.footage,
            videos=(video,),
            chunks=tuple(chunk for chunk in seen.footage.chunks if chunk.video.name == video.name),
            prompts={video.name: seen.footage.prompts[video.name]},
        )
        try:
            return Build(replace(seen.settings, corrections=path if path.is_file() else None)).jobs(of_it)
        except ConfigError as error:
            raise StudioError(409, f"{error}. Repair the file, or remove the entry") from error
        except PipelineError as error:
            raise StudioError(409, str(error)) from error

    def tracks(self, place: Place) -> tuple[list[WindowTracks], bool]:
        """Per prompt what a window shows with its corrections; and whether clicks among them are still to be tracked,
        and are not in it. Raises StudioError (404) without stored tracks."""
        job = self.job(place)
        with self._lock:
            stored = self._read(job)
        window = place.window
        before, base = stored.before(window), stored.base(window)
        found: list[WindowTracks] = []
        waiting = False
        for p, known in enumerate(stored.known(before, base)):
            if known is not None:
                found.append(known)
                continue
            plain = base[p]
            if plain is None:
                raise self._untracked(place)
            waiting = True
            found.append(job.corrector.edited(p, plain))
        return found, waiting

    def base(self, place: Place) -> list[WindowTracks]:
        """Per prompt what was tracked, without corrections. Raises StudioError (404) without stored tracks."""
        job = self.job(place)
        with self._lock:
            stored = self._read(job)
        window = place.window
        found = [b or t for b, t in zip(stored.base(window), stored.before(window), strict=True)]
        if any(tracks is None for tracks in found):
            raise self._untracked(place)
        return [tracks for tracks in found if tracks is not None]

    def _read(self, job: Job) -> Stored:
        key = job.track_keys + job.base_keys
        if key not in self._stored:
            self._stored[key] = Stored(self.settings, TrackStore(self.layout), job)
            while len(self._stored) > CHUNKS_HELD:
                self._stored.popitem(last=False)
        self._stored.move_to_end(key)
        return self._stored[key]

    def _untracked(self, place: Place) -> StudioError:
        return StudioError(
            404,
            f"there are no stored tracks of this part of {place.video.name} in {self.settings.tracks}: build the "
            "dataset with tracks.keep=true, or to its end",
        )
