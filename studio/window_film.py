"""One window's frames as JPEG, decoded once: the whole window in one pass, in the background, from where one looks.

Decoding forward reads the file once, while every jump back, or far ahead, begins again at a key frame; so the pass goes
on forward, jumps only to what is asked for and far away, and comes back for what it left out. The pictures lie in a
file without a name, which ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.cache import Cache
from pipeline.settings import Settings
from pipeline.stages.source_frames import SourceFrames
from pipeline.writing import disk_errors
from studio.errors import StudioError
from studio.windows import Place
from video.connection import is_remote
from video.errors import FetchError, VideoError

log = logging.getLogger(__name__)

MOST_BYTES = 256 * 2**20  # of one window; beyond it begins anew with what is asked for
BLOCK = 4  # frames decoded together; the first of them is shown when all are there
AHEAD = 64  # frames that the pass goes through sooner than it jumps
WAIT_S = 60.0


class Closed(Exception):
    """The film was closed: open it again."""


class Film:
    """See the module docstring; may be used from several threads. side: of the pictures. folder: for the file."""

    def __init__(self, place: Place, settings: Settings, side: int, quality: int, folder: Path) -> None:
        self._place = place
        self._settings = settings
        self._side = side
        self._quality = quality
        self._folder = folder
        window, video = place.window, place.video
        last = place.chunk.grid.positions(video)
        self._positions = range(window.start, max(window.start + 1, min(window.stop, last)))
        with disk_errors(folder / "frames"):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._wake = threading.Condition()
        self._there: dict[int, tuple[int, int]] = {}  # offset and length of frames' pictures
        self._errors: dict[int, Exception] = {}
        self._wanted: list[int] = []  # what is waited for, the latest last
        self._size = 0
        self._at = -1  # where the pass is
        self._block = 1
        self._filling = False
        self._thread: threading.Thread | None = None
        self._closed = False

    def jpeg(self, position: int) -> bytes:
        """The picture at a grid position; the rest of the window follows in the background.

        Raises Closed, DiskError, StudioError: 404 without the video, 422 for damage.
        """
        if position not in self._positions:
            raise StudioError(404, f"{self._place.video.name}: position {position} is beyond its end")
        n = self._positions.index(position)
        with self._wake:
            if not self._closed:
                self._filling = True
                self._errors.pop(n, None)
                if len(self._there) + len(self._errors) < len(self._positions):
                    self._go()
            while n not in self._there:
                if self._closed:
                    raise Closed
                if n in self._errors:
                    raise self._errors[n]
                if n not in self._wanted:  # also where it was there, and had to make room before this thread woke up
                    self._wanted.append(n)
                self._go()
                if not self._wake.wait(WAIT_S):
                    raise StudioError(503, f"{self._place.video.name}: this frame takes too long to decode: try again")
            offset, length = self._there[n]
            return os.pread(self._file.fileno(), length, offset)

    def pause(self) -> None:
        """Decode only what is waited for, until something is asked for again."""
        with self._wake:
            self._filling = False

    @property
    def decoded(self) -> int:
        """How many frames are there."""
        return len(self._there)

    @property
    def working(self) -> bool:
        return self._thread is not None

    def close(self) -> None:
        """Stop, and drop everything."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
            if self._thread is None:
                self._file.close()

    # -- the pass ------------------------------------------------------------------------------------------------------

    def _go(self) -> None:
        """With the lock: see that somebody decodes."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="film", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        video, grid = self._place.video, self._place.chunk.grid
        try:
            if not is_remote(video.path) and not os.path.isfile(video.path):
                why = f"the source video {video.path} is not at hand: mount its drive, or put it back, to see frames"
                raise StudioError(404, why)
            with ExitStack() as stack:
                cache = stack.enter_context(Cache(self._settings.cache))
                here = stack.enter_context(cache.hold(video))
                images = SourceFrames(here, self._settings.reader, self._positions, self._side, grid, BLOCK)
                frames = stack.enter_context(images)
                self._block, self._at = frames.block, -1
                while (n := self._next()) is not None:
                    self._make(frames, n)
        except FetchError as error:
            self._fail(StudioError(404, f"the source video {video.path} is not at hand: {error}"))
        except Exception as error:  # whoever waits is told, and the next request begins anew
            if not isinstance(error, StudioError):
                log.exception("%s: frames cannot be decoded", video.name)
            self._fail(error)

    def _next(self) -> int | None:
        """What to decode now; None when nothing is to be done, and then the thread is over."""
        with self._wake:
            done = self._there.keys() | self._errors.keys()
            self._wanted = [n for n in self._wanted if n not in done]
            if not self._closed and self._wanted:
                target = self._wanted[-1]
                first = self._at + 1 if 0 <= self._at < target <= self._at + AHEAD else target
                between: Sequence[int] = range(first, target + 1)
                return next(n for n in between if n not in done)
            if not self._closed and self._filling:
                begin = max(0, self._at) // self._block * self._block  # of what is decoded already
                order = (*range(begin, len(self._positions)), *range(begin))
                following: int | None = next((n for n in order if n not in done), None)
                if following is not None:
                    return following
            self._end()
            return None

    def _make(self, frames: SourceFrames, n: int) -> None:
        try:
            data = _encoded(frames[n], self._quality)
        except (VideoError, OSError) as error:
            frames.rest()
            with self._wake:
                self._errors[n] = StudioError(422, f"{self._place.video.name}: this frame cannot be decoded: {error}")
                self._wake.notify_all()
            return
        with self._wake:
            if self._size + len(data) > MOST_BYTES:
                self._there.clear()
                self._size, self._filling = 0, False
            with disk_errors(self._folder / "frames"):
                os.pwrite(self._file.fileno(), data, self._size)
            self._there[n] = self._size, len(data)
            self._size += len(data)
            self._at = n
            self._wake.notify_all()

    def _fail(self, error: Exception) -> None:
        """Nothing can be decoded: whoever waits is told."""
        with self._wake:
            self._errors |= dict.fromkeys(self._wanted, error)
            self._filling = False
            self._end()

    def _end(self) -> None:
        """With the lock: the thread is over."""
        self._thread = None
        self._wanted = []
        if self._closed:
            self._file.close()
        self._wake.notify_all()


def _encoded(rgb: NDArray[np.uint8], quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "encoding a picture in memory cannot fail"
    return data.tobytes()
