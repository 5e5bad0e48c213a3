"""What one file says of itself: size, rotation, rate, colours and how long it is, from the header and one frame.

Never decodes more than it takes to get one frame out, and never trusts a single number: `frames` and `duration` are
estimates that rather promise too much than too little, because what is planned past the end is refused when it is
read, while footage that is never planned is lost. `UnreadableVideo` says in plain words why a file cannot be used.
"""

from __future__ import annotations

import hashlib
import math
import re
from datetime import datetime
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from video.color import describe
from video.container import AV_ERRORS, exact, mp4_boxes, open_bytes, opened, size_bytes
from video.errors import SourceError, UnreadableVideo
from video.found import Found
from video.remote import RemoteFile, Source, located
from video.types import Video

DIGESTED_BYTES = 64 << 10
# A first frame is looked for in so many packets: a recording may begin with a group of pictures that was cut off.
FIRST_FRAME_PACKETS = 600
DEFAULT_FPS = Fraction(25)
# MPEG streams are not among them: their timestamps start over where recordings were joined, and only counting tells.
DURATION_IN_HEADER = {"mov", "matroska", "avi", "asf", "flv", "ogg", "mxf"}
DECODER_NAMES = {"libdav1d": "av1", "libaom-av1": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9"}
# What strptime directives look like in a name, padded with zeros, and how short they may be where they stand alone.
_DIRECTIVES = {
    "Y": (r"\d{4}", ""),
    "y": (r"\d{2}", ""),
    "m": (r"(?:0[1-9]|1[0-2])", r"[1-9]"),
    "d": (r"(?:0[1-9]|[12]\d|3[01])", r"[1-9]"),
    "j": (r"\d{3}", ""),
    "H": (r"(?:[01]\d|2[0-3])", r"\d"),
    "I": (r"(?:0[1-9]|1[0-2])", r"[1-9]"),
    "M": (r"[0-5]\d", r"\d"),
    "S": (r"[0-5]\d", r"\d"),
    "f": (r"\d{1,6}", ""),
    "p": (r"[AaPp][Mm]", ""),
    "b": (r"[^\W\d_]+", ""),
    "B": (r"[^\W\d_]+", ""),
    "z": (r"(?:Z|[+-]\d{2}:?\d{2})", ""),
    "%": ("%", ""),
}


def probe(found: Found, time_pattern: str | None = None) -> Video:
    """The video in a file; a few milliseconds for most. Raises UnreadableVideo with the reason.

    `time_pattern`: strptime pattern of the start of the recording in the file name, see `recorded_at`.
    """
    path = located(found.path) if found.stat is None else RemoteFile(found.path, found.stat)
    with opened(path) as (container, stream):
        frame = _first_frame(container, stream, path)
        fps = exact(stream.average_rate) or exact(stream.guessed_rate) or exact(stream.base_rate) or DEFAULT_FPS
        # FFmpeg gives the angle counterclockwise.
        rotation = round(-frame.rotation / 90) * 90 % 360
        frames, duration = _length(path, container, stream, fps)
        turned = rotation in (90, 270)
        name = stream.codec_context.name
        return Video(
            path=found.path,
            name=found.name,
            fingerprint=fingerprint(path),
            width=frame.height if turned else frame.width,
            height=frame.width if turned else frame.height,
            rotation=rotation,
            fps=fps,
            frames=frames,
            duration=duration,
            codec=f"{DECODER_NAMES.get(name, name)} {frame.format.name}",
            color=describe(int(frame.colorspace), int(frame.color_range), frame.format.name),
            size_bytes=size_bytes(path),
            recorded_at=recorded_at(found.name, time_pattern) if time_pattern else None,
        )


def fingerprint(path: Source) -> str:
    """16 hexadecimal digits that identify the bytes of a file: of its size, its first and its last 64 KiB."""
    size = size_bytes(path)
    with open_bytes(path) as file:
        head = file.read(DIGESTED_BYTES)
        file.seek(max(0, size - DIGESTED_BYTES))
        tail = file.read(DIGESTED_BYTES)
    return hashlib.sha256(str(size).encode() + b"\0" + head + tail).hexdigest()[:16]


def recorded_at(name: str, pattern: str) -> datetime | None:
    """When a recording began, read from its file name by a strptime pattern; None when the name does not hold it.

    The pattern may lie anywhere in the last part of the name, or in the whole name if it contains a slash. Numbers
    that stand alone are preferred to parts of longer ones. Raises SourceError for a pattern that is none.
    """
    text = name if "/" in pattern else PurePosixPath(name).name
    padded, short = (_as_regex(pattern, may_be_short) for may_be_short in (False, True))
    for regex in (rf"(?<!\d)({padded})(?!\d)", padded, rf"(?<!\d)({short})(?!\d)"):
        for match in re.finditer(rf"(?=(?P<when>{regex}))", text):
            try:
                return datetime.strptime(match["when"], pattern)
            except ValueError:  # the 31st of a month that has 30 days
                continue
    return None


def _as_regex(pattern: str, may_be_short: bool) -> str:
    parts = re.split(r"(%.?)", pattern)
    for at in range(1, len(parts), 2):
        directive = parts[at][1:]
        if directive not in _DIRECTIVES:
            known = " ".join(f"%{d}" for d in _DIRECTIVES)
            raise SourceError(f"select.time_pattern={pattern!r}: {parts[at]!r} is not known; known are {known}")
        padded, short = _DIRECTIVES[directive]
        parts[at] = f"(?:{padded}|{short})" if may_be_short and short else padded
    if len(parts) == 1:
        raise SourceError(f"select.time_pattern={pattern!r} holds no date or time; write it like %Y%m%d_%H%M%S")
    parts[::2] = [re.escape(part) for part in parts[::2]]
    return "".join(parts)


def _first_frame(container: Any, stream: Any, path: Source) -> Any:
    """The first frame that can be decoded. Usually only one is: the first packet, and what it alone gives."""
    context = stream.codec_context
    context.thread_count = 1
    frames: list[Any] = []
    for number, packet in enumerate(_packets(container, stream)):
        if number >= FIRST_FRAME_PACKETS:
            break
        frames = _decoded(context, packet)
        if number == 0 and not frames:
            frames = _decoded(context, None)
            context.flush_buffers()
            if not frames:
                _decoded(context, packet)
        if frames:
            return frames[0]
    frames = _decoded(context, None)
    if not frames:
        raise UnreadableVideo(f"{path}: no frame of its {context.name} stream can be decoded; it is empty or damaged")
    return frames[0]


def _decoded(context: Any, packet: Any | None) -> list[Any]:
    try:
        frames: list[Any] = context.decode(packet)
        return frames
    except AV_ERRORS:
        return []


def _packets(container: Any, stream: Any) -> Any:
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except AV_ERRORS:
        return


def _length(path: Source, container: Any, stream: Any, fps: Fraction) -> tuple[int, float]:
    """(frames, seconds), estimated: by the index, by the header, by the last packets, or by counting them all."""
    formats = set(container.format.name.split(","))
    header = _header_seconds(container, stream)
    said = [int(stream.frames), *(int(v) for k, v in stream.metadata.items() if _is_count(k, v))]
    # An MP4 written in fragments may know its first one only. Matroska counts from zero, not from its first frame.
    fragmented = "mov" in formats and "moof" in mp4_boxes(path)
    indexed = _indexed(stream) if "mov" in formats and not fragmented else None
    if indexed:
        return indexed, float(header or indexed / fps)
    if fragmented or ("matroska" in formats and (header is None or (stream.start_time or 0) > 0)):
        seconds = _until_last_packet(container, stream)
    else:
        seconds = header if formats & DURATION_IN_HEADER else None
    if seconds is None:
        with opened(path) as (again, video):
            said.append(sum(1 for _ in _packets(again, video)))
        seconds = max(said) / fps
    # The average rate of Matroska is a guess from the first frames.
    rate = max(fps, exact(stream.guessed_rate) or fps) if "matroska" in formats else fps
    return max(math.ceil(seconds * rate), *said, 1), float(seconds)


def _is_count(key: str, value: str) -> bool:
    return key.upper().startswith("NUMBER_OF_FRAMES") and value.isdigit()


def _indexed(stream: Any) -> int | None:
    """Displayed frames by the index of an MP4, exact; None without an index."""
    entries = getattr(stream, "index_entries", None)  # since PyAV 16
    if not entries:
        return None
    # An edit list leaves entries out or marks them; without one the numbers agree and need not be walked through.
    seconds = stream.duration and stream.duration * exact(stream.time_base)
    average = exact(stream.average_rate)
    if len(entries) == stream.frames and seconds and average and abs(seconds * average - stream.frames) < 1:
        return int(stream.frames)
    return sum(not entry.is_discard for entry in entries) or None


def _header_seconds(container: Any, stream: Any) -> Fraction | None:
    tick = exact(stream.time_base)
    if stream.duration and stream.duration > 0 and tick:
        return int(stream.duration) * tick
    if container.duration and container.duration > 0:
        return Fraction(container.duration, 1_000_000)
    return None


def _until_last_packet(container: Any, stream: Any) -> Fraction | None:
    """Seconds from the first packet to the end of the last, which are looked for at the end of the file."""
    tick, start = exact(stream.time_base), stream.start_time
    if tick is None or start is None:
        return None
    try:
        container.seek(2**62, stream=stream, backward=True)
    except AV_ERRORS:
        return None
    ends = [p.pts + (p.duration or 0) for p in _packets(container, stream) if p.pts is not None]
    return (max(ends) - start) * tick if ends and max(ends) > start else None
