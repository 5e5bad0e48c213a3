"""A tracker whose process ends while it works, as a killed worker does. Importable by other processes."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from sam.backends.motion import MotionConfig, MotionTracker
from sam.errors import TrackerUnavailable
from sam.types import FrameMasks, Prompt, SessionFrames
from tests.running import contents

log = logging.getLogger(__name__)

STABLE = ("crops", "tracks", "samples.parquet", "rejected.parquet", "failures.parquet", "splits.parquet")


def made(out: Path) -> dict[str, bytes]:
    """What has to be the same, byte for byte. Which options a tracker's identity was remembered for is not in it."""
    found = contents(out, *STABLE)
    return {k: v for k, v in found.items() if not k.endswith(".part") and not k.startswith("tracks/trackers/")}


@dataclass
class Mortal(MotionConfig):
    """Dies `times` over at the video `victim`, counted in files in `folder`, and is the motion tracker otherwise."""

    folder: str = ""
    victim: str = ""
    times: int = 1

    def build(self) -> MotionTracker:
        return _MortalTracker(self)


@dataclass
class Missing(MotionConfig):
    """A tracker whose weights are not there."""

    def build(self) -> MotionTracker:
        return _MissingTracker(self)


class _MissingTracker(MotionTracker):
    def __enter__(self) -> _MissingTracker:
        raise TrackerUnavailable("the weights are missing: fetch them")


class _MortalTracker(MotionTracker):
    def __init__(self, config: Mortal) -> None:
        super().__init__(MotionConfig(**{f.name: getattr(config, f.name) for f in fields(MotionConfig)}))
        self._mortal = config

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        folder = Path(self._mortal.folder)
        before = len(list(folder.glob("death-*")))
        if frames.video == self._mortal.victim and before < self._mortal.times:
            (folder / f"death-{before}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        log.warning("%s is tracked", frames.video)
        yield from super().track(frames, prompts)
