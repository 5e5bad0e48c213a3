"""The models that `sam3_gpu.py` measures, the tracker over them, and what they hold in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import sam3
from sam.types import SessionFrames

SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "sam3_hf": {},
    "encode_batch=4": {"encode_batch": 4},
    "encode_batch=8": {"encode_batch": 8},
    "object_batch=8": {"object_batch": 8},
    "clean_on_device": {"clean_on_device": True},
    "compile": {"compile": True},
    "all of them": {"encode_batch": 4, "object_batch": 8, "clean_on_device": True, "compile": True},
    "state_on_cpu": {"state_on_cpu": True},
}


@dataclass(frozen=True)
class Plan:
    """What is run. objects: numbers of objects, ascending. peak: TFLOP/s of the device, or None where nothing is known
    about it. windows: for memory. cases: names of `SWITCHES`. minutes: after so many nothing new begins."""

    device: str
    dtype: str
    tiny: bool
    objects: tuple[int, ...]
    frames: int
    size: tuple[int, int]
    rounds: int
    windows: int
    peak: float | None = None
    cases: tuple[str, ...] = tuple(SWITCHES)
    official: bool = False
    minutes: float = 60.0

    @property
    def bench(self) -> sam3.Bench:
        """What the functions of `sam3.py` take."""
        return sam3.Bench(self.device, not self.tiny, self.objects, self.frames, self.size)


@contextmanager
def entered(plan: Plan, model: tuple[Any, Any], switches: Mapping[str, Any]) -> Iterator[Any]:
    """tracker=sam3_hf over a model that is there already, with these options."""
    from sam.backends import sam3_hf, weights

    config = sam3_hf.Sam3HfConfig(device=plan.device, dtype=plan.dtype, weights="random", **switches)
    with (
        mock.patch.object(sam3_hf, "_read", lambda *given: model),
        mock.patch.object(sam3_hf, "_fits", lambda folder: folder),
        mock.patch.object(weights, "locate", lambda *given: Path("random weights")),
        config.build() as tracker,
    ):
        yield tracker


def kernel() -> Any:
    """What cleans masks now: a tracker's own, when it has just been entered. The library has one place for it."""
    from transformers.models.sam3_video import modeling_sam3_video as library

    return library.cv_utils_kernel


def kernel_set(own: Any) -> Any:
    """A context in which this cleans masks."""
    from transformers.models.sam3_video import modeling_sam3_video as library

    return mock.patch.object(library, "cv_utils_kernel", own)


def small_model(folder: Path, plan: Plan) -> tuple[Any, Any]:
    """The tests' model, which really finds and tracks, on the plan's device."""
    import torch
    from transformers import Sam3VideoModel, Sam3VideoProcessor

    from tests.sam3 import tiny

    tiny.build(folder)
    model = Sam3VideoModel.from_pretrained(folder, dtype=getattr(torch, plan.dtype)).to(plan.device).eval()
    return model, Sam3VideoProcessor.from_pretrained(folder)


def full_model(plan: Plan) -> tuple[Any, Any]:
    """The full-size model with random weights, made on the device, and a processor of its size."""
    import torch
    import transformers as hf

    from tests.sam3 import tiny

    torch.manual_seed(0)
    with torch.device(plan.device):
        model = hf.Sam3VideoModel._from_config(hf.Sam3VideoConfig(), dtype=getattr(torch, plan.dtype)).eval()
    scale = {"size": {"height": 1008, "width": 1008}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    processor = hf.Sam3VideoProcessor(
        image_processor=hf.Sam3ImageProcessor(**scale),
        video_processor=hf.Sam2VideoVideoProcessor(**scale),
        tokenizer=tiny.tokenizer(),
        target_size=1008,
    )
    return model, processor


def meta() -> dict[str, float]:
    """Make the full-size model without memory and count a frame's image encoder; prints and returns the figures."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import Sam3VideoConfig, Sam3VideoModel

    with torch.device("meta"):
        model = Sam3VideoModel._from_config(Sam3VideoConfig(), dtype=torch.bfloat16).eval()
        picture = torch.zeros(1, 3, 1008, 1008, dtype=torch.bfloat16)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.detector_model.vision_encoder.backbone(picture)
    counted = {
        "million_parameters": sum(each.numel() for each in model.parameters()) / 1e6,
        "image_encoder_tflop": counter.get_total_flops() / 1e12,
    }
    print(json.dumps(counted))
    return counted


def shown(plan: Plan, count: int = 0) -> SessionFrames:
    """A window of noise that moves."""
    return sam3.frames(plan.bench, count)


def reset_peak(plan: Plan) -> None:
    """Begin to look for the peak anew, where there is a GPU."""
    import torch

    if plan.device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
