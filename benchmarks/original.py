"""A plain version of the original pipeline, to measure against.

OpenCV reads every frame; every 4th goes into a clip; a full clip is written as mp4v, and opened again for each object,
which is cut out with each frame's own box, padded to a black square, resized and written as mp4v. One frame after the
other, in one thread. Masks are given box-local, which is cheaper than finding the boxes in full masks, as it did.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.footage import OBJECTS, mask_of

STRIDE, FRAMES, SIZE = 4, 20, 224


def original(path: Path, out: Path) -> None:
    """Write every full clip of the video, and each object's crop of it."""
    video = cv2.VideoCapture(str(path))
    fps = video.get(cv2.CAP_PROP_FPS) / STRIDE
    sampled: list[NDArray[np.uint8]] = []
    indices: list[int] = []
    index = clips = 0
    while True:
        read, frame = video.read()
        if not read:
            break
        if index % STRIDE == 0:
            sampled.append(frame)
            indices.append(index)
        if len(sampled) == FRAMES:
            clip = out / f"clip_{clips:04}.mp4"
            _write(clip, sampled, fps)
            for number in range(OBJECTS):
                _write(out / f"clip_{clips:04}_{number}.mp4", _crops(clip, number, indices), fps)
            sampled, indices, clips = [], [], clips + 1
        index += 1
    video.release()


def _crops(clip: Path, number: int, indices: list[int]) -> list[NDArray[np.uint8]]:
    video = cv2.VideoCapture(str(clip))
    crops = []
    for index in indices:
        _, frame = video.read()
        mask = mask_of(number, index, frame.shape[1], frame.shape[0])
        x0, y0, x1, y1 = mask.box
        cut = frame[y0:y1, x0:x1] * mask.decode()[..., None]
        side = max(cut.shape[:2])
        square = np.zeros((side, side, 3), np.uint8)
        top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
        square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
        crops.append(np.asarray(cv2.resize(square, (SIZE, SIZE)), np.uint8))
    video.release()
    return crops


def _write(path: Path, frames: list[NDArray[np.uint8]], fps: float) -> None:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    for frame in frames:
        writer.write(frame)
    writer.release()
