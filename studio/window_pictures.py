"""The frames of a dataset's windows as JPEG at display size, from the source videos; those of a few windows stay."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from studio.errors import StudioError
from studio.window_film import Closed, Film
from studio.windows import Place, Windows

SIDES = (480, 960, 1440, 1920)  # the longer side; what is asked for is rounded up to one of them
OPEN = 4  # windows whose pictures are kept


class WindowPictures:
    """See the module docstring; may be used from several threads. quality: of JPEG, 1 to 100. folder: for pictures."""

    def __init__(self, windows: Windows, quality: int, folder: Path) -> None:
        self._windows = windows
        self._quality = quality
        self._folder = folder
        self._lock = threading.Lock()
        self._closed = False
        self._open: OrderedDict[tuple[str, int], Film] = OrderedDict()

    def jpeg(self, place: Place, position: int, side: int) -> bytes:
        """The picture at a grid position of a window. Raises DiskError, StudioError: 404 without the video, 422 for
        damage. The rest of the window is decoded ahead of need, and that of any other window waits."""
        side = next((each for each in SIDES if each >= side), SIDES[-1])
        while True:
            try:
                return self._film(place, side).jpeg(position)
            except Closed:  # so many others were opened meanwhile
                continue

    def _film(self, place: Place, side: int) -> Film:
        key = place.window.id, side
        with self._lock:
            if self._closed:
                raise StudioError(503, "the studio is stopping")
            film = self._open.get(key)
            if film is None:
                film = Film(place, self._windows.settings, side, self._quality, self._folder)
                self._open[key] = film
            self._open.move_to_end(key)
            old = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - OPEN)]
            for other in self._open.values():
                if other is not film:
                    other.pause()
        for each in old:
            each.close()
        return film

    def close(self) -> None:
        """Drop everything."""
        with self._lock:
            self._closed = True
            opened, self._open = list(self._open.values()), OrderedDict()
        for each in opened:
            each.close()
