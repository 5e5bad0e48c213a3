"""Daylight and the sensor: what happens to a clean picture before it reaches the encoder.

The light drifts over minutes, clouds pass as soft edges of shade, and the sensor adds Gaussian noise and a slight
flicker of its gain. All of it works in place on an I420 picture, with noise drawn once and shifted per frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from video.synthetic.backdrop import planes

U8 = NDArray[np.uint8]

UNIT = 200  # the 8-bit value that stands for a gain of 1 in the shade map


@dataclass(frozen=True, slots=True)
class Cloud:
    """A shade that sweeps over the picture: when its front enters, how long it stays, how dark it is (0..1)."""

    start_s: float
    length_s: float
    depth: float
    sweep_s: float

    def shade(self, time_s: float, along: NDArray[np.float32]) -> NDArray[np.float32]:
        """Light taken away, 0..depth, where `along` is 0..1 in the direction the front moves."""
        since = time_s - self.start_s - along * self.sweep_s
        enter = np.clip(since / (0.4 * self.length_s), 0, 1)
        leave = np.clip((self.length_s - since) / (0.4 * self.length_s), 0, 1)
        level = np.minimum(enter, leave)
        return np.asarray(self.depth * level * level * (3 - 2 * level), np.float32)


class Daylight:
    """The light of one scene as a function of time, in seconds from the first frame."""

    def __init__(self, rng: np.random.Generator, seconds: float, width: int, height: int) -> None:
        self._size = (width, height)
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        self._drift = rng.uniform(0.04, 0.08)
        self._period = rng.uniform(60, 140)
        count = max(1, round(seconds / 30))
        spots = (np.arange(count) + rng.uniform(0.1, 0.8, count)) * seconds / count
        self._clouds = [Cloud(float(s), rng.uniform(5, 11), rng.uniform(0.12, 0.30), rng.uniform(1, 4)) for s in spots]
        direction = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[0:18, 0:32].astype(np.float32)
        along = x / 31 * np.cos(direction) + y / 17 * np.sin(direction)
        self._along = np.asarray((along - along.min()) / (along.max() - along.min()), np.float32)

    def sun(self, time_s: float) -> float:
        """How hard shadows are: 1 in full sun, less under a cloud."""
        return float(1 - 2.2 * np.mean(self._shade(time_s)))

    def apply(self, i420: U8, time_s: float, flicker: float) -> None:
        """Light a picture in place. The black level is taken off Y; `Sensor.expose` adds it again."""
        drift = self._drift * np.sin(2 * np.pi * time_s / self._period + self._phase[0])
        gain = (1 + drift) * (1 + flicker)
        warmth = 1.6 * np.sin(2 * np.pi * time_s / (1.7 * self._period) + self._phase[1])
        values = np.arange(256, dtype=np.float32)
        y, u, v = planes(i420)
        cv2.LUT(y, np.clip((values - 16) * gain, 0, 239).round().astype(np.uint8), dst=y)
        for plane, shift in ((u, -warmth), (v, warmth)):
            cv2.LUT(plane, np.clip(128 + (values - 128) * gain + shift, 1, 254).round().astype(np.uint8), dst=plane)
        shade = self._shade(time_s)
        if shade.max() < 0.004:
            return
        for plane, pivot in ((y, 0), (u, 128), (v, 128)):
            size = (plane.shape[1], plane.shape[0])
            level = cv2.resize(UNIT * (1 - shade), size, interpolation=cv2.INTER_LINEAR).round().astype(np.uint8)
            cv2.multiply(plane, level, dst=plane, scale=1 / UNIT)
            if pivot:
                lifted = cv2.convertScaleAbs(level, alpha=-pivot / UNIT, beta=pivot)
                cv2.add(plane, lifted, dst=plane)

    def _shade(self, time_s: float) -> NDArray[np.float32]:
        total = np.zeros_like(self._along)
        for cloud in self._clouds:
            total = np.maximum(total, cloud.shade(time_s, self._along))
        return total


class Sensor:
    """Gaussian noise of `sigma` 8-bit levels on Y, half of it on U and V, and gain flicker of `flicker`."""

    BLACK = 16
    MARGIN = 256

    def __init__(
        self, rng: np.random.Generator, width: int, height: int, sigma: float = 1.8, flicker: float = 0.006
    ) -> None:
        self._rng, self._flicker = rng, flicker
        shape = (height + self.MARGIN, width + self.MARGIN)
        self._luma = [self._bank(rng, shape, sigma) for _ in range(3)]
        self._chroma = [self._bank(rng, (shape[0] // 2, shape[1] // 2), sigma / 2) for _ in range(3)]

    @staticmethod
    def _bank(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> U8:
        white = rng.standard_normal(shape, np.float32)
        soft = cv2.GaussianBlur(white, (0, 0), 0.7)  # demosaicing ties neighbours together
        return np.asarray(np.clip(128 + soft * (sigma / float(soft.std())), 0, 255).round(), np.uint8)

    def flicker(self) -> float:
        """This frame's relative change of gain."""
        return float(self._rng.normal(0, self._flicker))

    def expose(self, i420: U8) -> None:
        """Add noise and the black level, in place."""
        y, u, v = planes(i420)
        for plane, banks, level in ((y, self._luma, self.BLACK), (u, self._chroma, 0), (v, self._chroma, 0)):
            bank = banks[int(self._rng.integers(len(banks)))]
            h, w = plane.shape
            top = int(self._rng.integers(bank.shape[0] - h))
            left = int(self._rng.integers(bank.shape[1] - w))
            cv2.addWeighted(plane, 1, bank[top : top + h, left : left + w], 1, level - 128, dst=plane)
