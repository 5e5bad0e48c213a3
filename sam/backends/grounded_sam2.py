"""Grounded SAM2: GroundingDINO finds boxes by text on a frame of a window, SAM2 follows what is in them.

What comes in after that frame is not found. An object's score, in every frame, is how well its phrase fitted its box.
It is tracked under its phrase, as that is written in the text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from sam.backends import grounding
from sam.backends.found import at_source, nothing
from sam.backends.grounding import Detection, Grounder, Thresholds, choose, phrases_of
from sam.backends.hf_window import Engine
from sam.backends.limits import Limits
from sam.backends.need import Need
from sam.backends.promptable import PromptableTracker, explained, no_bars, preflight_of
from sam.backends.promptable_image import segment
from sam.backends.sam2 import FAMILY, Sam2Options
from sam.checks import Check
from sam.errors import UnknownPrompt
from sam.memory import OutOfMemory
from sam.prompts import phrases_in
from sam.seeds import seeds
from sam.tracker import Dialogue, tracker
from sam.types import Detected, FrameMasks, Prompt, SessionFrames

log = logging.getLogger(__name__)

VERSION = 2  # raise it when the same boxes and masks are stored otherwise
PROMPT_TYPES = ("box", "point", "mask")
SINGLE = ("all", "one")
POINTS = 10  # at most, for one object, with prompt_type=point
APART = 6.0  # their distance is at least the root of the mask's area over this
FIRST = 1  # the id of the first object
SMALLEST = "facebook/sam2.1-hiera-tiny"
GROUNDED = replace(FAMILY, name="grounded_sam2")


@tracker("grounded_sam2")
@dataclass
class GroundedSam2Config(Sam2Options):
    """GroundingDINO finds by text, SAM2 follows: open weights; CUDA, or the CPU (slow).

    device, dtype, weights, max_side, fill_holes, state_on_cpu, memory_gb, release: as of tracker=sam2. grounding: the
    detector, a Hugging Face repository (IDEA-Research/grounding-dino-tiny or -base) or local folder, in float32.
    box_threshold: what a phrase's strongest word must exceed in a box. text_threshold: what its words must exceed there
    on average. overlap_threshold: of two boxes with a higher IoU one is an object. prompt_type: what SAM2 is given: the
    box, points inside the mask it makes of the box, or that mask. detect_on: look on so many frames spread over the
    window, and take the one with the most to find; 1 for its first frame. single: what a text of one phrase asks for:
    all of that kind, or one, as each of several phrases does. max_objects: so many of the surest of each prompt; null
    for all.
    """

    grounding: str = grounding.TINY
    box_threshold: float = 0.5
    text_threshold: float = 0.3
    overlap_threshold: float = 0.9
    prompt_type: str = "box"
    detect_on: int = 1
    single: str = "all"
    max_objects: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        grounding.check_weights(self.grounding)
        if self.prompt_type not in PROMPT_TYPES:
            raise ValueError(f"tracker.prompt_type must be one of {', '.join(PROMPT_TYPES)}, got {self.prompt_type!r}")
        if self.single not in SINGLE:
            raise ValueError(f"tracker.single must be one of {', '.join(SINGLE)}, got {self.single!r}")
        if self.detect_on < 1:
            raise ValueError(f"tracker.detect_on is a number of frames from 1, got {self.detect_on}")
        _ = self.thresholds

    @property
    def limits(self) -> Limits:
        return Limits(self.max_objects)

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.box_threshold, self.text_threshold, self.overlap_threshold)

    def build(self) -> GroundedSam2Tracker:
        return GroundedSam2Tracker(self)

    def preflight(self) -> Iterator[Check]:
        """See `sam.checks.Preflight`."""
        yield from preflight_of(self, GROUNDED)
        yield from grounding.checks(self.grounding, GROUNDED.name, GROUNDED.extra)


@dataclass(frozen=True, slots=True)
class Found:
    """What a text names on one frame of a window, and the best scores there, of what was found or not.

    detections: boxes in pixels of the frames the tracker sees.
    """

    frame: int
    detections: tuple[Detection, ...]
    best_box: float
    best_text: float

    @property
    def total(self) -> float:
        return sum(each.score for each in self.detections)


class GroundedSam2Tracker(PromptableTracker):
    """See the module docstring; implements `sam.tracker.Tracker` and `sam.memory.ModelTracker`."""

    understands = frozenset({"text"})

    def __init__(self, config: GroundedSam2Config) -> None:
        super().__init__(config, GROUNDED)
        self._options = config
        self._grounder: Grounder | None = None
        self._grounding = ""
        self._warned: set[tuple[str, str]] = set()  # videos and texts with nothing to find
        self.detected: list[Detected] = []

    def identity(self) -> dict[str, Any]:
        options = self._options
        self._grounding = self._grounding or grounding.identify(options.grounding, self.name, self._family.extra)
        return {
            **super().identity(),
            "grounding": self._grounding,
            **{f"{name}_threshold": value for name, value in asdict(options.thresholds).items()},
            "prompt_type": options.prompt_type,
            "detect_on": options.detect_on,
            "single": options.single,
            "grounded_version": VERSION,
            "max_objects": options.max_objects,
        }

    def _load(self, stack: ExitStack) -> Engine:
        engine = super()._load(stack)
        with no_bars():
            self._grounder = grounding.load(self._options.grounding, self.name, self._family.extra, engine.device)
        return engine

    def _drop(self) -> None:
        super()._drop()
        self._grounder = None

    def _need(self, careful: bool) -> Need:
        """SAM2's, beside the detector's weights. What the detector takes while it looks is not counted."""
        need = super()._need(careful)
        return replace(need, weights=need.weights + (self._grounder.weights if self._grounder is not None else 0))

    def find(self, frames: SessionFrames, text: str) -> Found:
        """What a text names, on the frame of those looked at where the total of the scores is the greatest."""
        if self._grounder is None:
            raise RuntimeError("enter the tracker before tracking")
        phrases, written = phrases_of(text), phrases_in(text)
        most = 1 if len(phrases) == 1 and self._options.single == "one" else self._options.max_objects
        looks = []
        for frame in spread(len(frames), self._options.detect_on):
            found = self._grounder.detect(frames.images[frame], phrases)
            detections = choose(written, found, self._options.thresholds)
            surest = sorted(range(len(detections)), key=lambda n: -detections[n].score)[:most]
            kept = tuple(detections[n] for n in sorted(surest))
            best = found.box_scores.max(initial=0.0), found.text_scores.max(initial=0.0)
            looks.append(Found(frame, kept, float(best[0]), float(best[1])))
        best_frame = max(looks, key=lambda look: look.total)  # the earliest of equals
        if not best_frame.detections:
            self._warn(frames, text, looks)
        return best_frame

    def _warn(self, frames: SessionFrames, text: str, looks: Sequence[Found]) -> None:
        """Say that nothing was found, once for each video and text."""
        if (frames.video, text) in self._warned:
            return
        self._warned.add((frames.video, text))
        best = max(looks, key=lambda look: look.best_box)
        log.warning(
            "%s: nothing found for %r on frame %d; the best score is %.2f for a word and %.2f for a phrase: lower "
            "tracker.box_threshold=%g or tracker.text_threshold=%g (other windows of this video are not mentioned)",
            frames.video, text, frames.indices[best.frame], best.best_box, best.best_text,
            self._options.box_threshold, self._options.text_threshold,
        )  # fmt: skip

    def begin(self, frames: SessionFrames) -> Dialogue:
        raise UnknownPrompt(
            "tracker=grounded_sam2 finds its objects by text and tracks whole windows; tracker=sam2 takes corrections"
        )

    def _run(self, frames: SessionFrames, prompts: Sequence[Prompt], state_on_cpu: bool) -> Iterator[FrameMasks]:
        """Find what the texts name, each by itself, and follow it."""
        found_by: dict[int, str] = {}
        self.found_by, self.detected = found_by, []
        named: list[Prompt] = []
        scores: dict[int, float] = {}
        with self._naming_smaller(), explained(self.name, frames.video):
            for text in dict.fromkeys(prompt.text for prompt in prompts if prompt.text is not None):
                found = self.find(frames, text)
                for detection in found.detections:
                    number = FIRST + len(scores)
                    prompt = self._prompt(frames, found.frame, number, detection)
                    if prompt is not None:
                        named.append(prompt)
                        score = round(detection.score, 4)
                        scores[number], found_by[number] = score, text
                        box = _at_source(detection.box, frames, found.frame)
                        self.detected.append(Detected(number, detection.phrase, found.frame, box, score))
        if not named:
            yield from (nothing(frame) for frame in range(len(frames)))
            return
        with self._naming_smaller():
            for seen in super()._run(frames, named, state_on_cpu):
                yield replace(seen, scores=tuple(scores[number] for number in seen.object_ids))

    @contextmanager
    def _naming_smaller(self) -> Iterator[None]:
        """Let an error of memory that ran out name the models that take less."""
        try:
            yield
        except OutOfMemory as error:
            detector, follower = grounding.smaller(self._options.grounding), self._options.weights
            hints = [detector] if detector else []
            hints += [f"tracker.weights={SMALLEST} is the smallest SAM2"] if follower != SMALLEST else []
            raise OutOfMemory("; ".join([str(error), *hints])) from None

    def _prompt(self, frames: SessionFrames, frame: int, number: int, detection: Detection) -> Prompt | None:
        """What SAM2 is given for a detection, in source pixels; None, with a warning, where it makes no mask of it."""
        image = frames.images[frame]
        height, width = image.shape[:2]
        if self._options.prompt_type == "box":
            return Prompt(frame=frame, object_id=number, box=_at_source(detection.box, frames, frame))
        (masks,) = segment(self.engine, image, [Prompt(box=detection.box)], multimask=False)
        if not masks:
            log.warning(
                "%s: SAM2 makes no mask of the box %s of %r on frame %d, which is left out; tracker.prompt_type=box "
                "follows it anyway", frames.video, [round(v) for v in detection.box], detection.phrase,
                frames.indices[frame],
            )  # fmt: skip
            return None
        mask = masks[0].mask
        if self._options.prompt_type == "point":
            across, down = frames.width / width, frames.height / height
            clicks = seeds(mask, POINTS, sqrt(mask.area) / APART)
            places = tuple(((x + 0.5) * across, (y + 0.5) * down) for x, y in clicks)
            return Prompt(frame=frame, object_id=number, points=places, labels=(1,) * len(places))
        source = at_source(mask.full(width, height).astype(np.bool_), frames.width, frames.height)
        if source is None:
            return None
        return Prompt(frame=frame, object_id=number, mask=source.full(frames.width, frames.height).astype(np.bool_))


def _at_source(
    box: tuple[float, float, float, float], frames: SessionFrames, frame: int
) -> tuple[float, float, float, float]:
    """A box in pixels of what the tracker sees of a frame, in source pixels."""
    height, width = frames.images[frame].shape[:2]
    across, down = frames.width / width, frames.height / height
    x0, y0, x1, y1 = box
    return x0 * across, y0 * down, min(x1 * across, frames.width), min(y1 * down, frames.height)


def spread(count: int, looks: int) -> list[int]:
    """Up to `looks` frames of `count`, evenly spread from the first to the last."""
    return [0] if looks == 1 else sorted({round(f) for f in np.linspace(0, count - 1, min(looks, count))})
