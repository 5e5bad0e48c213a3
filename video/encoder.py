"""Pictures -> a video file: the only encoder; `video.alpha` adds the two formats with transparency.

H.264 that browsers play (yuv420p, High profile, index first), tagged BT.601 limited, so that every reader shows the
same colours. It never picks a file name, renames, or keeps a broken file. Invariant: the same pictures, settings and
library versions give the same bytes, on any number of cores and under any load: every encoder runs with exactly one
thread (x264's output depends on the number), x264 plans its bits in plain C (what it has for AVX-512 reads memory that
nobody wrote, seen up to 224 pixels, and other processors round differently), and no times are written. To use several
cores, encode several files at once: PyAV and OpenCV release the interpreter lock.
"""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import cv2
import numpy as np
from numpy.typing import NDArray

PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
SMPTE170M = 6  # BT.601 for 525 lines: the code point of primaries, transfer and matrix alike (ITU-T H.273)
LIMITED, FULL = 1, 2  # AVColorRange
KEYFRAME_EVERY = 48  # a seek decodes at most this many frames; a usual clip has one keyframe
_FINEST_RATE = 100_000  # the largest denominator of a playback rate: exact for every broadcast rate
# Rows: U and V from R, G, B of 0..255 by BT.601, limited range (16..240).
_CHROMA = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]) * 224 / 255
_TO_UV = np.hstack([_CHROMA, [[128], [128]]]).astype(np.float32)


@dataclass
class EncodeConfig:
    """How videos are compressed.

    crf: 1 (large) to 51 (poor). preset: x264's, speed against size. lossless: exact RGB (H.264 High 4:4:4 Predictive,
    coded as RGB): every pixel comes back, PyAV, ffmpeg, OpenCV and decord read it, most browsers do not.
    """

    crf: int = 18
    preset: str = "veryfast"
    lossless: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.crf <= 51:
            raise ValueError(
                f"encode.crf must be from 1 to 51, got {self.crf}; for exact pixels set encode.lossless=true"
            )
        if self.preset not in PRESETS:
            raise ValueError(f"encode.preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished file: its SHA-256 (hexadecimal), size in bytes and number of frames."""

    sha256: str
    bytes: int
    frames: int


class VideoWriter(ABC):
    """A video file that grows picture by picture; picture n is shown at n / fps seconds. A context manager.

    path: written directly, replaced if it exists; renaming is the caller's. Left by an error, or without a picture,
    the file is removed. fps: positive, up to 1000; kept exactly up to a denominator of 100000. size: (width, height) of
    every picture. Raises ValueError for an impossible rate, no pictures, or one of another shape or type; OSError when
    the file cannot be written (av.error.FFmpegError is one for most causes).
    """

    format: str  # of the container
    channels: int
    movflags = ""

    def __init__(self, path: str | os.PathLike[str], fps: Fraction | float, size: tuple[int, int]) -> None:
        self.rate = _playback_rate(fps)
        self.size = size
        self.count = 0
        self.encoded: Encoded | None = None
        self._path = Path(path).absolute()  # a relative name with a colon would be read as a protocol

    @abstractmethod
    def _open(self, container: Any) -> None:
        """Add the stream."""

    @abstractmethod
    def _packets(self, picture: NDArray[np.uint8] | None) -> Iterable[Any]:
        """The packets that are ready with one more picture; all that are left, for None."""

    def __enter__(self) -> Self:
        options = {"fflags": "+bitexact"}  # no muxer name, no times
        if self.movflags:
            options["movflags"] = self.movflags
        self._container: Any = av.open(str(self._path), "w", format=self.format, options=options)
        try:
            self._open(self._container)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            if self.count == 0:
                raise ValueError("there are no frames to encode")
            for packet in self._packets(None):
                self._container.mux(packet)
            self._container.close()
            self.encoded = _describe(self._path, self.count)
        except BaseException:
            self._discard()
            raise

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a picture, (height, width, channels) uint8: RGB, or RGBA with straight alpha."""
        shape = (self.size[1], self.size[0], self.channels)
        if picture.shape != shape or picture.dtype != np.uint8:
            raise ValueError(f"frame {self.count} must be {shape} uint8, got {picture.shape} {picture.dtype}")
        for packet in self._packets(picture):
            self._container.mux(packet)
        self.count += 1

    def stamped(self, frame: Any) -> Any:
        """A PyAV frame with the time of the picture that is being written."""
        frame.pts, frame.time_base = self.count, 1 / self.rate
        return frame

    def prepared(self, context: Any, pixels: str) -> Any:
        """A codec context with what all of ours have in common: size, rate, keyframes, one thread, BT.601 limited."""
        context.width, context.height = self.size
        context.pix_fmt = pixels
        context.time_base = 1 / self.rate
        context.gop_size = KEYFRAME_EVERY
        context.thread_count = 1
        context.color_primaries = context.color_trc = context.colorspace = SMPTE170M
        context.color_range = LIMITED
        return context

    def _discard(self) -> None:
        try:
            self._container.close()
        finally:
            if self._path.is_file():
                self._path.unlink()


class H264Writer(VideoWriter):
    """An MP4 file, whatever the path's extension, of (height, width, 3) RGB pictures.

    size: even, unless lossless (4:2:0 chroma covers 2 x 2 pixels). exact_luma: quantise nothing, still yuv420p: black
    and white come back as exactly 0 and 255. For masks. Its profile (High 4:4:4 Predictive) plays in Chrome and ffmpeg
    players, not in Safari.
    """

    format, channels = "mp4", 3
    movflags = "+faststart"  # the index moves before the pictures

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: Fraction | float,
        config: EncodeConfig,
        *,
        size: tuple[int, int],
        exact_luma: bool = False,
    ) -> None:
        width, height = size
        if min(size) < 2 or (not config.lossless and (width % 2 or height % 2)):
            raise ValueError(f"H.264 in yuv420p needs even sizes of at least 2, got {width}x{height}")
        super().__init__(path, fps, size)
        self._config = config
        self._exact_luma = exact_luma

    def _open(self, container: Any) -> None:
        lossless, preset = self._config.lossless, self._config.preset
        options = {"preset": preset, "crf": str(self._config.crf), "profile": "high"}
        if lossless or self._exact_luma:
            options = {"preset": preset, "qp": "0"}
        options["x264-params"] = "cpu-independent=1"
        self._stream = container.add_stream("libx264rgb" if lossless else "libx264", rate=self.rate, options=options)
        context = self.prepared(self._stream.codec_context, "rgb24" if lossless else "yuv420p")
        if lossless:
            context.colorspace, context.color_range = 0, FULL  # 0: the samples are R, G and B

    def _packets(self, picture: NDArray[np.uint8] | None) -> Iterable[Any]:
        if picture is None:
            return list(self._stream.encode(None))
        if self._config.lossless:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        else:
            frame = av.VideoFrame.from_ndarray(to_yuv420p(picture), format="yuv420p")
        return list(self._stream.encode(self.stamped(frame)))


def encode(
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[np.uint8]],
    fps: Fraction | float,
    config: EncodeConfig,
    *,
    size: tuple[int, int],
    exact_luma: bool = False,
) -> Encoded:
    """Write all frames, (height, width, 3) uint8 RGB each, as an MP4 file; arguments and errors as `H264Writer`."""
    with H264Writer(path, fps, config, size=size, exact_luma=exact_luma) as file:
        for rgb in frames:
            file.write(rgb)
    assert file.encoded is not None
    return file.encoded


def to_yuv420p(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) RGB -> (h * 3 / 2, w): the planes Y, U and V one after the other, BT.601 limited.

    OpenCV's own conversion takes each chroma sample from one pixel of four, which frays coloured edges; here it is the
    mean of the four.
    """
    height, width = rgb.shape[:2]
    planes: NDArray[np.uint8] = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    chroma = cv2.transform(cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA), _TO_UV)
    planes.reshape(-1)[width * height :].reshape(2, height // 2, width // 2)[...] = np.moveaxis(chroma, 2, 0)
    return planes


def _playback_rate(fps: Fraction | float) -> Fraction:
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        raise ValueError(f"fps must be positive and at most 1000, got {fps}")
    rate = Fraction(fps).limit_denominator(_FINEST_RATE)
    if rate <= 0:
        raise ValueError(f"fps must be at least 1/{_FINEST_RATE}, got {fps}")
    return rate


def _describe(path: Path, frames: int) -> Encoded:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Encoded(sha256=sha256, bytes=path.stat().st_size, frames=frames)
