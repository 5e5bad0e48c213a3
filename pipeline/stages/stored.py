"""The tracks of a job's windows in the store: as they were tracked, and with a person's corrections.

Both lie under keys of their own; where nothing is corrected they are the same. Nothing here tracks by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.settings import Settings
from pipeline.track_store import TrackStore, WindowTracks
from video.types import Window

if TYPE_CHECKING:
    from pipeline.job import Job

log = logging.getLogger(__name__)

PerPrompt = Sequence[WindowTracks | None]


class Stored:
    """What is there of one job, read once."""

    def __init__(self, settings: Settings, store: TrackStore, job: Job) -> None:
        self._settings = settings
        self._job = job
        self._tracks = [store.known(key) for key in job.track_keys]
        self._bases = [
            store.known(base) if base != key else {}
            for key, base in zip(job.track_keys, job.base_keys or job.track_keys, strict=True)
        ]

    def before(self, window: Window) -> list[WindowTracks | None]:
        """Per prompt what is stored, corrected where corrections are."""
        return [tracks.get(window.id) for tracks in self._tracks]

    def base(self, window: Window) -> list[WindowTracks | None]:
        """Per prompt what was tracked before its corrections, where it is usable; None where nothing is corrected."""
        return [self._usable(tracks.get(window.id)) for tracks in self._bases]

    def known(self, before: PerPrompt, base: PerPrompt) -> list[WindowTracks | None]:
        """Per prompt the window's tracks as far as nothing has to be tracked for them."""
        known = [self._usable(tracks) for tracks in before]
        for p, tracks in enumerate(base):
            if known[p] is None and tracks is not None:
                known[p] = self._job.corrector.without_tracking(p, tracks)
        return known

    def _usable(self, stored: WindowTracks | None) -> WindowTracks | None:
        again = self._settings.retry_failed and self._settings.task != "crop"
        return None if stored is not None and again and (stored.error is not None or stored.degraded) else stored


def tracked_corrected(
    job: Job, p: int, base: WindowTracks | None, track: Callable[..., list[WindowTracks]]
) -> WindowTracks:
    """A window as its corrections make it. base: what was tracked without them. track: of prompts and their clicks."""
    assert base is not None
    done = job.corrector.without_tracking(p, base)
    if done is None:
        done = job.corrector.with_clicks(p, base, lambda clicks: track([job.prompts[p]], [clicks])[0])
    if done.error is not None and base.error is None:
        log.warning("%s: %s", job.chunk.video.name, done.error)
    return done


def keep(store: TrackStore, job: Job, known: Sequence[PerPrompt], bases: Sequence[PerPrompt]) -> None:
    """Store the tracks of a job's windows, unless decoding stopped half-way: a key promises all windows of its chunk.

    known, bases: per window, then per prompt.
    """
    for p, key in enumerate(job.track_keys):
        places = {key: known}
        if job.base_keys and job.base_keys[p] != key:
            places[job.base_keys[p]] = bases
        for name, windows in places.items():
            done = [found for window in windows if (found := window[p]) is not None]
            if len(done) == len(windows):
                store.write(name, job.prompts[p], done)
