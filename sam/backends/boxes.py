"""Objects named by a file of boxes: what a detector or another tracker found becomes prompts for a promptable tracker.

The files are those of tracker=file: MOT text, COCO or YouTube-VIS JSON, YOLO text; one file, or a folder with one for
every video. Within a window an object is named by its first box on a frame that is tracked; later boxes of the same id
say nothing new. Boxes without ids (-1, as in MOT's detections) count on the first such frame alone, where each is an
object. Nothing is looked at but the files.
"""

from __future__ import annotations

import logging
from typing import Any, Self

from sam.backends.file import FileConfig
from sam.backends.file_formats import Table
from sam.errors import TrackingFailed
from sam.types import Prompt, SessionFrames

log = logging.getLogger(__name__)

FIRST = 1  # the id of the first object without one, if no other has it


def check_boxes(min_score: float) -> None:
    """Refuse an option out of range; raises ValueError naming the key."""
    if not 0 <= min_score <= 1:
        raise ValueError(f"tracker.boxes_min_score is between 0 and 1, got {min_score}")


class BoxFile:
    """See the module docstring. path: a file or folder. min_score: boxes that score less are left out."""

    def __init__(self, path: str, min_score: float = 0.0) -> None:
        self._files = FileConfig(path, min_score=min_score).build_for("tracker.boxes")
        self._path = path
        self._min_score = min_score
        self._warned: set[str] = set()

    @classmethod
    def of(cls, path: str | None, min_score: float) -> Self | None:
        """None without a path."""
        return cls(path, min_score) if path else None

    def identity(self) -> dict[str, Any]:
        """The files' content; reads them once. Raises TrackerUnavailable if there are none."""
        return {"boxes": self._files.identity()["digest"], "boxes_min_score": self._min_score}

    def described(self) -> str:
        """Where they are, for `task=doctor`; raises TrackerUnavailable."""
        self._files.identity()
        return self._path

    def prompts(self, frames: SessionFrames) -> list[Prompt]:
        """A box for every object of a window, in source pixels; raises TrackingFailed for files that make no sense."""
        table = self._files.table(frames.video)
        named: dict[int, Prompt] = {}
        nameless: list[Prompt] = []
        for t, index in enumerate(frames.indices.tolist()):
            here = self._on(table, index, frames)
            for object_id, box in here:
                if object_id >= 0:
                    named.setdefault(object_id, Prompt(frame=t, object_id=object_id, box=box))
            nameless = nameless or [Prompt(frame=t, box=box, object_id=0) for object_id, box in here if object_id < 0]
        number = max(named, default=FIRST - 1) + 1
        for n, prompt in enumerate(nameless, number):
            named[n] = Prompt(frame=prompt.frame, object_id=n, box=prompt.box)
        if not named:
            self._warn(table, frames)
        return list(named.values())

    def _on(
        self, table: Table, index: int, frames: SessionFrames
    ) -> list[tuple[int, tuple[float, float, float, float]]]:
        """The boxes of a source frame, cut at the picture: (object id, box)."""
        found: list[tuple[int, tuple[float, float, float, float]]] = []
        for entry in table.get(index, []):
            if entry.object_id >= 0 and any(entry.object_id == known for known, _ in found):
                raise TrackingFailed(
                    f"{self._path} has object {entry.object_id} twice in frame {index} of {frames.video}"
                )
            mask = entry.draw(frames.width, frames.height) if entry.score >= self._min_score else None
            if mask is not None:
                x0, y0, x1, y1 = mask.box
                found.append((entry.object_id, (float(x0), float(y0), float(x1), float(y1))))
        return found

    def _warn(self, table: Table, frames: SessionFrames) -> None:
        """Say, once for a video, that boxes lie between the frames that are tracked."""
        first, last = int(frames.indices[0]), int(frames.indices[-1])
        tracked = set(frames.indices.tolist())
        between = sorted(index for index in table if first <= index <= last and index not in tracked)
        if between and frames.video not in self._warned:
            self._warned.add(frames.video)
            log.warning(
                "%s: %s has boxes on frame %d and none on a frame that is tracked from %d to %d: nothing is followed "
                "there. Give boxes on tracked frames, or set clip.stride=1 (other windows are not mentioned)",
                frames.video, self._path, between[0], first, last,
            )  # fmt: skip
