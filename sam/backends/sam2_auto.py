"""SAM2 without a prompt: proposes masks on a window's first frame, picks the largest whole things, and follows them.

The text of a prompt is only a label. What comes in after the first frame is found where it is asked to propose again.
An object found on a later frame is also tracked backward, up to the frame on which was looked before; so nothing of it
is shown further back, even where it was there and others were larger.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar

import cv2

from sam.backends.found import nothing
from sam.backends.limits import Limits
from sam.backends.promptable import PROMPTABLE, PromptableTracker, explained, preflight_of
from sam.backends.promptable_proposals import Asking, propose
from sam.backends.sam2 import FAMILY, Sam2Options
from sam.checks import Check
from sam.proposals import Proposed, Rules, Selected, select, select_new
from sam.seeds import seeds
from sam.tracker import tracker
from sam.types import FrameMasks, Mask, Prompt, SessionFrames

log = logging.getLogger(__name__)

FIRST = 1  # the id of the largest object
AUTO = replace(FAMILY, name="sam2_auto")


@tracker("sam2_auto")
@dataclass
class Sam2AutoConfig(Sam2Options):
    """SAM2 without prompts: follows the largest things of a window's first frame; the prompt is only the label.

    device, dtype, weights, max_side, fill_holes, state_on_cpu, memory_gb, release: as of tracker=sam2, at full size.
    points_per_side: the picture is asked at so many points squared. pred_iou: the model's own estimate of a mask's
    quality that it must exceed. stability: how little a mask may change with its threshold, 1 for not at all. refine:
    give each mask back to the model once. min_area: smaller connected pieces are taken out, in pixels of the frames the
    tracker sees. max_objects: so many of the largest. seeds: clicks that name each object, `apart` pixels from another.
    propose_every: look again for what is new on every so-many-th tracked frame; null for the first frame alone.
    """

    names_objects: ClassVar[bool] = True

    max_side: int | None = None
    points_per_side: int = 32
    pred_iou: float = 0.88
    stability: float = 0.95
    refine: bool = True
    min_area: int = 500
    max_objects: int = 3
    seeds: int = 2
    apart: float = 25.0
    propose_every: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_area < 1:
            raise ValueError(f"tracker.min_area is at least 1 pixel, got {self.min_area}")
        if self.seeds < 1 or self.apart < 0:
            raise ValueError(
                f"tracker.seeds is at least 1 and tracker.apart at least 0, got {self.seeds} and {self.apart:g}"
            )
        if self.propose_every is not None and self.propose_every < 1:
            raise ValueError(f"tracker.propose_every is at least 1 frame, or null, got {self.propose_every}")
        _ = self.asking

    @property
    def limits(self) -> Limits:
        return Limits(self.max_objects)

    @property
    def asking(self) -> Asking:
        return Asking(self.points_per_side, self.pred_iou, self.stability, self.refine)

    @property
    def rules(self) -> Rules:
        return Rules(min_area=self.min_area, max_objects=self.max_objects)

    def build(self) -> Sam2AutoTracker:
        return Sam2AutoTracker(self)

    def preflight(self) -> Iterator[Check]:
        """See `sam.checks.Preflight`."""
        return preflight_of(self, AUTO)


class Sam2AutoTracker(PromptableTracker):
    """See the module docstring; implements what `PromptableTracker` does, and `sam.proposals.ProposingTracker`."""

    understands = PROMPTABLE | {"text"}

    def __init__(self, config: Sam2AutoConfig) -> None:
        super().__init__(config, AUTO)
        self._auto = config
        self.on_proposed: Callable[[Proposed], None] | None = None

    def identity(self) -> dict[str, Any]:
        return {
            **super().identity(),
            **asdict(self._auto.asking),
            **asdict(self._auto.rules),
            "seeds": self._auto.seeds,
            "apart": self._auto.apart,
            "propose_every": self._auto.propose_every,
        }

    def named(self, frames: SessionFrames) -> list[Prompt]:
        """The clicks that name what is on the first frame, in source pixels; the largest object first."""
        return self._look(frames, [], 0, nothing(0))

    def _run(self, frames: SessionFrames, prompts: Sequence[Prompt], state_on_cpu: bool) -> Iterator[FrameMasks]:
        given = [prompt for prompt in prompts if prompt.text is None]
        if len(given) == len(prompts):
            yield from super()._run(frames, prompts, state_on_cpu)
            return
        found: list[Prompt] = []

        def discovered() -> Iterator[FrameMasks]:
            with explained(self.name, frames.video):
                yield from self._window(frames, state_on_cpu).discover(
                    self._auto.propose_every, lambda frame, seen: self._look(frames, found, frame, seen)
                )

        if not given:
            yield from discovered()
            return
        for _ in discovered():  # what there is has to be known before it can be corrected
            pass
        every = self._auto.propose_every or 0
        earliest = {p.object_id: max(0, p.frame - every + 1) for p in found if p.frame}
        for prompt in given:
            if prompt.object_id in earliest and prompt.frame < earliest[prompt.object_id]:
                earliest[prompt.object_id] = 0
        for seen in super()._run(frames, [*found, *given], state_on_cpu):
            yield _from(seen, earliest)

    def _look(self, frames: SessionFrames, found: list[Prompt], frame: int, seen: FrameMasks) -> list[Prompt]:
        """What is new on a frame; `found` is what was found before, and gets it too."""
        image = frames.images[frame]
        height, width = image.shape[:2]
        proposals = propose(self.engine, image, self._auto.asking)
        followed = [_scaled(mask, frames, (width, height)) for mask in seen.masks]
        there = [mask for mask in followed if mask is not None]
        choose = partial(select_new, followed=there) if there else select
        selected = choose(proposals, (width, height), self._auto.rules)
        if frame == 0 and not selected.objects:
            self._warn(frames, selected)
        across, down = frames.width / width, frames.height / height
        prompts = []
        for number, each in enumerate(selected.objects, FIRST + len(found)):
            clicks = seeds(each.mask, self._auto.seeds, self._auto.apart)
            places = tuple((float(int((x + 0.5) * across)), float(int((y + 0.5) * down))) for x, y in clicks)
            prompts.append(Prompt(frame=frame, object_id=number, points=places, labels=(1,) * len(places)))
        found += prompts
        if self.on_proposed is not None:
            self.on_proposed(Proposed(frame, (width, height), tuple(proposals), selected, tuple(prompts)))
        return prompts

    def _warn(self, frames: SessionFrames, selected: Selected) -> None:
        reasons = Counter(why.split(" of proposal")[0] for why in selected.left_out.values())
        said = ", ".join(f"{count}: {why}" for why, count in reasons.items()) or "the model proposed nothing"
        log.warning(
            "%s: nothing found on frame %d (%s); lower tracker.pred_iou=%g, tracker.stability=%g or "
            "tracker.min_area=%d", frames.video, frames.indices[0], said, self._auto.pred_iou, self._auto.stability,
            self._auto.min_area,
        )  # fmt: skip


def _scaled(mask: Mask, frames: SessionFrames, size: tuple[int, int]) -> Mask | None:
    """A mask of the source in a picture of another size; None if nothing of it is left there."""
    if size == (frames.width, frames.height):
        return mask
    plane = cv2.resize(mask.full(frames.width, frames.height), size, interpolation=cv2.INTER_AREA)
    return Mask.encode(plane)


def _from(seen: FrameMasks, earliest: dict[int | None, int]) -> FrameMasks:
    """A frame without the objects that are only to be seen later."""
    rows = zip(seen.object_ids, seen.masks, seen.scores, strict=True)
    kept = [row for row in rows if seen.frame >= earliest.get(row[0], 0)]
    return FrameMasks(seen.frame, *(tuple(c) for c in zip(*kept, strict=True))) if kept else nothing(seen.frame)
