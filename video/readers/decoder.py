"""One open file: its packets in, its frames out. Damage is counted and never fatal; the end is the end.

Knows nothing of grids or numbers of frames: see `ordered.py` and `counted.py`, which are the two ways to number them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from video.container import AV_ERRORS, exact, open_container, video_stream
from video.readers.contract import ReadStats


class Interrupted(Exception):
    """Frames were lost between the decoder's threads: PyAV gives up emptying them at the first that is damaged."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded PyAV frame. corrupt: it, or one since the last intact keyframe that it may build on, is damaged."""

    frame: Any
    corrupt: bool


class Decoder:
    """threads: of decoding, 0 for what the machine has. stats: what is counted into."""

    def __init__(self, path: str, threads: int, stats: ReadStats) -> None:
        self.path = path
        self.stats = stats
        self.threads = threads
        self.errors = 0  # packets the decoder refused since it was last empty
        self._tainted = False
        self._open()

    def _open(self) -> None:
        self.container = open_container(self.path)
        try:
            self.stream = video_stream(self.container, self.path)
        except BaseException:
            self.container.close()
            raise
        context = self.stream.codec_context
        context.thread_count = self.threads
        context.thread_type = "AUTO"
        self.clean = True  # the decoder is empty

    @property
    def tick(self) -> Fraction:
        """The unit of all timestamps, in seconds."""
        return exact(self.stream.time_base) or Fraction(1, 1000)

    def packets(self) -> Iterator[Any]:
        """The packets of the video stream from here on. What can no longer be read ends them, as a cut file does."""
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except AV_ERRORS:
                self.stats.corrupt += 1
                return
            if packet.size:  # the empty packet at the end is FFmpeg's way to say flush
                yield packet

    def decode(self, packet: Any | None) -> list[Picture]:
        """The pictures that come out when this packet goes in; None: those that are still inside."""
        if self.clean:
            self.clean, self.errors, self._tainted = False, 0, False
        try:
            frames: list[Any] = self.stream.codec_context.decode(packet)
        except EOFError:
            return []
        except AV_ERRORS:
            self.errors += 1
            self.stats.corrupt += 1
            self._tainted = True
            return []
        self.stats.decoded += len(frames)
        return [self._judged(frame) for frame in frames]

    def _judged(self, frame: Any) -> Picture:
        if frame.is_corrupt:
            self._tainted = True
        elif frame.key_frame:
            self._tainted = False
        self.stats.corrupt += self._tainted
        return Picture(frame, self._tainted)

    def drain(self) -> list[Picture]:
        """The pictures that are still inside. Decoding goes on at a keyframe only. Raises Interrupted."""
        errors = self.errors
        pictures = [] if self.clean else self.decode(None)
        self.stream.codec_context.flush_buffers()
        self.clean = True
        if self.errors > errors and self.threads != 1:
            raise Interrupted(f"{self.path}: damage at a place where several threads cannot be emptied")
        return pictures

    def seek(self, stamp: int) -> bool:
        """Go to the keyframe at or before a timestamp; False when the file refuses. Check where it arrived."""
        self.clean = True
        try:
            self.container.seek(stamp, stream=self.stream, backward=True)
        except AV_ERRORS:
            return False
        return True

    def rewind(self) -> None:
        """Back to the very beginning. The file is opened anew: not every format can seek there."""
        self.close()
        self._open()

    def close(self) -> None:
        self.container.close()
