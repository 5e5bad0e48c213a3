"""What a fixed camera sees when nobody is there, and which pixels of a frame differ from it.

`Background.learn` takes frames spread over a video and finds each pixel's most frequent colour (the shortest interval
that holds a share of its values: Rousseeuw's shorth, a mode that stands 60 % of other values), after the light of every
frame was brought to that of a common reference. `Background.foreground` fits the light of one frame the same way, a
smooth field of gains that ignores what does not fit (iteratively reweighted), brings the frame to the reference's light
and scores the difference in units of noise. Darker or brighter ground that keeps its colour and its texture is light,
not an object (after the ratio and chromaticity tests of Horprasert et al. 1999 and Cucchiara et al. 2003).

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
TINT = 3.2  # how many times the noise the colour of a shadow may be off
ROUGH = 0.03  # how uneven the brightness of a shadow may be against that of the ground it falls on
REACHES = (0.25, 0.1, 0.05)  # of the log gain: how far off what the light is fitted on may be, by round
DARK = 0.4  # of the median brightness: darker places do not show shadows
GHOST = 1.5  # how much stronger a ghost's outline is in the background than in the image
RESTED = 2.0  # times the median spread: what is more is not noise
LIGHT_ERROR = 0.012  # of the brightness: what the fitted light may be wrong by
RATIO = 128  # the 8-bit value of a ratio of 1
SCALE = 4.0  # of the 8-bit score: this many levels per unit of noise


@dataclass(frozen=True, slots=True)
class Background:
    """picture: (h, w, 3) uint8 RGB, the empty place. weight: float32 (h, w) planes for Y, Cr and Cb, score levels per
    level of difference. blocks: (h/16, w/16, 3) float32, the block means of `picture`. luma: (h, w) uint8, its Y, and
    tint: its Cr and Cb about 0, float32, both of the lifted picture. shady: (h, w) uint8, 255 where a shadow shows."""

    picture: U8
    weight: tuple[F32, F32, F32]
    blocks: F32
    luma: U8
    tint: tuple[F32, F32]
    shady: U8

    @classmethod
    def learn(cls, frames: Sequence[U8]) -> Background:
        """The background of at least one frame of a fixed camera; the more frames and the wider spread, the better."""
        blocks = np.stack([_blocks(frame) for frame in frames])
        reference = _shorth(np.clip(blocks, 0, 255).astype(np.uint8))[0]
        for _ in range(2):  # what the light has hidden from the first reference shows in the second
            relit = [(b + LIFT) * np.exp(-_light(b, reference)) - LIFT for b in blocks]
            reference = _shorth(np.clip(relit, 0, 255).astype(np.uint8))[0]
        lights = [_light(b, reference) for b in blocks]
        lifted, spread = _shorth(np.stack([_relit(*one) for one in zip(frames, lights, strict=True)]))
        picture = cv2.convertScaleAbs(np.maximum(lifted - LIFT, 0))
        noise = _noise(lifted, spread, len(frames))
        luma, cr, cb = cv2.split(cv2.cvtColor(cv2.convertScaleAbs(lifted), cv2.COLOR_RGB2YCrCb))
        tint = (cr.astype(np.float32) - 128, cb.astype(np.float32) - 128)
        shady = cv2.compare(luma, DARK * float(np.median(luma)), cv2.CMP_GT)
        return cls(picture, noise, _blocks(picture), luma, tint, shady)

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
        relit = _relit(image, _light(_blocks(image), self.blocks))
        y, cr, cb = cv2.split(cv2.cvtColor(relit, cv2.COLOR_RGB2YCrCb))
        dim = cv2.min(cv2.divide(y, self.luma, dtype=cv2.CV_32F), SHADE[1])  # what is darker has less colour, too
        tints = [
            cv2.multiply(cv2.absdiff(cv2.subtract(seen, 128, dtype=cv2.CV_32F), cv2.multiply(tint, dim)), weight)
            for seen, tint, weight in zip((cr, cb), self.tint, self.weight[1:], strict=True)
        ]
        colour = cv2.convertScaleAbs(cv2.max(*tints)) & cv2.inRange(
            relit, (0, 0, 0), (254, 254, 254)
        )  # 255 has lost it
        brightness = cv2.multiply(cv2.absdiff(y, self.luma), self.weight[0], dtype=cv2.CV_8U)
        if shadows:
            brightness[self._only_light(y, colour) > 0] = 0
        return np.asarray(cv2.max(brightness, colour), np.uint8)

    def _only_light(self, y: U8, colour: U8) -> U8:
        """(h, w) of 0 or 255: brightness off by a plausible factor, colour kept, the factor even nearby.

        y: the lifted brightness in the reference's light. colour: the score of the difference in colour.
        """
        ratio = cv2.blur(cv2.divide(y, self.luma, scale=RATIO), (3, 3))
        mean = cv2.blur(ratio, (5, 5))
        uneven = cv2.absdiff(ratio, mean)
        uneven = cv2.blur(cv2.multiply(uneven, uneven), (5, 5))
        darkest, brightest = (round(RATIO * factor) for factor in SHADE)
        plausible = cv2.inRange(mean, darkest, brightest) & self.shady
        plausible &= cv2.compare(uneven, (RATIO * ROUGH) ** 2, cv2.CMP_LT)
        plausible &= cv2.compare(cv2.blur(colour, (5, 5)), TINT * SCALE, cv2.CMP_LT)
        sure = cv2.compare(cv2.blur(plausible, (5, 5)), 127, cv2.CMP_GT)
        alone = cv2.inRange(ratio, darkest, brightest) & cv2.compare(colour, 3 * SCALE, cv2.CMP_LT)
        near = cv2.dilate(sure, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
        return np.asarray(sure | (near & alone), np.uint8)


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


def _blocks(image: U8) -> F32:
    """Block means, (h/16, w/16, 3) float32."""
    height, width = image.shape[:2]
    size = (max(1, round(width / BLOCK)), max(1, round(height / BLOCK)))
    half = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)  # the quick case
    return np.asarray(cv2.resize(half.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _light(blocks: F32, reference: F32) -> F32:
    """The log gain per block and channel that turns the reference's light into this frame's."""
    ratio = cv2.log((blocks + LIFT) / (reference + LIFT))
    overall = np.median(ratio.reshape(-1, 3), axis=0).astype(np.float32)
    field = np.broadcast_to(overall, ratio.shape)
    weighted = np.empty((*ratio.shape[:2], 4), np.float32)
    for reach in REACHES:
        off = np.abs(ratio - field).max(axis=2) / reach
        trust = 1 / (1 + off**2) ** 2
        weighted[..., :3], weighted[..., 3] = ratio * trust[..., None], trust
        smooth = cv2.GaussianBlur(weighted, (0, 0), 3.5)
        field = (smooth[..., :3] + 0.03 * overall) / (smooth[..., 3:] + 0.03)
    return np.asarray(field, np.float32)


def _relit(image: U8, light: F32) -> U8:
    """The image, lifted by `LIFT`, in the light of the reference that `light` is measured against."""
    size = (image.shape[1], image.shape[0])
    gain = cv2.resize(np.exp(-light), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(cv2.add(image, (LIFT,) * 4), gain, dtype=cv2.CV_8U), np.uint8)


def _shorth(stack: U8) -> tuple[F32, F32]:
    """The middle and the length of the shortest interval holding `SHARE` of the values, (h, w, 3) float32 each."""
    count, height = stack.shape[:2]
    held = min(count, max(2, int(np.ceil(SHARE * count))))
    middle, length = np.empty(stack.shape[1:], np.float32), np.empty(stack.shape[1:], np.float32)
    for top in range(0, height, 16):  # rows that stay in the processor's cache
        values = _sorted(stack[:, top : top + 16])
        total = values[:held].sum(axis=0, dtype=np.uint32)
        best, shortest = total.copy(), values[held - 1] - values[0]
        for first in range(1, count - held + 1):
            total += values[first + held - 1]
            total -= values[first - 1]
            span = values[first + held - 1] - values[first]
            shorter = span < shortest
            np.copyto(best, total, where=shorter)
            np.copyto(shortest, span, where=shorter)
        middle[top : top + 16], length[top : top + 16] = best / np.float32(held), shortest
    return middle, length


def _sorted(stack: U8) -> U8:
    """The stack sorted along its first axis, whole planes at a time: K. E. Batcher's merge exchange (1968)."""
    planes, count = stack.copy(), len(stack)
    top = 1 << max(0, (count - 1).bit_length() - 1)
    part = top
    while part:
        step, rest, far = top, 0, part
        while True:
            for i in range(count - far):
                if i & part == rest:
                    low = cv2.min(planes[i], planes[i + far])
                    cv2.max(planes[i], planes[i + far], dst=planes[i + far])
                    planes[i] = low
            if step == part:
                break
            far, step, rest = step - part, step // 2, part
        part //= 2
    return planes


def _noise(lifted: F32, spread: F32, count: int) -> tuple[F32, F32, F32]:
    """Score levels per level of Y, Cr and Cb, (h, w) each: noise is what the shorth spans, smoothed, and the light.

    Where it spans far more than elsewhere, somebody rested; the place is no noisier there.
    """
    spread = np.minimum(spread, RESTED * float(np.median(spread)))
    deviation = cv2.GaussianBlur(spread, (0, 0), 2.0) / (2 * 0.5244) if count >= 8 else np.full_like(spread, 3.0)
    deviation, luma = deviation.mean(axis=2), cv2.cvtColor(lifted, cv2.COLOR_RGB2GRAY)
    y = np.sqrt(np.maximum(deviation, 1.2) ** 2 + (LIGHT_ERROR * luma) ** 2)
    chroma = np.asarray(SCALE / np.maximum(0.45 * deviation, 0.8), np.float32)
    return np.asarray(SCALE / y, np.float32), chroma, chroma
