"""One window of transformers' SAM3 video model: frames in, results per frame out, memory bounded in between.

The library's session holds every frame at model resolution and every object's state of every frame. `Window` prepares
a frame when the model asks for it and forgets, after each step, what no later step reads; the results are the same.
It never touches the model's weights and holds the session alone: drop it, and everything of the window is freed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam.backends import hf_kernel
from sam.backends.hf_features import Features, Texts
from sam.backends.hf_masks import Found, leave_device
from sam.backends.transfer import onto
from sam.errors import TrackingFailed

STATE = ("maskmem_features", "maskmem_pos_enc")  # an object's memory of one frame


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded model, its processor, and where and how it runs. dtype: torch's. texts: what it made of texts so far."""

    model: Any
    processor: Any
    device: str
    dtype: Any
    texts: Texts = field(default_factory=Texts)


class Pictures(Mapping[int, Any]):
    """The window's frames by number, prepared for the model when it asks and never kept: (3, S, S) tensors."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], engine: Engine) -> None:
        self._images = images
        self._engine = engine

    def __getitem__(self, frame: int) -> Any:
        engine = self._engine
        image = onto(self._images[frame], engine.device)
        done = engine.processor.video_processor(  # bytes go to the device, all arithmetic is done there
            videos=image.permute(2, 0, 1)[None],
            device=engine.device,
            return_tensors="pt",
            input_data_format="channels_first",
        )
        return done.pixel_values_videos[0][0].to(engine.dtype)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self._images)))


@dataclass(frozen=True, slots=True)
class Result:
    """The objects of one frame, their masks at the frames' size, and the texts that found them, by id."""

    found: Found
    texts: dict[int, str]


class Window:
    """The tracking state of one window; see the module docstring.

    images: T frames (h, w, 3) uint8 RGB. texts: what to find, each in its own layer: objects of one text are disjoint,
    objects of two texts may overlap. state_on_cpu: keep the objects' memory in main memory between the steps.
    features: what is known of these frames from other passes, or will be kept for them. batch: frames to encode at a
    time.
    """

    def __init__(
        self,
        engine: Engine,
        images: Sequence[NDArray[np.uint8]],
        texts: Sequence[str],
        state_on_cpu: bool,
        features: Features | None = None,
        batch: int = 1,
    ) -> None:
        self._engine = engine
        self._features, self._batch = features, batch
        self._state_device = "cpu" if state_on_cpu else engine.device
        self._session = engine.processor.init_video_session(
            inference_device=engine.device, inference_state_device=engine.device, dtype=engine.dtype
        )
        self._session.processed_frames = Pictures(images, engine)
        self._session.video_height, self._session.video_width = images[0].shape[:2]
        self._add(texts)
        self.most_objects = 0  # tracked at once so far
        self._places: Any = None  # the position encoding of a frame's memory, the same for all objects and frames

    def _add(self, texts: Sequence[str]) -> None:
        longest = self._engine.model.config.detector_config.text_config.max_position_embeddings
        for text in texts:
            length = len(self._engine.processor.tokenizer(text).input_ids)
            if length > longest:
                raise TrackingFailed(f"the prompt {text!r} is too long: {length} tokens, SAM3 reads {longest}")
        self._engine.processor.add_text_prompt(self._session, list(texts))
        self._engine.texts.give(self._session)

    def results(self) -> Iterator[Result]:
        """Track through all frames; yields one result per frame, in order, `hotstart_delay` frames late.

        What an object turns out to be within that delay decides whether it is shown at all: one that detection does
        not confirm, or that doubles another one, is taken out of the frames that are still held back too.
        """
        model, session = self._engine.model, self._session
        held: list[Any] = []
        with suppress(Exception):  # of a window that ended otherwise
            hf_kernel.check()
        for frame in range(len(session.processed_frames)):
            try:
                with self._encoded(frame):
                    held.append(model(inference_session=session, frame_idx=frame))
            finally:  # also where memory runs out, and they are why
                self.most_objects = max(self.most_objects, len(session.obj_ids))
            hf_kernel.check()
            if frame == 0:
                self._engine.texts.take(session)
            if model.hotstart_delay > 0:
                session.hotstart_removed_obj_ids.update(held[-1].removed_obj_ids)
            self._forget(frame)
            if len(held) >= model.hotstart_delay:
                yield self._result(held.pop(0))
        while held:
            yield self._result(held.pop(0))

    def _encoded(self, frame: int) -> AbstractContextManager[None]:
        if self._features is None:
            return nullcontext()
        return self._features.of(frame, self._session.processed_frames, self._batch)

    def _result(self, output: Any) -> Result:
        import torch

        with torch.inference_mode():
            done = self._engine.processor.postprocess_outputs(self._session, output)
        ids, scores = done["object_ids"].tolist(), done["scores"].tolist()
        return Result(
            leave_device(output.frame_idx, ids, scores, done["masks"], done["boxes"]),
            texts={i: text for text, ids in done["prompt_to_obj_ids"].items() for i in ids},
        )

    def _forget(self, frame: int) -> None:
        """Drop what no step after `frame` reads.

        The tracker looks back at the memory of `num_maskmem` frames, at the latest `max_cond_frame_num` frames where
        detection confirmed the object, and at object pointers of `max_object_pointers_in_encoder` frames.
        """
        session, tracker = self._session, self._engine.model.tracker_model
        remembered = frame - int(tracker.num_maskmem)
        pointed = frame - int(tracker.config.max_object_pointers_in_encoder)
        confirmed = int(tracker.config.max_cond_frame_num)
        for inputs in session.mask_inputs_per_obj.values():
            inputs.clear()
        for stored in session.output_dict_per_obj.values():
            seeds, others = stored["cond_frame_outputs"], stored["non_cond_frame_outputs"]
            for old in [t for t in others if t < pointed]:
                del others[old]
            latest = set(sorted(seeds)[-confirmed:] if confirmed > 0 else seeds)
            for entries, keep in ((seeds, latest), (others, set())):
                for t, entry in entries.items():
                    self._thin(entry, keep=t in keep or t >= remembered)
        for by_frame in (session.obj_id_to_tracker_score_frame_wise, session.suppressed_obj_ids):
            for old in [t for t in by_frame if t < frame]:
                del by_frame[old]

    def _thin(self, entry: dict[str, Any], keep: bool) -> None:
        """Of one object's state of one frame: masks are never read again, memory only if `keep`."""
        for name in ("high_res_masks", "pred_masks", *(() if keep else STATE)):
            entry.pop(name, None)
        memory, places = (entry.get(name) for name in STATE)
        if memory is not None and memory.device.type != self._state_device.partition(":")[0]:
            entry[STATE[0]] = memory.to(self._state_device)
        if places is not None:
            if self._places is None:
                self._places = places.to(self._engine.device, copy=True)  # of a batch, which a view would hold
            entry[STATE[1]] = self._places
