"""Reading with PyAV: exact on every file FFmpeg can decode.

Frames are numbered by the timestamps of their packets where these can be trusted, and by counting everything from the
first frame on where they cannot (`ordered.py`, `counted.py`). When a file turns out not to be what its timestamps say,
reading starts over by counting and goes on at the position that comes next, so the caller never sees a wrong frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from video.color import to_rgb
from video.readers.contract import VideoReader, shrink
from video.readers.counted import CountedFrames
from video.readers.decoder import Decoder, Interrupted
from video.readers.facts import facts_of
from video.readers.ordered import OrderedFrames
from video.readers.packets import Disordered
from video.readers.wanted import Wanted
from video.types import Frame, Grid, Video

TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class PyavReader(VideoReader):
    """threads: of decoding, 0 for what the machine has. skip: leave out packets that nothing needs; the pictures are
    the same without, only slower."""

    def __init__(self, video: Video, threads: int = 0, skip: bool = True) -> None:
        super().__init__(video)
        self._threads = threads
        self._skip = skip
        self._reformatter = VideoReformatter()
        self._frames: OrderedFrames | CountedFrames | None = None
        self._decoder = Decoder(video.path, threads, self.stats)
        self._facts = facts_of(video.path, self._decoder.container, self._decoder.stream)

    def read(self, grid: Grid, positions: Sequence[range]) -> Iterator[Frame]:
        tick = self._decoder.tick
        wanted = Wanted(grid, positions, tick)
        while True:
            try:
                yield from self._read(wanted, tick)
                return
            except Disordered:
                self._facts.ordered = False
                self._frames = None
                self._decoder.rewind()
            except Interrupted:
                self._frames = None
                self._decoder.threads = 1
                self._decoder.rewind()

    def _read(self, wanted: Wanted, tick: Fraction) -> Iterator[Frame]:
        if self._frames is None:
            self._frames = self._numbered(tick)
        for found, place, picture in self._frames.frames(wanted):
            rgb = self._rgb(picture.frame)
            for position in found:
                yield Frame(position, place.index, float(place.time * tick), rgb, picture.corrupt)
            # Not held while the next is made: memory that was just freed is used again, fresh memory costs page faults.
            del picture, rgb

    def _numbered(self, tick: Fraction) -> OrderedFrames | CountedFrames:
        frame_ticks = max(1, round(1 / (self.video.fps * tick)))
        if self._facts.ordered:
            return OrderedFrames(self._decoder, self._facts, frame_ticks, self._skip)
        return CountedFrames(self._decoder, frame_ticks)

    def _rgb(self, frame: Any) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB as displayed."""
        width, height = self.video.width, self.video.height
        if self.video.rotation in (90, 270):
            width, height = height, width
        rgb = to_rgb(frame, self._reformatter, width, height)
        turn = TURNS.get(self.video.rotation)
        return rgb if turn is None else np.asarray(cv2.rotate(rgb, turn), dtype=np.uint8)

    def spread(self, count: int, max_side: int | None) -> list[NDArray[np.uint8]]:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        found = self._spread_keyframes(count, max_side)
        if len(found) == count:
            return found
        # Too few keyframes: decode, by time, since the number of frames is a guess.
        halves = Grid(fps=2 * count / Fraction(self.video.duration))
        moments = [range(2 * k + 1, 2 * k + 2) for k in range(count)]
        return [shrink(frame.rgb, max_side) for frame in self.read(halves, moments)]

    def _spread_keyframes(self, count: int, max_side: int | None) -> list[NDArray[np.uint8]]:
        """The keyframes at or before `count` moments, as long as they are different ones."""
        decoder = Decoder(self.video.path, 1, self.stats)
        try:
            start = decoder.stream.start_time or 0
            found: list[NDArray[np.uint8]] = []
            last: int | None = None
            for k in range(count):
                moment = start + int(Fraction(self.video.duration) * (2 * k + 1) / (2 * count) / decoder.tick)
                frame = self._keyframe(decoder, moment)
                if frame is None or frame.pts is None or (last is not None and frame.pts <= last):
                    return []
                last = frame.pts
                found.append(shrink(self._rgb(frame), max_side))
            return found
        finally:
            decoder.close()

    @staticmethod
    def _keyframe(decoder: Decoder, moment: int) -> Any | None:
        if not decoder.seek(moment):
            return None
        for packet in decoder.packets():
            if packet.is_keyframe:
                # Drained at once: a decoder that reorders would hold the picture back until it has read on.
                for picture in decoder.decode(packet) + decoder.drain():
                    if not picture.corrupt:
                        return picture.frame
        return None

    def close(self) -> None:
        self._decoder.close()
