"""Whether a prompt can be meant, and fits its frames: one message that names the value, what is right, and the fix.

What no frame could make right (labels, reversed boxes, kinds that do not go together) `Prompt` refuses by itself.
"""

from __future__ import annotations

import math

from sam.errors import WrongPrompt
from sam.types import Prompt, SessionFrames


def check_prompt(prompt: Prompt, frames: SessionFrames) -> None:
    """Refuse a prompt on a frame, point, box or mask that the frames do not have; raises WrongPrompt."""
    if not 0 <= prompt.frame < len(frames):
        raise WrongPrompt(
            f"{frames.video} has frames 0 to {len(frames) - 1} here, and the prompt is for frame {prompt.frame}"
        )
    check_place(prompt, frames.width, frames.height)


def phrases_in(text: str) -> list[str]:
    """The phrases of a text, which commas separate, as they are written; raises WrongPrompt where one is empty."""
    phrases = [" ".join(part.split()) for part in text.split(",")]
    if not all(phrases):
        raise WrongPrompt(f"the prompt {text!r} has an empty phrase: write one thing, or several with commas between")
    return phrases


def check_place(prompt: Prompt, width: int, height: int) -> None:
    """Refuse points, a box or a mask that a picture of this size does not have; raises WrongPrompt."""
    size = f"{width}x{height} source pixels"
    for x, y in prompt.points:
        if not (0 <= x < width and 0 <= y < height):
            raise WrongPrompt(
                f"the point [{x:g}, {y:g}] lies outside the frame of {size}: x is from 0 to {width - 1}, "
                f"y from 0 to {height - 1}"
            )
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        if not all(map(math.isfinite, prompt.box)) or x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            raise WrongPrompt(
                f"the box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] reaches outside the frame of {size}: x is from 0 to "
                f"{width}, y from 0 to {height}"
            )
    if prompt.mask is not None:
        if prompt.mask.shape != (height, width):
            raise WrongPrompt(
                f"a mask must have the frame's size, (height, width) = ({height}, {width}), got {prompt.mask.shape}"
            )
        if not prompt.mask.any():
            raise WrongPrompt("the mask is empty: it must hold at least one pixel of the object")
