"""A herd whose behaviour is known: individuals walk, stand, feed and turn on the spot, each for some seconds.

What one does while it rests is drawn at the beginning of the rest, wherever that is: no behaviour belongs to a place, a
coat or a time of day. So nothing but the individual itself tells what it does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from video.synthetic.figures import Figure
from video.synthetic.herd import Herd, Walker

BEHAVIOURS = ("walk", "stand", "turn", "feed")
AT_REST = ("stand", "turn", "feed")
SHARES = (0.35, 0.3, 0.35)
REST_S = (5.0, 12.0)
TURN_S = 3.0  # from one side to the other
WALKING, RESTING = 0.5, 0.2  # `Walker.walk` from which it walks, and up to which it rests; in between it is neither
HEAD_DOWN = 0.6  # `Walker.graze` from which it feeds


@dataclass(frozen=True, slots=True)
class Bout:
    """What one individual does from source frame `start` up to but not including `end`."""

    individual: str
    start: int
    end: int
    behaviour: str


class BehavingHerd(Herd):
    """Rests are of one kind each, and what everybody does is noted frame by frame."""

    def __init__(self, rng: np.random.Generator, figures: list[Figure], width: int, height: int, fps: float) -> None:
        super().__init__(rng, figures, width, height, fps)
        self._at_rest = {walker.figure.name: self._draw() for walker in self.walkers}
        self._turned = {walker.figure.name: 0.0 for walker in self.walkers}
        self._notes: dict[str, list[str]] = {walker.figure.name: [] for walker in self.walkers}

    def step(self, time_s: float) -> list[Walker]:
        seen = super().step(time_s)
        for walker in self.walkers:
            self._notes[walker.figure.name].append(self._behaviour(walker) if walker in seen else "")
        return seen

    def bouts(self) -> list[Bout]:
        """Everybody's bouts so far, by individual and time. What is between two behaviours belongs to none."""
        found = []
        for name, notes in self._notes.items():
            start = 0
            for at in range(1, len(notes) + 1):
                if at == len(notes) or notes[at] != notes[start]:
                    if notes[start]:
                        found.append(Bout(name, start, at, notes[start]))
                    start = at
        return found

    def _draw(self) -> str:
        return str(self._rng.choice(AT_REST, p=SHARES))

    def _decide(self, walker: Walker, time_s: float) -> None:
        before = walker.rest_s
        super()._decide(walker, time_s)
        if walker.rest_s > before:  # a rest begins
            walker.rest_s = float(self._rng.uniform(*REST_S))
            self._at_rest[walker.figure.name] = self._draw()
            self._turned[walker.figure.name] = float(np.arccos(np.clip(walker.facing, -1, 1)))

    def _move(self, walker: Walker) -> None:
        graze = walker.graze
        super()._move(walker)
        name = walker.figure.name
        kind = self._at_rest[name] if walker.rest_s > 0 else ""
        walker.graze = graze + (float(kind == "feed") - graze) * min(1.0, self._dt / 0.7)
        if kind == "turn" and walker.walk < RESTING:
            self._turned[name] += np.pi * self._dt / TURN_S
            walker.facing = float(np.cos(self._turned[name]))

    def _behaviour(self, walker: Walker) -> str:
        if walker.rest_s <= 0:
            return "walk" if walker.walk > WALKING else ""
        kind = self._at_rest[walker.figure.name]
        if walker.walk > RESTING or (kind == "feed") != (walker.graze > HEAD_DOWN):
            return ""
        return kind
