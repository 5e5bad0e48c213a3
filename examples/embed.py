"""Backbones: each turns the frames of one clip into one vector, for a linear probe to read.

    flow                    histograms of optical flow over 3 x 3 cells, from pixels alone; no model, no torch
    videomae-random         transformers' VideoMAE with random weights, small enough for a CPU: what no training gives
    videomae:FOLDER         VideoMAE from a local folder (config.json and weights), mean of its last tokens
    timm:NAME               an image model frame by frame, mean and deviation over time
    torchvision:NAME        a video model, such as r3d_18

timm and torchvision models have random weights unless `weights` names a file with a state dict. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Backbone = Callable[[U8], F32]  # (T, S, S, 3) uint8 RGB to (D,)

FLOW_SIDE, CELLS, BINS = 72, 3, 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RANDOM_SIDE, RANDOM_FRAMES = 112, 16
SEED = 0


def open_backbone(name: str, weights: Path | None = None) -> Backbone:
    """The backbone of that name. Raises SystemExit with a message for one that there is not."""
    kind, _, which = name.partition(":")
    if weights is not None and not weights.is_file():
        raise SystemExit(f"--weights must be a file with a state dict, there is no {weights}")
    if weights is not None and kind not in ("timm", "torchvision"):
        raise SystemExit(f"--weights goes with timm:NAME and torchvision:NAME, not with --backbone {name}")
    try:
        if name == "flow":
            return flow
        if name == "videomae-random":
            return _videomae(None)
        if kind == "videomae" and which:
            if not (Path(which) / "config.json").is_file():
                raise SystemExit(f"--backbone {name}: there is no {Path(which) / 'config.json'}; name a local folder")
            return _videomae(which)
        if kind == "timm" and which:
            return _timm(which, weights)
        if kind == "torchvision" and which:
            return _torchvision(which, weights)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"--backbone {name} needs {error.name}, which is not installed: pip install torch torchvision transformers "
            "timm, or take --backbone flow, which needs nothing"
        ) from error
    raise SystemExit(
        f"--backbone must be flow, videomae-random, videomae:FOLDER, timm:NAME or torchvision:NAME, got {name!r}"
    )


def flow(frames: U8) -> F32:
    """Optical flow (Farneback) from frame to frame, pooled over 3 x 3 cells of the picture, (108,).

    In each cell: the mean length of the flow by its direction in 8 bins (a histogram of oriented optical flow, Dalal,
    Triggs and Schmid 2006), and the mean and deviation over time of its length, and of the brightness. Flow is in sides
    of the picture per frame.
    """
    grey = [
        cv2.cvtColor(cv2.resize(f, (FLOW_SIDE, FLOW_SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for f in frames
    ]
    cells = np.arange(FLOW_SIDE) * CELLS // FLOW_SIDE
    cell = (cells[:, None] * CELLS + cells[None]).ravel()
    area = (FLOW_SIDE // CELLS) ** 2
    directions, lengths = [], []
    for before, after in pairwise(grey):
        field = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 2, 11, 2, 5, 1.1, 0) / FLOW_SIDE
        length = np.hypot(field[..., 0], field[..., 1]).ravel()
        angle = np.arctan2(field[..., 1], field[..., 0]).ravel()
        bins = ((angle + np.pi) / (2 * np.pi) * BINS).astype(int) % BINS
        directions.append(np.bincount(cell * BINS + bins, length, CELLS**2 * BINS) / area)
        lengths.append(np.bincount(cell, length, CELLS**2) / area)
    bright = np.stack([np.bincount(cell, g.ravel(), CELLS**2) / area / 255 for g in grey])
    pooled = [np.mean(directions, 0), np.mean(lengths, 0), np.std(lengths, 0), bright.mean(0), bright.std(0)]
    return np.concatenate(pooled).astype(np.float32)


def track(row: dict[str, Any]) -> F32:
    """How a crop's box moves and changes, from the row of `samples.parquet` and no pixel, (12,).

    Steps are in lengths of the box's longer side (median): mean, deviation and largest of the step, of its sideways and
    vertical parts; the way from the first to the last frame; mean, deviation and change of the box's proportion, and
    how much its side changes.
    """
    boxes = np.array([box for box in row["boxes"] if box is not None], np.float64)
    wide, tall = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = max(float(np.median(np.maximum(wide, tall))), 1.0)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 / side
    step = np.diff(centre, axis=0) if len(centre) > 1 else np.zeros((1, 2))
    length = np.hypot(step[:, 0], step[:, 1])
    shape = np.log(wide / tall)
    size = np.log(np.maximum(wide, tall) / side)
    figures = [
        *(length.mean(), length.std(), length.max()),
        *(np.abs(step[:, 0]).mean(), np.abs(step[:, 1]).mean(), step[:, 0].std(), step[:, 1].std()),
        float(np.hypot(*(centre[-1] - centre[0]))),
        *(shape.mean(), shape.std(), abs(shape[-1] - shape[0]), size.std()),
    ]
    return np.array(figures, np.float32)


def _videomae(folder: str | None) -> Backbone:
    import torch
    from transformers import VideoMAEConfig, VideoMAEModel

    if folder is None:
        torch.manual_seed(SEED)
        small = VideoMAEConfig(
            image_size=RANDOM_SIDE, num_frames=RANDOM_FRAMES, hidden_size=192, num_hidden_layers=6,
            num_attention_heads=3, intermediate_size=768,
        )  # fmt: skip
        model = VideoMAEModel(small).eval()
    else:
        model = VideoMAEModel.from_pretrained(folder, local_files_only=True).eval()
    side, count = int(model.config.image_size), int(model.config.num_frames)

    def embed(frames: U8) -> F32:
        picked = frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]
        with torch.inference_mode():
            tokens = model(pixel_values=torch.from_numpy(_normal(picked, side)[None])).last_hidden_state
        return np.asarray(tokens[0].mean(0), np.float32)

    return embed


def _timm(name: str, weights: Path | None) -> Backbone:
    import timm
    import torch

    torch.manual_seed(SEED)
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, checkpoint_path=str(weights or "")).eval()
    except RuntimeError as error:
        raise SystemExit(f"--backbone timm:{name}: {str(error).splitlines()[0]}") from error
    side = int(model.pretrained_cfg["input_size"][1])

    def embed(frames: U8) -> F32:
        with torch.inference_mode():
            each = model(torch.from_numpy(_normal(frames, side)))
        return np.concatenate([np.asarray(each.mean(0)), np.asarray(each.std(0))]).astype(np.float32)

    return embed


def _torchvision(name: str, weights: Path | None) -> Backbone:
    import torch
    from torchvision.models import video

    if name not in dir(video) or not name.islower() or not callable(getattr(video, name)):
        raise SystemExit(f"--backbone torchvision:{name}: there is no such video model; try r3d_18, mc3_18 or s3d")
    torch.manual_seed(SEED)
    model = getattr(video, name)(weights=None)
    if weights is not None:
        model.load_state_dict(torch.load(weights, weights_only=True))
    last = "fc" if hasattr(model, "fc") else "classifier" if hasattr(model, "classifier") else "head"
    setattr(model, last, torch.nn.Identity())
    model.eval()

    def embed(frames: U8) -> F32:
        clip = torch.from_numpy(_normal(frames, RANDOM_SIDE)).permute(1, 0, 2, 3)[None]
        with torch.inference_mode():
            return np.asarray(model(clip).flatten(1)[0], np.float32)

    return embed


def _normal(frames: U8, side: int) -> F32:
    """(T, 3, side, side) float32, normalised as models trained on ImageNet and Kinetics want it."""
    small = np.stack([cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames]).astype(np.float32)
    return np.ascontiguousarray(((small / 255 - MEAN) / STD).transpose(0, 3, 1, 2), np.float32)
