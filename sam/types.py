"""What the sam package takes and gives: prompts and frames in, masks per frame and tracks out.

Boxes are (x0, y0, x1, y1), half-open, in pixels of the source as displayed. A frame number inside a session counts
the frames that the session was given, from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to look for. `text` names a class; points, a box, a box with points, or a mask name one object on one frame.

    points: n pairs (x, y), in source pixels. labels: n of 1 (in the object) or 0 (not in it). box: (x0, y0, x1, y1).
    mask: (height, width) bool at the source's size. Raises ValueError for what no frame could make right.
    """

    text: str | None = None
    frame: int = 0
    object_id: int | None = None
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if len(self.points) != len(self.labels):
            raise ValueError(f"every point needs a label, got {len(self.points)} points and {len(self.labels)} labels")
        wrong = [label for label in self.labels if label not in (0, 1)]
        if wrong:
            raise ValueError(f"a label is 1 (in the object) or 0 (not in it), got {wrong[0]!r}")
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not (x0 < x1 and y0 < y1):
                raise ValueError(f"a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1, got {list(self.box)}")
        if not self.kinds:
            raise ValueError("a prompt needs a text, points, a box or a mask")
        if len(self.kinds) > 1 and self.kinds != {"points", "box"}:
            raise ValueError(
                f"{' and '.join(sorted(self.kinds))} cannot be one prompt: only a box and points go together; give the "
                "others one after the other"
            )

    @property
    def kinds(self) -> frozenset[str]:
        """Which of "text", "points", "box" and "mask" this prompt uses."""
        given = {"text": self.text, "points": self.points or None, "box": self.box, "mask": self.mask}
        return frozenset(kind for kind, value in given.items() if value is not None)


@dataclass(frozen=True, slots=True)
class SessionFrames:
    """The frames of one session, all in memory.

    images: T arrays (h, w, 3) uint8 RGB, possibly smaller than the source. indices: (T,) int64 displayed frame numbers
    in the file. times_s: (T,) float64 seconds. width, height: source pixels; masks come back at this size.
    video: the video's name, for trackers that read tracks made elsewhere. again: how many of the last frames the next
    session begins with, as the very same arrays; a tracker may keep what it made of them.
    """

    images: Sequence[NDArray[np.uint8]]
    indices: NDArray[np.int64]
    times_s: NDArray[np.float64]
    width: int
    height: int
    video: str
    again: int = 0

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, slots=True)
class Mask:
    """One object's pixels in one frame: a run-length code of its own box only.

    box: (x0, y0, x1, y1) half-open source pixels, tight around the object. counts: COCO's compressed column-major RLE
    of the box (T.-Y. Lin et al., pycocotools).
    """

    box: tuple[int, int, int, int]
    counts: bytes

    @classmethod
    def encode(cls, mask: NDArray[np.bool_] | NDArray[np.uint8], origin: tuple[int, int] = (0, 0)) -> Mask | None:
        """Encode a (h, w) mask whose top-left pixel lies at `origin` (x, y) in the source; None if it is empty."""
        plane = np.ascontiguousarray(mask).view(np.uint8)
        x, y, w, h = cv2.boundingRect(plane)
        if w == 0 or h == 0:
            return None
        local = np.asfortranarray(plane[y : y + h, x : x + w] != 0, dtype=np.uint8)
        x, y = x + origin[0], y + origin[1]
        return cls(box=(x, y, x + w, y + h), counts=coco.encode(local)["counts"])

    @property
    def rle(self) -> dict[str, object]:
        """The box-local COCO RLE, as pycocotools takes it."""
        x0, y0, x1, y1 = self.box
        return {"size": [y1 - y0, x1 - x0], "counts": self.counts}

    @property
    def area(self) -> int:
        """Object pixels."""
        return int(coco.area(self.rle))

    def decode(self) -> NDArray[np.uint8]:
        """(y1-y0, x1-x0) uint8, 1 on the object, C-contiguous."""
        return np.ascontiguousarray(coco.decode(self.rle))

    def full(self, width: int, height: int) -> NDArray[np.uint8]:
        """(height, width) uint8, 1 on the object."""
        plane = np.zeros((height, width), np.uint8)
        x0, y0, x1, y1 = self.box
        plane[y0:y1, x0:x1] = self.decode()
        return plane


def shared_area(a: Mask, b: Mask) -> int:
    """Pixels that two masks of one frame have in common, computed on the overlap of their boxes only."""
    x0, y0 = max(a.box[0], b.box[0]), max(a.box[1], b.box[1])
    x1, y1 = min(a.box[2], b.box[2]), min(a.box[3], b.box[3])
    if x0 >= x1 or y0 >= y1:
        return 0

    def part(mask: Mask) -> NDArray[np.uint8]:
        return mask.decode()[y0 - mask.box[1] : y1 - mask.box[1], x0 - mask.box[0] : x1 - mask.box[0]]

    return int(np.count_nonzero(part(a) & part(b)))


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union of two masks of one frame."""
    shared = shared_area(a, b)
    return shared / (a.area + b.area - shared)


@dataclass(frozen=True, slots=True)
class FrameMasks:
    """The objects seen in one frame of a session: three parallel tuples, object ids unique within the session."""

    frame: int
    object_ids: tuple[int, ...]
    masks: tuple[Mask, ...]
    scores: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.object_ids) == len(self.masks) == len(self.scores):
            raise ValueError(
                f"ids, masks and scores go together, got {len(self.object_ids)}, {len(self.masks)}, {len(self.scores)}"
            )
        if len(set(self.object_ids)) != len(self.object_ids):
            raise ValueError(f"object ids repeat within frame {self.frame}: {self.object_ids}")


@dataclass(frozen=True, slots=True)
class Detected:
    """What a detector found by text, and an object's tracking began from.

    phrase: which of the text's phrases it is, as written. frame: of the session. box: (x0, y0, x1, y1) in source
    pixels, where the detector put it. score: 0 to 1, how well the phrase fits.
    """

    object_id: int
    phrase: str
    frame: int
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, slots=True)
class Track:
    """One object through one session.

    prompt: the text that found it, or the phrase of that text where the tracker tells phrases apart. frames: (n,) int32
    session frame numbers where it is visible, ascending. masks: n masks, never empty.
    boxes: (n, 4) int32, recomputed from the masks. first_score: the tracker's confidence when it first appeared.
    """

    object_id: int
    prompt: str
    frames: NDArray[np.int32]
    masks: tuple[Mask, ...]
    first_score: float

    def __post_init__(self) -> None:
        if not len(self.frames) == len(self.masks) > 0:
            raise ValueError(f"a track needs one mask per frame, got {len(self.frames)} and {len(self.masks)}")

    @property
    def boxes(self) -> NDArray[np.int32]:
        return np.array([m.box for m in self.masks], np.int32)
