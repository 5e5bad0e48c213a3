"""What a prompt may say: each mistake is one message that names the value and what would be right."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sam.errors import WrongPrompt
from sam.prompts import check_prompt
from sam.types import Prompt, SessionFrames

FRAMES = SessionFrames([np.zeros((9, 16, 3), np.uint8)] * 4, np.arange(4), np.arange(4) / 6, 160, 90, "barn.mp4")
IN = (1,)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(points=((160, 3),), labels=IN), "the point [160, 3] lies outside the frame of 160x90 source pixels"),
        (Prompt(points=((3, 3), (3, -1)), labels=(1, 0)), "the point [3, -1] lies outside"),
        (Prompt(points=((float("nan"), 3),), labels=IN), "the point [nan, 3] lies outside"),
        (Prompt(box=(10, 10, 161, 20)), "the box [10, 10, 161, 20] reaches outside the frame of 160x90"),
        (Prompt(box=(-5, 10, 20, 20)), "x is from 0 to 160, y from 0 to 90"),
        (Prompt(box=(0, 0, 9, float("inf"))), "the box [0, 0, 9, inf] reaches outside"),
        (Prompt(mask=np.ones((9, 16), bool)), "(height, width) = (90, 160), got (9, 16)"),
        (Prompt(mask=np.zeros((90, 160), bool)), "the mask is empty"),
        (Prompt(box=(1, 1, 5, 5), frame=4), "barn.mp4 has frames 0 to 3 here, and the prompt is for frame 4"),
        (Prompt(box=(1, 1, 5, 5), frame=-1), "is for frame -1"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(prompt: Prompt, message: str) -> None:
    with pytest.raises(WrongPrompt, match=re.escape(message)):
        check_prompt(prompt, FRAMES)


def test_prompts_up_to_the_border_fit() -> None:
    check_prompt(Prompt(points=((0, 0), (159.5, 89)), labels=(1, 0)), FRAMES)
    check_prompt(Prompt(box=(0, 0, 160, 90), frame=3), FRAMES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": ((1, 2),), "labels": (2,)}, "a label is 1 (in the object) or 0 (not in it), got 2"),
        ({"points": ((1, 2),), "labels": ()}, "1 points and 0 labels"),
        ({"box": (10, 10, 5, 20)}, "x0 < x1 and y0 < y1, got [10, 10, 5, 20]"),
        ({"box": (10, 10, 10, 20)}, "got [10, 10, 10, 20]"),
        ({"box": (0, 0, float("nan"), 5)}, "x0 < x1"),
        ({"text": "cow", "box": (0, 0, 5, 5)}, "box and text cannot be one prompt"),
        ({"mask": np.ones((2, 2), bool), "points": ((1, 1),), "labels": (1,)}, "mask and points cannot be one prompt"),
        ({}, "a prompt needs a text, points, a box or a mask"),
    ],
)
def test_what_no_frame_could_make_right_is_refused_at_once(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Prompt(**options)  # type: ignore[arg-type]
