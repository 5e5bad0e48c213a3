"""Coloured things that move over a dark ground, with their true masks: what the tiny checkpoint can see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam.types import SessionFrames, Track

COLOURS = ("red", "green", "blue")
WIDTH, HEIGHT = 160, 112
DARK, BRIGHT = 20, 230
LATE = 6  # the frame in which blue appears


@dataclass(frozen=True)
class Footage:
    """images: T (h, w, 3) uint8 RGB. truth: (T, 3, h, w) bool, by colour."""

    images: list[NDArray[np.uint8]]
    truth: NDArray[np.bool_]

    def session(self, width: int = WIDTH, height: int = HEIGHT) -> SessionFrames:
        """The frames as a tracker gets them, of a source of this size."""
        count = len(self.images)
        return SessionFrames(self.images, np.arange(count), np.arange(count) / 25, width, height, "blobs.mp4")

    def likeness(self, track: Track, colour: str) -> list[float]:
        """IoU of a track with the truth of a colour, in each of the track's frames."""
        true = self.truth[:, COLOURS.index(colour)]
        found = ((f, mask.full(WIDTH, HEIGHT) > 0) for f, mask in zip(track.frames, track.masks, strict=True))
        return [float((true[f] & seen).sum() / (true[f] | seen).sum()) for f, seen in found]


def blobs(count: int, scale: int = 1) -> Footage:
    """count frames; each thing is a rectangle of its colour, the last in COLOURS before the others."""
    images, truth = [], np.zeros((count, 3, HEIGHT * scale, WIDTH * scale), bool)
    for t in range(count):
        image = np.full((HEIGHT * scale, WIDTH * scale, 3), DARK, np.uint8)
        places = [(6 + 4 * t, 10, 40, 36), (108 - 4 * t, 60, 40, 40), (0, 46, 30, 36) if t >= LATE else (0, 0, 0, 0)]
        for colour, (x, y, w, h) in enumerate(places):
            left, right = max(0, x) * scale, max(0, x + w) * scale
            area = (slice(y * scale, (y + h) * scale), slice(left, right))
            truth[t, :, *area] = False
            truth[t, colour][area] = True
            image[area] = DARK
            image[area][..., colour] = BRIGHT
        images.append(image)
    return Footage(images, truth)
