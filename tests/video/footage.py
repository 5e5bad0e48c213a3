"""Tricky video files, made with PyAV where a test needs them. Every frame says which one it is.

A frame's number is painted as ten big light or dark cells, over a texture that moves, so that a picture decoded from
the wrong neighbours does not pass for the right one; a fixed row of cells tells which way is up. `number_of` reads it.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 160, 128
COLUMNS, ROWS = 5, 4
UPRIGHT = (1, 1, 0, 1, 0)
DARK, LIGHT = 50, 200
FAST = {"preset": "ultrafast", "crf": "18", "bf": "0", "g": "40"}
B_FRAMES = FAST | {"bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0:ref=3"}

OPEN_GOP = B_FRAMES | {"x264-params": B_FRAMES["x264-params"] + ":open-gop=1"}
X265 = "keyint=40:min-keyint=40:scenecut=0:bframes=3:b-adapt=0:log-level=none"
VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "40", "crf": "30", "b": "0"}
MPEG4 = {"g": "40", "b": "2000000"}


@functools.cache
def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """(height, width) uint8 grey: the number in the two upper rows of cells, their complement, and the upright row."""
    bits = [number >> k & 1 for k in range(2 * COLUMNS)]
    cells = np.array([bits[:COLUMNS], bits[COLUMNS:], [1 - b for b in bits[:COLUMNS]], UPRIGHT])
    y, x = np.ogrid[:height, :width]
    flat = np.where(cells[y * ROWS // height, x * COLUMNS // width] == 1, LIGHT, DARK)
    texture = 20 * np.sin((x + 3 * number) / 5) * np.cos((y - 2 * number) / 7)
    return (flat + texture).astype(np.uint8)


def number_of(rgb: NDArray[np.uint8]) -> int:
    """The number painted in a picture of any size; -1 when it is not one of ours or not upright."""
    small = cv2.resize(rgb[..., 1], (10 * COLUMNS, 10 * ROWS), interpolation=cv2.INTER_AREA)
    cells = small.reshape(ROWS, 10, COLUMNS, 10)[:, 3:7, :, 3:7].mean(axis=(1, 3))
    bits = (cells > (DARK + LIGHT) / 2).astype(int)
    if tuple(bits[3]) != UPRIGHT or (bits[0] == bits[2]).any():
        return -1
    return int(sum(bit << k for k, bit in enumerate([*bits[0], *bits[1]])))


def write(
    path: Path,
    numbers: Sequence[int],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate: int = 30,
    times: Sequence[Fraction] | None = None,
    turn: int = 0,
    container: dict[str, str] | None = None,
) -> Path:
    """Encode pictures of these numbers; `times` in seconds (even spacing without), `turn` quarter turns clockwise."""
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=FAST if options is None else options)
        stream.pix_fmt = pixels
        stream.width, stream.height = size if turn % 2 == 0 else size[::-1]
        stream.codec_context.thread_count = 1
        tick = Fraction(1, 90000) if times is not None else Fraction(1, rate)
        stream.codec_context.time_base = tick
        for at, number in enumerate(numbers):
            grey = np.rot90(picture(number, *size), -turn)
            frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2), format="rgb24")
            frame = frame.reformat(format=pixels)
            frame.pts = at if times is None else int(times[at] / tick)
            frame.time_base = tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def boxes(data: bytearray, path: str) -> tuple[int, int]:
    """(start, stop) of the payload of an MP4 box, by its path of names such as "moov/trak/edts/elst"."""
    at, stop = 0, len(data)
    for name in path.split("/"):
        while at + 8 <= stop:
            size = struct.unpack(">I", data[at : at + 4])[0]
            if data[at + 4 : at + 8] == name.encode():
                at, stop = at + 8, at + size
                break
            at += size
        else:
            raise ValueError(f"no box {name} of {path}")
    return at, stop


def turned(path: Path, quarters: int) -> Path:
    """Upright pictures stored turned anticlockwise, with the matrix that asks for so many quarter turns clockwise."""
    write(path, range(60), turn=-quarters)
    data = bytearray(path.read_bytes())
    at, _ = boxes(data, "moov/trak/tkhd")
    # ISO 14496-12: x' = a x + c y + tx, y' = b x + d y + ty, with y downwards.
    a, b, c, d = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[quarters]
    one = 1 << 16
    data[at + 40 : at + 76] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def edited(path: Path, edits: Sequence[tuple[int, int]], options: dict[str, str], rate: int = 30) -> Path:
    """A file whose edit list shows, one after another, so many frames from that one on: [(first, count), ...]."""
    write(path, range(120), options=options)
    data = bytearray(path.read_bytes())
    movie, _ = boxes(data, "moov/mvhd")
    media, _ = boxes(data, "moov/trak/mdia/mdhd")
    scale = struct.unpack(">I", data[movie + 12 : movie + 16])[0]
    ticks = struct.unpack(">I", data[media + 12 : media + 16])[0]
    at, stop = boxes(data, "moov/trak/edts/elst")
    begin = struct.unpack(">i", data[at + 12 : at + 16])[0]
    table = data[at : at + 4] + struct.pack(">I", len(edits))
    for first, count in edits:
        table += struct.pack(">IiHH", count * scale // rate, begin + first * ticks // rate, 1, 0)
    for box in ("moov", "moov/trak", "moov/trak/edts", "moov/trak/edts/elst"):
        start, end = boxes(data, box)
        data[start - 8 : start - 4] = struct.pack(">I", end - start + 8 + len(table) - (stop - at))
    data[at:stop] = table
    path.write_bytes(data)
    return path


def uneven(count: int) -> list[Fraction]:
    """Times of a camera whose rate changes: thirtieths, with pauses."""
    times = [Fraction(0)]
    for k in range(1, count):
        times.append(times[-1] + Fraction(3 if k % 10 == 0 else 1, 30))
    return times


def resized(path: Path) -> Path:
    """A stream whose pictures change their size half-way."""
    with av.open(str(path), "w") as output:
        stream = None
        for part, size in enumerate([(WIDTH, HEIGHT), (WIDTH * 2, HEIGHT * 2)]):
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height = size
            encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, 30), Fraction(30)
            encoder.options = FAST
            encoder.thread_count = 1
            if stream is None:
                encoder.open()
                stream = output.add_stream("libx264", rate=30)
                stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            packets = []
            for number in range(part * 60, part * 60 + 60):
                grey = picture(number, *size)
                frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2), format="rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 30)
                packets += encoder.encode(frame)
            for packet in [*packets, *encoder.encode(None)]:
                packet.stream, packet.time_base = stream, Fraction(1, 30)
                output.mux(packet)
    return path


def concatenated(path: Path, sizes: Sequence[tuple[int, int]]) -> Path:
    """MPEG-TS recordings copied one after another, as cameras and `cat` do: timestamps start over."""
    parts = []
    for k, size in enumerate(sizes):
        part = path.with_name(f"{path.stem}-{k}.ts")
        parts.append(write(part, range(k * 60, k * 60 + 60), size=size, options=B_FRAMES).read_bytes())
    path.write_bytes(b"".join(parts))
    return path


def beheaded(path: Path) -> Path:
    """A recording cut out of a longer one with open groups of pictures: its first frames refer to what is gone."""
    whole = write(path.with_name("whole-" + path.name), range(120), options=OPEN_GOP)
    with av.open(str(whole)) as source, av.open(str(path), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        keys = 0
        for packet in source.demux(stream):
            keys += packet.is_keyframe
            if packet.size and keys >= 2:
                packet.stream = copy
                output.mux(packet)
    return path


def shuffled(path: Path) -> Path:
    """An MP4 whose timestamps follow the order of decoding instead of display: every composition offset is the same."""
    write(path, range(120), options=B_FRAMES)
    data = bytearray(path.read_bytes())
    at, stop = boxes(data, "moov/trak/mdia/minf/stbl/ctts")
    for entry in range(at + 8, stop, 8):
        data[entry + 4 : entry + 8] = data[at + 12 : at + 16]
    path.write_bytes(data)
    return path


def truncated(path: Path) -> Path:
    """A download that broke off: the index is at the beginning, half of the pictures are missing."""
    write(path, range(120), options=B_FRAMES, container={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    return path


def damaged(path: Path) -> Path:
    """A file with bytes overwritten in the middle of its pictures."""
    write(path, range(120), options=B_FRAMES)
    data = bytearray(path.read_bytes())
    start, stop = boxes(data, "mdat")
    middle = (start + stop) // 2
    data[middle : middle + 3000] = bytes(range(256)) * 11 + bytes(184)
    path.write_bytes(data)
    return path


def colored(path: Path, yuv: tuple[int, int, int], matrix: int, range_: int) -> Path:
    """One flat colour, given as Y, Cb and Cr, with FFmpeg's numbers of its matrix and range as tags."""
    pixels = "yuvj420p" if range_ == 2 else "yuv420p"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "ultrafast", "qp": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = pixels
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, range_
        for _ in range(3):
            frame = av.VideoFrame(64, 64, pixels)
            for plane, value in zip(frame.planes, yuv, strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.colorspace, frame.color_range = matrix, range_
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def sound(path: Path) -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
