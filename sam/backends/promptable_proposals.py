"""Everything in a picture: masks that a promptable model proposes for a grid of points.

The method is that of SAM2's automatic mask generator (N. Ravi et al., SAM 2, 2024): a mask or three for every point,
each refined once with itself as a prompt, those kept that the model trusts and that hardly change with the threshold,
and of boxes that overlap much the best. One difference: how much a mask changes is measured at the model's own mask
resolution instead of the picture's, so that only what is kept is enlarged. transformers' mask-generation pipeline is
not used: it has no refinement, and on pictures that are not square it asks at points of a part of the picture only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam.backends.hf_window import Engine, Pictures
from sam.image import ImageMask
from sam.types import Mask

POINTS_AT_ONCE, MASKS_AT_ONCE = 64, 32
OFFSET = 1.0  # the threshold is moved by this logit to see how much a mask changes
SAME_BOX = 0.7  # IoU of boxes above which the better proposal stands for both


@dataclass(frozen=True, slots=True)
class Asking:
    """points_per_side: the grid has its square. pred_iou: the model's own estimate that a mask must reach. stability:
    the IoU of the mask at a stricter and a laxer threshold that it must reach. refine: give each mask back once."""

    points_per_side: int = 32
    pred_iou: float = 0.88
    stability: float = 0.95
    refine: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.points_per_side <= 128:
            raise ValueError(f"tracker.points_per_side is from 1 to 128, got {self.points_per_side}")
        for name in ("pred_iou", "stability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"tracker.{name} is from 0 to 1, got {getattr(self, name)}")


def propose(engine: Engine, image: NDArray[np.uint8], asking: Asking) -> list[ImageMask]:
    """Proposed masks of a picture (h, w, 3) uint8 RGB, at its size, the best first."""
    import torch
    from torchvision.ops import nms

    height, width = image.shape[:2]
    steps = (np.arange(asking.points_per_side) + 0.5) / asking.points_per_side
    points = [[float(x * width), float(y * height)] for y in steps for x in steps]
    found: list[tuple[Any, Any]] = []
    with torch.inference_mode():
        embeddings = engine.model.get_image_embeddings(Pictures([image], engine)[0].unsqueeze(0))
        places = engine.model.get_image_wide_positional_embeddings()
        for at in range(0, len(points), POINTS_AT_ONCE):
            found.append(_sure(engine, embeddings, places, points[at : at + POINTS_AT_ONCE], (height, width), asking))
        logits, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        kept = nms(_boxes(logits), scores, SAME_BOX)
        return [each for n in kept.tolist() if (each := _at_size(engine, logits[n], scores[n], image)) is not None]


def _sure(
    engine: Engine,
    embeddings: Sequence[Any],
    places: Any,
    points: Sequence[Sequence[float]],
    size: tuple[int, int],
    asking: Asking,
) -> tuple[Any, Any]:
    """Of these points' masks those that are sure and stable: logits (k, s, s) and scores (k,), both float32."""
    given = engine.processor(
        input_points=[[[list(xy)] for xy in points]],
        input_labels=[[[1] for _ in points]],
        original_sizes=[list(size)],
        return_tensors="pt",
    )
    coordinates, labels = (given[name].to(engine.device) for name in ("input_points", "input_labels"))
    sparse, dense = engine.model.get_prompt_embeddings(input_points=coordinates, input_labels=labels)
    logits, scores, *_ = _decode(engine, embeddings, places, sparse, dense, multimask=True)
    logits, scores = logits[0].flatten(0, 1), scores[0].flatten()  # three masks a point, one after the other
    if asking.refine:
        each = logits.shape[0] // len(points)
        coordinates = coordinates[0].repeat_interleave(each, 0)[:, None]
        labels = labels[0].repeat_interleave(each, 0)[:, None]
        logits, scores = _refined(engine, embeddings, places, coordinates, labels, logits)
    logits, scores = logits.float(), scores.float()
    inside, around = ((logits > cut).sum(dim=(1, 2)) for cut in (OFFSET, -OFFSET))
    keep = (scores > asking.pred_iou) & (inside >= asking.stability * around) & ((logits > 0).sum(dim=(1, 2)) > 0)
    return logits[keep], scores[keep]


def _refined(
    engine: Engine, embeddings: Sequence[Any], places: Any, coordinates: Any, labels: Any, logits: Any
) -> tuple[Any, Any]:
    """Each mask anew, from its point and itself. coordinates, labels: (k, 1, 1, ...). logits: (k, s, s)."""
    import torch

    found = []
    for at in range(0, len(logits), MASKS_AT_ONCE):
        some = slice(at, at + MASKS_AT_ONCE)
        count = len(logits[some])
        sparse, dense = engine.model.get_prompt_embeddings(
            input_points=coordinates[some], input_labels=labels[some], input_masks=logits[some][:, None]
        )
        each = [features.expand(count, -1, -1, -1) for features in embeddings]
        masks, scores, *_ = _decode(engine, each, places.expand(count, -1, -1, -1), sparse, dense, multimask=False)
        found.append((masks[:, 0, 0], scores[:, 0, 0]))
    masks, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
    return masks, scores


def _decode(engine: Engine, embeddings: Sequence[Any], places: Any, sparse: Any, dense: Any, multimask: bool) -> Any:
    return engine.model.mask_decoder(
        image_embeddings=embeddings[-1],
        image_positional_embeddings=places,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
        high_resolution_features=list(embeddings[:-1]),
    )


def _boxes(logits: Any) -> Any:
    """(k, 4) float boxes x0, y0, x1, y1 of masks that are not empty, in mask cells."""
    import torch

    if len(logits) == 0:
        return logits.new_zeros((0, 4))
    sides = []
    for axis in (1, 2):  # columns, then rows
        shown = (logits > 0).any(dim=axis).int()
        sides += [shown.argmax(dim=1), shown.shape[1] - shown.flip(1).argmax(dim=1)]
    return torch.stack([sides[0], sides[2], sides[1], sides[3]], dim=1).float()


def _at_size(engine: Engine, logits: Any, score: Any, image: NDArray[np.uint8]) -> ImageMask | None:
    size = [list(image.shape[:2])]
    plane = engine.processor.post_process_masks([logits[None, None]], original_sizes=size)[0][0, 0].cpu().numpy()
    mask = Mask.encode(plane)
    return ImageMask(mask, float(score)) if mask is not None else None
