"""Frames and overlays of sessions as JPEG, decoded when they are asked for.

A few decoded frames are in memory, a few hundred JPEG files on disk, in the session's `frames/` and `overlays/`; both
are caches. A video that is looked through forward stays open, so that the next frame costs one decoding step.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DiskError
from pipeline.stages.source_frames import EVERY
from pipeline.tasks.overlay import paint, paint_prompts
from pipeline.writing import write_bytes
from studio.errors import StudioError
from studio.session import Session
from video.errors import UnreadableVideo
from video.reader import open_reader
from video.readers.contract import VideoReader
from video.types import Video

RGB = NDArray[np.uint8]

IN_MEMORY = 96 * 2**20  # bytes of decoded frames
ON_DISK = 400  # JPEG files of each kind and session
OPEN = 8  # videos that stay open
STEPS = 8  # frames back that are kept after a jump
NEARBY = 16  # frames around one that is damaged, in which another is taken


class Pictures:
    """See the module docstring; may be used from several threads. quality: of JPEG, 1 to 100."""

    def __init__(self, reader: str, quality: int) -> None:
        self._how = reader
        self._quality = quality
        self._lock = threading.Lock()
        self._decoded: OrderedDict[tuple[str, int], RGB] = OrderedDict()
        self._bytes = 0
        self._open: OrderedDict[str, _Opened] = OrderedDict()

    def frame(self, session: Session, number: int) -> bytes:
        """A frame as JPEG."""
        path = session.folder / "frames" / f"{number:06}.jpg"
        if (kept := _read(path)) is not None:
            return kept
        data = self._jpeg(self.rgb(session, number))
        _keep(session, path, data)
        return data

    def overlay(self, session: Session, number: int) -> bytes:
        """A frame with its masks, ids and clicks, as JPEG."""
        with session.lock:
            stamp, masks = session.stamp, session.masks(number)
            prompts = [prompt for prompt in session.prompts if prompt.frame == number and prompt.text is None]
        path = session.folder / "overlays" / f"{number:06}.{stamp}.jpg"
        if (kept := _read(path)) is not None:
            return kept
        picture = paint(self.rgb(session, number), [(n, mask) for n, (mask, _) in masks.items()])
        paint_prompts(picture, prompts)
        data = self._jpeg(picture)
        _keep(session, path, data)
        return data

    def rgb(self, session: Session, number: int) -> RGB:
        """(height, width, 3) uint8; not to be changed. Of a frame too damaged to be decoded, one beside it."""
        key = session.id, number
        with self._lock:
            if key in self._decoded:
                self._decoded.move_to_end(key)
                return self._decoded[key]
            opened = self._open.setdefault(session.id, _Opened())
            self._open.move_to_end(session.id)
            old = [self._open.popitem(last=False)[1] for _ in range(max(0, len(self._open) - OPEN))]
        for each in old:
            each.close()
        pictures, nearest = opened.read(session.video, self._how, number)
        with self._lock:
            kept = {**{(session.id, n): rgb for n, rgb in pictures.items()}, key: pictures[nearest]}
            for place, rgb in kept.items():
                if place not in self._decoded:
                    self._decoded[place] = rgb
                    self._bytes += rgb.nbytes
            self._decoded.move_to_end(key)
            while self._bytes > IN_MEMORY and len(self._decoded) > 1:
                self._bytes -= self._decoded.popitem(last=False)[1].nbytes
        return pictures[nearest]

    def forget(self, session: str) -> None:
        """Drop what is held of a session, and close its file."""
        with self._lock:
            opened = self._open.pop(session, None)
            for key in [key for key in self._decoded if key[0] == session]:
                self._bytes -= self._decoded.pop(key).nbytes
        if opened is not None:
            opened.close()

    def close(self) -> None:
        """Drop everything."""
        for session in list(self._open):
            self.forget(session)

    def _jpeg(self, rgb: RGB) -> bytes:
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        assert done, "encoding a picture in memory cannot fail"
        return data.tobytes()


class _Opened:
    """A video that stays open for the next frame."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reader: VideoReader | None = None
        self._passed = -1

    def read(self, video: Video, how: str, number: int) -> tuple[dict[int, RGB], int]:
        """Frames by their numbers, and which of them is the one asked for, or stands in for it.

        Where a jump decodes the frames before it anyway, the last of them come too: whoever steps back finds them.
        """
        with self._lock:
            try:
                steps = max(1, min(STEPS, IN_MEMORY // (6 * video.width * video.height)))
                jump = self._reader is None or not 0 < number - self._passed <= STEPS
                first = range(max(0, number - steps + 1) if jump else number, number + 1)
                for span in (first, range(max(0, number - NEARBY), number + NEARBY)):
                    if self._reader is None or span.start <= self._passed:
                        self._close()
                        self._reader = open_reader(video, how, threads=1)
                    found = {f.position: f.rgb for f in self._reader.read(EVERY, [span])}
                    self._passed = span.stop - 1
                    if number in found or (found and span is not first):
                        return found, min(found, key=lambda position: abs(position - number))
            except (UnreadableVideo, OSError) as error:
                self._close()
                raise StudioError(422, f"frame {number} of {video.name} cannot be decoded: {error}") from error
        raise StudioError(422, f"frame {number} of {video.name} and those around it cannot be decoded")

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._passed = None, -1


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _keep(session: Session, path: Path, data: bytes) -> None:
    """Keep a file in a cache; on a full disk it is simply not kept."""
    try:
        with session.lock:
            if session.closed:
                return
            write_bytes(path, data)
            kept = sorted(path.parent.glob("*.jpg"), key=_age)
            for old in kept[:-ON_DISK]:
                old.unlink(missing_ok=True)
    except DiskError:
        return


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
