"""SAM2 through transformers: follows the objects that points, boxes or masks name.

EdgeTAM, SAM2 made small for telephones, runs here too: its weights say what they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam.backends.boxes import BoxFile, check_boxes
from sam.backends.promptable import Family, PromptableConfig, PromptableTracker, memory_of, preflight_of
from sam.checks import Check
from sam.tracker import tracker


@dataclass
class Sam2Options(PromptableConfig):
    """The options of every tracker with SAM2 in it."""

    weights: str = "facebook/sam2.1-hiera-large"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_weights(self.weights)


@tracker("sam2")
@dataclass
class Sam2Config(Sam2Options):
    """SAM2: follows what points, boxes or masks name; CUDA, or the CPU (slow).

    device: auto (cuda if there is one, else cpu), cpu, cuda or cuda:N. dtype: auto (bfloat16 on CUDA, float32 on the
    CPU), float32, bfloat16, float16 (CUDA only). weights: Hugging Face repository (facebook/sam2.1-hiera-tiny, -small,
    -base-plus, -large, or EdgeTAM's, which needs timm) or local folder. max_side: frames are scaled down to this longer
    side; null for full size. fill_holes: fill holes of up to so many of the model's mask cells; 0 for none.
    state_on_cpu: keep the objects' memory in main memory, slower. memory_gb: GiB that the model and a window may take
    together; null for what the GPU has, on the CPU for any. release: window | never. boxes: a file of boxes, or a
    folder of them, as tracker=file takes it, that names the objects of every window; the prompt is then only the label.
    boxes_min_score: leave out boxes that score less.
    """

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


def check_weights(weights: str) -> None:
    """Refuse files of the original package; raises ValueError with what to use instead."""
    if Path(weights).suffix in (".pt", ".pth", ".yaml"):
        raise ValueError(
            f"tracker.weights={weights} is of the original SAM2 package; this tracker loads the same models from "
            "facebook/sam2.1-hiera-tiny, -small, -base-plus or -large, or a folder downloaded from there"
        )


def _read(folder: Path, dtype: Any) -> tuple[Any, Any]:
    from transformers import EdgeTamVideoModel, Sam2VideoModel, Sam2VideoProcessor

    edge = json.loads((folder / "config.json").read_text())["model_type"] == EDGETAM
    model = (EdgeTamVideoModel if edge else Sam2VideoModel).from_pretrained(folder, dtype=dtype)
    return model, Sam2VideoProcessor.from_pretrained(folder)


def _importable() -> str:
    from transformers import Sam2VideoModel

    return str(Sam2VideoModel.__name__)


EDGETAM = "edgetam_video"


def _shape(folder: Path) -> tuple[Any, Any]:
    from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, Sam2VideoConfig, Sam2VideoModel

    edge = json.loads((folder / "config.json").read_text())["model_type"] == EDGETAM
    config, model = (EdgeTamVideoConfig, EdgeTamVideoModel) if edge else (Sam2VideoConfig, Sam2VideoModel)
    return config.from_pretrained(folder), model


FAMILY = Family("sam2", "sam2", {"sam2_video": "SAM2 video", EDGETAM: "EdgeTAM video"}, _read, _importable, _shape)
