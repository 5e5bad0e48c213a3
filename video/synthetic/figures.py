"""The animals and people of a synthetic scene: how one individual looks in one pose.

A figure is drawn in its own units (1 = the length of a cow's trunk; x to the right, the way it faces; y up; feet at
y = 0) as filled polygons with a coat texture that is fixed to the body. It never touches a frame: `draw` returns a
patch that the scene places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from video.synthetic.backdrop import noise_field

U8 = NDArray[np.uint8]
Points = list[tuple[float, float]]

EXTENT = (-0.80, -0.10, 1.32, 1.36)  # x0, y0, x1, y1 of everything a figure can reach, in its units
COAT_SCALE = 128  # texture pixels per unit
SHIFT = 4  # fractional bits for cv2's anti-aliased polygons

COATS: tuple[tuple[str, tuple[int, int, int], tuple[int, int, int], float], ...] = (
    ("holstein", (226, 222, 214), (34, 31, 32), 0.1),
    ("simmental", (222, 210, 190), (140, 76, 42), -0.5),
    ("brown", (98, 68, 50), (66, 46, 36), 0.9),
    ("charolais", (224, 206, 172), (200, 178, 142), 0.3),
    ("angus", (44, 40, 42), (28, 26, 28), 0.2),
    ("red", (152, 70, 40), (122, 54, 32), 0.6),
    ("grey", (150, 146, 142), (104, 102, 102), 0.2),
    ("belted", (214, 210, 204), (40, 37, 38), -0.6),
)
JACKETS: tuple[tuple[tuple[int, int, int], tuple[int, int, int]], ...] = (
    ((44, 78, 128), (52, 52, 62)),
    ((170, 52, 44), (42, 48, 70)),
    ((58, 92, 66), (88, 72, 56)),
)
TRUNK: Points = [
    (-0.56, 0.90), (-0.30, 0.97), (0.05, 0.94), (0.36, 0.99), (0.54, 0.88), (0.58, 0.66), (0.50, 0.46),
    (0.20, 0.38), (-0.12, 0.36), (-0.36, 0.44), (-0.56, 0.60),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pose:
    """gait: phase of the stride in radians. walk: 0 standing to 1 walking. graze: 0 head up to 1 head down.
    sway: phase of the tail and of small head movements. facing: -1 left to 1 right, in between seen from an angle."""

    gait: float
    walk: float
    graze: float
    sway: float
    facing: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One individual: its name, its kind ("cow" or "person"), its size relative to others and its coat (RGB)."""

    name: str
    kind: str
    size: float
    coat: U8
    second: tuple[int, int, int]

    def draw(self, pose: Pose, scale: float, offset: tuple[float, float]) -> tuple[U8, U8]:
        """RGB (h, w, 3) and opacity (h, w), uint8. scale: pixels per unit. offset: where x = 0, y = 0 lies in it."""
        canvas = Canvas(self, pose, scale * self.size, offset, patch_size(scale * self.size))
        (_cow if self.kind == "cow" else _person)(canvas, self, pose)
        return canvas.rgb, canvas.alpha


def patch_size(scale: float) -> tuple[int, int]:
    """Width and height, even, of the patch that holds any pose at `scale` pixels per unit."""
    reach = max(-EXTENT[0], EXTENT[2])
    return int(2 * reach * scale) // 2 * 2 + 4, int((EXTENT[3] - EXTENT[1]) * scale) // 2 * 2 + 4


def foot_offset(scale: float) -> tuple[float, float]:
    """Where a figure's x = 0, y = 0 lies in a patch of `patch_size(scale)`."""
    w, h = patch_size(scale)
    return w / 2, h - 2 + EXTENT[1] * scale


class Canvas:
    """A patch under the brush: polygons in figure units, shaded copies of the coat or flat colours."""

    def __init__(
        self, figure: Figure, pose: Pose, scale: float, offset: tuple[float, float], size: tuple[int, int]
    ) -> None:
        side = -1.0 if pose.facing < 0 else 1.0
        self._sx = side * max(abs(pose.facing), 0.5) * scale
        self._scale, self._offset = scale, offset
        self._stretch = np.array([self._sx, -scale]) * (1 << SHIFT)
        self._shift = np.array(offset) * (1 << SHIFT)
        self.rgb: U8 = np.zeros((size[1], size[0], 3), np.uint8)
        self._dress(figure.coat)
        self.alpha: U8 = np.zeros(size[::-1], np.uint8)
        self.shade: U8 = np.full(size[::-1], 255, np.uint8)

    def _dress(self, coat: U8) -> None:
        """Lay the coat where the figure's extent falls in the patch, mirrored for a figure that faces left."""
        h, w = self.rgb.shape[:2]
        wide = max(1, round((EXTENT[2] - EXTENT[0]) * abs(self._sx)))
        tall = max(1, round((EXTENT[3] - EXTENT[1]) * self._scale))
        sized = cv2.resize(coat, (wide, tall), interpolation=cv2.INTER_LINEAR)[::-1, :: -1 if self._sx < 0 else 1]
        left = round(self._offset[0] + (EXTENT[0] if self._sx > 0 else EXTENT[2]) * self._sx)
        top = round(self._offset[1] - EXTENT[3] * self._scale)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + wide, w), min(top + tall, h)
        self.rgb[y0:y1, x0:x1] = sized[y0 - top : y1 - top, x0 - left : x1 - left]

    def _pixels(self, points: Points | NDArray[np.float64]) -> NDArray[np.int32]:
        at = np.asarray(points, np.float64) * self._stretch + self._shift
        return np.asarray(np.rint(at), np.int32)

    def coat(self, points: Points | NDArray[np.float64], tone: int) -> None:
        """Fill with the coat, darkened to tone/255."""
        pixels = [self._pixels(points)]
        cv2.fillPoly(self.shade, pixels, tone, cv2.LINE_AA, SHIFT)
        cv2.fillPoly(self.alpha, pixels, 255, cv2.LINE_AA, SHIFT)

    def flat(self, points: Points | NDArray[np.float64], colour: tuple[int, int, int]) -> None:
        """Fill with one colour; call after `finish_coat`, or the coat's shade would darken it."""
        pixels = [self._pixels(points)]
        cv2.fillPoly(self.rgb, pixels, colour, cv2.LINE_AA, SHIFT)
        cv2.fillPoly(self.alpha, pixels, 255, cv2.LINE_AA, SHIFT)

    def finish_coat(self) -> None:
        """Put the shade on the coat, softened: light from above."""
        soft = cv2.blur(self.shade, (3, 3))
        cv2.multiply(self.rgb, cv2.merge([soft, soft, soft]), dst=self.rgb, scale=1 / 255)


def make_cow(rng: np.random.Generator, name: str, coat: int) -> Figure:
    """A cow with the given line of `COATS` and its own pattern of patches."""
    _, light, dark, bias = COATS[coat % len(COATS)]
    width, height = round((EXTENT[2] - EXTENT[0]) * COAT_SCALE), round((EXTENT[3] - EXTENT[1]) * COAT_SCALE)
    patches = noise_field(rng, height, width, (36, 60))
    share = np.clip((patches - bias) * 7 + 0.5, 0, 1)[..., None]
    colour = np.array(light, np.float32) * (1 - share) + np.array(dark, np.float32) * share
    rise = (np.arange(height, dtype=np.float32) / COAT_SCALE + EXTENT[1])[:, None, None]
    body = 0.70 + 0.36 * np.clip((rise - 0.3) / 0.65, 0, 1)
    hair = 1 + 0.05 * noise_field(rng, height, width, (2, 4, 10))[..., None]
    texture = np.clip(colour * body * hair, 0, 255).astype(np.uint8)
    return Figure(name, "cow", float(rng.uniform(0.9, 1.1)), texture, dark)


def make_person(rng: np.random.Generator, name: str, look: int) -> Figure:
    """A person in one of the `JACKETS`."""
    jacket, trousers = JACKETS[look % len(JACKETS)]
    width, height = round((EXTENT[2] - EXTENT[0]) * COAT_SCALE), round((EXTENT[3] - EXTENT[1]) * COAT_SCALE)
    rise = (np.arange(height, dtype=np.float32) / COAT_SCALE + EXTENT[1])[:, None, None]
    colour = np.where(rise > 0.56, np.array(jacket, np.float32), np.array(trousers, np.float32))
    folds = 1 + 0.09 * noise_field(rng, height, width, (6, 14))[..., None]
    texture = np.clip(np.broadcast_to(colour * folds, (height, width, 3)), 0, 255).astype(np.uint8)
    return Figure(name, "person", float(rng.uniform(0.95, 1.08)), texture, (198, 152, 124))


def _limb(joints: Points, widths: tuple[float, ...]) -> Points:
    """The outline of a limb through its joints with a width at each, feet cut flat."""
    left, right = [], []
    for i, (x, y) in enumerate(joints):
        (x0, y0), (x1, y1) = joints[max(i - 1, 0)], joints[min(i + 1, len(joints) - 1)]
        dx, dy = x1 - x0, y1 - y0
        half = widths[i] / 2 / max(math.hypot(dx, dy), 1e-6)
        left.append((x - dy * half, y + dx * half))
        right.append((x + dy * half, y - dx * half))
    return left + right[::-1]


def _smooth(points: Points) -> NDArray[np.float64]:
    """A closed outline with its corners cut twice (Chaikin's algorithm)."""
    at = np.asarray(points, np.float64)
    for _ in range(2):
        after = np.concatenate([at[1:], at[:1]])
        at = np.stack([0.75 * at + 0.25 * after, 0.25 * at + 0.75 * after], 1).reshape(-1, 2)
    return at


TRUNK_OUTLINE = _smooth(TRUNK)


def _leg(hip: tuple[float, float], phase: float, walk: float, front: bool) -> tuple[Points, Points]:
    """The outline of one leg and its hoof. The foot stands still for 60 % of the stride and swings for the rest."""
    turn = (phase / (2 * np.pi)) % 1.0
    swing = (turn - 0.6) / 0.4
    reach = 0.2 - 0.4 * turn / 0.6 if turn < 0.6 else -0.2 + 0.4 * swing
    lift = 0.12 * np.sin(np.pi * swing) * walk if turn >= 0.6 else 0.0
    foot = (hip[0] + reach * walk, 0.02 + lift)
    bend = 0.05 if front else -0.07
    knee = ((hip[0] + foot[0]) / 2 + bend * (0.4 + walk * lift * 8), 0.27 + 0.5 * lift)
    outline = _limb([hip, knee, (foot[0], foot[1] + 0.06), foot], (0.24 if front else 0.30, 0.115, 0.085, 0.105))
    hoof = [(foot[0] - 0.055, foot[1]), (foot[0] + 0.075, foot[1]), (foot[0] + 0.05, foot[1] + 0.07),
            (foot[0] - 0.045, foot[1] + 0.07)]  # fmt: skip
    return outline, hoof


def _cow(canvas: Canvas, figure: Figure, pose: Pose) -> None:
    hoofs: list[Points] = []
    for hip, phase, front, tone in (
        ((-0.36, 0.56), 0.5, False, 140), ((0.44, 0.54), 0.75, True, 140),
        ((-0.44, 0.58), 0.0, False, 225), ((0.37, 0.54), 0.25, True, 225),
    ):  # fmt: skip
        if tone == 225 and hip[0] < 0:
            canvas.coat(TRUNK_OUTLINE, 250)
        outline, hoof = _leg(hip, pose.gait + 2 * np.pi * phase, pose.walk, front)
        canvas.coat(outline, tone)
        hoofs.append(hoof)
    nod = 0.05 * np.sin(pose.sway * 1.7) * (0.4 + 0.6 * pose.graze)
    rise = np.deg2rad(28 - 92 * pose.graze) + nod
    neck = (0.44, 0.80)
    poll = (neck[0] + 0.46 * np.cos(rise), neck[1] + 0.46 * np.sin(rise))
    canvas.coat(_limb([neck, poll], (0.40, 0.22)), 235)
    drop = np.deg2rad(-38 - 30 * pose.graze) + nod
    nose = (poll[0] + 0.36 * np.cos(drop), poll[1] + 0.36 * np.sin(drop))
    mid = (poll[0] + 0.16 * np.cos(drop), poll[1] + 0.16 * np.sin(drop))
    canvas.coat(_smooth(_limb([poll, mid, nose], (0.25, 0.23, 0.13))), 245)
    root, wave = (-0.55, 0.86), 0.09 * np.sin(pose.sway * 2.3)
    canvas.coat(_limb([root, (-0.63, 0.62), (-0.64 + wave, 0.36)], (0.06, 0.04, 0.035)), 200)
    canvas.finish_coat()
    tuft = (-0.64 + wave, 0.36)
    canvas.flat(_limb([tuft, (tuft[0] + 0.3 * wave, 0.20)], (0.05, 0.07)), figure.second)
    for hoof in hoofs:
        canvas.flat(hoof, (52, 44, 38))
    ear = (poll[0] - 0.02, poll[1] + 0.03)
    canvas.flat(_limb([ear, (ear[0] - 0.15, ear[1] + 0.05)], (0.05, 0.09)), figure.second)
    canvas.flat(_limb([mid, nose], (0.02, 0.09))[1:3], (70, 56, 54))
    snout = (nose[0] - 0.03 * np.cos(drop), nose[1] - 0.03 * np.sin(drop))
    canvas.flat(_limb([snout, (snout[0] + 0.06 * np.cos(drop), snout[1] + 0.06 * np.sin(drop))], (0.14, 0.11)),
                (176, 142, 132))  # fmt: skip
    eye = (mid[0] - 0.05 * np.cos(drop) + 0.03, mid[1] - 0.05 * np.sin(drop) + 0.03)
    canvas.flat([(eye[0] - 0.02, eye[1]), (eye[0], eye[1] + 0.02), (eye[0] + 0.02, eye[1]), (eye[0], eye[1] - 0.02)],
                (20, 16, 16))  # fmt: skip


def _person(canvas: Canvas, figure: Figure, pose: Pose) -> None:
    swing = np.sin(pose.gait) * pose.walk
    hip, shoulder = (0.0, 0.58), (0.02, 0.98)
    feet: Points = []
    for side, tone in ((-1.0, 190), (1.0, 245)):
        foot = (side * 0.24 * swing, 0.03 + 0.06 * max(0.0, side * np.cos(pose.gait)) * pose.walk)
        knee = ((hip[0] + foot[0]) / 2 + 0.05 * abs(swing) + 0.01, 0.30)
        if tone == 245:
            canvas.coat(_smooth([(-0.13, 0.52), (0.13, 0.52), (0.15, 0.80), (0.13, 1.02), (-0.10, 1.02), (-0.15, 0.8)]),
                        250)  # fmt: skip
        canvas.coat(_limb([hip, knee, foot], (0.19, 0.14, 0.11)), tone)
        feet.append(foot)
    hand = (shoulder[0] - 0.22 * swing + 0.02, 0.60)
    elbow = ((shoulder[0] + hand[0]) / 2 - 0.03, 0.78)
    canvas.coat(_limb([shoulder, elbow, hand], (0.11, 0.10, 0.08)), 215)
    canvas.finish_coat()
    for x, y in feet:
        shoe = [(x - 0.06, y - 0.03), (x + 0.12, y - 0.03), (x + 0.08, y + 0.05), (x - 0.05, y + 0.05)]
        canvas.flat(shoe, (48, 40, 36))
    ring = [(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 16, endpoint=False)]
    canvas.flat([(hand[0] + 0.04 * c, hand[1] - 0.03 + 0.045 * s) for c, s in ring], figure.second)
    canvas.flat([(0.03 + 0.08 * c, 1.12 + 0.105 * s) for c, s in ring], figure.second)
    canvas.flat([(0.02 + 0.085 * c, 1.16 + 0.075 * max(s, -0.05)) for c, s in ring], (64, 56, 52))
