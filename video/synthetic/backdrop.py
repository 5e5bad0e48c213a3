"""The place a synthetic fixed camera looks at: ground, fence, shed, a bush in the wind, the light and the sensor.

Everything is drawn once per scene at full size from the scene's own random generator; a frame then costs a few passes
over 8-bit planes. Pictures are kept as one I420 array (3/2 height x width, BT.601 limited range), which is what the
encoder takes. Nothing here knows about animals, truth or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

HORIZON = 0.16  # of the height: where the ground plane vanishes
FENCE = 0.33  # of the height: the foot of the fence, behind which nobody walks


def planes(i420: U8) -> tuple[U8, U8, U8]:
    """Y (h, w), U and V (h/2, w/2) as views into one contiguous (3h/2, w) I420 array; h and w even."""
    h, w = i420.shape[0] * 2 // 3, i420.shape[1]
    flat, size = i420.reshape(-1), h * w
    u, v = flat[size : size + size // 4], flat[size + size // 4 :]
    return i420[:h], u.reshape(h // 2, w // 2), v.reshape(h // 2, w // 2)


def noise_field(rng: np.random.Generator, height: int, width: int, octaves: tuple[int, ...], stretch: float = 1) -> F32:
    """(height, width) float32 of zero mean and unit deviation: a sum of smooth random fields, 1/f in amplitude.

    octaves: the cell sizes in pixels. stretch: how much longer than tall a cell is.
    """
    total = np.zeros((height, width), np.float32)
    for cell in octaves:
        small = (max(2, round(height / cell) + 1), max(2, round(width / cell / stretch) + 1))
        field = rng.standard_normal(small).astype(np.float32)
        total += cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(cell**0.7)
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), np.float32)


@dataclass(frozen=True, slots=True)
class Place:
    """What never moves, and the bush.

    empty: (3h/2, w) I420 picture of the place with even light. light: (h, w) float32, about 1, less in the shade of
    the shed: multiply what stands there by it. post: (h, w) uint8, 255 where a post in front hides whatever passes.
    bush: its (x0, y0, x1, y1) even pixel box. sway: I420 pictures of that box, one per phase of the wind.
    """

    empty: U8
    light: F32
    post: U8
    bush: tuple[int, int, int, int]
    sway: tuple[U8, ...]


def build_place(rng: np.random.Generator, width: int, height: int) -> Place:
    """Draw a place: a meadow that turns to trodden earth and straw, a fence, a shed, a bush, a post in front."""
    picture = _ground(rng, width, height)
    light = np.ones((height, width), np.float32)
    _backdrop(rng, picture)
    _fence(rng, picture)
    _shed(rng, picture, light, left=bool(rng.integers(2)))
    picture *= cv2.GaussianBlur(light, (0, 0), height / 120)[..., None]
    post = _post(rng, picture)
    bush = _bush_box(rng, width, height)
    plants, cover = _bush(rng, bush)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.7 * height / 720)
    empty = to_i420(picture)
    sway = tuple(
        _swayed(picture, bush, plants, cover, phase) for phase in np.linspace(0, 2 * np.pi, 32, endpoint=False)
    )
    return Place(empty, cv2.GaussianBlur(light, (0, 0), height / 60), post, bush, sway)


def to_i420(rgb: NDArray[np.floating] | U8) -> U8:
    """(h, w, 3) RGB of 0..255 to (3h/2, w) I420; h and w even."""
    return np.asarray(cv2.cvtColor(np.clip(rgb, 0, 255).astype(np.uint8), cv2.COLOR_RGB2YUV_I420), np.uint8)


def _ground(rng: np.random.Generator, width: int, height: int) -> F32:
    """(height, width, 3) float32 RGB: grass and earth, their grain seen in perspective, with straw strewn on it."""
    top = int(HORIZON * height)
    side = 1024
    grain = noise_field(rng, side, side, (2, 4, 8, 16, 64, 256))
    earthy = noise_field(rng, side, side, (64, 128, 256))
    rows = np.arange(height, dtype=np.float32)[:, None]
    depth = 1 / np.maximum((rows - top) / (height - top), 0.04)
    columns = (np.arange(width, dtype=np.float32)[None, :] - width / 2) / width
    u, v = np.broadcast_arrays(np.float32(620) * columns * depth, np.float32(420) * depth)
    u, v = (np.abs(np.mod(at, 2 * side - 2) - side + 1).astype(np.float32) for at in (u + 700, v))  # mirrored tiles
    grain = cv2.remap(grain, u, v, cv2.INTER_LINEAR)
    earthy = cv2.remap(earthy, u, v, cv2.INTER_LINEAR)
    share = 1 / (1 + np.exp(-3 * (earthy + 3.2 * (rows / height - 0.62))))[..., None]
    grass = np.array([104, 122, 62], np.float32) + grain[..., None] * np.array([15, 16, 11], np.float32)
    earth = np.array([141, 119, 90], np.float32) + grain[..., None] * np.array([15, 14, 12], np.float32)
    ground = grass * (1 - share) + earth * share
    ground += noise_field(rng, height, width, (1, 2))[..., None] * np.array([5, 5, 4], np.float32)
    _straw(rng, ground, share[..., 0])
    return np.asarray(ground, np.float32)


def _straw(rng: np.random.Generator, ground: F32, share: F32) -> None:
    """Strew stalks where the ground is bare."""
    height, width = share.shape
    strewn = np.zeros((height, width), np.uint8)
    for _ in range(3600):
        x, y = int(rng.integers(width)), int(rng.integers(int(0.38 * height), height))
        if share[y, x] < rng.uniform(0.3, 1.1):
            continue
        length, angle = (y / height) ** 2 * height / 45, rng.uniform(0, np.pi)
        tip = (round(x + length * np.cos(angle)), round(y + 0.5 * length * np.sin(angle)))
        cv2.line(strewn, (x, y), tip, int(rng.integers(40, 150)), 1, cv2.LINE_AA)
    stalk = strewn[..., None].astype(np.float32) / 255
    ground += (np.array([214, 190, 128], np.float32) - ground) * stalk


def _backdrop(rng: np.random.Generator, picture: F32) -> None:
    """A pale sky and a ragged hedge above the horizon."""
    height, width = picture.shape[:2]
    sky, hedge = int(0.10 * height), int(0.25 * height)
    ramp = np.linspace(0, 1, hedge, dtype=np.float32)[:, None, None]
    picture[:hedge] = np.array([186, 200, 214], np.float32) * (1 - 0.1 * ramp)
    edge = sky + noise_field(rng, 8, width, (8, 20, 60))[0] * height * 0.015
    leaves = noise_field(rng, hedge, width, (2, 4, 8, 16))[..., None]
    green = np.array([70, 86, 52], np.float32) + leaves * np.array([16, 18, 12], np.float32)
    rows = np.arange(hedge, dtype=np.float32)[:, None]
    share = np.clip((rows - edge[None]) / 3, 0, 1) * np.clip((hedge - rows) / (0.03 * height), 0, 1)
    meadow = np.array([112, 130, 72], np.float32) + leaves * 8
    below = np.where((rows > (sky + hedge) / 2)[..., None], meadow, picture[:hedge])
    picture[:hedge] = below * (1 - share[..., None]) + green * share[..., None]


def _shed(rng: np.random.Generator, picture: F32, light: F32, left: bool) -> None:
    """A wooden shed with a dark opening; the ground before it lies in its shade."""
    height, width = picture.shape[:2]
    x0, x1 = (0, int(0.27 * width)) if left else (int(0.73 * width), width)
    y0, y1 = int(0.07 * height), int(0.40 * height)
    boards = noise_field(rng, y1 - y0, x1 - x0, (2, 6), stretch=0.25)
    plank = max(4, width // 90)
    seams = (np.arange(x1 - x0) % plank < max(1, plank // 9)).astype(np.float32)
    tone = 1 + 0.08 * boards - 0.4 * seams[None]
    picture[y0:y1, x0:x1] = np.array([104, 88, 74], np.float32) * tone[..., None]
    inner = int(0.05 * width)
    door = slice(int(0.17 * height), y1), slice(x0 + inner, x1 - inner)
    gloom = noise_field(rng, door[0].stop - door[0].start, door[1].stop - door[1].start, (6, 20, 60))
    picture[door] = np.array([30, 27, 26], np.float32) + 3.5 * gloom[..., None]
    roof = np.array([[x0 - 20, y0 + 10], [x0 + 10, 0], [x1 - 10, 0], [x1 + 20, y0 + 10]], np.int32)
    cv2.fillPoly(picture, [roof], (96, 92, 96), cv2.LINE_AA)
    slope = int(0.07 * width) * (1 if left else -1)
    shade = np.array([[x0, y1], [x1, y1], [x1 + slope, int(0.55 * height)], [x0 + slope, int(0.55 * height)]], np.int32)
    cv2.fillPoly(light, [shade], 0.55, cv2.LINE_AA)


def _fence(rng: np.random.Generator, picture: F32) -> None:
    """Posts and two rails across the whole width, in front of the hedge."""
    height, width = picture.shape[:2]
    foot, tall = FENCE * height, 0.10 * height
    wood = np.array([134, 116, 96], np.float32)
    for rail in (0.35, 0.75):
        y = round(foot - rail * tall)
        grain = noise_field(rng, max(2, height // 130), width, (2, 8), stretch=6)
        picture[y : y + len(grain)] = wood * 0.9 + 10 * grain[..., None]
    x = rng.uniform(0, width / 14)
    while x < width:
        half, lean = max(2, width // 330), int(rng.integers(-2, 3))
        corners = [(x - half, foot), (x + half, foot), (x + half + lean, foot - tall), (x - half + lean, foot - tall)]
        tone = wood * rng.uniform(0.75, 1.1)
        cv2.fillPoly(picture, [np.array(corners, np.int32)], tone.tolist(), cv2.LINE_AA)
        x += width / 14


def _post(rng: np.random.Generator, picture: F32) -> U8:
    """A weathered post close to the camera; returns its (h, w) mask."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    x, half = int(rng.uniform(0.55, 0.72) * width), max(3, width // 140)
    y = int(0.50 * height)
    corners = [(x - half, height), (x - half + 2, y + 3), (x, y), (x + half - 2, y + 3), (x + half, height)]
    cv2.fillPoly(mask, [np.array(corners, np.int32)], 255)
    grain = noise_field(rng, height, width, (2, 6, 20), stretch=0.2)[..., None]
    round_tone = 1 - 0.45 * ((np.arange(width, dtype=np.float32) - x + half / 2) / (1.6 * half)) ** 2
    wood = np.array([126, 108, 90], np.float32) * round_tone[None, :, None] + 9 * grain
    picture[:] = np.where(mask[..., None] > 0, wood, picture)
    return mask


def _bush_box(rng: np.random.Generator, width: int, height: int) -> tuple[int, int, int, int]:
    w, h = width // 8 * 2 // 2, height // 4
    x = 0 if rng.integers(2) else width - w
    y = height - h - int(rng.uniform(0, 0.08) * height)
    return x // 2 * 2, y // 2 * 2, (x + w) // 2 * 2, (y + h) // 2 * 2


def _bush(rng: np.random.Generator, box: tuple[int, int, int, int]) -> tuple[F32, F32]:
    """Leaves as (h, w, 3) RGB and how much they cover, (h, w) 0..1, in the bush's box."""
    w, h = box[2] - box[0], box[3] - box[1]
    plants, cover = np.zeros((h, w, 3), np.float32), np.zeros((h, w), np.float32)
    lobes = [(rng.uniform(0.22, 0.78), rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.24)) for _ in range(7)]
    for _ in range(900):
        x, y, size = lobes[int(rng.integers(len(lobes)))]
        radius, angle = np.sqrt(rng.uniform()) * size, rng.uniform(0, 2 * np.pi)
        centre = (round(w * (x + radius * np.cos(angle))), round(h * (y + 1.1 * radius * np.sin(angle))))
        axes = (max(2, round(w * rng.uniform(0.02, 0.05))), max(1, round(w * rng.uniform(0.006, 0.016))))
        tone = rng.uniform(0.5, 1.25) * (1.25 - 0.5 * centre[1] / h)
        turn = float(rng.uniform(0, 180))
        colour = (74 * tone, 104 * tone, 48 * tone)
        cv2.ellipse(plants, centre, axes, turn, 0, 360, colour, -1, cv2.LINE_AA)
        cv2.ellipse(cover, centre, axes, turn, 0, 360, 1.0, -1, cv2.LINE_AA)
    return plants, cv2.GaussianBlur(cover, (0, 0), 0.8)


def _swayed(picture: F32, box: tuple[int, int, int, int], plants: F32, cover: F32, phase: float) -> U8:
    """The bush's box with the leaves bent by the wind at this phase, as I420."""
    x0, y0, x1, y1 = box
    h, w = cover.shape
    rows, columns = np.mgrid[0:h, 0:w].astype(np.float32)
    lift = (1 - rows / h) * w * 0.022
    dx = lift * (np.sin(phase + rows / h * 3) + 0.5 * np.sin(2 * phase + columns / w * 7))
    dy = 0.35 * lift * np.sin(phase * 2 + columns / w * 9)
    u, v = (columns + dx).astype(np.float32), (rows + dy).astype(np.float32)
    bent = cv2.remap(plants, u, v, cv2.INTER_LINEAR)
    share = cv2.remap(cover, u, v, cv2.INTER_LINEAR)[..., None]
    return to_i420(picture[y0:y1, x0:x1] * (1 - share) + bent * share)
