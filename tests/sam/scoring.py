"""Synthetic scenes as the trackers' tests use them: rendered, decoded, cut into windows and scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from sam.metrics import Score, Truth, TruthMask, evaluate
from sam.session import SAMSession
from sam.tracker import Tracker
from sam.types import Mask, Prompt, SessionFrames, Track
from video.scenes import SceneTruth, load_truth, render_scene

HELD_OUT = (4201, 4202, 4203, 4204, 4205, 4206)  # seeds never used while tuning tracker=motion
STRIDE = 4
WINDOW = 20


@dataclass(frozen=True, slots=True)
class Scene:
    """Every `STRIDE`-th frame of a rendered video, (h, w, 3) uint8 RGB, and its truth."""

    images: list[NDArray[np.uint8]]
    truth: SceneTruth

    @classmethod
    def render(cls, path: Path, seed: int, seconds: float, **options: Any) -> Scene:
        render_scene(path, seed=seed, seconds=seconds, **options)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Scene:
        with av.open(str(path)) as container:
            images = [f.to_ndarray(format="rgb24") for n, f in enumerate(container.decode(video=0)) if n % STRIDE == 0]
        return cls(images, load_truth(path))

    def context(self, count: int) -> list[NDArray[np.uint8]]:
        return [self.images[i] for i in np.unique(np.linspace(0, len(self.images) - 1, count).astype(int))]

    def window(self, start: int, count: int = WINDOW) -> SessionFrames:
        indices = np.arange(start, start + count) * STRIDE
        images = self.images[start : start + count]
        return SessionFrames(images, indices, indices / 25, self.truth.width, self.truth.height, "scene.mp4")

    def windows(self, count: int = WINDOW) -> Iterator[SessionFrames]:
        for start in range(0, len(self.images) - count + 1, count):
            yield self.window(start, count)

    def truth_of(self, frames: SessionFrames) -> Truth:
        return [self._at(index) for index in frames.indices.tolist()]

    def _at(self, index: int) -> dict[int, TruthMask]:
        truth = self.truth
        return {
            int(truth.individual[row]): TruthMask(
                Mask(tuple(truth.boxes[row].tolist()), truth.counts[row]), truth.visible(row)
            )
            for row in truth.rows(index)
        }

    def score(self, frames: SessionFrames, tracks: list[Track]) -> Score:
        return evaluate(tracks, self.truth_of(frames), (self.truth.width, self.truth.height))


def tracks_of(tracker: Tracker, frames: SessionFrames) -> list[Track]:
    with SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text="cow"))
        return session.tracks()


def disc_frames(
    count: int,
    places: list[list[tuple[int, int] | None]],
    colours: list[tuple[int, int, int]],
    size: tuple[int, int] = (320, 180),
) -> list[NDArray[np.uint8]]:
    """Pictures of discs of radius 16 on a textured floor: places[disc][frame] is its centre, None while it is away."""
    rng = np.random.default_rng(7)
    floor = cv2.resize(rng.uniform(70, 150, (45, 80, 3)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    images = []
    for t in range(count):
        image = floor + rng.normal(0, 1.5, floor.shape)
        for disc, colour in zip(places, colours, strict=True):
            if disc[t] is not None:
                cv2.circle(image, disc[t], 16, colour, -1, cv2.LINE_AA)
        images.append(np.clip(image, 0, 255).astype(np.uint8))
    return images


def session_frames(images: list[NDArray[np.uint8]], video: str = "video.mp4", scale: int = 1) -> SessionFrames:
    height, width = images[0].shape[:2]
    indices = np.arange(len(images))
    return SessionFrames(images, indices, indices / 6, width * scale, height * scale, video)
