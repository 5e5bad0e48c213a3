"""What a fixed camera sees when nobody is there, and which pixels of a frame differ from it.

`Background.learn` takes frames spread over a video and finds each pixel's most frequent colour (the shortest interval
that holds a share of its values: Rousseeuw's shorth, a mode that stands 60 % of other values), after the light of every
frame was brought to that of a common reference. `Background.foreground` fits the light of one frame the same way, a
smooth field of gains that ignores what does not fit (iteratively reweighted), and scores the difference in units of
noise. Darker or brighter ground that keeps its colour and its texture is light, not an object (after the ratio and
chromaticity tests of Horprasert et al. 1999 and Cucchiara et al. 2003).

It sees pixels only: no objects, no time, no randomness. Pictures are (h, w, 3) uint8 RGB of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

BLOCK = 16  # pixels per side of the blocks that the light is fitted on
LIFT = 6.0  # added before ratios are taken, so that black pixels do not rule
SHARE = 0.4  # of the values that the shortest interval holds
SHADE = (0.5, 1.25)  # how much darker a shadow and how much brighter a sunny spot may be
TINT = 2.5  # how many times the noise the colour of a shadow may be off
ROUGH = 0.035  # how uneven the brightness of a shadow may be against that of the ground it falls on
DARK = 0.4  # of the median brightness: darker places do not show shadows
GHOST = 1.5  # how much stronger a ghost's outline is in the background than in the image
LIGHT_ERROR = 0.012  # of the brightness: what the fitted light may be wrong by
SCALE = 4.0  # of the 8-bit score: this many levels per unit of noise


@dataclass(frozen=True, slots=True)
class Background:
    """picture: (h, w, 3) float32 RGB, the empty place. weight: (h, w, 3) float32, score levels per level of difference
    in Y, Cr and Cb. blocks: (h/16, w/16, 3) float32, the block means of `picture`."""

    picture: F32
    weight: F32
    blocks: F32

    @classmethod
    def learn(cls, frames: Sequence[U8]) -> Background:
        """The background of at least one frame of a fixed camera; the more frames and the wider spread, the better."""
        blocks = np.stack([_blocks(frame) for frame in frames])
        reference = _shorth(np.clip(blocks, 0, 255).astype(np.uint8))[0]
        for _ in range(2):  # what the light has hidden from the first reference shows in the second
            relit = [_lit(b, np.exp(-_light(b, reference))) for b in blocks]
            reference = _shorth(np.clip(relit, 0, 255).astype(np.uint8))[0]
        picture, spread = _shorth(_relit(frames, blocks, reference))
        noise = _noise(picture, spread, len(frames))
        return cls(picture, SCALE / noise, _blocks(picture))

    def has_outline(self, image: U8, box: tuple[int, int, int, int], mask: U8) -> bool:
        """Whether the outline of a blob is an edge of the background rather than of the image.

        So it is where somebody rested through most of the context and has left (Cucchiara et al. 2003 tell ghosts by
        their lack of motion; the edge also tells an animal that stands still). mask: uint8 of the box (xyxy).
        """
        inner = cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        rim = mask > inner
        strength = []
        for picture in (image, self.picture):
            grey = cv2.cvtColor(picture[box[1] : box[3], box[0] : box[2]].astype(np.float32), cv2.COLOR_RGB2GRAY)
            strength.append(float(cv2.magnitude(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))[rim].mean()))
        return strength[1] > GHOST * strength[0]

    def foreground(self, image: U8, shadows: bool = True) -> U8:
        """(h, w) uint8: by how many units of noise each pixel differs, times `SCALE`; 0 where only the light differs.

        shadows: leave out ground that is only darker or brighter.
        """
        height, width = image.shape[:2]
        gain = cv2.resize(np.exp(_light(_blocks(image), self.blocks)), (width, height), interpolation=cv2.INTER_LINEAR)
        expected = cv2.cvtColor(_lit(self.picture, gain), cv2.COLOR_RGB2YCrCb)
        seen = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2YCrCb)
        ratio = cv2.divide(seen[..., 0] + LIFT, expected[..., 0] + LIFT)
        dim = cv2.min(ratio, 1.0)
        y, cr, cb = cv2.split(cv2.multiply(cv2.absdiff(seen, _dimmed(expected, dim)), self.weight))
        colour = cv2.max(cr, cb)
        if shadows:
            y[_only_light(ratio, colour, expected[..., 0])] = 0
        return np.asarray(cv2.convertScaleAbs(cv2.max(y, colour)), np.uint8)


def drift(frames: Sequence[U8]) -> float:
    """How far the picture as a whole moves between frames, as a part of its width: about 0 for a fixed camera.

    The median shift against the middle frame by phase correlation (C. Kuglin and D. Hines 1975) of up to 12 frames.
    """
    size = (320, max(16, round(320 * frames[0].shape[0] / frames[0].shape[1])))
    window = cv2.createHanningWindow(size, cv2.CV_32F)

    def detail(frame: U8) -> F32:
        grey = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        return np.asarray(grey.astype(np.float32) - cv2.blur(grey, (31, 31)), np.float32)

    middle = detail(frames[len(frames) // 2])
    picked = np.unique(np.linspace(0, len(frames) - 1, 12).astype(int))
    shifts = [cv2.phaseCorrelate(middle, detail(frames[i]), window)[0] for i in picked if i != len(frames) // 2]
    return float(np.median([np.hypot(*shift) for shift in shifts])) / size[0] if shifts else 0.0


def _blocks(image: U8 | F32) -> F32:
    """Block means, (h/16, w/16, 3) float32."""
    height, width = image.shape[:2]
    size = (max(1, round(width / BLOCK)), max(1, round(height / BLOCK)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def _light(blocks: F32, reference: F32) -> F32:
    """The log gain per block and channel that turns the reference's light into this frame's."""
    ratio = np.log(blocks + LIFT) - np.log(reference + LIFT)
    overall = np.median(ratio.reshape(-1, 3), axis=0).astype(np.float32)
    field = np.broadcast_to(overall, ratio.shape)
    for reach in (0.12, 0.08, 0.05, 0.05):
        off = np.abs(ratio - field).max(axis=2) / reach
        trust = (1 / (1 + off**2) ** 2).astype(np.float32)
        weighted = cv2.GaussianBlur(np.dstack([ratio * trust[..., None], trust]), (0, 0), 3.5)
        field = (weighted[..., :3] + 0.03 * overall) / (weighted[..., 3:] + 0.03)
    return np.asarray(field, np.float32)


def _lit(picture: F32, gain: F32) -> F32:
    """The picture in another light; the same lift as in `_light`, so that a gain means the same in both."""
    return np.asarray(cv2.multiply(picture + LIFT, gain) - LIFT, np.float32)


def _relit(frames: Sequence[U8], blocks: F32, reference: F32) -> U8:
    """(k, h, w, 3) uint8: all frames in the light of the reference."""
    relit = np.empty((len(frames), *frames[0].shape), np.uint8)
    height, width = frames[0].shape[:2]
    for i, frame in enumerate(frames):
        gain = cv2.resize(np.exp(-_light(blocks[i], reference)), (width, height), interpolation=cv2.INTER_LINEAR)
        relit[i] = cv2.convertScaleAbs(cv2.max(_lit(frame.astype(np.float32), gain), 0.0))
    return relit


def _shorth(stack: U8) -> tuple[F32, F32]:
    """The middle and the length of the shortest interval holding `SHARE` of the values, (h, w, 3) float32 each."""
    count, height = stack.shape[:2]
    held = min(count, max(2, int(np.ceil(SHARE * count))))
    middle, length = np.empty(stack.shape[1:], np.float32), np.empty(stack.shape[1:], np.float32)
    for top in range(0, height, 64):
        values = np.sort(np.moveaxis(stack[:, top : top + 64], 0, -1), axis=-1)
        spans = values[..., held - 1 :] - values[..., : count - held + 1]
        first = spans.argmin(axis=-1)[..., None]
        window = first + np.arange(held)
        middle[top : top + 64] = np.take_along_axis(values, window, -1).mean(axis=-1, dtype=np.float32)
        length[top : top + 64] = np.take_along_axis(spans, first, -1)[..., 0]
    return middle, length


def _noise(picture: F32, spread: F32, count: int) -> F32:
    """(h, w, 3) float32 deviation of Y, Cr and Cb that is noise: what the shorth spans, smoothed, and the light."""
    deviation = cv2.GaussianBlur(spread, (0, 0), 2.0) / (2 * 0.5244) if count >= 8 else np.full_like(spread, 3.0)
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    y = np.sqrt(np.maximum(deviation.mean(axis=2), 1.2) ** 2 + (LIGHT_ERROR * luma) ** 2)
    chroma = np.maximum(0.45 * deviation.mean(axis=2), 0.8)
    return np.asarray(np.dstack([y, chroma, chroma]), np.float32)


def _dimmed(expected: F32, dim: F32) -> F32:
    """The expected Y, Cr, Cb (float: chroma about 0) with the chroma pulled towards grey as the brightness falls."""
    y, cr, cb = cv2.split(expected)
    return np.asarray(cv2.merge([y, cv2.multiply(cr, dim), cv2.multiply(cb, dim)]), np.float32)


def _only_light(ratio: F32, colour: F32, expected: F32) -> NDArray[np.bool_]:
    """(h, w): brightness off by a plausible factor, colour kept, and the factor even over the neighbourhood."""
    ratio = cv2.blur(ratio, (3, 3))
    mean = cv2.blur(ratio, (5, 5))
    rough = cv2.sqrt(cv2.blur(cv2.multiply(ratio - mean, ratio - mean), (5, 5)))
    plausible = (mean > SHADE[0]) & (mean < SHADE[1]) & (rough < ROUGH) & (cv2.blur(colour, (5, 5)) < TINT * SCALE)
    plausible &= expected > DARK * np.median(expected)
    sure = cv2.medianBlur(plausible.view(np.uint8), 5)
    alone = (ratio > SHADE[0]) & (ratio < SHADE[1]) & (colour < 3 * SCALE)
    near = cv2.dilate(sure, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    return np.asarray((sure > 0) | ((near > 0) & alone))
