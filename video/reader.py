"""Reading frames: `open_reader` opens one video, and what it gives (`video.readers.contract`) is the only decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from video.errors import VideoError
from video.types import Video

if TYPE_CHECKING:
    from video.readers.contract import VideoReader

READERS = ("pyav", "decord")


def open_reader(video: Video, reader: str = "pyav", threads: int = 0) -> VideoReader:
    """Open a video for reading. `threads` is the number of decoding threads, 0 for what the machine has.

    reader: `pyav`, or `decord`, which refuses the files it is known to read wrongly. Raises UnreadableVideo when the
    file cannot be opened, VideoError for an unknown reader or one that is not installed.
    """
    if reader == "pyav":
        from video.readers.pyav import PyavReader

        return PyavReader(video, threads)
    if reader == "decord":
        from video.readers.decord import DecordReader

        return DecordReader(video, threads)
    raise VideoError(f"there is no reader {reader!r}; it is one of {', '.join(READERS)}")
