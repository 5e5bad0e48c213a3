"""What transformers' video models take of a device, counted on their own code with tensors that have only shapes.

A twin of the model is made from its config on torch's meta device (no weights, half a second at full size), and the
parts that a frame goes through are run on it one by one. What of their results is kept, and for how long, is as
`hf_window` and `promptable_object` do it.

Source of the steps and of their inputs: transformers 5.23, `Sam3VideoModel`, `Sam3TrackerVideoModel`, `Sam2VideoModel`
and `EdgeTamVideoModel`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sam.backends.counting import Counted, counted, parameter_bytes
from sam.backends.need import Memory, Need, Step

TEXT = 32  # tokens of a prompt
FEW = 4  # frames of memory; what each more takes is counted between these and twice as many
SHOWN = 256  # side of the picture on which the bytes for each pixel are counted
SPARE = 2  # frames of memory kept besides those that are read: the one at hand, and one at the end
ONCE = 10**9  # frames after which a named object is named again: never

Blank = Callable[..., Any]


def sam3_need(config: Any, dtype: Any, delay: int, batch: int = 1, together: int = 1) -> Need:
    """Of `Sam3VideoModel` in `Window`.

    config: the model's. dtype: torch's. delay: frames until a result is shown. batch: frames encoded at a time.
    together: objects followed at a time.
    """
    from transformers import Sam3VideoModel

    model, blank = _twin(Sam3VideoModel, config, dtype)
    detector, tracker = model.detector_model, model.tracker_model
    side, low = int(tracker.config.image_size), int(model.low_res_mask_size)
    follower = _Follower(tracker, blank, low, low)
    embeds: Any = None

    def encode() -> Any:
        nonlocal embeds
        embeds = detector.get_vision_features(pixel_values=blank(1, 3, side, side))
        return embeds

    counted(encode)  # makes the position encodings, which stay
    image = counted(encode)
    several = counted(lambda: detector.vision_encoder.backbone(blank(batch, 3, side, side)))
    shared: list[Any] = []
    neck = counted(lambda: shared.extend(model.get_vision_features_for_tracker(vision_embeds=embeds)))
    levels = list(embeds.fpn_hidden_states[:-1])
    width, cells = levels[-1].shape[1], levels[-1].shape[-1] ** 2
    fuse = counted(
        lambda: detector.detr_encoder(
            vision_features=[levels[-1]],
            text_features=blank(1, TEXT, width),
            vision_pos_embeds=[embeds.fpn_position_encoding[len(levels) - 1]],
        )
    )
    outline = counted(
        lambda: detector.mask_decoder(
            decoder_queries=blank(1, detector.detr_decoder.query_embed.weight.shape[0], width),
            backbone_features=levels,
            encoder_hidden_states=blank(1, cells, width),
            prompt_features=blank(1, TEXT, width),
        )
    )
    alone, both = _shown(blank, low, 1), _shown(blank, low, 2)
    return Need(
        weights=parameter_bytes(model),
        features=sum(each.nbytes for part in shared for each in part),
        memory=Memory(int(tracker.num_maskmem) - 1, int(tracker.config.max_cond_frame_num), _recondition(model), SPARE),
        moment=follower.moment,
        once=2 * follower.places + follower.pointers,
        held=low * low * blank(1).element_size(),
        delay=max(1, delay),
        steps=(
            Step("image encoder", max(image.peak, several.peak)),
            Step("tracker's neck", image.left + neck.peak - neck.left),
            Step("detector", image.left + max(fuse.peak, fuse.left + outline.peak)),
            follower.attending("memory attention", image.left, together),
            follower.writing("memory encoder", image.left),
            Step("masks", 0, pixel=2 * alone - both, each_pixel=both - alone),
        ),
    )


def promptable_need(config: Any, dtype: Any, made_by: Callable[[Any], Any]) -> Need:
    """Of a model in `PromptableWindow`, which runs one object after another. made_by: the model, from its config."""
    model, blank = _twin(made_by, config, dtype)
    side, low = int(model.config.image_size), 4 * int(model.backbone_feature_sizes[-1][0])
    follower = _Follower(model, blank, low, side)
    made: list[Any] = []

    def encode() -> None:
        made[:] = [model.get_image_features(blank(1, 3, side, side))]

    counted(encode)  # makes the position encodings, which stay
    image = counted(encode)
    features = (*made[0].fpn_hidden_states, *made[0].fpn_position_encoding)
    item = blank(1).element_size()
    attention = follower.attending("memory attention", 0)
    return Need(
        weights=parameter_bytes(model),
        features=sum(each.nbytes for each in features) + follower.places,
        memory=Memory(int(model.num_maskmem) - 1, 1, ONCE, SPARE),
        moment=follower.moment,
        once=follower.pointers + 2 * low * low * item,
        steps=(
            Step("image encoder", image.peak),
            replace(attention, fixed=attention.fixed + attention.each, each=0),
            follower.writing_alone("memory encoder"),
            Step("mask", low * low * item, pixel=5.0),
        ),
    )


def _twin(made_by: Callable[[Any], Any], config: Any, dtype: Any) -> tuple[Any, Blank]:
    """The model without content, and what makes its inputs."""
    import torch

    with torch.device("meta"):
        model = made_by(copy.deepcopy(config)).eval().to(dtype)

    def blank(*shape: int) -> Any:
        return torch.zeros(*shape, device="meta", dtype=dtype)

    return model, blank


def _recondition(model: Any) -> int:
    """Frames after which detection may confirm an object anew."""
    every = int(model.recondition_every_nth_frame)
    return every if every > 0 else ONCE


def _shown(blank: Blank, low: int, objects: int) -> float:
    """Bytes for each pixel while so many masks become those of a frame, as the library's processor does it."""
    from torch.nn import functional
    from transformers import Sam3VideoProcessor

    processor = object.__new__(Sam3VideoProcessor)  # the method reads nothing of it

    def show() -> Any:
        logits = blank(objects, 1, low, low)
        masks = functional.interpolate(logits, size=(SHOWN, SHOWN), mode="bilinear", align_corners=False) > 0
        copies = masks.clone(), masks.clone()
        scores = blank(objects, 1).float()
        return copies, processor._apply_object_wise_non_overlapping_constraints_impl(masks, scores, 0)

    logits = objects * low * low * int(blank(1).element_size())
    return (counted(show).peak - logits) / SHOWN**2


class _Follower:
    """The part that SAM2, EdgeTAM and SAM3 share: memory in, a mask out, memory written.

    low: side of its masks. written: side of the masks that its memory is written from. moment: bytes of one object's
    memory of a frame. places: of the position encoding of it, which frames share. pointers: of its object pointers.
    answer: of what one object's step leaves until its frame is done: a mask at low and one at full resolution.
    """

    def __init__(self, model: Any, blank: Blank, low: int, written: int) -> None:
        self._model, self._blank, self._written = model, blank, written
        self._grid = tuple(int(n) for n in model.backbone_feature_sizes[-1])
        self._cells, self._channels = self._grid[0] * self._grid[1], int(model.hidden_dim)
        self._write(1)
        memory, places = self._memory
        self.moment, self.places = memory.nbytes, places.nbytes
        self._tokens, self._width = max(memory.shape[:2]), memory.shape[2]
        self._pointers = int(model.config.max_object_pointers_in_encoder)
        item = blank(1).element_size()
        self.pointers = self._pointers * self._channels * item
        self.answer = (int(model.config.image_size) ** 2 + low * low) * item

    def writing_alone(self, name: str) -> Step:
        """The memory encoder, for one object after another."""
        return Step(name, self._write(1).peak + self.answer)

    def writing(self, name: str, beside: int) -> Step:
        """The memory encoder, for all objects at once. beside: what is alive besides."""
        one, two = self._write(1).peak, self._write(2).peak
        return Step(name, beside + 2 * one - two, each=self.answer + two - one)

    def attending(self, name: str, beside: int, objects: int = 1) -> Step:
        """Memory attention and the mask decoder, for so many objects after another. beside: what is alive besides."""
        few, many = self._attend(FEW, objects).peak, self._attend(2 * FEW, objects).peak
        past = (many - few) // FEW
        fixed = max(few - FEW * past, self._decode(objects).peak)
        return Step(name, beside + fixed, past=past, each=self.answer)

    def _write(self, objects: int) -> Counted:
        model, blank = self._model, self._blank

        def write() -> Any:
            self._memory = model._encode_new_memory(
                current_vision_feats=blank(self._cells, 1, self._channels).expand(-1, objects, -1),
                pred_masks_high_res=blank(objects, 1, self._written, self._written),
                object_score_logits=blank(objects, 1, 1),
                is_mask_from_pts=False,
            )

        return counted(write)

    def _attend(self, frames: int, objects: int) -> Counted:
        """On the memory of so many frames."""
        model, blank = self._model, self._blank
        pointers = self._pointers * (self._channels // self._width)
        length = frames * self._tokens + pointers
        seen = blank(self._cells, 1, self._channels).expand(-1, objects, -1)
        more = {"num_spatial_memory_tokens": frames} if hasattr(model, "spatial_perceiver") else {}
        return counted(
            lambda: model.memory_attention(
                current_vision_features=seen,
                current_vision_position_embeddings=seen,
                memory=blank(length, objects, self._width),
                memory_posision_embeddings=blank(length, objects, self._width),
                num_object_pointer_tokens=pointers,
                **more,
            )
        )

    def _decode(self, objects: int) -> Counted:
        model, blank, (height, width) = self._model, self._blank, self._grid
        finer = [blank(objects, self._channels // n, s * height, s * width) for n, s in ((8, 4), (4, 2))]
        return counted(
            lambda: model._single_frame_forward(
                pixel_values=None,
                input_points=None,
                input_labels=None,
                input_masks=None,
                image_embeddings=[*finer, blank(objects, self._channels, height, width)],
                multimask_output=True,
            )
        )
