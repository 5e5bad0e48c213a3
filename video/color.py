"""The one rule by which pixels become RGB, for every reader.

A file's own tags (matrix and range) are followed. What is not tagged is BT.601 limited, FFmpeg's convention and what
OpenCV and decord assume. Full range is expanded properly. Only matrix and range matter here: primaries and transfer
curves are not converted, so HDR footage keeps its flat look.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMITED, FULL = 1, 2  # AVCOL_RANGE_MPEG and AVCOL_RANGE_JPEG
RGB, UNSPECIFIED = 0, 2  # AVCOL_SPC_RGB and AVCOL_SPC_UNSPECIFIED
BT601 = 5
# FFmpeg's number of a matrix -> (our name, the number swscale knows it by). PAL and NTSC share BT.601's numbers.
MATRICES = {1: ("bt709", 1), 4: ("fcc", 4), 5: ("bt601", 5), 6: ("bt601", 5), 7: ("smpte240m", 7), 9: ("bt2020", 9)}


def describe(matrix: int, range_: int, pixels: str) -> str:
    """What `Video.color` says, from the tags of a frame and its pixel format: "bt709 limited (tagged)"."""
    if pixels.startswith(("gbr", "rgb", "bgr", "argb", "abgr", "pal8")) or matrix == RGB:
        return "rgb"
    name, _ = MATRICES.get(matrix, ("bt601", BT601))
    full = range_ == FULL or pixels.startswith("yuvj")
    tags = [matrix in MATRICES, range_ in (LIMITED, FULL) or full]
    said = {(1, 1): "tagged", (0, 0): "untagged", (1, 0): "range untagged", (0, 1): "matrix untagged"}
    return f"{name} {'full' if full else 'limited'} ({said[int(tags[0]), int(tags[1])]})"


def to_rgb(frame: Any, reformatter: Any, width: int, height: int) -> NDArray[np.uint8]:
    """A decoded PyAV frame as (height, width, 3) uint8 RGB, by the rule above; another size is stretched (bilinear)."""
    pixels = frame.format.name
    _, matrix = MATRICES.get(int(frame.colorspace), ("bt601", BT601))
    full = int(frame.color_range) == FULL or pixels.startswith("yuvj")
    # A destination must be named: older PyAV converts by the tags only when source and destination differ.
    rgb = reformatter.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=matrix,
        dst_colorspace=BT601,
        src_color_range=FULL if full else LIMITED,
        dst_color_range=FULL,
    )
    # PyAV may give a view whose rows are padded.
    return np.ascontiguousarray(rgb.to_ndarray())
