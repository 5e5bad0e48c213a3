"""Opening a video file and choosing its video stream: the one place where FFmpeg's refusals become plain words.

Never decodes a frame and never reads more than FFmpeg needs to know the streams. Attached pictures (cover art) are not
video. Whatever is wrong with a file comes out as `UnreadableVideo`, so callers need not know FFmpeg's errors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO, cast

import av

from video.connection import is_remote
from video.errors import UnreadableVideo
from video.remote import RemoteFile, Source, located

# PyAV is untyped here (mypy skips it): a container, a stream, a packet and a frame are `Any` throughout the package.
AV_ERRORS: tuple[type[BaseException], ...] = (av.error.FFmpegError, OSError, ValueError)


def exact(rate: Any) -> Fraction | None:
    """A rational of PyAV (a type of its own since 17, None or 0 when unknown) as a positive `Fraction`."""
    if rate is None or rate.denominator == 0 or rate.numerator <= 0:
        return None
    return Fraction(int(rate.numerator), int(rate.denominator))


@contextmanager
def opened(path: Source) -> Iterator[tuple[Any, Any]]:
    """The container and its video stream, closed on leaving. Raises UnreadableVideo with the reason."""
    container = open_container(path)
    try:
        yield container, video_stream(container, path)
    finally:
        container.close()


def open_container(path: Source) -> Any:
    """An open PyAV container; the caller closes it. Raises UnreadableVideo with the reason."""
    if isinstance(path, str) and is_remote(path):
        path = located(path)
    try:
        if size_bytes(path) == 0:
            raise UnreadableVideo(f"{path}: the file is empty (0 bytes)")
        with open_bytes(path):  # FFmpeg reports a denied permission in several ways, Python in one
            pass
        return _open(path)
    except FileNotFoundError:
        raise UnreadableVideo(f"{path}: the file does not exist") from None
    except PermissionError:
        raise UnreadableVideo(f"{path}: permission to read the file is denied") from None
    except IsADirectoryError:
        raise UnreadableVideo(f"{path}: this is a folder, not a video file") from None
    except AV_ERRORS as error:
        raise UnreadableVideo(f"{path}: {_reason(path, error)}") from None


def open_bytes(path: Source) -> BinaryIO:
    """The file for reading, here or on a server."""
    return cast(BinaryIO, path.open()) if isinstance(path, RemoteFile) else open(path, "rb")


def size_bytes(path: Source) -> int:
    """How large the file is."""
    return path.stat.size if isinstance(path, RemoteFile) else os.stat(path).st_size


def _open(path: Source) -> Any:
    def file() -> Any:
        # Named as a file: FFmpeg would take the part before a colon for a protocol.
        return path.open() if isinstance(path, RemoteFile) else f"file:{path}"

    try:
        return av.open(file())
    except UnicodeDecodeError:  # before PyAV 17 a wrong byte in a camera's comment counts as an error
        return av.open(file(), metadata_errors="replace")


def video_stream(container: Any, path: Source) -> Any:
    """The stream FFmpeg holds for the best of those that are video and not an attached picture."""
    streams = [s for s in container.streams.video if not _is_picture(s)]
    if not streams:
        kinds = sorted({s.type for s in container.streams})
        only = f"only {', '.join(kinds)}" if kinds else "no streams at all"
        raise UnreadableVideo(f"{path}: it holds no video stream ({only})")
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    if stream.codec_context is None:
        raise UnreadableVideo(f"{path}: this installation of FFmpeg has no decoder for its video stream")
    return stream


def _is_picture(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _reason(path: Source, error: BaseException) -> str:
    boxes = list(mp4_boxes(path))
    if "ftyp" in boxes and "moov" not in boxes:
        return (
            "an MP4 whose index (the 'moov' box) is missing: the recording or the copy was cut off before its end; "
            "copy it again or repair it (for example with untrunc)"
        )
    said = getattr(error, "strerror", None) or str(error)
    return f"FFmpeg finds no video in it, damaged or not a video file ({said})"


def mp4_boxes(path: Source) -> Iterator[str]:
    """Names of the top-level boxes, as far as the file is an MP4."""
    end = size_bytes(path)
    with open_bytes(path) as file:
        at = 0
        while at + 8 <= end:
            file.seek(at)
            head = file.read(16)
            size, name = int.from_bytes(head[:4], "big"), head[4:8]
            if not (name.isalnum() or name.strip().isalnum()):
                return
            yield name.decode("latin-1")
            size = int.from_bytes(head[8:16], "big") if size == 1 else size
            if size < 8:
                return
            at += size
