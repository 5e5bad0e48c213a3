"""The tracker inside SAM3, without its detector: follows the objects that points, boxes or masks name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam.backends.boxes import BoxFile, check_boxes
from sam.backends.device import check_options
from sam.backends.limits import Limits, check_limits
from sam.backends.promptable import Family, PromptableTracker, check_holes, preflight_of
from sam.checks import Check
from sam.tracker import tracker


@tracker("sam3_tracker")
@dataclass
class Sam3TrackerConfig:
    """SAM3's tracker alone: follows what points, boxes or masks name; CUDA, or the CPU (slow).

    device: auto (cuda if there is one, else cpu), cpu, cuda or cuda:N. dtype: auto (bfloat16 on CUDA, float32 on the
    CPU), float32, bfloat16, float16 (CUDA only). weights: Hugging Face repository or local folder, the same as of
    sam3_hf. max_side: frames are scaled down to this longer side; null for full size. fill_holes: fill holes of up to
    so many of the model's mask cells; 0 for none. state_on_cpu: keep the objects' memory in main memory, slower.
    release: window | never. boxes, boxes_min_score: as of tracker=sam2.
    """

    device: str = "auto"
    dtype: str = "auto"
    weights: str = "facebook/sam3"
    max_side: int | None = 1280
    fill_holes: int = 8
    state_on_cpu: bool = False
    release: str = "window"
    boxes: str | None = None
    boxes_min_score: float = 0.0

    def __post_init__(self) -> None:
        check_options(self.device, self.dtype)
        check_limits(self.max_side, Limits(), self.release)
        check_holes(self.fill_holes)
        check_boxes(self.boxes_min_score)

    def build(self) -> PromptableTracker:
        return PromptableTracker(self, FAMILY, BoxFile.of(self.boxes, self.boxes_min_score))

    def preflight(self) -> Iterator[Check]:
        """See `sam.checks.Preflight`."""
        return preflight_of(self, FAMILY)


def _read(folder: Path, dtype: Any) -> tuple[Any, Any]:
    from transformers import Sam3TrackerVideoModel, Sam3TrackerVideoProcessor

    processor = Sam3TrackerVideoProcessor.from_pretrained(folder)
    return Sam3TrackerVideoModel.from_pretrained(folder, dtype=dtype), processor


def _importable() -> str:
    from transformers import Sam3TrackerVideoModel

    return str(Sam3TrackerVideoModel.__name__)


FAMILY = Family(
    "sam3_tracker",
    "sam3-hf",
    {"sam3_video": "SAM3 video", "sam3_tracker_video": "SAM3 tracker video"},
    _read,
    _importable,
)
