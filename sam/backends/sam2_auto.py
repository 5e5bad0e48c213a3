"""SAM2 without a prompt: proposes masks on a window's first frame, picks the largest whole things, and follows them.

The text of a prompt is only a label. What comes in after the first frame is not found.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sam.backends.device import check_options
from sam.backends.limits import Limits, check_limits
from sam.backends.promptable import PromptableTracker, check_holes, explained, preflight_of
from sam.backends.promptable_proposals import Asking, propose
from sam.backends.sam2 import FAMILY, check_weights
from sam.checks import Check
from sam.errors import UnknownPrompt
from sam.proposals import Rules, select
from sam.seeds import seeds
from sam.tracker import Dialogue, tracker
from sam.types import FrameMasks, Prompt, SessionFrames

log = logging.getLogger(__name__)

FIRST = 1  # the id of the largest object
AUTO = replace(FAMILY, name="sam2_auto")


@tracker("sam2_auto")
@dataclass
class Sam2AutoConfig:
    """SAM2 without prompts: follows the largest things of a window's first frame; the prompt is only the label.

    device, dtype, weights, max_side, fill_holes, state_on_cpu, release: as of tracker=sam2, but at full size.
    points_per_side: the picture is asked at so many points squared. pred_iou: the model's own estimate of a mask's
    quality that it must exceed. stability: how little a mask may change with its threshold, 1 for not at all. refine:
    give each mask back to the model once. min_area: smaller connected pieces are taken out, in pixels of the frames the
    tracker sees. max_objects: so many of the largest. seeds: clicks that name each object, `apart` pixels from another.
    """

    device: str = "auto"
    dtype: str = "auto"
    weights: str = "facebook/sam2.1-hiera-large"
    max_side: int | None = None
    fill_holes: int = 8
    state_on_cpu: bool = False
    release: str = "window"
    points_per_side: int = 32
    pred_iou: float = 0.88
    stability: float = 0.95
    refine: bool = True
    min_area: int = 500
    max_objects: int = 3
    seeds: int = 2
    apart: float = 25.0

    def __post_init__(self) -> None:
        check_options(self.device, self.dtype)
        check_limits(self.max_side, Limits(self.max_objects), self.release)
        check_holes(self.fill_holes)
        check_weights(self.weights)
        if self.min_area < 1:
            raise ValueError(f"tracker.min_area is at least 1 pixel, got {self.min_area}")
        if self.seeds < 1 or self.apart < 0:
            raise ValueError(
                f"tracker.seeds is at least 1 and tracker.apart at least 0, got {self.seeds} and {self.apart:g}"
            )
        _ = self.asking

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
    """See the module docstring; implements `sam.tracker.Tracker` and `sam.memory.ModelTracker`."""

    understands = frozenset({"text"})

    def __init__(self, config: Sam2AutoConfig) -> None:
        super().__init__(config, AUTO)
        self._auto = config

    def identity(self) -> dict[str, Any]:
        return {
            **super().identity(),
            **asdict(self._auto.asking),
            **asdict(self._auto.rules),
            "seeds": self._auto.seeds,
            "apart": self._auto.apart,
        }

    def find(self, frames: SessionFrames) -> list[Prompt]:
        """The clicks that name what is on the first frame, in source pixels; the largest object first."""
        image = frames.images[0]
        height, width = image.shape[:2]
        with explained(self.name, frames.video):
            proposals = propose(self.engine, image, self._auto.asking)
        selected = select(proposals, (width, height), self._auto.rules)
        if not selected.objects:
            reasons = Counter(why.split(" of proposal")[0] for why in selected.left_out.values())
            said = ", ".join(f"{count}: {why}" for why, count in reasons.items()) or "the model proposed nothing"
            log.warning(
                "%s: nothing found on frame %d (%s); lower tracker.pred_iou=%g, tracker.stability=%g or "
                "tracker.min_area=%d", frames.video, frames.indices[0], said, self._auto.pred_iou, self._auto.stability,
                self._auto.min_area,
            )  # fmt: skip
        across, down = frames.width / width, frames.height / height
        prompts = []
        for number, each in enumerate(selected.objects, FIRST):
            clicks = seeds(each.mask, self._auto.seeds, self._auto.apart)
            places = tuple(((x + 0.5) * across, (y + 0.5) * down) for x, y in clicks)
            prompts.append(Prompt(object_id=number, points=places, labels=(1,) * len(places)))
        return prompts

    def begin(self, frames: SessionFrames) -> Dialogue:
        raise UnknownPrompt(
            "tracker=sam2_auto names its objects itself and tracks whole windows; tracker=sam2 takes corrections"
        )

    def _run(self, frames: SessionFrames, prompts: Sequence[Prompt], state_on_cpu: bool) -> Iterator[FrameMasks]:
        found = self.find(frames)
        if found:
            yield from super()._run(frames, found, state_on_cpu)
        else:
            yield from (FrameMasks(frame, (), (), ()) for frame in range(len(frames)))
