"""segment_image: the masks of one picture, as the library's own image model makes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sam.backends.motion import MotionConfig
from sam.backends.promptable import PromptableTracker
from sam.backends.sam2 import Sam2Config
from sam.backends.sam3_tracker import Sam3TrackerConfig
from sam.errors import UnknownPrompt, WrongPrompt
from sam.image import segment_image
from sam.types import Prompt
from tests.sam3.footage import HEIGHT, WIDTH, blobs

IMAGE = blobs(1).images[0]
CLICKS = Prompt(points=((26, 28), (120, 80)), labels=(1, 0))
CLICK = Prompt(points=((120, 80),), labels=(1,))
BOX = Prompt(box=(6, 10, 46, 46))
BOTH = Prompt(box=(6, 10, 46, 46), points=((26, 28),), labels=(1,))


@pytest.fixture(scope="module")
def folder(prompted: dict[str, Path]) -> Path:
    return prompted["sam2"]


@pytest.fixture(scope="module")
def tracker(folder: Path) -> Iterator[PromptableTracker]:
    with Sam2Config(device="cpu", weights=str(folder)).build() as loaded:
        yield loaded


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("prompt", [CLICKS, CLICK, BOX, BOTH], ids=["clicks", "click", "box", "both"])
def test_masks_are_those_of_the_image_model(
    tracker: PromptableTracker, folder: Path, prompt: Prompt, multimask: bool
) -> None:
    import torch
    from transformers import Sam2Model, Sam2Processor

    model = Sam2Model.from_pretrained(folder).eval()
    processor = Sam2Processor(
        tracker.engine.processor.image_processor, target_size=tracker.engine.processor.target_size
    )
    given = processor(
        images=[IMAGE],
        input_points=[[[list(map(float, xy)) for xy in prompt.points]]] if prompt.points else None,
        input_labels=[[list(prompt.labels)]] if prompt.points else None,
        input_boxes=[[list(map(float, prompt.box))]] if prompt.box else None,
        return_tensors="pt",
    )
    with torch.inference_mode():
        output = model(**{k: v for k, v in given.items() if k != "original_sizes"}, multimask_output=multimask)
    planes = processor.post_process_masks(output.pred_masks, given["original_sizes"])[0][0].numpy()
    order = output.iou_scores[0, 0].argsort(descending=True).tolist()
    (ours,) = segment_image(tracker, IMAGE, [prompt], multimask)
    assert len(ours) == len(order) == (3 if multimask else 1)
    for mask, n in zip(ours, order, strict=True):
        theirs = planes[n]
        seen = mask.mask.full(WIDTH, HEIGHT) > 0
        assert (seen ^ theirs).sum() < 0.002 * theirs.size  # the video processor rounds a resized pixel elsewhere
        assert mask.score == pytest.approx(float(output.iou_scores[0, 0, n]), abs=2e-3)


def test_masks_come_sorted_and_prompts_do_not_disturb_each_other(tracker: PromptableTracker) -> None:
    together = segment_image(tracker, IMAGE, [BOX, CLICK, BOTH, CLICKS, BOX, CLICK])
    for masks in together:
        scores = [each.score for each in masks]
        assert scores == sorted(scores, reverse=True) and len(scores) == 3
    assert together[0] == together[4] and together[1] == together[5]
    for prompt, masks in zip((BOX, CLICK, BOTH, CLICKS), together, strict=False):
        (alone,) = segment_image(tracker, IMAGE, [prompt])
        assert [m.score for m in alone] == pytest.approx([m.score for m in masks], abs=1e-5)
        for one, other in zip(alone, masks, strict=True):
            a, b = one.mask.full(WIDTH, HEIGHT), other.mask.full(WIDTH, HEIGHT)
            assert np.count_nonzero(a != b) <= 3  # batched sums round differently
    assert segment_image(tracker, IMAGE, []) == []


def test_many_prompts_go_in_several_passes(tracker: PromptableTracker) -> None:
    points = [(float(x), float(y)) for x in range(4, WIDTH, 16) for y in range(4, HEIGHT, 14)]
    found = segment_image(tracker, IMAGE, [Prompt(points=(xy,), labels=(1,)) for xy in points], multimask=False)
    assert len(found) == len(points) == 80
    (last,) = segment_image(tracker, IMAGE, [Prompt(points=(points[-1],), labels=(1,))], multimask=False)
    assert last[0].score == pytest.approx(found[-1][0].score, abs=1e-5)


def test_sam3s_tracker_does_it_too(checkpoint: Path) -> None:
    with Sam3TrackerConfig(device="cpu", weights=str(checkpoint)).build() as loaded:
        assert len(segment_image(loaded, IMAGE, [BOX, CLICK])) == 2


def test_what_does_not_fit_a_picture_is_refused(tracker: PromptableTracker) -> None:
    with pytest.raises(UnknownPrompt, match="tracker=motion segments no single pictures; sam2 and sam3_tracker do"):
        segment_image(MotionConfig().build(), IMAGE, [BOX])
    with pytest.raises(UnknownPrompt, match="by points and boxes, not by mask"):
        segment_image(tracker, IMAGE, [Prompt(mask=np.ones((HEIGHT, WIDTH), bool))])
    with pytest.raises(WrongPrompt, match=r"the point \[200, 3\] lies outside the frame of 160x112"):
        segment_image(tracker, IMAGE, [Prompt(points=((200, 3),), labels=(1,))])
    with pytest.raises(WrongPrompt, match="needs a point inside the object"):
        segment_image(tracker, IMAGE, [Prompt(points=((20, 3),), labels=(0,))])
    with pytest.raises(ValueError, match=r"is \(height, width, 3\) uint8, got \(112, 160\) uint8"):
        segment_image(tracker, IMAGE[..., 0], [BOX])
