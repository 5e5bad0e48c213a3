"""Pictures -> an .mp4 file: the only encoder.

H.264 that browsers play (yuv420p, High profile, index first), tagged BT.601 limited, so that every reader shows the
same colours. It never picks a file name, renames, or keeps a broken file. Invariant: the same pictures, settings and
library versions give the same bytes, on any number of cores and under any load: every encoder runs with exactly one
thread (x264's output depends on the number), and no times are written. To use several cores, encode several files at
once: PyAV and OpenCV release the interpreter lock.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_SMPTE170M = 6  # BT.601 for 525 lines: the code point of primaries, transfer and matrix alike (ITU-T H.273)
_LIMITED, _FULL = 1, 2  # AVColorRange
_KEYFRAME_EVERY = 48  # a seek decodes at most this many frames; a usual clip has one keyframe
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


def encode(
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[np.uint8]],
    fps: Fraction | float,
    config: EncodeConfig,
    *,
    size: tuple[int, int],
    exact_luma: bool = False,
) -> Encoded:
    """Write frames as an MP4 file, whatever the path's extension; frame n is shown at n / fps seconds.

    Args:
        path: written directly, replaced if it exists, removed again on any error. Renaming is the caller's.
        frames: (height, width, 3) uint8 RGB each.
        fps: positive, up to 1000; kept exactly up to a denominator of 100000.
        size: (width, height) of every frame; even, unless lossless (4:2:0 chroma covers 2 x 2 pixels).
        exact_luma: quantise nothing, still yuv420p: black and white come back as exactly 0 and 255. For masks. Its
            profile (High 4:4:4 Predictive) plays in Chrome and ffmpeg players, not in Safari.

    Raises:
        ValueError: no frames, a frame of another shape or type, an odd size, or an impossible rate.
        OSError: the file cannot be written (av.error.FFmpegError is one for most causes).
    """
    width, height = size
    if min(size) < 2 or (not config.lossless and (width % 2 or height % 2)):
        raise ValueError(f"H.264 in yuv420p needs even sizes of at least 2, got {width}x{height}")
    rate = _playback_rate(fps)
    target = Path(path).absolute()  # a relative name with a colon would be read as a protocol
    # bitexact: no muxer name, no times. faststart: the index moves before the pictures.
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    try:
        with av.open(str(target), "w", format="mp4", options=options) as container:
            count = _write(container, frames, rate, size, config, exact_luma)
        return _describe(target, count)
    except BaseException:
        if target.is_file():
            target.unlink()
        raise


def _write(
    container: Any,
    frames: Iterable[NDArray[np.uint8]],
    rate: Fraction,
    size: tuple[int, int],
    config: EncodeConfig,
    exact_luma: bool,
) -> int:
    stream = _open_stream(container, rate, size, config, exact_luma)
    count = 0
    for count, rgb in enumerate(frames, start=1):
        if rgb.shape != (size[1], size[0], 3) or rgb.dtype != np.uint8:
            raise ValueError(f"frame {count - 1} must be ({size[1]}, {size[0]}, 3) uint8, got {rgb.shape} {rgb.dtype}")
        if config.lossless:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        else:
            frame = av.VideoFrame.from_ndarray(_to_yuv420p(rgb), format="yuv420p")
        frame.pts, frame.time_base = count - 1, 1 / rate
        container.mux(stream.encode(frame))
    if count == 0:
        raise ValueError("there are no frames to encode")
    container.mux(stream.encode(None))
    return count


def _open_stream(container: Any, rate: Fraction, size: tuple[int, int], config: EncodeConfig, exact_luma: bool) -> Any:
    options = {"preset": config.preset, "crf": str(config.crf), "profile": "high"}
    if config.lossless or exact_luma:
        options = {"preset": config.preset, "qp": "0"}
    stream = container.add_stream("libx264rgb" if config.lossless else "libx264", rate=rate, options=options)
    context = stream.codec_context
    context.width, context.height = size
    context.pix_fmt = "rgb24" if config.lossless else "yuv420p"
    context.time_base = 1 / rate
    context.gop_size = _KEYFRAME_EVERY
    context.thread_count = 1
    context.color_primaries = context.color_trc = _SMPTE170M
    context.colorspace = 0 if config.lossless else _SMPTE170M  # 0: the samples are R, G and B
    context.color_range = _FULL if config.lossless else _LIMITED
    return stream


def _to_yuv420p(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
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
