"""Footage for the benchmarks: five textured ellipses before a textured place with sensor noise, and their exact masks.

Files lie in a folder of the system's temporary folder and are made once.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.table import FOLDER
from sam.types import Mask

U8 = NDArray[np.uint8]
OBJECTS = 5
FPS = 30
PERIOD = 60 * FPS  # frames after which a long video repeats itself


@cache
def mask_of(number: int, frame: int, width: int, height: int) -> Mask:
    """The mask of object `number` in source frame `frame`: each swings in a lane of its own, at its own pace."""
    lane = height / OBJECTS
    half = int(lane * 0.42), int(lane * (0.55 + 0.12 * number))  # vertical, horizontal semi-axis
    reach = width / 2 - half[1] - 4
    x = width / 2 + reach * np.sin(0.011 * frame * (1 + 0.17 * number) + number)
    y = lane * (number + 0.5) + 0.06 * lane * np.sin(0.05 * frame + number)
    patch = np.zeros((2 * half[1] + 1, 2 * half[1] + 1), np.uint8)
    cv2.ellipse(patch, (half[1], half[1]), half[::-1], 8 * np.sin(0.03 * frame), 0, 360, 1, -1)
    mask = Mask.encode(patch, (int(x) - half[1], int(y) - half[1]))
    assert mask is not None
    return mask


def short_video(seconds: float, width: int = 1920, height: int = 1080, noise: float = 3.0) -> Path:
    """H.264 of 30 frames a second, x264 medium, crf 21, a keyframe every 250 frames.

    noise: deviation of the sensor noise in 8-bit levels; it makes the bitrate.
    """
    path = FOLDER / f"ellipses-{width}x{height}-{noise:g}-{seconds:g}s.mp4"
    if not path.is_file():
        _encode(path, round(seconds * FPS), width, height, noise)
    return path


def twin(path: Path, number: int) -> Path:
    """Another video with the same pictures: an empty box at its end makes it another file. The 0th is the video."""
    if number == 0:
        return path
    other = path.with_stem(f"{path.stem}-{number}")
    if not other.is_file():
        part = other.with_suffix(".part")
        size = 8 + 8 * number
        part.write_bytes(path.read_bytes() + size.to_bytes(4, "big") + b"free" + bytes(size - 8))
        part.rename(other)
    return other


def long_video(seconds: float, width: int = 640, height: int = 360, noise: float = 1.5) -> Path:
    """A video of any length in whole minutes: the packets of one minute, repeated. Nothing is encoded twice."""
    path = FOLDER / f"repeated-{width}x{height}-{noise:g}-{seconds:g}s.mp4"
    if path.is_file():
        return path
    minute = short_video(60, width, height, noise)
    part = path.with_suffix(".part")
    with av.open(str(minute)) as source, av.open(str(part), "w", format="mp4") as target:
        stream = source.streams.video[0]
        packets = [p for p in source.demux(stream) if p.size]
        copy = target.add_stream_from_template(stream)
        ticks = int(Fraction(60) / stream.time_base)
        stamps = [(p.pts, p.dts) for p in packets]
        for turn in range(-(-round(seconds) // 60)):
            for packet, (pts, dts) in zip(packets, stamps, strict=True):
                packet.stream, packet.time_base = copy, stream.time_base
                packet.pts, packet.dts = pts + turn * ticks, dts + turn * ticks
                target.mux(packet)
    part.rename(path)
    return path


def _encode(path: Path, count: int, width: int, height: int, sigma: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    place = _texture(width, height, 1, 60, 200)
    coats = [_texture(width, height, 10 + n, 20, 120 + 25 * n) for n in range(OBJECTS)]
    noise = np.random.default_rng(2).normal(0, sigma, (8, height, width)).round().astype(np.int16)
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "medium", "crf": "21"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = width, height, "yuv420p", 250
        for index in range(count):
            picture = _picture(index, place, coats, noise[index % len(noise)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    part.rename(path)


def _picture(index: int, place: U8, coats: list[U8], noise: NDArray[np.int16]) -> U8:
    """One I420 picture (3h/2, w): noise in the luma, one colour per object in the chroma."""
    height, width = place.shape
    luma = place.copy()
    chroma = np.full((2, height // 2, width // 2), 128, np.uint8)
    for number in range(OBJECTS):
        mask = mask_of(number, index, width, height)
        x0, y0, x1, y1 = mask.box
        inside = mask.decode() > 0
        luma[y0:y1, x0:x1][inside] = coats[number][: y1 - y0, : x1 - x0][inside]
        half = inside[::2, ::2]
        for plane, colour in zip(chroma, (90 + 15 * number, 165 - 15 * number), strict=True):
            area = plane[y0 // 2 : y0 // 2 + half.shape[0], x0 // 2 : x0 // 2 + half.shape[1]]
            area[half[: area.shape[0], : area.shape[1]]] = colour
    shift = 37 * index % width
    noisy = np.clip(luma + np.roll(noise, shift, axis=1), 16, 235).astype(np.uint8)
    return np.concatenate([noisy.ravel(), chroma.ravel()]).reshape(height * 3 // 2, width)


def _texture(width: int, height: int, seed: int, low: int, high: int) -> U8:
    """Smooth blotches of several sizes, as grass or a coat has."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for scale, weight in ((8, 0.25), (32, 0.35), (128, 0.4)):
        grain = random.random((height // scale + 2, width // scale + 2)).astype(np.float32)
        total += weight * cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.convertScaleAbs(total, alpha=high - low, beta=low), np.uint8)
