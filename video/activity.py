"""How much goes on in a video, without decoding it: the bytes that an encoder spends on change.

Packets between key frames hold what differs from the frames before, so their bytes per second rise when something
moves. The measure depends on the encoder and its rate control, and is meant for comparing moments of one camera. An MP4
is read from its index alone; any other file is read through once, without decoding. Videos of key frames alone (MJPEG,
ProRes) are measured on these: there it tells detail rather than change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from video.container import AV_ERRORS, exact, mp4_boxes, opened
from video.remote import Source

Rates = NDArray[np.float64]


def activity(path: Source, duration: float) -> Rates:
    """(seconds,) bytes that each second of a video spends on change; seconds without packets have those of the last
    that has. duration: of the video, seconds. Raises UnreadableVideo when the file cannot be opened."""
    with opened(path) as (container, stream):
        tick = exact(stream.time_base)
        found = [] if tick is None else list(_packets(path, container, stream))
    if not found or tick is None:
        return np.zeros(max(1, round(duration)))
    times, sizes, keys = (np.array(column) for column in zip(*found, strict=True))
    second = ((times - times.min()) * float(tick)).astype(np.int64)
    change = ~keys if (~keys).any() else np.ones(len(keys), bool)
    length = max(1, round(duration), int(second.max()) + 1)
    total = np.bincount(second[change], sizes[change], length)
    counted = np.bincount(second[change], minlength=length)
    latest = np.maximum.accumulate(np.where(counted > 0, np.arange(length), 0))
    return np.asarray(total[latest], np.float64)


def _packets(path: Source, container: Any, stream: Any) -> Iterator[tuple[int, int, bool]]:
    """(time in ticks, bytes, whether it is a key frame) of every packet."""
    entries = getattr(stream, "index_entries", None)  # since PyAV 16; whole for an MP4 that was not written in parts
    if entries and "mov" in container.format.name.split(",") and "moof" not in mp4_boxes(path):
        yield from ((e.timestamp, e.size, bool(e.is_keyframe)) for e in entries if not e.is_discard)
        return
    try:
        for packet in container.demux(stream):
            at = packet.pts if packet.pts is not None else packet.dts
            if packet.size and at is not None:
                yield int(at), int(packet.size), bool(packet.is_keyframe)
    except AV_ERRORS:  # a damaged end: what came before counts
        return
