"""The tracker inside SAM3, without its detector: follows the objects that points, boxes or masks name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam.backends.boxes import BoxFile, check_boxes
from sam.backends.promptable import Family, PromptableConfig, PromptableTracker, memory_of, preflight_of
from sam.checks import Check
from sam.tracker import tracker


@tracker("sam3_tracker")
@dataclass
class Sam3TrackerConfig(PromptableConfig):
    """SAM3's tracker alone: follows what points, boxes or masks name; CUDA, or the CPU (slow).

    weights: Hugging Face repository or local folder, the same as of sam3_hf. Everything else: as of tracker=sam2.
    """

    weights: str = "facebook/sam3"
    boxes: str | None = None
    boxes_min_score: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_boxes(self.boxes_min_score)

    def build(self) -> PromptableTracker:
        return PromptableTracker(self, FAMILY, BoxFile.of(self.boxes, self.boxes_min_score))

    def preflight(self) -> Iterator[Check]:
        """See `sam.checks.Preflight`."""
        return preflight_of(self, FAMILY)

    def memory(self, frames: int) -> Iterator[Check]:
        """See `sam.checks.Budgeted`."""
        return memory_of(self, FAMILY, frames)


def _read(folder: Path, dtype: Any) -> tuple[Any, Any]:
    from transformers import Sam3TrackerVideoModel, Sam3TrackerVideoProcessor

    processor = Sam3TrackerVideoProcessor.from_pretrained(folder)
    return Sam3TrackerVideoModel.from_pretrained(folder, dtype=dtype), processor


def _importable() -> str:
    from transformers import Sam3TrackerVideoModel

    return str(Sam3TrackerVideoModel.__name__)


def _shape(folder: Path) -> tuple[Any, Any]:
    from transformers import Sam3TrackerVideoConfig, Sam3TrackerVideoModel

    return Sam3TrackerVideoConfig.from_pretrained(folder), Sam3TrackerVideoModel


FAMILY = Family(
    "sam3_tracker",
    "sam3-hf",
    {"sam3_video": "SAM3 video", "sam3_tracker_video": "SAM3 tracker video"},
    _read,
    _importable,
    _shape,
)
