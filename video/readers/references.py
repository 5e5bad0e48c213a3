"""Which packets no other frame refers to: those can be left out of decoding without changing any other picture.

Reads the headers of the NAL units of length-prefixed H.264 and HEVC (MP4, MOV, Matroska) and nothing else. Whatever
it does not fully understand counts as referred to, so a doubt costs time and never a wrong picture.
"""

from __future__ import annotations

from collections.abc import Callable

Test = Callable[[memoryview], bool]


def disposable_test(codec: str, extradata: bytes | None) -> Test | None:
    """A function that says of a packet's bytes whether it is disposable; None when the stream gives no way to know.

    codec: FFmpeg's name of the decoder. extradata: the stream's avcC or hvcC record.
    """
    if not extradata or extradata[0] != 1:  # Annex B start codes begin with a zero
        return None
    if codec == "h264" and len(extradata) >= 7:
        prefix = (extradata[4] & 3) + 1
        return lambda data: _h264(data, prefix)
    if codec == "hevc" and len(extradata) >= 23:
        prefix = (extradata[21] & 3) + 1
        layers = extradata[21] >> 3 & 7
        return (lambda data: _hevc(data, prefix, layers)) if layers else None
    return None


def _h264(data: memoryview, prefix: int) -> bool:
    """Whether every slice has nal_ref_idc 0. Partitions, scalable and 3D slices are a doubt."""
    at, end, slices = 0, len(data), 0
    while at < end:
        start = at + prefix
        size = int.from_bytes(data[at:start], "big")
        at = start + size
        if size < 1 or at > end or data[start] & 0x80:
            return False
        kind = data[start] & 0x1F
        if kind == 1:
            if data[start] & 0x60:
                return False
            slices += 1
        elif kind not in (6, 9, 12):  # besides slices only side information, delimiters and filler
            return False
    return slices > 0


def _hevc(data: memoryview, prefix: int, layers: int) -> bool:
    """Whether every slice is a non-reference picture of the highest temporal layer, so that no layer can use it."""
    at, end, slices = 0, len(data), 0
    while at < end:
        start = at + prefix
        size = int.from_bytes(data[at:start], "big")
        at = start + size
        if size < 2 or at > end or data[start] & 0x80:
            return False
        kind = data[start] >> 1 & 0x3F
        layer = (data[start] & 1) << 5 | data[start + 1] >> 3
        temporal = data[start + 1] & 7
        if layer:
            return False
        if kind < 32:
            if kind > 14 or kind % 2 or temporal != layers:
                return False
            slices += 1
        elif kind not in (35, 38, 39, 40):  # delimiter, filler, side information
            return False
    return slices > 0
