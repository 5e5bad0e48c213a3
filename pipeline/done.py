"""What is done for good: the chunks whose record and crops a rerun need not look into.

Reading every record and looking for every crop takes minutes for millions of them. `records/done.json` holds a mark of
each chunk that was found finished: of the size and time of its record, of the times of its clips' folders in `crops/`,
and of what judges its objects. A folder's time changes with every file that comes or goes, so a chunk whose mark is the
same is as it was. What changed less than two seconds before the marks were written is looked into again, because the
times of some file systems are no finer (as git does with its index). What changes inside a crop file changes no mark:
that is for task=verify to find. `records/tracks.json` does the same for the files of tracks.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import orjson

from pipeline.layout import Layout
from pipeline.track_store import TrackStore, degraded_key
from pipeline.writing import write_bytes
from video.types import digest

if TYPE_CHECKING:
    from pipeline.job import Job
    from pipeline.settings import Settings

FRESH_NS = 2 * 10**9


@dataclass
class Done:
    """The marks of one dataset. judged: what decides besides the record whether a chunk is finished."""

    layout: Layout
    judged: str
    _marks: dict[str, str] = field(default_factory=dict)
    _written_ns: int = 0
    _changed: bool = False

    @classmethod
    def read(cls, layout: Layout, judged: str) -> Done:
        """Nothing is done where nothing was written, what was cannot be read, or it was judged otherwise."""
        try:
            raw = orjson.loads(layout.done.read_bytes())
            if raw["judged"] == judged:
                return cls(layout, judged, raw["marks"], layout.done.stat().st_mtime_ns)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls(layout, judged)

    def has(self, job: Job, record: os.DirEntry[str]) -> bool:
        """Whether a chunk is as it was when it was found finished. record: its file."""
        known = self._marks.get(job.record_id)
        if known is None:
            return False
        with_crops = int(known.partition("-")[0], 16)
        mark, newest = self._mark(job, record, with_crops)
        return mark == known and newest < self._written_ns - FRESH_NS

    def add(self, job: Job, record: os.DirEntry[str]) -> None:
        """Say that a chunk is finished, crops and all."""
        times = self.layout.crop_times(job.chunk.clip_ids)
        with_crops = sum(1 << n for n, time in enumerate(times) if time)
        self._marks[job.record_id] = self._mark(job, record, with_crops)[0]
        self._changed = True

    def write(self) -> None:
        """Keep the marks, if there are new ones."""
        if self._changed:
            write_bytes(self.layout.done, orjson.dumps({"judged": self.judged, "marks": self._marks}))

    def _mark(self, job: Job, record: os.DirEntry[str], with_crops: int) -> tuple[str, int]:
        """The mark, and when what it is made from changed last. with_crops: bits of the clips that have crops."""
        stat = record.stat()
        clips = (name for n, name in enumerate(job.chunk.clip_ids) if with_crops >> n & 1) if with_crops else ()
        times = self.layout.crop_times(clips)
        mark = digest(stat.st_size, stat.st_mtime_ns, times, job.splits)
        return f"{with_crops:x}-{mark}", max([stat.st_mtime_ns, *times])


@dataclass
class TracksSeen:
    """The track files of one dataset that were looked into: their size and time, and whether they are whole.

    A rerun of task=track opens those alone that changed since. One that is gone or cut short is noticed by that.
    """

    layout: Layout
    _marks: dict[str, str] = field(default_factory=dict)
    _written_ns: int = 0
    _changed: bool = False
    _keys: frozenset[str] = frozenset()

    @classmethod
    def read(cls, layout: Layout) -> TracksSeen:
        """Nothing was looked into where nothing was written, or what was cannot be read."""
        keys = frozenset(layout.track_keys())
        try:
            marks = orjson.loads(layout.tracks_seen.read_bytes())
            return cls(layout, dict(marks), layout.tracks_seen.stat().st_mtime_ns, _keys=keys)
        except (OSError, ValueError, TypeError):
            return cls(layout, _keys=keys)

    def has(self, key: str, complete: bool) -> bool:
        """As `TrackStore.has`, of files that can be read."""
        whole = self._whole(key)
        return bool(whole) if complete else whole is not None or self._whole(degraded_key(key)) is not None

    def write(self) -> None:
        """Keep what was looked into, if there is anything new."""
        if self._changed:
            write_bytes(self.layout.tracks_seen, orjson.dumps(self._marks))

    def _whole(self, key: str) -> bool | None:
        stamp = self.layout.stamp(self.layout.track_file(key)) if key in self._keys else None
        if stamp is None:
            return None
        size, time = stamp
        mark, known = f"{size:x}-{time:x}", self._marks.get(key, "")
        if known.startswith(f"{mark}-") and time < self._written_ns - FRESH_NS:
            return known.endswith("-whole")
        whole = TrackStore(self.layout).whole(key)
        self._changed = True
        if whole is None:
            self._marks.pop(key, None)
        else:
            self._marks[key] = f"{mark}-{'whole' if whole else 'part'}"
        return whole


def judged_by(settings: Settings, layout: Layout) -> str:
    """Changes with all that decides, besides its record and its splits, whether a chunk is finished."""
    filters = {name: asdict(options) for name, options in settings.filters.items()}
    roi = settings.roi.read_bytes() if settings.roi else b""
    others = []
    if settings.filters["near_duplicate"].enabled:  # then a crop is judged by those of other chunks as well
        others = [(name, entry.stat().st_mtime_ns) for name, entry in layout.record_files().items()]
    return digest("judged", filters, roi, settings.retry_failed, others)
