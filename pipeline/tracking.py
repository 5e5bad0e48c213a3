"""Tracking: the frames of one window -> the tracks of one prompt. Holds the loaded model between windows.

The tracker is built and entered at the first window that needs it, in the thread that runs it, and left with the
worker. A window that cannot be tracked is that window's error alone; a missing package, weight or device is everyone's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

import numpy as np

from pipeline.feed import Fed
from pipeline.settings import Settings
from pipeline.track_store import WindowTracks
from sam.errors import TrackerError, TrackerUnavailable
from sam.session import SAMSession
from sam.tracker import Tracker
from sam.types import Prompt, SessionFrames, Track
from video.reader import VideoReader
from video.types import Video, Window

log = logging.getLogger(__name__)


class Tracking:
    """A context manager; cheap until `prepare` is called."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._tracker: Tracker | None = None
        self._prepared = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._tracker = None
        self._stack.close()

    @property
    def max_side(self) -> int | None:
        """The longer side of the frames that the tracker sees; None before it is loaded, or for full resolution."""
        return self._tracker.max_side if self._tracker else None

    def prepare(self, video: Video, reader: Callable[[], VideoReader]) -> None:
        """Load the tracker, and show it the frames it wants to see of a video before its first window."""
        if self._tracker is None:
            assert self._settings.tracker is not None
            self._tracker = self._stack.enter_context(self._settings.tracker.build())
        if self._tracker.context and self._prepared != video.fingerprint:
            self._tracker.prepare(reader().spread(self._tracker.context, self._tracker.max_side))
            self._prepared = video.fingerprint

    def track(self, video: Video, window: Window, frames: Sequence[Fed], prompt: str) -> WindowTracks:
        """Track one prompt through one window. Raises TrackerUnavailable; any other failure is in the result."""
        assert self._tracker is not None
        positions = np.array([fed.frame.position for fed in frames], np.int64)
        indices = np.array([fed.frame.index for fed in frames], np.int64)
        times_s = np.array([fed.frame.time_s for fed in frames], np.float64)
        corrupt = tuple(n for n, fed in enumerate(frames) if fed.frame.corrupt)
        tracks: list[Track] = []
        error, degraded = None, False
        if frames:
            images = [fed.small for fed in frames]
            seen = SessionFrames(images, indices, times_s, video.width, video.height, video.name)
            try:
                with SAMSession(self._tracker, seen) as session:
                    session.add_prompt(Prompt(text=prompt))
                    tracks = session.tracks()
                    degraded = session.degraded
            except TrackerUnavailable:
                raise
            except (TrackerError, RuntimeError, ValueError) as failure:
                error = str(failure) or type(failure).__name__
                log.warning("%s from %.1f s: tracking failed: %s", video.name, times_s[0], error)
        return WindowTracks(window.id, positions, indices, times_s, corrupt, tuple(tracks), degraded, error)
