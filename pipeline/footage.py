"""The footage of a run: which videos there are, what is wrong with the others, and the chunks they are cut into.

It reads headers, never whole files, and remembers what it found, so a rerun opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.ledger import Ledger, VideoEntry
from pipeline.records import Failure, Rejection
from pipeline.settings import Settings
from video.clipper import plan
from video.errors import UnreadableVideo
from video.source import Found, find, probe, unique
from video.types import Chunk, Video

PROBES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Footage:
    """chunks: of all readable videos, by video name, then in order. failures: videos that cannot be used.
    duplicates: videos with the bytes of another one."""

    videos: tuple[Video, ...]
    chunks: tuple[Chunk, ...]
    failures: tuple[Failure, ...]
    duplicates: tuple[Rejection, ...]

    @property
    def clips(self) -> int:
        return sum(chunk.clips for chunk in self.chunks)

    def clips_by_video(self) -> dict[Video, int]:
        counts = dict.fromkeys(self.videos, 0)
        for chunk in self.chunks:
            counts[chunk.video] += chunk.clips
        return counts


def survey(settings: Settings, ledger: Ledger | None) -> Footage:
    """Find, probe and cut what `videos=` names. ledger: where to look up and remember probes; None writes nothing.

    Raises SourceError when the source names no video at all.
    """
    found = find(settings.videos, settings.include, settings.exclude)
    with ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
        entries = list(pool.map(lambda each: _look(each, settings, ledger), found))
    failures = [
        Failure(each.name, None, "probe", entry.error)
        for each, entry in zip(found, entries, strict=True)
        if entry.error is not None
    ]
    videos, twins = unique([entry.video for entry in entries if entry.video is not None])
    chunks: list[Chunk] = []
    usable: list[Video] = []
    for video in videos:
        try:
            chunks += plan(video, settings.clip, settings.hours)
            usable.append(video)
        except UnreadableVideo as error:
            failures.append(Failure(video.name, None, "plan", str(error)))
    return Footage(tuple(usable), tuple(chunks), tuple(failures), _duplicates(twins))


def _look(found: Found, settings: Settings, ledger: Ledger | None) -> VideoEntry:
    known = ledger.known_video(found.path, found.name, settings.time_pattern) if ledger else None
    if known is not None and (known.error is None or not settings.retry_failed):
        return known
    try:
        entry = VideoEntry(probe(found, settings.time_pattern), None)
    except UnreadableVideo as error:
        entry = VideoEntry(None, str(error))
    if ledger is not None and entry != known:
        ledger.remember_video(found.path, found.name, settings.time_pattern, entry)
    return entry


def _duplicates(twins: Sequence[tuple[Video, Video]]) -> tuple[Rejection, ...]:
    return tuple(
        Rejection(second.name, None, None, None, None, f"duplicate of {first.name}", None, None)
        for second, first in twins
    )
