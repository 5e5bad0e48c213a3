"""The footage of a run: which videos there are, what is wrong with the others, and the chunks they are cut into.

It reads headers, never whole files, and remembers what it found, so a rerun opens nothing.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pipeline.cache import Cache
from pipeline.errors import ConfigError
from pipeline.ledger import Ledger, VideoEntry
from pipeline.records import Failure, Rejection
from pipeline.settings import Settings
from pipeline.span_table import Span, VideoNames, read_spans
from video.activity import activity
from video.clipper import Places, chunks, places, starts_of_span
from video.connection import is_remote, shown
from video.errors import FetchError, RangesRefused, SourceError, UnreadableVideo
from video.remote import located, remote_stat
from video.source import Found, find, select, unique
from video.spread import Spread, spread
from video.types import Chunk, Video

log = logging.getLogger(__name__)

PROBES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Footage:
    """chunks: of all readable videos, by video name, then in order. failures: videos that cannot be used.
    duplicates: videos with the bytes of another one; with task=batch they are videos like others. prompts: what is
    asked of each video, by its name. spans: of `clip.spans`, by video name. refused: those of them that give no clip.
    spread: of `clip.sampling=spread`."""

    videos: tuple[Video, ...]
    chunks: tuple[Chunk, ...]
    failures: tuple[Failure, ...]
    duplicates: tuple[Rejection, ...]
    prompts: Mapping[str, tuple[str, ...]]
    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    refused: tuple[Rejection, ...] = ()
    spread: Spread | None = None

    @property
    def clips(self) -> int:
        return sum(chunk.clips for chunk in self.chunks)

    def clips_by_video(self) -> dict[Video, int]:
        counts = Counter[str]()
        for chunk in self.chunks:
            counts[chunk.video.name] += chunk.clips
        return {video: counts[video.name] for video in self.videos}


def survey(settings: Settings, ledger: Ledger | None, remember: bool = True) -> Footage:
    """Find, probe and cut what `videos=` names. ledger: where probes are looked up, and with `remember` kept.

    Raises SourceError when the source names no video at all, ConfigError when the prompts file does not fit them.
    """
    found, prompts = _found(settings)
    with ThreadPoolExecutor(PROBES_AT_ONCE) as pool, Cache(settings.cache) as cache:
        entries = list(pool.map(lambda each: _look(each, settings, ledger, cache, remember), found))
    failures = [
        Failure(each.name, None, "probe", entry.error)
        for each, entry in zip(found, entries, strict=True)
        if entry.error is not None
    ]
    readable = [entry.video for entry in entries if entry.video is not None]
    videos, twins = (readable, []) if settings.task == "batch" else unique(readable)
    spans = _spans(settings, videos)
    clips: list[Places] = []
    refused: list[Rejection] = []
    for video in videos:
        given = None if spans is None else [(span.start_s, span.end_s) for span in spans.get(video.name, ())]
        try:
            clips.append(places(video, settings.clip, settings.hours, given))
        except UnreadableVideo as error:
            failures.append(Failure(video.name, None, "plan", str(error)))
            continue
        refused += _without_clip(video, settings, given or ())
    usable = [each.video for each in clips]
    budget = None
    if settings.clip.sampling == "spread" and any(each.starts for each in clips):
        budget, lost = _spread([each for each in clips if each.starts], settings, ledger, remember)
        failures += lost
        gone = {failure.video for failure in lost}
        usable, clips = [video for video in usable if video.name not in gone], list(budget.chosen)
    made = tuple(chunk for each in clips for chunk in chunks(each, settings.clip))
    return Footage(
        tuple(usable), made, tuple(failures), _duplicates(twins), prompts, spans or {}, tuple(refused), budget
    )


def _found(settings: Settings) -> tuple[list[Found], dict[str, tuple[str, ...]]]:
    """The selected videos, without what a run wrote into `out`, and the prompts of each by name."""
    everything = without_written(find(settings.videos), settings.out, settings.url)
    if not everything:
        raise SourceError(f"videos={', '.join(settings.videos)}: all videos there lie in out={settings.place}")
    selected = select(everything, settings.include, settings.exclude)
    if settings.prompts_file is None:
        return selected, dict.fromkeys((each.name for each in selected), settings.prompts)
    prompts = settings.prompts_file.by_video([each.name for each in everything])
    return selected, {each.name: prompts[each.name] for each in selected}


def without_written(found: Sequence[Found], out: Path, url: str | None = None) -> list[Found]:
    """The files that do not lie in `out`, where that is a folder somewhere inside what was searched. url: see
    `Settings`."""
    out = Path(os.path.realpath(out))
    above = None if url is None else f"{shown(url).rstrip('/')}/"
    kept = []
    for each in found:
        if is_remote(each.path):
            place = shown(each.path)
            if above is None or not place.startswith(above) or place.removesuffix(each.name).startswith(above):
                kept.append(each)
            continue
        path = Path(os.path.realpath(each.path))
        depth = len(PurePosixPath(each.name).parts)
        searched = path.parents[depth - 1] if depth <= len(path.parents) else path.parent
        if not (path.is_relative_to(out) and out != searched and out.is_relative_to(searched)):
            kept.append(each)
    return kept


def _spread(
    clips: Sequence[Places], settings: Settings, ledger: Ledger | None, remember: bool
) -> tuple[Spread, list[Failure]]:
    """Choose the clips within the budget; every video is looked at for what goes on in it, once. clips: that could be
    taken."""
    with ThreadPoolExecutor(PROBES_AT_ONCE) as pool, Cache(settings.cache) as cache:
        found = list(pool.map(lambda each: _activity(each.video, ledger, cache, remember), clips))
    rates: dict[str, NDArray[np.float64]] = {}
    lost = []
    for each, rate in zip(clips, found, strict=True):
        if isinstance(rate, str):
            lost.append(Failure(each.video.name, None, "plan", rate))
        else:
            rates[each.video.fingerprint] = rate
    seen = [each for each in clips if each.video.fingerprint in rates]
    return spread(seen, rates, settings.clip.total or 0, settings.clip.seed), lost


def _activity(video: Video, ledger: Ledger | None, cache: Cache, remember: bool) -> NDArray[np.float64] | str:
    """The bytes of every second, or why there are none."""
    known = ledger.known_activity(video.fingerprint) if ledger else None
    if known is not None:
        return np.array(known)
    try:
        try:
            found = activity(located(video.path), video.duration)
        except RangesRefused:
            with cache.hold(video) as whole:
                found = activity(whole.path, video.duration)
    except UnreadableVideo as error:
        return str(error)
    if ledger is not None and remember:
        ledger.remember_activity(video.fingerprint, found.tolist())
    return found


def _spans(settings: Settings, videos: Sequence[Video]) -> dict[str, tuple[Span, ...]] | None:
    """The spans of `clip.spans` by video name; None without such a table. Raises ConfigError if it fits no video."""
    if settings.clip.spans is None:
        return None
    path = Path(settings.clip.spans)
    names = VideoNames(video.name for video in videos)
    found: dict[str, list[Span]] = {}
    strange: dict[str, int] = {}
    for span in read_spans(path):
        meant = names.meant(span.video)
        if len(meant) == 1:
            found.setdefault(meant[0], []).append(span)
        else:
            strange[span.video] = strange.get(span.video, 0) + 1
    if strange:
        shown = ", ".join(list(strange)[:5])
        log.warning("%s: %d spans name no video, or several, of videos=: %s", path, sum(strange.values()), shown)
    if not found:
        raise ConfigError(
            f"clip.spans={path} names none of the videos, such as {videos[0].name}" if videos else "no videos"
        )
    return {name: tuple(spans) for name, spans in found.items()}


def _without_clip(video: Video, settings: Settings, spans: Sequence[tuple[float, float]]) -> Iterator[Rejection]:
    """The spans that give no clip: too short, or beyond the end."""
    rate = float(settings.clip.grid.fps or video.fps / settings.clip.stride)
    for span in spans:
        if not starts_of_span(video, settings.clip, span):
            reason = f"span {span[0]:g} to {span[1]:g} s gives no clip"
            lasts, needed = span[1] - span[0], settings.clip.num_frames / rate
            yield Rejection(video.name, None, None, None, None, reason, lasts, needed)


def _look(found: Found, settings: Settings, ledger: Ledger | None, cache: Cache, remember: bool) -> VideoEntry:
    pattern = settings.time_pattern
    try:
        if is_remote(found.path) and found.stat is None:
            found = replace(found, stat=remote_stat(found.path))
        known = ledger.known_video(found.path, found.name, pattern, found.stat) if ledger else None
        if known is not None and (known.error is None or not settings.retry_failed):
            return known
        entry = VideoEntry(cache.probe(found, pattern), None)
    except FetchError as error:  # nothing is known of the video
        return VideoEntry(None, str(error))
    except UnreadableVideo as error:
        entry = VideoEntry(None, str(error))
    if ledger is not None and remember and entry != known:
        ledger.remember_video(found.path, found.name, pattern, entry, found.stat)
    return entry


def _duplicates(twins: Sequence[tuple[Video, Video]]) -> tuple[Rejection, ...]:
    return tuple(
        Rejection(second.name, None, None, None, None, f"duplicate of {first.name}", None, None)
        for second, first in twins
    )
