"""The embedded tracker: background subtraction for fixed cameras, on any machine, without a model.

It learns what the place looks like when nobody is there from frames spread over the video, takes what differs from it
as objects, and follows them through the window. It cannot tell what an object is, so the prompt's text is only carried
along as the label; whoever never moves in the whole video is part of the place. It reads no file, keeps nothing from
one window to the next but the background, and gives the same masks for the same pixels on every machine of one kind.

Masks of one frame are disjoint. The score of a mask says how clearly it stands out: the part of its pixels that differ
by twice the threshold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.backends.background import SCALE, Background, drift
from sam.backends.blobs import SPECK, Blob, Box, centre, find_blobs, view
from sam.backends.following import follow
from sam.backends.pieces import Found, outlines
from sam.errors import TrackingFailed
from sam.tracker import tracker
from sam.types import FrameMasks, Mask, Prompt, SessionFrames

U8 = NDArray[np.uint8]
log = logging.getLogger(__name__)

VERSION = 2  # raise it when the same options give other masks
FEW = 8  # context frames below which the window's own frames are added
MOVING = 0.4  # of the picture: when more than this differs from the background, the camera is taken to move
GHOST_SWAY = 0.1  # of a track's side (the root of its area): what moves more is no ghost
SCATTER, DRIFT = 0.2, 0.004  # so it is when blobs lie in this part of 8 x 8 cells and the picture shifts by this part
FAR = 0.02  # or when the picture as a whole shifts by this part of its width, whatever differs


@tracker("motion")
@dataclass
class MotionConfig:
    """Fixed cameras only: what differs from the empty place. No model, no GPU; the prompt is only the label.

    max_side: frames are scaled down to this longer side. context: frames spread over the video to learn the place from;
    more cope better with individuals that rest for long. threshold: how many times the noise a pixel must differ.
    min_area: the smallest object, as a part of the picture. max_gap: frames an object may be out of sight and keep its
    number. max_objects: the largest ones are kept. shadows: leave out cast shadows.
    """

    max_side: int = 640
    context: int = 48
    threshold: float = 6.0
    min_area: float = 0.0004
    max_gap: int = 4
    max_objects: int = 40
    shadows: bool = True

    def __post_init__(self) -> None:
        if self.max_side < 64:
            raise ValueError(f"tracker.max_side is at least 64 pixels, got {self.max_side}")
        if self.context < 0 or self.max_gap < 0 or self.max_objects < 1:
            raise ValueError(
                "tracker.context and tracker.max_gap are at least 0 and tracker.max_objects at least 1, "
                f"got {self.context}, {self.max_gap}, {self.max_objects}"
            )
        if not 1 <= self.threshold <= 30:
            raise ValueError(f"tracker.threshold is between 1 and 30 times the noise, got {self.threshold}")
        if not 0 < self.min_area < 1:
            raise ValueError(f"tracker.min_area is a part of the picture between 0 and 1, got {self.min_area}")

    def build(self) -> MotionTracker:
        return MotionTracker(self)


class MotionTracker:
    """See the module docstring; implements `sam.tracker.Tracker`."""

    name = "motion"
    understands = frozenset({"text"})

    def __init__(self, config: MotionConfig) -> None:
        self._config = config
        self.context = config.context
        self.max_side: int | None = config.max_side
        self._context: list[U8] = []
        self._background: Background | None = None
        self._drift = 0.0
        self._warned: str | None = None

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.name, "version": VERSION, **asdict(self._config)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._context, self._background = [], None

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        """Learn the place from frames (h, w, 3) uint8 RGB of one size. With fewer than 8, windows add their own."""
        self._context = list(context) if len(context) < FEW else []
        self._background = Background.learn(context) if len(context) >= FEW else None
        self._drift = drift(context) if len(context) >= FEW else 0.0

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The moving objects of each frame. All prompts mean the same here: what moves."""
        background = self._place(frames)
        scores = [background.foreground(image, self._config.shadows) for image in frames.images]
        height, width = frames.images[0].shape[:2]
        min_area = max(SPECK, round(self._config.min_area * width * height))
        blobs = [find_blobs(score, self._config.threshold * SCALE) for score in scores]
        self._check_camera(frames, blobs)
        found = follow(frames.images, blobs, self._config.max_gap, min_area)
        kept = self._keep(found, min_area, background, frames.images)
        for t in range(len(frames)):
            yield self._frame(t, frames, scores[t], found[t], kept)

    def _place(self, frames: SessionFrames) -> Background:
        background = self._background or Background.learn([*self._context, *frames.images])
        learnt, given = background.picture.shape[:2], frames.images[0].shape[:2]
        if learnt != given:
            raise TrackingFailed(
                f"the background was learnt from {learnt[1]}x{learnt[0]} frames, but the window of {frames.video} has "
                f"{given[1]}x{given[0]}; call prepare with frames of this video, scaled like the window"
            )
        return background

    def _check_camera(self, frames: SessionFrames, blobs: Sequence[Sequence[Blob]]) -> None:
        """Say once per video when most of the picture differs, or it shifts far, or shifts and differs all over."""
        if frames.video == self._warned:
            return
        height, width = frames.images[0].shape[:2]
        differs = float(np.median([sum(blob.area for blob in frame) for frame in blobs])) / (width * height)
        cells = [{((b.box[0] + b.box[2]) * 4 // width, (b.box[1] + b.box[3]) * 4 // height) for b in f} for f in blobs]
        scatter = float(np.median([len(frame) for frame in cells])) / 64
        shift = self._drift or drift(frames.images)
        if differs > MOVING or shift > FAR or (scatter > SCATTER and shift > DRIFT):
            self._warned = frames.video
            log.warning(
                "%s: the camera seems to move, so masks will be poor: tracker=motion is for fixed cameras, "
                "use a model tracker such as tracker=sam3",
                frames.video,
            )

    def _keep(
        self, found: Sequence[Sequence[Found]], min_area: int, background: Background, images: Sequence[U8]
    ) -> dict[int, int]:
        """Track number to object id, from 1 in order of appearance, of what is no speck, no flash and no ghost."""
        seen: dict[int, list[tuple[U8, Box, U8]]] = {}
        for frame, image in zip(found, images, strict=True):
            for track, (box, mask) in outlines(frame).items():
                seen.setdefault(track, []).append((image, box, mask))
        areas = {n: [cv2.countNonZero(mask) for _, _, mask in shown] for n, shown in seen.items()}
        least = min(3, len(found))
        solid = [n for n, sizes in areas.items() if len(sizes) >= least and np.median(sizes) >= min_area]
        real = [n for n in solid if not is_ghost(seen[n], background)]
        largest = set(sorted(real, key=lambda n: -sum(areas[n]))[: self._config.max_objects])
        return {n: i + 1 for i, n in enumerate(n for n in areas if n in largest)}

    def _frame(
        self, t: int, frames: SessionFrames, score: U8, found: Sequence[Found], kept: dict[int, int]
    ) -> FrameMasks:
        """The kept objects of one frame at source resolution."""
        ids, masks, confidence = [], [], []
        here = {kept[track]: outline for track, outline in outlines(found).items() if track in kept}
        for number, (box, local) in sorted(here.items()):
            mask = enlarge(local, box[:2], score.shape, (frames.width, frames.height))
            if mask is not None:
                ids.append(number)
                masks.append(mask)
                clear = view(score, box)[local > 0] > 2 * self._config.threshold * SCALE
                confidence.append(round(float(clear.mean()), 4))
        return FrameMasks(t, tuple(ids), tuple(masks), tuple(confidence))


def is_ghost(shown: Sequence[tuple[U8, Box, U8]], background: Background) -> bool:
    """Whether a track, given as image, box and mask per frame, stands still and is an outline of the background."""
    middles = np.array([centre(box, mask) for _, box, mask in shown])
    if np.ptp(middles, axis=0).max() > GHOST_SWAY * np.sqrt(cv2.countNonZero(shown[0][2])):
        return False
    picked = shown[:: max(1, len(shown) // 5)]
    return sum(background.has_outline(*one) for one in picked) > len(picked) / 2


def enlarge(local: U8, origin: tuple[int, int], small: tuple[int, ...], size: tuple[int, int]) -> Mask | None:
    """A mask of the small picture, (h, w) at `origin` (x, y), at the source's `size` (w, h): linear, cut at one half.

    small: the small picture's (height, width). Disjoint masks stay disjoint, since the cut is above one half.
    """
    sx, sy = small[1] / size[0], small[0] / size[1]
    h, w = local.shape
    left, top = max(0, int((origin[0] - 1) / sx)), max(0, int((origin[1] - 1) / sy))
    right, bottom = min(size[0], int((origin[0] + w + 1) / sx) + 1), min(size[1], int((origin[1] + h + 1) / sy) + 1)
    lay = np.array([[sx, 0, (left + 0.5) * sx - 0.5 - origin[0]], [0, sy, (top + 0.5) * sy - 0.5 - origin[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    plane = cv2.warpAffine(local * np.uint8(255), lay, (right - left, bottom - top), flags=flags)
    return Mask.encode(cv2.threshold(plane, 128, 1, cv2.THRESH_BINARY)[1], (left, top))
