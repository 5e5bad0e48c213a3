"""Taking in a video: a multipart body written to disk as it comes, and refused as soon as it is too much or no video.

Nothing of it is held in memory, and nothing of the user's file name becomes part of a path. FFmpeg is only shown files
that begin like a video container: playlists and scripts, which could make it open other files, never reach it.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pipeline.stages.source_frames import last_frame
from pipeline.studio_config import StudioConfig
from pipeline.writing import disk_errors
from studio.errors import StudioError
from video.errors import UnreadableVideo
from video.source import EXTENSIONS, Found, probe
from video.types import Video

HEAD = 400  # bytes by which a container is recognised
STALL_S = 60.0  # without a byte, after which an upload is given up
MOST_FIELDS = 16
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def container(head: bytes) -> str | None:
    """The kind of container that a file's first bytes are of; None for anything else."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return "mp4"
    for start, name in ((b"\x1a\x45\xdf\xa3", "matroska"), (b"OggS", "ogg"), (b"FLV\x01", "flv"), (ASF, "asf")):
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:1] == b"\x47" and head[188:189] == b"\x47":
        return "mpegts"
    if head[4:5] == b"\x47" and head[196:197] == b"\x47":
        return "m2ts"
    return "mpeg" if head.startswith((b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")) else None


def plain_name(given: str) -> str:
    """A file name to show: its last part, without control characters, at most 120 characters."""
    last = PureWindowsPath(PurePosixPath(unicodedata.normalize("NFC", given)).name).name
    shown = re.sub(r"[^\w .,()+@=-]", "_", "".join(c for c in last if c.isprintable()))
    return shown.strip(" .")[-120:] or "video"


async def receive(stream: AsyncIterator[bytes], content_type: str, place: Path, limits: StudioConfig) -> str:
    """Write the field `file` of a multipart body to `place`; returns the user's name for it. Raises StudioError."""
    from python_multipart.exceptions import MultipartParseError
    from python_multipart.multipart import MultipartParser, parse_options_header

    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise StudioError(415, f"send the video as multipart/form-data, in the field 'file'; got {content_type!r}")
    most = int(limits.upload_gb * 2**30)
    body = _Body(place, most, limits)
    try:
        with disk_errors(place), body:
            parser = MultipartParser(options[b"boundary"], body.callbacks())
            while True:
                async with asyncio.timeout(STALL_S):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                parser.write(chunk)
            parser.finalize()
    except TimeoutError as error:
        raise StudioError(408, f"nothing came for {STALL_S:g} seconds: send the video again") from error
    except MultipartParseError as error:
        raise StudioError(400, f"the multipart body is broken: {error}") from error
    if not body.complete:
        raise StudioError(400, "the body has no field 'file' with a file, or was cut off; send files={'file': ...}")
    return plain_name(body.name)


class _Body:
    """What the parser of a multipart body tells, byte by byte."""

    def __init__(self, place: Path, most: int, limits: StudioConfig) -> None:
        self._place = place
        self._most = most
        self._limits = limits
        self._headers: dict[bytes, bytes] = {}
        self._field = self._value = b""
        self._wanted = False
        self._fields = 0
        self._overhead = 0
        self._head = b""
        self._checked = False
        self.written = 0
        self.name = ""
        self.complete = False

    def __enter__(self) -> _Body:
        self._file = self._place.open("xb")
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._part,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
        }

    def _part(self) -> None:
        self._headers, self._fields = {}, self._fields + 1
        if self._fields > MOST_FIELDS:
            raise StudioError(400, f"the body has more than {MOST_FIELDS} fields; only 'file' is read")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        if len(self._value) > 4096:
            raise StudioError(400, "a header in the body is too long")

    def _header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._wanted = options.get(b"name") == b"file" and b"filename" in options and not self.complete
        if not self._wanted:
            return
        self.name = options[b"filename"].decode("utf-8", "replace")
        extension = Path(plain_name(self.name)).suffix.lower()
        if extension not in EXTENSIONS:
            known = " ".join(sorted(EXTENSIONS))
            raise StudioError(
                415, f"{plain_name(self.name)!r} is no video by its name; its ending must be one of {known}"
            )

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._wanted:
            self._overhead += end - start
            if self._overhead > 2**16:
                raise StudioError(413, "the fields beside 'file' are too large")
            return
        self.written += end - start
        if self.written > self._most:
            raise StudioError(413, f"the video is larger than {self._limits.upload_gb:g} GB: see studio.upload_gb")
        if not self._checked:
            self._head += data[start:end][: HEAD - len(self._head)]
            if len(self._head) >= HEAD:
                self._check()
        self._file.write(data[start:end])

    def _check(self) -> None:
        self._checked = True
        if container(self._head) is None:
            raise StudioError(415, f"{plain_name(self.name)!r} does not begin like a video file (MP4, MKV, AVI, ...)")

    def _end(self) -> None:
        if self._wanted:
            if not self._checked:
                self._check()
            self.complete, self._wanted = True, False


def look(path: Path, name: str, limits: StudioConfig, reader: str) -> tuple[Video, int]:
    """The uploaded video and how many frames of it can be decoded. Raises StudioError for what may not be used."""
    try:
        video = replace(probe(Found(str(path), path.name)), name=name)
        if video.width * video.height > limits.max_pixels:
            raise StudioError(
                413, f"{name} has {video.width}x{video.height} pixels, more than studio.max_pixels={limits.max_pixels}"
            )
        _check_length(video.duration, name, limits)
        frames = last_frame(video, reader) + 1
        _check_length(float(frames / video.fps), name, limits)  # a header may say anything
        return video, frames
    except UnreadableVideo as error:
        raise StudioError(415, str(error).replace(str(path), name)) from error


def _check_length(seconds: float, name: str, limits: StudioConfig) -> None:
    if seconds > 60 * limits.max_minutes:
        raise StudioError(
            413, f"{name} lasts {seconds / 60:.1f} minutes, more than studio.max_minutes={limits.max_minutes:g}"
        )
