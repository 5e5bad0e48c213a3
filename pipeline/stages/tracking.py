"""Tracking: the frames of one window -> the tracks of each prompt. Holds the loaded model between windows.

The tracker is built and entered at the first window that needs it, in the thread that runs it. It stays resident when
the job ends, because the next job of a sweep most often wants the same one; `leave` frees it. A window that cannot be
tracked is that window's error alone; a missing package, weight or device is everyone's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.settings import Settings
from pipeline.stages.window_frames import WindowFrames
from pipeline.track_store import WindowTracks
from sam.errors import TrackerError, TrackerUnavailable
from sam.memory import ModelTracker
from sam.session import SAMSession
from sam.tracker import Tracker, TrackerConfig
from sam.types import Prompt, SessionFrames
from video.types import Video, Window

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Resident:
    """An entered tracker, the options it was made from, and the thread it belongs to."""

    options: TrackerConfig
    thread: int
    tracker: Tracker
    stack: ExitStack


_resident: list[_Resident] = []


def enter(options: TrackerConfig) -> Tracker:
    """The resident tracker if it was made from equal options in this thread; else it is left and a new one entered.

    Without a large model it is always a new one, which costs nothing and reads files as they are now.
    """
    for resident in _resident:
        worth_keeping = isinstance(resident.tracker, ModelTracker)
        if worth_keeping and resident.options == options and resident.thread == threading.get_ident():
            return resident.tracker
    leave()
    with ExitStack() as stack:
        tracker = stack.enter_context(options.build())
        _resident.append(_Resident(options, threading.get_ident(), tracker, stack.pop_all()))
    return tracker


def leave() -> None:
    """Free the resident tracker and its memory, if there is one."""
    while _resident:
        _resident.pop().stack.close()


class Tracking:
    """Cheap until `load` is called. prepared: the fingerprint of the video whose place the tracker knows."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tracker: Tracker | None = None
        self.prepared = ""

    @property
    def loaded(self) -> bool:
        return self._tracker is not None

    @property
    def max_side(self) -> int | None:
        """The longer side of the frames that the tracker sees; None before it is loaded, or for full resolution."""
        return self._tracker.max_side if self._tracker else None

    @property
    def context(self) -> int:
        """How many frames, spread over a video, the tracker wants to see before its first window."""
        return self._tracker.context if self._tracker else 0

    def load(self) -> None:
        """Load the tracker, in the thread that will run it. Raises TrackerUnavailable."""
        if self._tracker is None:
            assert self._settings.tracker is not None
            self._tracker = enter(self._settings.tracker)

    def prepare(self, video: Video, context: Sequence[NDArray[np.uint8]]) -> None:
        """Show the tracker the frames it wants to see of a video."""
        assert self._tracker is not None
        self._tracker.prepare(context)
        self.prepared = video.fingerprint

    def track(
        self,
        video: Video,
        window: Window,
        frames: WindowFrames,
        prompts: Sequence[str],
        clicks: Sequence[Sequence[Prompt]] = (),
        again: int = 0,
    ) -> list[WindowTracks]:
        """Track a window once for each prompt, as if it were alone. Raises TrackerUnavailable; any other failure is in
        the prompt's result. clicks: what is said besides each prompt about single objects; none unless given. again:
        how many of the last frames the next window begins with, as the same pictures.
        """
        assert self._tracker is not None
        empty = WindowTracks(window.id, frames.positions, frames.indices, frames.times_s, frames.corrupt, ())
        if not len(frames.positions):
            return [empty] * len(prompts)
        size = video.width, video.height
        seen = SessionFrames(frames.images, frames.indices, frames.times_s, *size, video.name, again)
        found = []
        with SAMSession(self._tracker, seen, passes=len(prompts), disjoint=self._settings.disjoint) as session:
            for n, prompt in enumerate(prompts):
                found.append(self._pass(session, prompt, clicks[n] if clicks else (), empty))
        for tracks in found:
            if tracks.error is not None:
                log.warning("%s from %.1f s: tracking failed: %s", video.name, frames.times_s[0], tracks.error)
        return found

    @staticmethod
    def _pass(session: SAMSession, prompt: str, clicks: Sequence[Prompt], window: WindowTracks) -> WindowTracks:
        """The window with what one prompt finds in it, or with the reason why it could not be tracked."""
        session.reset()
        try:
            for each in (Prompt(text=prompt), *clicks):
                session.add_prompt(each)
            tracks = tuple(session.tracks())
        except TrackerUnavailable:
            raise
        except (TrackerError, RuntimeError, ValueError) as failure:
            return replace(window, error=str(failure) or type(failure).__name__)
        return replace(window, tracks=tracks, degraded=session.degraded, detected=session.detected)
