"""Reading with decord: for H.264 files on which it tells the truth; anything else is refused by name.

decord shows hidden frames of edit lists, is off by some frames where groups of pictures are open, loses its place in
MPEG-TS and at changes of size, and jumps wrongly over keyframes. So the packets are looked through (with PyAV) before
it is used, its own jumps are avoided, and times are those of the packets, since decord rounds them to 32 bits. It
reports no damage: frames are never marked corrupt.
"""

from __future__ import annotations

import importlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from video.container import AV_ERRORS, exact, opened
from video.errors import UnreadableVideo, VideoError
from video.readers.contract import VideoReader
from video.readers.pyav import PyavReader
from video.readers.wanted import Wanted
from video.types import Frame, Grid, Video

# Codecs and containers on which decord was compared with FFmpeg's own frames; the latter two without reordering only.
CODECS = {"h264", "mpeg4", "mjpeg"}
FORMATS = {"mov", "matroska", "avi"}
SPS = 7


@dataclass(frozen=True, slots=True)
class Timeline:
    """times: of all frames in display order, and the end, in ticks of `tick` seconds. keys: indices of keyframes."""

    times: list[int]
    keys: list[int]
    tick: Fraction


class DecordReader(VideoReader):
    """threads: of decoding, 0 for what the machine has."""

    def __init__(self, video: Video, threads: int = 0) -> None:
        super().__init__(video)
        try:
            self._decord: Any = importlib.import_module("decord")
        except ImportError as error:
            raise VideoError(
                f"reader=decord: the package decord cannot be imported ({error}); "
                "install it with make setup EXTRAS=decord (or pip install '.[decord]'), or use reader=pyav"
            ) from None
        self._timeline = timeline(video.path)
        self._decord.logging.set_level(self._decord.logging.QUIET)
        try:
            self._video: Any = self._decord.VideoReader(video.path, ctx=self._decord.cpu(0), num_threads=threads)
        except Exception as error:  # decord raises its own errors, and RuntimeError for some files
            raise _refusal(video.path, f"cannot open it ({_first_line(error)})") from None
        frames = len(self._timeline.times) - 1
        if len(self._video) != frames:
            raise _refusal(video.path, f"counts {len(self._video)} frames of {frames}")
        self._at = 0

    def read(self, grid: Grid, positions: Sequence[range]) -> Iterator[Frame]:
        times, tick = self._timeline.times, self._timeline.tick
        wanted = Wanted(grid, positions, tick)
        for index in range(len(times) - 1):
            found = wanted.among(wanted.shown(index, times[index], times[index + 1]))
            if found:
                rgb = self._picture(index)
                for position in found:
                    yield Frame(position, index, float(times[index] * tick), rgb)
            if wanted.done(index, times[index + 1]):
                return

    def _picture(self, index: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB of a frame; decord applies the rotation itself."""
        try:
            self._go_to(index)
            rgb = np.asarray(self._video.next().asnumpy(), dtype=np.uint8)
        except Exception as error:  # see __init__
            raise _refusal(self.video.path, f"fails at frame {index} ({_first_line(error)})") from None
        self._at = index + 1
        self.stats.decoded += 1
        if rgb.shape[:2] != (self.video.height, self.video.width):
            size = f"{rgb.shape[1]}x{rgb.shape[0]}"
            raise _refusal(self.video.path, f"gives pictures of {size} for {self.video.width}x{self.video.height}")
        return rgb

    def _go_to(self, index: int) -> None:
        """Forward in order, or from the beginning. decord's own skipping is right within a group of pictures only."""
        if index < self._at:
            self._video.seek(0)
            self._at = 0
        keys = self._timeline.keys
        while self._at < index:
            at = bisect_right(keys, self._at)
            count = min(index, keys[at] - 1 if at < len(keys) else index) - self._at
            if count > 0:
                self._video.skip_frames(count)
            else:
                self._video.next()
            self._at += max(1, count)
            self.stats.decoded += max(1, count)

    def spread(self, count: int, max_side: int | None) -> list[NDArray[np.uint8]]:
        # Keyframes, found by seeking: what decord does worst. The pictures are the same.
        with PyavReader(self.video, 1) as reader:
            return reader.spread(count, max_side)

    def close(self) -> None:
        self._video = None


def timeline(path: str) -> Timeline:
    """When the frames of a file are shown, by its packets. Raises UnreadableVideo where decord is known to be wrong."""
    with opened(path) as (container, stream):
        name, formats = stream.codec_context.name, container.format.name
        if name not in CODECS or not FORMATS & set(formats.split(",")):
            raise _refusal(path, f"is not to be trusted with {name} in {formats}")
        if stream.codec_context.has_b_frames and (name != "h264" or formats == "avi"):
            raise _refusal(path, f"loses the order of the frames of {name} in {formats}")
        tick = exact(stream.time_base) or Fraction(1, 1000)
        usual = round(1 / ((exact(stream.average_rate) or 25) * tick))
        shown = sorted(_shown(path, container, stream))
    if not shown:
        raise UnreadableVideo(f"{path}: it holds no frames")
    first, (last, lasts, _) = shown[0][0], shown[-1]
    times = [*(pts - first for pts, _, _ in shown), last - first + (lasts or usual)]
    return Timeline(times, [index for index, (_, _, key) in enumerate(shown) if key], tick)


def _shown(path: str, container: Any, stream: Any) -> Iterator[tuple[int, int, bool]]:
    """(timestamp, duration, keyframe) of every packet, as long as decord is known to cope with it."""
    parameters = None
    if stream.codec_context.name == "h264":
        parameters = _parameters(bytes(stream.codec_context.extradata or b""))
    last_key: int | None = None
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except AV_ERRORS:  # what can no longer be read is the end, as for the other reader
            return
        if packet.size == 0:
            continue
        if packet.is_discard:
            raise _refusal(path, "shows frames that its edit list hides")
        if packet.pts is None or (last_key is None and not packet.is_keyframe):
            raise _refusal(path, "needs timestamps, and a keyframe at the beginning")
        if packet.is_keyframe:
            last_key = packet.pts
        elif last_key is not None and packet.pts < last_key:
            raise _refusal(path, "is off by some frames where groups of pictures are open")
        if parameters is not None and parameters.changed(memoryview(packet)):
            raise _refusal(path, "gives wrong pictures where their size or coding changes")
        yield packet.pts, packet.duration or 0, bool(packet.is_keyframe)


class _Parameters:
    """The sequence parameters of a length-prefixed H.264 stream, to see when others follow."""

    def __init__(self, prefix: int, known: bytes) -> None:
        self._prefix = prefix
        self._known = known

    def changed(self, data: memoryview) -> bool:
        """Whether the packet brings sequence parameters that differ from those before."""
        at = 0
        while at + self._prefix < len(data):
            start = at + self._prefix
            at = start + int.from_bytes(data[at:start], "big")
            if data[start] & 0x1F == SPS:
                found = bytes(data[start:at])
                self._known = self._known or found
                if found != self._known:
                    return True
        return False


def _parameters(extradata: bytes) -> _Parameters | None:
    if len(extradata) < 8 or extradata[0] != 1:
        return None
    size = int.from_bytes(extradata[6:8], "big") if extradata[5] & 0x1F else 0
    return _Parameters((extradata[4] & 3) + 1, extradata[8 : 8 + size])


def _refusal(path: str, why: str) -> UnreadableVideo:
    return UnreadableVideo(f"{path}: decord {why}; reader=pyav reads it")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
