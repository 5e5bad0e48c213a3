"""The frames of a dataset's windows as JPEG at display size, decoded from the source videos when they are asked for."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import ExitStack

import cv2

from pipeline.cache import Cache
from pipeline.settings import Settings
from pipeline.source_frames import SourceFrames
from studio.errors import StudioError
from studio.windows import Place, Windows
from video.connection import is_remote
from video.errors import FetchError, VideoError

SIDES = (480, 960, 1440, 1920)  # the longer side; what is asked for is rounded up to one of them
KEPT_BYTES = 64 * 2**20
OPEN = 2  # windows whose decoded frames stay in memory


class WindowPictures:
    """See the module docstring; may be used from several threads. quality: of JPEG, 1 to 100."""

    def __init__(self, windows: Windows, quality: int) -> None:
        self._windows = windows
        self._quality = quality
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._bytes = 0
        self._open: OrderedDict[tuple[str, int], _Opened] = OrderedDict()

    def jpeg(self, place: Place, position: int, side: int) -> bytes:
        """The picture at a grid position of a window. Raises StudioError: 404 without the video, 422 for damage."""
        side = next((each for each in SIDES if each >= side), SIDES[-1])
        key = place.video.fingerprint, position, side
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            opened = self._open.setdefault((place.window.id, side), _Opened(place, self._windows.settings, side))
            self._open.move_to_end((place.window.id, side))
            old = [self._open.popitem(last=False)[1] for _ in range(max(0, len(self._open) - OPEN))]
        for each in old:
            each.close()
        data = opened.jpeg(position, self._quality)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = data
                self._bytes += len(data)
            while self._bytes > KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return data

    def close(self) -> None:
        """Drop everything."""
        with self._lock:
            opened, self._open = list(self._open.values()), OrderedDict()
            self._kept.clear()
            self._bytes = 0
        for each in opened:
            each.close()


class _Opened:
    """A window's frames, decoded in blocks."""

    def __init__(self, place: Place, settings: Settings, side: int) -> None:
        self._lock = threading.Lock()
        self._place = place
        self._settings = settings
        self._side = side
        self._stack = ExitStack()
        self._frames: SourceFrames | None = None
        window, video = place.window, place.video
        last = place.chunk.grid.positions(video)
        self._positions = range(window.start, max(window.start + 1, min(window.stop, last)))

    def jpeg(self, position: int, quality: int) -> bytes:
        video = self._place.video
        with self._lock:
            if not is_remote(video.path) and not os.path.isfile(video.path):
                raise StudioError(
                    404, f"the source video {video.path} is not at hand: mount its drive, or put it back, to see frames"
                )
            if position not in self._positions:
                raise StudioError(404, f"{video.name}: position {position} is beyond its end")
            try:
                rgb = self._opened()[self._positions.index(position)]
            except FetchError as error:
                self._rest()
                raise StudioError(404, f"the source video {video.path} is not at hand: {error}") from error
            except (VideoError, OSError) as error:
                self._rest()
                raise StudioError(422, f"{video.name}: this frame cannot be decoded: {error}") from error
        done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done, "encoding a picture in memory cannot fail"
        return data.tobytes()

    def close(self) -> None:
        with self._lock:
            self._rest()

    def _opened(self) -> SourceFrames:
        """The frames of the file, which is fetched first when it is on a server."""
        if self._frames is None:
            with ExitStack() as stack:
                cache = stack.enter_context(Cache(self._settings.cache))
                here = stack.enter_context(cache.hold(self._place.video))
                grid = self._place.chunk.grid
                self._frames = stack.enter_context(
                    SourceFrames(here, self._settings.reader, self._positions, self._side, grid)
                )
                self._stack = stack.pop_all()
        return self._frames

    def _rest(self) -> None:
        self._frames = None
        self._stack.close()
