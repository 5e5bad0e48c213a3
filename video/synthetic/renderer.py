"""One synthetic scene put together: the place, who is in it, their shadows, the light, and what of each can be seen.

Pictures are I420, ready for the encoder. The truth comes from the outlines that are drawn, never from pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from video.synthetic.backdrop import Place, build_place, planes, to_i420
from video.synthetic.figures import Figure, foot_offset
from video.synthetic.herd import Herd, Walker
from video.synthetic.light import Daylight, Sensor

U8 = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Row = tuple[int, int, Box, bytes, int]  # frame, individual, box, RLE of the box, pixels of the whole outline


@dataclass(frozen=True, slots=True)
class _Patch:
    """One drawn individual: where its patch lies, RGB, opacity, and the row of its feet in the patch."""

    individual: int
    x: int
    y: int
    rgb: U8
    alpha: U8
    foot: float


class Renderer:
    """Draws a scene frame after frame; `rows` then holds the truth of every frame drawn."""

    def __init__(
        self,
        rng: np.random.Generator,
        seconds: float,
        width: int,
        height: int,
        fps: int,
        figures: list[Figure],
        noise: float,
        herd: type[Herd] = Herd,
    ) -> None:
        place_rng, herd_rng, light_rng, sensor_rng = rng.spawn(4)
        self._width, self._height, self._fps, self._figures = width, height, fps, figures
        self._place: Place = build_place(place_rng, width, height)
        self.herd = herd(herd_rng, figures, width, height, fps)
        self._daylight = Daylight(light_rng, seconds, width, height)
        self._sensor = Sensor(sensor_rng, width, height, noise)
        self._sun = float(light_rng.uniform(-0.7, 0.7))
        self._order = {id(figure): i for i, figure in enumerate(figures)}
        self.rows: list[Row] = []

    def render(self, count: int) -> Iterator[U8]:
        """`count` I420 pictures (3h/2, w)."""
        for frame in range(count):
            time_s = frame / self._fps
            picture = self._place.empty.copy()
            self._wind(picture, time_s)
            drawn = [self._figure(walker, time_s) for walker in self.herd.step(time_s)]
            hardness = self._daylight.sun(time_s)
            for patch in drawn:
                self._shadow(picture, patch, hardness)
            for patch in drawn:
                self._paste(picture, patch)
            self._record(frame, drawn)
            self._post(picture)
            self._daylight.apply(picture, time_s, self._sensor.flicker())
            self._sensor.expose(picture)
            yield picture

    def _wind(self, picture: U8, time_s: float) -> None:
        phase = time_s * 0.55 + 0.3 * np.sin(time_s * 0.7) + 0.2 * np.sin(time_s * 1.9)
        sway = self._place.sway[int(phase * len(self._place.sway)) % len(self._place.sway)]
        x0, y0, x1, y1 = self._place.bush
        for plane, patch, step in zip(planes(picture), planes(sway), (1, 2, 2), strict=True):
            plane[y0 // step : y1 // step, x0 // step : x1 // step] = patch

    def _figure(self, walker: Walker, time_s: float) -> _Patch:
        """Draw one individual where it stands, its patch aligned to even pixels."""
        scale = self.herd.scale(walker.y)
        ox, oy = foot_offset(scale * walker.figure.size)
        x, y = int(np.floor((walker.x - ox) / 2)) * 2, int(np.floor((walker.y - oy) / 2)) * 2
        rgb, alpha = walker.figure.draw(walker.pose(time_s), scale, (walker.x - x, walker.y - y))
        column = int(np.clip(walker.x, 0, self._width - 1))
        light = self._place.light[int(np.clip(walker.y, 0, self._height - 1)), column]
        if light < 0.99:
            cv2.convertScaleAbs(rgb, dst=rgb, alpha=float(light))
        return _Patch(self._order[id(walker.figure)], x, y, rgb, alpha, float(walker.y - y))

    def _clip(self, x: int, y: int, w: int, h: int) -> tuple[Box, slice, slice]:
        """A patch's box inside the frame, and the rows and columns of the patch that fall into it."""
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, self._width), min(y + h, self._height)
        return (x0, y0, max(x0, x1), max(y0, y1)), slice(y0 - y, max(y0, y1) - y), slice(x0 - x, max(x0, x1) - x)

    def _paste(self, picture: U8, patch: _Patch) -> None:
        h, w = patch.alpha.shape
        (x0, y0, x1, y1), rows, columns = self._clip(patch.x, patch.y, w, h)
        if x0 == x1 or y0 == y1:
            return
        alpha = np.ascontiguousarray(patch.alpha[rows, columns])
        half = cv2.resize(alpha, (alpha.shape[1] // 2, alpha.shape[0] // 2), interpolation=cv2.INTER_AREA)
        over = planes(to_i420(np.ascontiguousarray(patch.rgb[rows, columns])))
        for plane, colour, share, step in zip(planes(picture), over, (alpha, half, half), (1, 2, 2), strict=True):
            under = plane[y0 // step : y1 // step, x0 // step : x1 // step]
            shown = cv2.multiply(colour, share, scale=1 / 255)
            kept = cv2.multiply(under, 255 - share, scale=1 / 255)
            cv2.add(shown, kept, dst=under)

    def _shadow(self, picture: U8, patch: _Patch, hardness: float) -> None:
        """Darken the ground by the figure's outline, laid down away from the sun, with a soft edge."""
        h, w = patch.alpha.shape
        small = cv2.resize(patch.alpha, (w // 4, h // 4), interpolation=cv2.INTER_AREA)
        reach, tall = int(abs(self._sun) * 0.14 * h) + 1, int(0.11 * h) + 1  # all in quarter pixels
        wide, foot = w // 4 + 2 * reach, patch.foot / 4
        lay = np.array([[1, -0.5 * self._sun, reach + 0.5 * self._sun * foot], [0, 0.32, 0.8 * tall - 0.32 * foot]])
        cast = cv2.blur(cv2.warpAffine(small, lay, (wide, tall)), (max(3, w // 100), 3))
        cast = cv2.resize(cast, (wide * 4, tall * 4), interpolation=cv2.INTER_LINEAR)
        top = patch.y + round((patch.foot - 3.2 * tall) / 2) * 2
        (x0, y0, x1, y1), rows, columns = self._clip(patch.x - 4 * reach, top, wide * 4, tall * 4)
        if x0 == x1 or y0 == y1:
            return
        keep = cv2.convertScaleAbs(cast[rows, columns], alpha=-(0.10 + 0.34 * hardness), beta=255)
        half = cv2.resize(keep, (keep.shape[1] // 2, keep.shape[0] // 2), interpolation=cv2.INTER_AREA)
        for plane, share, zero, step in zip(
            planes(picture), (keep, half, half), (16, 128, 128), (1, 2, 2), strict=True
        ):
            ground = plane[y0 // step : y1 // step, x0 // step : x1 // step]
            lifted = cv2.convertScaleAbs(share, alpha=-zero / 255, beta=zero)
            cv2.add(cv2.multiply(ground, share, scale=1 / 255), lifted, dst=ground)

    def _post(self, picture: U8) -> None:
        """Put the post back in front of whoever passes behind it."""
        x, y, w, h = (int(v) for v in cv2.boundingRect(self._place.post))
        x0, y0, x1, y1 = x // 2 * 2, y // 2 * 2, (x + w + 1) // 2 * 2, (y + h + 1) // 2 * 2
        solid = self._place.post[y0:y1, x0:x1]
        half = cv2.resize(solid, (solid.shape[1] // 2, solid.shape[0] // 2), interpolation=cv2.INTER_NEAREST)
        sources = planes(self._place.empty)
        for plane, clean, mask, step in zip(planes(picture), sources, (solid, half, half), (1, 2, 2), strict=True):
            area = slice(y0 // step, y1 // step), slice(x0 // step, x1 // step)
            cv2.copyTo(clean[area], mask, plane[area])

    def _record(self, frame: int, drawn: list[_Patch]) -> None:
        """Keep each individual's visible pixels: its outline less the post and whoever stands nearer."""
        covered = self._place.post.copy()
        rows = []
        for patch in reversed(drawn):
            solid = cv2.threshold(patch.alpha, 127, 1, cv2.THRESH_BINARY)[1]
            area, (h, w) = int(cv2.countNonZero(solid)), solid.shape
            (x0, y0, x1, y1), inner_rows, inner_columns = self._clip(patch.x, patch.y, w, h)
            if x0 == x1 or y0 == y1:
                continue
            solid = np.ascontiguousarray(solid[inner_rows, inner_columns])
            under = covered[y0:y1, x0:x1]
            seen = cv2.bitwise_and(solid, (under == 0).view(np.uint8))
            cv2.bitwise_or(under, solid, dst=under)
            bx, by, bw, bh = (int(v) for v in cv2.boundingRect(seen))
            if bw and bh:
                tight = np.asfortranarray(seen[by : by + bh, bx : bx + bw])
                box = (x0 + bx, y0 + by, x0 + bx + bw, y0 + by + bh)
                rows.append((frame, patch.individual, box, coco.encode(tight)["counts"], area))
        self.rows += sorted(rows, key=lambda row: row[1])
