"""Several objects in one step of SAM3's tracker.

transformers tracks the objects of a frame one after the other, since their clicks may differ. Objects that only follow
their memory differ in nothing but numbers, so `Together` runs memory attention and the mask decoder once for as many of
them as fit in a batch; the library's loop around it, its memory and its heuristics stay as they are. The arithmetic is
the library's (`Sam3TrackerVideoModel` of transformers 5.23), batched: results differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Memory:
    """What one object remembers. tokens, places: (L, 1, C); the last `pointers` of the L are object pointers."""

    tokens: Any
    places: Any
    pointers: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.tokens.shape[0], self.pointers


class Together:
    """Takes the place of a tracker model's step for one object. batch: objects in a step, at most."""

    def __init__(self, tracker: Any, batch: int) -> None:
        self._tracker = tracker
        self._alone = tracker._run_single_frame_inference
        self.batch = batch
        self._done: dict[int, dict[str, Any]] = {}  # by object index, of the frame at hand

    @contextmanager
    def installed(self) -> Iterator[None]:
        """While entered, the tracker model uses it; nothing it computed is left behind."""
        self._tracker._run_single_frame_inference = self._step
        try:
            yield
        finally:
            self._done.clear()
            del self._tracker._run_single_frame_inference

    def _step(self, **given: Any) -> dict[str, Any]:
        """One object's results on one frame, as the library asks for them."""
        session, frame, index = given["inference_session"], given["frame_idx"], given["obj_idx"]
        if index not in self._done:
            self._done.clear()
            others = range(index + 1, session.get_obj_num())
            plain = [index, *(n for n in others if _follows(session, n, frame))] if _only_follows(given) else [index]
            if len(plain) == 1:
                made: dict[str, Any] = self._alone(**given)
                return made
            self._track(session, frame, plain[: self.batch])
        return self._done.pop(index)

    def _track(self, session: Any, frame: int, indices: list[int]) -> None:
        """Track these objects through a frame, those whose memories are equally long together."""
        by_shape: dict[tuple[int, int], list[tuple[int, Memory]]] = {}
        for index in indices:
            memory = self._remember(session, frame, index)
            by_shape.setdefault(memory.shape, []).append((index, memory))
        for group in by_shape.values():
            made = self._decode(session, frame, [memory for _, memory in group])
            for row, (index, _) in enumerate(group):
                self._done[index] = {name: value[row : row + 1] for name, value in made.items()}

    def _remember(self, session: Any, frame: int, index: int) -> Memory:
        """An object's memory of earlier frames, then its pointers."""
        import torch

        tracker, where = self._tracker, session.inference_device
        outputs = tracker._gather_memory_frame_outputs(session, index, frame, False)
        tokens, places = tracker._build_memory_attention_inputs(outputs, where)
        offsets, pointers, most = tracker._get_object_pointers(session, index, frame, session.num_frames, where)
        seen, seen_places = tracker._process_object_pointers(offsets, pointers, most, 1, tracker.hidden_dim, where)
        count = 0 if seen is None else int(seen.shape[0])
        if seen is not None:
            tokens, places = [*tokens, seen], [*places, seen_places]
        return Memory(torch.cat(tokens).to(session.dtype), torch.cat(places), count)

    def _decode(self, session: Any, frame: int, memories: list[Memory]) -> dict[str, Any]:
        """What the library's `_run_single_frame_inference` gives, for B objects: each value begins with B."""
        import torch
        from torch.nn import functional
        from transformers.models.sam3_tracker_video.modeling_sam3_tracker_video import NO_OBJ_SCORE

        tracker, count = self._tracker, len(memories)
        features, positions = tracker._prepare_vision_features(session, frame, 1)
        finer = [
            each.permute(1, 2, 0).view(1, each.size(2), *size).expand(count, -1, -1, -1)
            for each, size in zip(features[:-1], tracker.backbone_feature_sizes[:-1], strict=True)
        ]
        seen = tracker.memory_attention(
            current_vision_features=features[-1].expand(-1, count, -1),
            current_vision_position_embeddings=positions[-1].expand(-1, count, -1),
            memory=torch.cat([memory.tokens for memory in memories], dim=1),
            memory_posision_embeddings=torch.cat([memory.places for memory in memories], dim=1),
            num_object_pointer_tokens=memories[0].pointers,
        )
        conditioned = seen[0].transpose(1, 2).reshape(count, tracker.hidden_dim, *tracker.backbone_feature_sizes[-1])
        sparse, dense = tracker.prompt_encoder(
            input_points=conditioned.new_zeros(count, 1, 1, 2),
            input_labels=-torch.ones(count, 1, 1, dtype=torch.int32, device=conditioned.device),
            input_boxes=None,
            input_masks=None,
        )
        masks, likeness, tokens, scores = tracker.mask_decoder(
            image_embeddings=conditioned,
            image_positional_embeddings=tracker.get_image_wide_positional_embeddings().repeat(count, 1, 1, 1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=tracker._use_multimask(False, None),
            high_resolution_features=finer,
        )
        each, best = torch.arange(count, device=masks.device), likeness[:, 0].argmax(dim=-1)
        appears = scores > 0  # (B, 1, 1)
        low = torch.where(appears[..., None], masks[each, 0, best][:, None], NO_OBJ_SCORE)
        size = (tracker.image_size, tracker.image_size)
        high = functional.interpolate(low.float(), size=size, mode="bilinear", align_corners=False).to(low.dtype)
        pointer = tracker.object_pointer_proj(tokens[each, 0, best if tokens.size(2) > 1 else 0])
        there = appears[:, 0].to(pointer.dtype)
        return {
            "pred_masks": low,
            "object_pointer": (there * pointer + (1 - there) * tracker.no_object_pointer)[:, None],
            "high_res_masks": high,
            "object_score_logits": scores,
        }


def _only_follows(given: dict[str, Any]) -> bool:
    """Whether a step has nothing to go by but the object's memory."""
    said = given["point_inputs"], given["mask_inputs"], given.get("prev_sam_mask_logits")
    return all(each is None for each in said) and not (
        given["is_init_cond_frame"] or given["reverse"] or given.get("streaming")
    )


def _follows(session: Any, index: int, frame: int) -> bool:
    """Whether the library will ask for this object too, with nothing to go by but its memory."""
    new = session.obj_idx_to_id(index) in session.obj_with_new_inputs
    return not new and frame not in session.output_dict_per_obj[index]["cond_frame_outputs"]
