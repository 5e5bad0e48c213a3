"""What SAM3's image backbone makes of a window's frames, kept between passes for several prompts.

The backbone takes most of the time of a frame and sees no prompt, so a second pass over the same frames need not run
it again; everything behind it is computed by every pass as if it were alone, so that what one prompt finds never
depends on the others. Results are the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIMIT = 512 * 2**20  # bytes kept on the device: 50 frames of SAM3 in bfloat16


class Features:
    """The backbone's outputs by frame of one window; drop it and they are freed.

    Frames that do not fit into `limit` bytes are computed by every pass. computed: how often the backbone really ran.
    """

    def __init__(self, backbone: Any, limit: int = LIMIT) -> None:
        self._backbone = backbone
        self._limit = limit
        self._kept: dict[int, Any] = {}
        self._bytes = 0
        self.computed = 0

    @contextmanager
    def of(self, frame: int) -> Iterator[None]:
        """While entered, the backbone answers for this frame from what is kept, or computes it and keeps it."""
        own, compute = vars(self._backbone).get("forward"), self._backbone.forward

        def forward(*given: Any, **options: Any) -> Any:
            if frame in self._kept:
                return self._kept[frame]
            made = compute(*given, **options)
            self.computed += 1
            size = made.last_hidden_state.nbytes
            if self._bytes + size <= self._limit:
                self._kept[frame] = made
                self._bytes += size
            return made

        self._backbone.forward = forward
        try:
            yield
        finally:
            if own is None:
                del self._backbone.forward
            else:
                self._backbone.forward = own
