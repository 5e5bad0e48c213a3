"""Masks that a person was shown, until they are accepted: a correction then holds exactly these."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from pipeline.drawings import Drawing
from pipeline.track_store import WindowTracks
from sam.types import Mask
from studio.errors import StudioError
from studio.windows import Place

KEPT = 64  # of all who correct at once


class Shown:
    """See the module docstring; may be used from several threads. What a later click replaced is forgotten in time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], Drawing] = OrderedDict()

    def keep(self, place: Place, window: WindowTracks, masks: Mapping[int, Mask | None]) -> str | None:
        """Keep the masks of one object by session frame, without a gap; returns their name, None if all are empty."""
        if not any(masks.values()):
            return None
        order = sorted(masks)
        frames = tuple(int(window.indices[n]) for n in order)
        drawing = Drawing(place.video.width, place.video.height, frames, tuple(masks[n] for n in order))
        with self._lock:
            self._kept[place.window.id, drawing.name] = drawing
            self._kept.move_to_end((place.window.id, drawing.name))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return drawing.name

    def find(self, place: Place, name: str) -> Drawing:
        """What was shown in a window. Raises StudioError (409) when it is forgotten."""
        with self._lock:
            found = self._kept.get((place.window.id, name))
        if found is None:
            raise StudioError(409, f"the studio no longer has the masks {name[:64]!r} of this window: follow once more")
        return found
