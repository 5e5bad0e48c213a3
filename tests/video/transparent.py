"""Reading videos with alpha back, plane by plane: what the encoder is checked against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

DECODERS = {".webm": "libvpx-vp9", ".mov": "prores"}  # FFmpeg's own vp9 decoder drops alpha


def frames(path: Path) -> list[Any]:
    """Every frame, by the decoder that knows alpha."""
    found: list[Any] = []
    with av.open(str(path)) as container:
        decoder = av.CodecContext.create(DECODERS[path.suffix], "r")
        decoder.extradata = container.streams.video[0].codec_context.extradata
        for packet in container.demux(video=0):
            found += decoder.decode(packet if packet.size else None)
    return found


def alpha(frame: Any) -> np.ndarray:
    """The alpha plane as it is stored, (height, width) uint8; of more than 8 bits, the upper 8."""
    assert frame.format.name in ("yuva420p", "yuva444p10le", "yuva444p12le"), frame.format.name
    plane = frame.planes[3]
    kind, shift = (np.uint8, 0) if frame.format.name == "yuva420p" else (np.uint16, frame.format.components[3].bits - 8)
    rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)
    return (rows[: plane.height, : plane.width] >> shift).astype(np.uint8)


def rgba(path: Path) -> np.ndarray:
    """(frames, height, width, 4) uint8: colours as the file's tags say, alpha as it is stored."""
    return np.stack([np.dstack([f.to_ndarray(format="rgb24"), alpha(f)]) for f in frames(path)])
