"""One picture in a promptable video model: its image half alone, without memory.

The video model of transformers holds all weights of its image model, and no way to ask it for several masks at once;
this goes through its encoder, prompt encoder and mask decoder as the image model does, so that nothing is loaded twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam.backends.hf_window import Engine, Pictures
from sam.image import ImageMask
from sam.types import Mask, Prompt

AT_ONCE = 64  # prompts in one pass of the decoder


def segment(
    engine: Engine, image: NDArray[np.uint8], prompts: Sequence[Prompt], multimask: bool
) -> list[list[ImageMask]]:
    """See `sam.image.segment_image`, which has checked everything."""
    import torch

    found: dict[int, list[ImageMask]] = {}
    with torch.inference_mode():
        embeddings = engine.model.get_image_embeddings(Pictures([image], engine)[0].unsqueeze(0))
        places = engine.model.get_image_wide_positional_embeddings()
        for numbers in _alike(prompts):
            some = [prompts[n] for n in numbers]
            for number, masks in zip(numbers, _decode(engine, image, embeddings, places, some, multimask), strict=True):
                found[number] = masks
    return [found[n] for n in range(len(prompts))]


def _alike(prompts: Sequence[Prompt]) -> list[list[int]]:
    """Numbers of prompts that can go through the decoder together: as many points, and a box or none.

    Padding would be possible, and would change the masks a little.
    """
    groups: dict[tuple[int, bool], list[int]] = {}
    for number, prompt in enumerate(prompts):
        groups.setdefault((len(prompt.points), prompt.box is not None), []).append(number)
    return [group[at : at + AT_ONCE] for group in groups.values() for at in range(0, len(group), AT_ONCE)]


def _decode(
    engine: Engine,
    image: NDArray[np.uint8],
    embeddings: Sequence[Any],
    places: Any,
    prompts: Sequence[Prompt],
    multimask: bool,
) -> list[list[ImageMask]]:
    size = image.shape[:2]
    given = engine.processor(
        input_points=[[[list(map(float, xy)) for xy in p.points] for p in prompts]] if prompts[0].points else None,
        input_labels=[[list(p.labels) for p in prompts]] if prompts[0].points else None,
        input_boxes=[[list(map(float, p.box)) for p in prompts if p.box is not None]] if prompts[0].box else None,
        original_sizes=[list(size)],
        return_tensors="pt",
    )
    names = ("input_points", "input_labels", "input_boxes")
    sparse, dense = engine.model.get_prompt_embeddings(
        **{name: given[name].to(engine.device) for name in names if name in given}
    )
    logits, scores, *_ = engine.model.mask_decoder(
        image_embeddings=embeddings[-1],
        image_positional_embeddings=places,
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
        high_resolution_features=list(embeddings[:-1]),
    )
    return [
        _sorted(engine, some[None], estimates.float().tolist(), size)
        for some, estimates in zip(logits[0], scores[0], strict=True)
    ]


def _sorted(engine: Engine, logits: Any, scores: Sequence[float], size: tuple[int, ...]) -> list[ImageMask]:
    """logits: (1, k, s, s), of one prompt."""
    planes = engine.processor.post_process_masks([logits.float()], original_sizes=[list(size)])[0][0].cpu().numpy()
    masks = [ImageMask(m, s) for plane, s in zip(planes, scores, strict=True) if (m := Mask.encode(plane)) is not None]
    return sorted(masks, key=lambda each: -each.score)
