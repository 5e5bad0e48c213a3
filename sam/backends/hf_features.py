"""What SAM3's encoders make of frames and of texts, computed once and used by every pass that needs it.

The image backbone takes most of the time of a frame and sees no prompt, so passes for other prompts over the same
frames need not run it again, nor does a window that begins with the frames that the one before it ended with. The text
encoder sees no frame, so a text is encoded once for as long as the model is loaded. Everything behind the two is
computed by every pass as if it were alone: what one prompt finds never depends on the others. Results are the same bit
for bit, except where frames are encoded several at a time or by a compiled backbone, which may round otherwise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam.types import SessionFrames

LIMIT = 512 * 2**20  # bytes kept on the device: 50 frames of SAM3 in bfloat16
TEXTS = 64  # texts whose features are kept: 32 tokens of 1024 and of 256 channels each


class Features:
    """The backbone's outputs by frame; what is kept stays until other frames are tracked or `keep(None)` drops it.

    limit: bytes that may be kept; frames beyond it are computed by every pass. room: fewer, while memory is short; None
    for all of them. compiled: the backbone as torch.compile makes it, prepared when it first runs.
    """

    def __init__(self, backbone: Any, limit: int = LIMIT, compiled: bool = False) -> None:
        self._backbone = backbone
        self._limit = limit
        self.room: int | None = None
        self._compiled = compiled
        self._compute = _compile(backbone) if compiled else backbone.forward
        self._frames: SessionFrames | None = None
        self._wanted = range(0)
        self._kept: dict[int, Any] = {}
        self._images: dict[int, NDArray[np.uint8]] = {}  # of what is kept, where pictures are held in memory
        self._ahead: dict[int, Any] = {}  # encoded together with an earlier frame, used once

    @property
    def allowed(self) -> int:
        """Bytes that may be kept now."""
        return self._limit if self.room is None else min(self._limit, self.room)

    @property
    def wanted(self) -> bool:
        """Whether anything is to be kept for other passes."""
        return bool(self._wanted)

    def __len__(self) -> int:
        return len(self._kept) + len(self._ahead)

    def keep(self, frames: SessionFrames | None, last: int | None = None) -> None:
        """See `sam.memory.ModelTracker.keep`."""
        if frames is None:
            self._forget()
            return
        first_time = frames is not self._frames
        self.open(frames)
        self._wanted = range(0 if last is None else len(frames) - last, len(frames))
        if not first_time:
            for frame in set(self._kept) - set(self._wanted):
                self._drop(frame)
            self._frames = None  # known by their pictures from now on

    def open(self, frames: SessionFrames) -> None:
        """These frames come next: of what is kept, that of pictures which are among them stays, under their numbers."""
        if frames is self._frames:
            return
        known = {id(image): self._kept[frame] for frame, image in self._images.items()}
        images = frames.images if isinstance(frames.images, list) else []  # others are decoded when they are asked for
        again = [(frame, image) for frame, image in enumerate(images) if id(image) in known]
        self._forget()
        self._frames = frames
        self._kept = {frame: known[id(image)] for frame, image in again}
        self._images = dict(again)

    def close(self) -> None:
        """The pass over the frames is over, or was left early; what is kept for others stays."""
        self._ahead.clear()
        if not self._wanted:
            self._forget()

    @contextmanager
    def of(self, frame: int, pictures: Mapping[int, Any], batch: int) -> Iterator[None]:
        """While entered, the backbone answers for this frame from what is known, or encodes it and those after it.

        pictures: by frame, (3, S, S) as the model takes them. batch: frames to encode at a time, at most.
        """
        own = vars(self._backbone).get("forward")

        def forward(pixels: Any, **options: Any) -> Any:
            if frame in self._kept:
                return self._kept[frame] if frame in self._wanted else self._drop(frame)
            if frame not in self._ahead:
                self._encode(frame, pixels, pictures, batch, options)
            made = self._ahead.pop(frame)
            self._store(frame, made)
            return made

        self._backbone.forward = forward
        try:
            yield
        finally:
            if own is None:
                del self._backbone.forward
            else:
                self._backbone.forward = own

    def _encode(self, frame: int, pixels: Any, pictures: Mapping[int, Any], batch: int, options: Any) -> None:
        """Run the backbone on this frame and on those after it that are not known."""
        import torch

        numbers = [frame]
        while len(numbers) < batch and numbers[-1] + 1 < len(pictures) and numbers[-1] + 1 not in self._kept:
            numbers.append(numbers[-1] + 1)
        if self._compiled and len(numbers) < batch:  # every number of frames would be compiled anew
            numbers = numbers[:1]
        if len(numbers) > 1:
            pixels = torch.cat([pixels, *(pictures[n][None] for n in numbers[1:])])
        made = self._compute(pixels, **options)
        for n, each in enumerate(numbers):  # copies: a part of a batch would hold all of it
            part = (
                made if len(numbers) == 1 else type(made)(last_hidden_state=made.last_hidden_state[n : n + 1].clone())
            )
            self._ahead[each] = part

    def _store(self, frame: int, made: Any) -> None:
        held = sum(each.last_hidden_state.nbytes for each in self._kept.values())
        if frame not in self._wanted or held + made.last_hidden_state.nbytes > self.allowed:
            return
        self._kept[frame] = made
        assert self._frames is not None
        if isinstance(self._frames.images, list):
            self._images[frame] = self._frames.images[frame]

    def _drop(self, frame: int) -> Any:
        self._images.pop(frame, None)
        return self._kept.pop(frame)

    def _forget(self) -> None:
        self._kept, self._images, self._ahead = {}, {}, {}
        self._frames, self._wanted = None, range(0)


class Texts:
    """What the text encoder made of the texts used last, at most `most` of them."""

    def __init__(self, most: int = TEXTS) -> None:
        self._most = most
        self._made: OrderedDict[str, Any] = OrderedDict()

    def give(self, session: Any) -> None:
        """Tell a session of the library what is known of its texts, so that its model does not encode them again."""
        for number, text in session.prompts.items():
            if text in self._made:
                self._made.move_to_end(text)
                session.prompt_embeddings[number] = self._made[text]

    def take(self, session: Any) -> None:
        """Keep what the session's model made of its texts."""
        for number, made in session.prompt_embeddings.items():
            self._made[session.prompts[number]] = made
        while len(self._made) > self._most:
            self._made.popitem(last=False)


def _compile(backbone: Any) -> Any:
    """The backbone's forward, compiled for one shape; on CUDA replayed as one graph, without a launch per kernel."""
    import torch

    mode = "reduce-overhead" if next(backbone.parameters()).is_cuda else "default"
    fast = torch.compile(backbone.forward, mode=mode, dynamic=False)

    def forward(pixels: Any, **options: Any) -> Any:
        made = fast(pixels, **options)
        made.last_hidden_state = made.last_hidden_state.clone()  # a graph writes its next result to the same place
        return made

    return forward
