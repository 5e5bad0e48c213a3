"""What a window is said to take of the device, against the tensors that tracking it really made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sam.backends.need import Window
from sam.session import SAMSession
from sam.types import Prompt
from tests.sam3.footage import HEIGHT, WIDTH, blobs
from tests.sam3.leaks import tensor_bytes

if TYPE_CHECKING:
    from sam.backends.sam3_hf import Sam3HfTracker

NEAR = 0.15  # of the tensors that were there


def track(tracker: Any, count: int, texts: list[str], scale: int) -> None:
    with SAMSession(tracker, blobs(count, scale).session()) as session:
        for text in texts:
            session.add_prompt(Prompt(text=text))
        session.tracks()


@pytest.fixture
def states(loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """After each step: bytes of the session's tensors, and objects."""
    from sam.backends import hf_window

    seen: list[tuple[int, int]] = []
    forget = hf_window.Window._forget

    def watched(self: Any, frame: int) -> None:
        forget(self, frame)
        seen.append((tensor_bytes(self._session), len(self._session.obj_ids)))

    monkeypatch.setattr(hf_window.Window, "_forget", watched)
    return seen


@pytest.mark.parametrize(
    ("texts", "count", "scale", "objects"),
    [
        (["dog"], 4, 1, 0),
        (["red"], 20, 1, 1),
        (["cow"], 4, 1, 2),
        (["cow", "red", "green", "blue"], 20, 1, 6),
        (["cow"], 8, 6, 3),
    ],
    ids=["nothing", "one, long", "two, short", "six, long", "three, large"],
)
def test_a_window_takes_what_was_said(
    loaded: Sam3HfTracker, states: list[tuple[int, int]], texts: list[str], count: int, scale: int, objects: int
) -> None:
    from sam.backends.counting import counted

    need = loaded._need(careful=False)  # its twin takes the place of the position encodings, which are made again
    window = Window(count, WIDTH * HEIGHT * scale**2)
    took = counted(lambda: track(loaded, count, texts, scale))
    assert max(found for _, found in states) == objects
    assert need.state(window, objects) == pytest.approx(max(size for size, _ in states), rel=NEAR)
    assert need.total(window, objects, False) - need.weights == pytest.approx(took.peak, rel=NEAR)


def test_weights_are_those_of_the_model(loaded: Sam3HfTracker) -> None:
    from sam.backends.counting import parameter_bytes

    assert loaded._engine is not None
    assert loaded._need(False).weights == parameter_bytes(loaded._engine.model) > 17 * 10**6


def test_half_the_bytes_in_half_the_precision(loaded: Sam3HfTracker) -> None:
    import torch

    from sam.backends.hf_need import sam3_need

    assert loaded._engine is not None
    config, window = loaded._engine.model.config, Window(20, WIDTH * HEIGHT)
    whole, half = (sam3_need(config, dtype, 15) for dtype in (torch.float32, torch.bfloat16))
    assert half.weights == pytest.approx(whole.weights / 2, rel=0.01)
    assert half.total(window, 3, False) < 0.7 * whole.total(window, 3, False)


def test_frames_encoded_together_take_more(loaded: Sam3HfTracker) -> None:
    from sam.backends.hf_need import sam3_need

    assert loaded._engine is not None
    one, eight = (sam3_need(loaded._engine.model.config, loaded._engine.dtype, 15, n) for n in (1, 8))
    assert one.steps[0].name == "image encoder" and eight.steps[0].fixed > 1.4 * one.steps[0].fixed
    assert one.steps[1:] == eight.steps[1:]
