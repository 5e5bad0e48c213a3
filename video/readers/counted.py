"""Numbering frames by counting what comes out of the decoder, from the first on.

For files whose timestamps do not tell the order of the frames: MPEG-TS, AVI, raw streams, broken recordings. It is
always right and never fast: nothing is skipped and nothing is jumped over. Times are the decoder's; where one is
missing or does not advance, and in AVI, which has none, a frame follows the one before it at the average rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from video.readers.decoder import Decoder, Picture
from video.readers.wanted import Wanted


@dataclass(frozen=True, slots=True)
class Place:
    """A frame on display: frames before it, and from when until when it is shown, in ticks from the first frame."""

    index: int
    time: int
    until: int


class CountedFrames:
    """All frames of a file in order; `frames` gives the wanted ones and stays where it stopped."""

    def __init__(self, decoder: Decoder, frame_ticks: int) -> None:
        self._decoder = decoder
        self._timed = decoder.container.format.name != "avi"
        self._frame_ticks = frame_ticks
        self._start()

    def _start(self) -> None:
        self._source = self._placed()
        self._passed = Place(-1, 0, 0)

    def frames(self, wanted: Wanted) -> Iterator[tuple[list[int], Place, Picture]]:
        """The wanted frames as (grid positions, place, picture), ascending."""
        if wanted.first is None:
            return
        if self._passed.index >= 0 and wanted.begins_before(self._passed.index + 1, self._passed.until):
            self._decoder.rewind()
            self._start()
        for place, picture in self._source:
            self._passed = place
            shown = wanted.shown(place.index, place.time, place.until)
            positions = wanted.among(shown)
            wanted.drop_until(shown.stop)
            if positions:
                yield positions, place, picture
            if wanted.done(place.index, place.until):
                return

    def _placed(self) -> Iterator[tuple[Place, Picture]]:
        """Every frame, one behind the decoder: how long a frame is shown is known when the next one is there."""
        held: tuple[int, int, Picture] | None = None
        first = 0
        for index, picture in enumerate(self._decoded()):
            pts = picture.frame.pts
            if held is None:
                first = pts or 0
                held = (0, 0, picture)
                continue
            time = held[1] + self._frame_ticks
            if self._timed and pts is not None and pts - first > held[1]:
                time = pts - first
            yield Place(held[0], held[1], time), held[2]
            held = (index, time, picture)
        if held is not None:
            yield Place(held[0], held[1], held[1] + self._frame_ticks), held[2]

    def _decoded(self) -> Iterator[Picture]:
        for packet in self._decoder.packets():
            yield from self._decoder.decode(packet)
        yield from self._decoder.drain()
