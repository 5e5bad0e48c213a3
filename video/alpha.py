"""Pictures with transparency -> WebM VP9 or ProRes 4444. Alpha comes back exactly, from both.

Alpha is straight: the colours are not multiplied by it. FFmpeg's own VP9 decoder, and so most tools' default, drops the
alpha plane of a WebM file without a word; `libvpx-vp9` must be asked for by name to read it back. Browsers do it right,
except Safari.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.packet import PacketSideData, packet_sidedata_type_from_literal
from av.video.frame import PictureType
from numpy.typing import NDArray

from video.encoder import KEYFRAME_EVERY, EncodeConfig, Encoded, VideoWriter, to_yuv420p

ALPHA = {"webm": ".webm", "prores": ".mov"}  # format -> extension
_BLOCK_ADD_ID = (1).to_bytes(8, "big")  # Matroska: the block addition that holds the alpha plane
# One picture in, one packet out, and nothing that depends on the clock; almost 3 times as fast as the deadline "good",
# for a fifth more bytes (benchmarks/alpha.py).
_VP9 = {"deadline": "realtime", "cpu-used": "5", "lag-in-frames": "0"}
_BT709_CURVE = 1  # what BT.601's is called in a ProRes header, which knows no other name for it
# Rows: Y, U, V in 10 bits from R, G, B of 0..255 by BT.601, limited range (64..940, 64..960); last column: offsets.
_TO_YUV10 = np.array(
    [
        [0.299 * 876 / 255, 0.587 * 876 / 255, 0.114 * 876 / 255, 64],
        [-0.168736 * 896 / 255, -0.331264 * 896 / 255, 0.5 * 896 / 255, 512],
        [0.5 * 896 / 255, -0.418688 * 896 / 255, -0.081312 * 896 / 255, 512],
    ],
    np.float32,
)


class WebmWriter(VideoWriter):
    """A WebM file of (height, width, 4) RGBA pictures, for browsers: VP9 in 4:2:0, with alpha as a second VP9 stream.

    The colours are coded with `config.crf` (on VP9's scale, 0 to 63) or, lossless, exactly in 4:2:0; alpha always
    losslessly. FFmpeg's own alpha encoding uses one quality for both, so the two are encoded here and joined as
    Matroska wants it: the alpha packet as block addition 1 of the colour packet.
    """

    format, channels = "webm", 4

    def __init__(
        self, path: str | os.PathLike[str], fps: Fraction | float, config: EncodeConfig, *, size: tuple[int, int]
    ) -> None:
        super().__init__(path, fps, size)
        self._config = config
        self._colour: deque[Any] = deque()
        self._alpha: deque[Any] = deque()

    def _open(self, container: Any) -> None:
        exact = {"lossless": "1"}
        lossy = {"crf": str(self._config.crf), "b": "0"}
        colour = _VP9 | (exact if self._config.lossless else lossy)
        self._stream = container.add_stream("libvpx-vp9", rate=self.rate, options=colour)
        self._stream.metadata["alpha_mode"] = "1"
        self.prepared(self._stream.codec_context, "yuv420p")
        self._coder = self.prepared(av.CodecContext.create("libvpx-vp9", "w"), "yuv420p")
        self._coder.options = _VP9 | exact
        self._coder.framerate = self.rate
        grey = tuple(-(-side // 2) for side in (self.size[1], self.size[0]))
        self._grey = np.full(grey, 128, np.uint8)

    def _packets(self, picture: NDArray[np.uint8] | None) -> Iterable[Any]:
        colour = alpha = None
        if picture is not None:
            colour = self._frame(_planes(picture[..., :3]))
            alpha = self._frame((picture[..., 3], self._grey, self._grey))
        self._colour += self._stream.encode(colour)
        self._alpha += self._coder.encode(alpha)
        while self._colour and self._alpha:
            yield _joined(self._colour.popleft(), self._alpha.popleft())

    def _frame(self, planes: Sequence[NDArray[np.uint8]]) -> Any:
        frame = self.stamped(_filled("yuv420p", self.size, planes))
        if self.count % KEYFRAME_EVERY == 0:
            frame.pict_type = PictureType.I  # both streams can be entered at the same pictures
        return frame


class ProresWriter(VideoWriter):
    """A QuickTime file of (height, width, 4) RGBA pictures, for video editors: ProRes 4444, colours in 4:4:4.

    The colours come back within a few levels, alpha exactly. Large: there is no quality to choose.
    """

    format, channels = "mov", 4
    movflags = "+faststart"

    def _open(self, container: Any) -> None:
        codec, profile = self._encoder()
        self._stream = container.add_stream(codec, rate=self.rate, options={"profile": profile})
        self.prepared(self._stream.codec_context, "yuva444p10le").color_trc = _BT709_CURVE
        container.start_encoding()
        # The encoder leaves the tags of the stream out of its frames' headers, which decoders believe.
        tags = "prores_metadata=color_primaries=smpte170m:color_trc=bt709:colorspace=smpte170m"
        self._tag = BitStreamFilterContext(tags, self._stream)

    def _encoder(self) -> tuple[str, str]:
        """The faster one of FFmpeg's two encoders (benchmarks/alpha.py), or the one that takes odd widths too; and what
        each calls the profile."""
        return ("prores_ks", "4444") if self.size[0] % 2 else ("prores_aw", "4")

    def _packets(self, picture: NDArray[np.uint8] | None) -> Iterable[Any]:
        frame = None
        if picture is not None:
            yuv = cv2.transform(picture[..., :3].astype(np.float32), _TO_YUV10)
            alpha = picture[..., 3].astype(np.uint16)
            planes = [*np.moveaxis(np.rint(yuv).astype(np.uint16), 2, 0), alpha << 2 | alpha >> 6]
            frame = self.stamped(_filled("yuva444p10le", self.size, planes))
        for packet in self._stream.encode(frame):
            yield from self._tag.filter(packet)


def alpha_writer(
    kind: str, path: str | os.PathLike[str], fps: Fraction | float, config: EncodeConfig, *, size: tuple[int, int]
) -> VideoWriter:
    """A writer of RGBA pictures. kind: "webm" or "prores"."""
    if kind == "webm":
        return WebmWriter(path, fps, config, size=size)
    if kind == "prores":
        return ProresWriter(path, fps, size)
    raise ValueError(f"an alpha video is one of {', '.join(ALPHA)}, got {kind!r}")


def encode_alpha(
    kind: str,
    path: str | os.PathLike[str],
    frames: Iterable[NDArray[np.uint8]],
    fps: Fraction | float,
    config: EncodeConfig,
    *,
    size: tuple[int, int],
) -> Encoded:
    """Write all frames, (height, width, 4) uint8 RGBA each; arguments and errors as the writers'."""
    with alpha_writer(kind, path, fps, config, size=size) as file:
        for rgba in frames:
            file.write(rgba)
    assert file.encoded is not None
    return file.encoded


def _planes(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
    """(h, w, 3) RGB of any size -> Y (h, w), U and V (h / 2, w / 2, rounded up); an odd edge counts twice."""
    height, width = rgb.shape[:2]
    even = cv2.copyMakeBorder(rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    tall, wide = even.shape[:2]
    planes = to_yuv420p(np.asarray(even, np.uint8)).reshape(-1)
    luma, chroma = planes[: tall * wide].reshape(tall, wide), planes[tall * wide :].reshape(2, tall // 2, wide // 2)
    return luma[:height, :width], chroma[0], chroma[1]


def _filled(pixels: str, size: tuple[int, int], planes: Sequence[NDArray[Any]]) -> Any:
    """A PyAV frame of these planes, one (rows, columns) array each."""
    frame = av.VideoFrame(*size, pixels)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, values.dtype).reshape(-1, plane.line_size // values.itemsize)
        rows[: values.shape[0], : values.shape[1]] = values
    return frame


def _joined(colour: Any, alpha: Any) -> Any:
    """The colour packet with the alpha packet of the same picture as its side data."""
    assert colour.pts * colour.time_base == alpha.pts * alpha.time_base, "colour and alpha are of different pictures"
    data = _BLOCK_ADD_ID + bytes(alpha)
    kind = packet_sidedata_type_from_literal("matroska_block_additional")
    side = PacketSideData(kind, len(data))  # type: ignore[call-arg]  # PyAV's stub names no constructor
    side.update(data)
    colour.set_sidedata(side)
    return colour
