"""One object in one window of a promptable video model: its prompts, its memory, and a step from frame to frame.

Every object has a session of the library's own to itself. The library keeps several objects in one session, where the
prompts of one decide how the memory of all is written, only the last prompted one is seen to, and every object runs on
every frame; apart, an object depends on its own prompts alone, and starts where it was named. The picture features are
shared, so a frame is encoded once.

What a prompt means: a box or a mask (with points or without) says anew what the object is; points alone correct what
the tracker sees there, in view of its memory and of its mask so far. Every frame with a prompt is one that the tracker
looks back at from wherever it is ("conditioning frame"). The library leaves a correction on a tracked frame out of
these, and tracks over it the next time.

Source of the behaviour described here: transformers `Sam2VideoModel` 5.23; the corrections follow SAM2's own predictor
(N. Ravi et al., SAM 2, 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sam.backends.hf_window import STATE, Engine
from sam.types import Prompt

ALONE = 0  # the library's number for the only object of a session
SURE = 32.0  # logits of an earlier mask are cut to this before they go back into the model


@dataclass(frozen=True, slots=True)
class Seen:
    """An object in one frame. logits: (1, 1, s, s) tensor, low resolution. score: that it is there, 0 to 1."""

    logits: Any
    score: float


class PromptedObject:
    """See the module docstring.

    session: a new one of the library, that nobody else puts objects into. state_device: where memory is kept. lasting:
    keep the state of all frames, so that tracking can go on from any of them; else that of the frames within reach.
    """

    def __init__(self, engine: Engine, session: Any, state_device: str, lasting: bool) -> None:
        self._engine = engine
        self._session = session
        self._state_device = state_device
        self._lasting = lasting
        self._given: dict[int, Prompt] = {}
        session.obj_id_to_idx(ALONE)

    @property
    def prompted(self) -> list[int]:
        """Frames with a prompt, ascending."""
        return sorted(self._given)

    @property
    def _conditioning(self) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = self._session.output_dict_per_obj[ALONE]["cond_frame_outputs"]
        return found

    @property
    def _tracked(self) -> dict[int, dict[str, Any]]:
        found: dict[int, dict[str, Any]] = self._session.output_dict_per_obj[ALONE]["non_cond_frame_outputs"]
        return found

    def prompt(self, prompt: Prompt) -> Seen:
        """Take a prompt in. Points alone, on a frame the object has not reached, make it track up to there first."""
        frame = prompt.frame
        if prompt.kinds != {"points"} or not self._given:
            self._forget_frame(frame)
            self._given[frame] = prompt
            return self._condition(frame, None, reverse=False)
        if frame not in self._conditioning and "pred_masks" not in self._tracked.get(frame, {}):
            self._reach(frame)
        known = self._given.get(frame)
        points, labels = prompt.points, prompt.labels
        if known is not None and known.mask is None:
            points, labels = known.points + points, known.labels + labels
        box = known.box if known is not None else None
        before = (self._conditioning if frame in self._conditioning else self._tracked)[frame]["pred_masks"]
        reverse = bool(self._session.frames_tracked_per_obj[ALONE].get(frame, {}).get("reverse", False))
        self._given[frame] = Prompt(frame=frame, object_id=prompt.object_id, points=points, labels=labels, box=box)
        return self._condition(frame, before, reverse)

    def step(self, frame: int, reverse: bool) -> Seen:
        """The object in one frame, from its memory of the frames before (or, in reverse, behind) it."""
        seen = self._run(frame, reverse)
        if not self._lasting:
            self._forget(frame)
        return seen

    def forget_tracked(self) -> None:
        """Forget everything but the frames with prompts."""
        self._tracked.clear()
        stays = {f: how for f, how in self._session.frames_tracked_per_obj[ALONE].items() if f in self._given}
        self._session.frames_tracked_per_obj[ALONE] = stays

    def _reach(self, frame: int) -> None:
        """Track from the nearest frame with a prompt up to one without."""
        start = min(self._given, key=lambda known: (abs(known - frame), known))
        way = 1 if start < frame else -1
        for each in range(start + way, frame + way, way):
            self.step(each, reverse=way < 0)

    def _condition(self, frame: int, before: Any, reverse: bool) -> Seen:
        """Run the model on a frame with its prompt. before: logits of the mask so far; None if it counts no more."""
        self._hand_over(self._given[frame])
        self._conditioning.pop(frame, None)  # what it remembers of this very frame must not decide
        with _starting_from(self._engine.model, before):
            seen = self._run(frame, reverse)
        if frame in self._tracked:
            self._conditioning[frame] = self._tracked.pop(frame)
        return seen

    def _hand_over(self, prompt: Prompt) -> None:
        add = partial(self._engine.processor.add_inputs_to_inference_session, self._session, prompt.frame, ALONE)
        if prompt.mask is not None:
            add(input_masks=prompt.mask)
            return
        add(
            input_points=[[[list(map(float, xy)) for xy in prompt.points]]] if prompt.points else None,
            input_labels=[[list(prompt.labels)]] if prompt.points else None,
            input_boxes=[[list(map(float, prompt.box))]] if prompt.box is not None else None,
        )

    def _run(self, frame: int, reverse: bool) -> Seen:
        output = self._engine.model(inference_session=self._session, frame_idx=frame, reverse=reverse)
        for entries in (self._conditioning, self._tracked):
            if frame in entries:
                self._thin(entries[frame])
        return Seen(output.pred_masks, float(output.object_score_logits.float().sigmoid().flatten()[0]))

    def _thin(self, entry: dict[str, Any]) -> None:
        """Drop what is never read again of a frame's state, and put the rest where it belongs."""
        entry.pop("high_res_masks", None)
        for name in STATE:
            if name in entry and entry[name].device.type != self._state_device.partition(":")[0]:
                entry[name] = entry[name].to(self._state_device)

    def _forget_frame(self, frame: int) -> None:
        self._conditioning.pop(frame, None)
        self._tracked.pop(frame, None)
        self._session.frames_tracked_per_obj[ALONE].pop(frame, None)

    def _forget(self, frame: int) -> None:
        """Drop what no step beyond `frame`, on the same way, reads.

        The tracker looks at the memory of `num_maskmem` frames, at object pointers of `max_object_pointers_in_encoder`
        frames, and at all frames with prompts.
        """
        model = self._engine.model
        near, far = int(model.num_maskmem), int(model.config.max_object_pointers_in_encoder)
        for old in [t for t in self._tracked if abs(t - frame) > max(near, far)]:
            del self._tracked[old]
        for t, entry in self._tracked.items():
            if t != frame:
                entry.pop("pred_masks", None)
            if abs(t - frame) > near:
                for name in STATE:
                    entry.pop(name, None)
        ways = self._session.frames_tracked_per_obj[ALONE]
        for old in [t for t in ways if t not in self._tracked and t not in self._given]:
            del ways[old]


@contextmanager
def _starting_from(model: Any, logits: Any) -> Iterator[None]:
    """While entered, the model sees an earlier mask beside the points, as it was trained to; None for none.

    The library's model takes it one level below `forward`, which has no argument for it.
    """
    if logits is None:
        yield
        return
    run = model._run_single_frame_inference
    model._run_single_frame_inference = partial(run, prev_sam_mask_logits=logits.clamp(-SURE, SURE))
    try:
        yield
    finally:
        del model._run_single_frame_inference
