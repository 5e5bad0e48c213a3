"""What has been learned about a file while reading it, shared by all readers of that file in this process.

A file is known by its path, size and time of change. Nothing here is guessed: the places to start are the file's own
index or were walked past, the first frame has been decoded.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from video.readers.packets import KeyTable
from video.readers.wanted import Wanted

KEPT_FILES = 64
SEEKABLE = ("mov", "mp4", "matroska", "webm")
# Codecs of which every packet is one frame. VP8 hides frames, MPEG-4 and MPEG-2 code some as nothing or as two fields.
ONE_FRAME_EACH = {"h264", "hevc", "av1", "libdav1d", "libaom-av1", "vp9", "libvpx-vp9", "mjpeg", "prores", "ffv1"}


@dataclass(slots=True)
class Facts:
    """ordered: the timestamps tell the order of frames. first: timestamp of the first displayed frame, None while not
    known. lost: packets at the beginning that no frame comes from.
    seekable: seeking has not yet arrived at an unknown place."""

    keys: KeyTable
    ordered: bool
    length_prefixed: bool
    first: int | None = None
    lost: int = 0
    seekable: bool = True

    def place(self, wanted: Wanted, back: int = 0) -> tuple[int, int] | None:
        """(stamp, packets before) of the last known keyframe that is not after the first wanted frame."""
        index, tick = wanted.target()
        if index is not None:
            return self.keys.start(index + self.lost, None, back)
        return self.keys.start(None, (tick or 0) + (self.first or 0), back)


_known: OrderedDict[tuple[str, int, int], Facts] = OrderedDict()
_lock = threading.Lock()


def facts_of(path: str, container: Any, stream: Any) -> Facts:
    """The facts of an open file, those already learned included."""
    state = os.stat(path)
    key = (os.path.realpath(path), state.st_size, state.st_mtime_ns)
    with _lock:
        facts = _known.get(key)
        if facts is None:
            facts = _known[key] = _from_header(container, stream)
            while len(_known) > KEPT_FILES:
                _known.popitem(last=False)
        _known.move_to_end(key)
        return facts


def _from_header(container: Any, stream: Any) -> Facts:
    formats = set(container.format.name.split(","))
    ordered = bool(formats & set(SEEKABLE)) and stream.codec_context.name in ONE_FRAME_EACH
    if "mov" not in formats:
        return Facts(KeyTable(lambda packet: packet.pts), ordered, "matroska" in formats)
    facts = Facts(KeyTable(lambda packet: packet.dts), ordered, True)
    before = 0
    for entry in getattr(stream, "index_entries", ()):  # since PyAV 16; without it places are learned by walking past
        if entry.is_keyframe:
            facts.keys.learn(entry.timestamp, before)
        before += not entry.is_discard
    return facts
