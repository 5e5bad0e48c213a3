"""Drawing what a tracker found over the pictures it found it in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.types import Mask, Prompt

COLOURS = ((255, 99, 71), (64, 160, 255), (120, 220, 90), (255, 200, 40), (200, 120, 255), (40, 220, 220))
INSIDE, OUTSIDE = (40, 220, 40), (230, 40, 40)  # clicks with label 1 and 0


def paint(
    rgb: NDArray[np.uint8], objects: Iterable[tuple[int, Mask]], texts: Sequence[str] | None = None, boxes: bool = False
) -> NDArray[np.uint8]:
    """A copy of the picture (H, W, 3) with each mask tinted and outlined, a text beside it, and its box if wanted.

    objects: (object id, mask); the id chooses the colour. texts: one per object; None for the ids.
    """
    picture = rgb.copy()
    thickness = _thickness(rgb)
    labels: list[tuple[str, tuple[int, int], list[int]]] = []
    for n, (object_id, mask) in enumerate(objects):
        x0, y0, x1, y1 = mask.box
        colour = np.array(COLOURS[object_id % len(COLOURS)], np.uint8)
        plane = mask.decode()
        part, on = picture[y0:y1, x0:x1], plane.astype(bool)
        part[on] = (part[on] // 2) + colour // 2
        outline, _ = cv2.findContours(plane, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x0, y0))
        cv2.drawContours(picture, outline, -1, colour.tolist(), thickness)
        if boxes:
            cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), colour.tolist(), max(1, thickness // 2))
        labels.append((str(object_id) if texts is None else texts[n], (x0, y0 - 4), colour.tolist()))
    for text, at, tint in labels:  # over all masks
        _write(picture, text, at, tint, thickness)
    return picture


def _write(picture: NDArray[np.uint8], text: str, at: tuple[int, int], colour: list[int], thickness: int) -> None:
    """Write on a dark plate, beginning at `at` (left, baseline), or where it still fits into the picture."""
    if not text:
        return
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, thickness / 2
    (width, height), below = cv2.getTextSize(text, font, scale, thickness)
    x, y = max(0, min(at[0], picture.shape[1] - width - 2)), max(at[1], height + below)
    cv2.rectangle(picture, (x, y - height - 2), (x + width, y + below // 2), (20, 20, 20), cv2.FILLED)
    cv2.putText(picture, text, (x, y), font, scale, colour, thickness)


def paint_prompts(picture: NDArray[np.uint8], prompts: Iterable[Prompt]) -> None:
    """Draw the points (green inside, red outside) and boxes of prompts into a picture (H, W, 3)."""
    thickness = _thickness(picture)
    for prompt in prompts:
        if prompt.box is not None:
            x0, y0, x1, y1 = (round(v) for v in prompt.box)
            cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), INSIDE, thickness)
        for (x, y), label in zip(prompt.points, prompt.labels, strict=True):
            centre = round(x), round(y)
            cv2.circle(picture, centre, 3 * thickness, INSIDE if label else OUTSIDE, -1)
            cv2.circle(picture, centre, 3 * thickness, (255, 255, 255), max(1, thickness // 2))


def _thickness(rgb: NDArray[np.uint8]) -> int:
    return max(1, round(float(max(rgb.shape[:2])) / 480))
