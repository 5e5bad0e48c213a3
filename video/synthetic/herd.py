"""How the individuals of a synthetic scene move: walk, stop to graze, cross one another, leave and come back.

Positions are where the feet stand, in pixels; depth is the row, so what stands lower is nearer and larger. The whole
scene is simulated before the first frame is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from video.synthetic.backdrop import FENCE, HORIZON
from video.synthetic.figures import Figure, Pose

NEAR = 0.16  # a cow's trunk at the bottom row, as a part of the frame's width
SLANT = 0.42  # a step in depth covers this much of what a step sideways covers on screen
DEPTHS = (FENCE + 0.07, 0.93)  # rows where feet go, as parts of the height


@dataclass(slots=True)
class Walker:
    """One individual on its way. hidden_until: when it comes back into the frame, in seconds, while it is away."""

    figure: Figure
    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    target: tuple[float, float] = (0.0, 0.0)
    leaving: bool = False
    rest_s: float = 0.0
    hidden_until: float = 0.0
    pace: float = 1.0
    gait: float = 0.0
    walk: float = 0.0
    graze: float = 0.0
    facing: float = 1.0

    def pose(self, time_s: float) -> Pose:
        return Pose(self.gait, self.walk, self.graze, time_s + 10 * self.pace, self.facing)


class Herd:
    """All walkers of one scene; `step` moves them by one frame."""

    def __init__(self, rng: np.random.Generator, figures: list[Figure], width: int, height: int, fps: float) -> None:
        self._rng, self._width, self._height, self._dt = rng, width, height, 1 / fps
        self.walkers: list[Walker] = []
        for i, figure in enumerate(figures):
            walker = Walker(figure, 0, 0)
            self.walkers.append(walker)
            walker.pace = float(rng.uniform(0.42, 0.62) if figure.kind == "cow" else rng.uniform(0.75, 0.95))
            if i % 3 != 2 and figure.kind == "cow":
                walker.x, walker.y = walker.target = self._free_spot(walker)
                walker.rest_s = float(rng.uniform(0.2, 5))
            else:
                self._enter(walker, float(rng.uniform(1, 7)))
                walker.target = self._free_spot(walker)
            walker.gait = float(rng.uniform(0, 6))
            walker.facing = float(rng.choice([-1, 1]))

    def scale(self, y: float) -> float:
        """Pixels per figure unit for feet on row y."""
        return NEAR * self._width * (y / self._height - HORIZON) / (1 - HORIZON)

    def step(self, time_s: float) -> list[Walker]:
        """Advance by one frame; returns the walkers that may be seen, the farthest first."""
        for walker in self.walkers:
            if time_s < walker.hidden_until:
                continue
            self._decide(walker, time_s)
            self._move(walker)
        return sorted((w for w in self.walkers if time_s >= w.hidden_until), key=lambda w: w.y)

    def _decide(self, walker: Walker, time_s: float) -> None:
        """Stop where it wanted to go; choose the next place when the stop is over; turn back once it is outside."""
        scale = self.scale(walker.y)
        arrived = np.hypot(walker.target[0] - walker.x, (walker.target[1] - walker.y) / SLANT) < 0.25 * scale
        if walker.leaving:
            if not -1.3 * scale < walker.x < self._width + 1.3 * scale:
                self._enter(walker, time_s + float(self._rng.uniform(2, 9)))
                walker.target, walker.leaving = self._free_spot(walker), False
        elif arrived and walker.rest_s <= 0.0 and self._crowded(walker):
            walker.target = self._free_spot(walker)
        elif arrived and walker.rest_s <= 0.0:
            walker.rest_s = float(self._rng.uniform(2.5, 8) if walker.figure.kind == "cow" else self._rng.uniform(1, 4))
        elif arrived:
            walker.rest_s -= self._dt
            if walker.rest_s <= 0:
                away = sum(other.leaving or time_s < other.hidden_until for other in self.walkers)
                wish = self._rng.uniform() < (0.35 if walker.figure.kind == "cow" else 0.6)
                walker.leaving = bool(wish and away <= len(self.walkers) // 3)
                walker.target = self._exit(walker) if walker.leaving else self._free_spot(walker)

    def _move(self, walker: Walker) -> None:
        """Head for the target, swing past others, and let gait, head and heading follow the speed."""
        scale, dt = self.scale(walker.y), self._dt
        dx, dy = walker.target[0] - walker.x, (walker.target[1] - walker.y) / SLANT
        far = max(float(np.hypot(dx, dy)), 1e-6)
        pace = 0.0 if walker.rest_s > 0 else walker.pace * scale * min(1.0, far / (0.5 * scale) + 0.15)
        pace *= self._haste(walker, scale, dx)
        wish = np.array([dx, dy]) / far * pace + self._swerve(walker, scale) * (pace > 0)
        blend = min(1.0, dt / 0.45)
        walker.vx += float(wish[0] - walker.vx) * blend
        walker.vy += float(wish[1] - walker.vy) * blend
        walker.x += walker.vx * dt
        low, high = (part * self._height for part in DEPTHS)
        walker.y = float(np.clip(walker.y + walker.vy * SLANT * dt, low, high))
        speed = float(np.hypot(walker.vx, walker.vy)) / scale
        stride = 0.8 if walker.figure.kind == "cow" else 0.9
        walker.gait += 2 * np.pi * speed * dt / stride
        walker.walk += (min(1.0, speed / (0.6 * walker.pace)) - walker.walk) * min(1.0, dt / 0.3)
        resting = walker.rest_s > 0 and walker.figure.kind == "cow"
        walker.graze += (float(resting) - walker.graze) * min(1.0, dt / 0.7)
        if speed > 0.1:
            heading = np.clip(1.6 * walker.vx / (speed * scale), -1, 1)
            walker.facing += (float(heading) - walker.facing) * min(1.0, dt / 0.5)

    def _haste(self, walker: Walker, scale: float, ahead: float) -> float:
        """How its pace changes near others, so that they hide each other only briefly: of two that go the same way,
        the one before draws away and the one behind falls back; past whoever stands or comes towards it, it hurries."""
        haste = 1.0
        for other in self.walkers:
            dx, dy = (other.x - walker.x) / scale, (other.y - walker.y) / scale
            if other is walker or abs(dx) > 1.7 or abs(dy) > 1.1:
                continue
            along = other.vx * ahead > 0 and abs(other.vx) > 0.1 * other.pace * scale
            haste = 1.3 if not along else 0.3 if dx * ahead > 0 else 1.6
            if haste < 1:
                break
        return haste

    def _crowded(self, walker: Walker) -> bool:
        """Whether it would hide another here, or be hidden."""
        for other in self.walkers:
            size = self.scale(max(walker.y, other.y))
            if other is not walker and abs(walker.x - other.x) < 1.5 * size and abs(walker.y - other.y) < size:
                return True
        return False

    def _swerve(self, walker: Walker, scale: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """A push in depth away from whoever stands too close, so that bodies pass before or behind each other."""
        push = np.zeros(2)
        for other in self.walkers:
            if other is walker:
                continue
            dx, dy = (walker.x - other.x) / scale, (walker.y - other.y) / (SLANT * scale)
            near = 1 - np.hypot(dx / 1.5, dy / 0.9)
            if near > 0:
                push[1] += near * scale * walker.pace * (1.0 if dy >= 0 else -1.0)
        return push

    def _free_spot(self, walker: Walker) -> tuple[float, float]:
        """A place in view where it neither hides nor is hidden by the others where they rest or go to."""
        low, high = (part * self._height for part in DEPTHS)
        best, clearance = (self._width / 2, (low + high) / 2), -1.0
        for _ in range(20):
            y = float(self._rng.uniform(low, high))
            x = float(self._rng.uniform(0.08, 0.92) * self._width)
            gaps = []
            for other in self.walkers:
                if other is not walker:
                    a, b = (other.x, other.y) if other.rest_s > 0 else other.target
                    size = self.scale(max(y, b))
                    gaps.append(max(abs(x - a) / (1.6 * size), abs(y - b) / size))
            gap = float(min(gaps, default=9.0))
            if gap > clearance:
                best, clearance = (x, y), gap
            if gap > 1.1:
                break
        return best

    def _exit(self, walker: Walker) -> tuple[float, float]:
        side = -0.3 * self._width if self._rng.uniform() < 0.5 else 1.3 * self._width
        return side, float(np.clip(walker.y + self._rng.normal(0, 0.05) * self._height, *self._rows()))

    def _enter(self, walker: Walker, time_s: float) -> None:
        """Place it just outside the left or right edge, to appear at this time."""
        walker.y = float(self._rng.uniform(*self._rows()))
        reach = 1.25 * self.scale(walker.y)
        walker.x = -reach if self._rng.uniform() < 0.5 else self._width + reach
        walker.vx = walker.vy = 0.0
        walker.facing = 1.0 if walker.x < 0 else -1.0
        walker.hidden_until = time_s

    def _rows(self) -> tuple[float, float]:
        low, high = DEPTHS
        return low * self._height, high * self._height
