"""The colours of an object: what they are measured on, how they are kept, what they have in common."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from pipeline.extractor import CropConfig, Placement, place_object
from pipeline.stages.colours import decode, likeness, measure, spread
from tests.pipeline.making import a_track, block

SIZE = (200, 100)


def placed(frames: int = 4) -> Placement:
    placement = place_object(a_track({n: block(40, 20, 30, 20) for n in range(frames)}), 0, frames, CropConfig())
    assert placement is not None
    return placement


def pictures(colour: tuple[int, int, int], around: int = 90, light: float = 1.0, frames: int = 4) -> list[np.ndarray]:
    picture = np.full((SIZE[1], SIZE[0], 3), around, np.uint8)
    picture[20:40, 40:70] = colour
    return [(picture * light).astype(np.uint8)] * frames


def seen(*args: object, **more: object) -> np.ndarray:
    return decode(measure(placed(), pictures(*args, **more)))  # type: ignore[arg-type]


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(likeness(a[None], b[None])[0, 0])


def test_only_the_objects_own_pixels_count() -> None:
    red = seen((200, 30, 30))
    assert red.sum() == pytest.approx(1, abs=1e-6) and red.shape == (216,)
    assert alike(red, seen((200, 30, 30))) == pytest.approx(1, abs=1e-3)
    assert alike(red, seen((30, 30, 200))) < 0.2
    assert red.argmax() // 36 >= 4, "most red"


def test_a_cloud_changes_little() -> None:
    bright, dark = seen((200, 120, 60)), seen((200, 120, 60), light=0.7)
    assert alike(bright, dark) > 0.98
    assert alike(bright, seen((140, 84, 42))) < 0.9, "while a darker coat in the same light is another one"


def test_it_is_short_text_that_survives() -> None:
    text = measure(placed(), pictures((200, 120, 60)))
    assert len(base64.b64decode(text)) == 216 and text.isascii()
    for wrong in ("", "AAAA", base64.b64encode(bytes(216)).decode()):
        with pytest.raises(ValueError, match="colours are 216 bytes in base64"):
            decode(wrong)


def test_spreading_keeps_the_whole_and_reaches_neighbours_only() -> None:
    one = np.zeros((6, 6, 6), np.float32)
    one[2, 3, 0] = 1
    cube = spread(one.ravel()).reshape(6, 6, 6)
    assert cube.sum() == pytest.approx(1)
    assert cube[2, 3, 0] == pytest.approx(0.5 * 0.5 * 0.75), "what would leave the cube stays"
    assert cube[1, 3, 0] == pytest.approx(0.25 * 0.5 * 0.75) and cube[2, 3, 1] == pytest.approx(0.5 * 0.5 * 0.25)
    assert np.count_nonzero(cube) == 3 * 3 * 2
