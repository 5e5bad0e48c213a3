"""Still pictures from crops: film strips and posters for the report, and contact sheets for a README.

Reads finished crops only, and never a source video. Equal crops give equal pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DatasetError
from pipeline.writing import write_bytes

Picture = NDArray[np.uint8]  # (H, W, 3), RGB

LONG = 300  # crops with more frames are sampled at key frames instead of decoded in full
JPEG_QUALITY = 84
PAPER = (13, 17, 23)  # behind the pictures of a contact sheet, RGB


def spread_frames(path: Path, count: int) -> list[Picture]:
    """`count` frames spread evenly over a crop, the first and last among them; short crops repeat frames.

    Crops of more than 300 frames give the key frame before each place. Raises DatasetError that names a crop that is
    missing, damaged or empty.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, got {count = }")
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = _keys(container, stream, count) if stream.frames > LONG else list(container.decode(stream))
            pictures = [f.to_ndarray(format="rgb24") for f in _spread(frames, count)]
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise DatasetError(f"{path} cannot be read ({error}): run the build again to restore it") from error
    if not pictures:
        raise DatasetError(f"{path} holds no frames: run the build again to restore it")
    return pictures


def _keys(container: Any, stream: Any, count: int) -> list[Any]:
    frames = []
    for place in np.linspace(0, stream.duration or 0, count):
        container.seek(min(int(place), (stream.duration or 1) - 1), stream=stream)
        frames.append(next(container.decode(stream)))
    return frames


def _spread(frames: Sequence[Any], count: int) -> list[Any]:
    if not frames:
        return []
    return [frames[round(place)] for place in np.linspace(0, len(frames) - 1, count)]


def fit(picture: Picture, side: int) -> Picture:
    """The picture as a square of `side` pixels; area averaging when it shrinks, so that fine texture does not alias."""
    shrinks = picture.shape[0] > side
    resized = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(resized, dtype=np.uint8)


def strip(pictures: Sequence[Picture], side: int, gap: int = 0) -> Picture:
    """Pictures side by side, each `side` pixels square, `gap` pixels apart."""
    row = np.full((side, len(pictures) * (side + gap) - gap, 3), PAPER, np.uint8)
    for place, picture in enumerate(pictures):
        left = place * (side + gap)
        row[:, left : left + side] = fit(picture, side)
    return row


def most_telling(pictures: Sequence[Picture]) -> Picture:
    """The picture with the most contrast: the first of a crop may be black because the object is not there yet."""
    return max(pictures, key=lambda picture: float(picture.std()))


def encoded(picture: Picture, ending: str) -> bytes:
    """An RGB picture as a file's bytes; ending: .jpg or .png. Raises ValueError for other endings."""
    if ending not in (".jpg", ".png"):
        raise ValueError(f"a picture's name must end in .jpg or .png, got {ending = }")
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if ending == ".jpg" else []
    done, data = cv2.imencode(ending, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"a picture of {picture.shape = } cannot be encoded as {ending}")
    return bytes(data)


def contact_sheet(paths: Sequence[Path], out_png: Path, columns: int = 2, frames: int = 6, side: int = 112) -> None:
    """Write one picture of many crops: `columns` crops per row, each as `frames` frames of `side` pixels.

    Raises ValueError when there are no paths, DatasetError when a crop cannot be read.
    """
    if not paths:
        raise ValueError("a contact sheet needs at least one crop, got no paths")
    columns = min(columns, len(paths))
    gap, gutter = 2, max(10, side // 8)
    strips = [strip(spread_frames(path, frames), side, gap) for path in paths]
    height, width = strips[0].shape[:2]
    rows = -(-len(strips) // columns)
    sheet = np.full((rows * (height + gutter) + gutter, columns * (width + gutter) + gutter, 3), PAPER, np.uint8)
    for place, each in enumerate(strips):
        top = gutter + (place // columns) * (height + gutter)
        left = gutter + (place % columns) * (width + gutter)
        sheet[top : top + height, left : left + width] = each
    write_bytes(out_png, encoded(sheet, out_png.suffix))
