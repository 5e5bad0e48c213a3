"""From the bodies of requests to prompts and ranges of frames, checked against the video they are for."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco

from sam.prompts import check_place
from sam.rle import check_cover, runs
from sam.types import Prompt
from studio import bodies
from studio.errors import StudioError
from studio.session import Session


def check_frame(session: Session, idx: int, status: int = 404) -> None:
    """Refuse a frame that a video does not have."""
    if not 0 <= idx < session.frames:
        raise StudioError(status, f"{session.video.name} has frames 0 to {session.frames - 1}, got {idx}")


def prompt_of(session: Session, body: bodies.Clicks) -> Prompt:
    """A body as a prompt; raises StudioError, WrongPrompt for what does not fit the video."""
    width, height = session.video.width, session.video.height
    mask = None
    if body.mask is not None:
        if body.mask.size != (height, width):
            raise StudioError(422, f"mask.size must be [height, width] = [{height}, {width}], got {[*body.mask.size]}")
        mask = _decoded(body.mask)
    try:
        prompt = Prompt(
            frame=body.frame_idx,
            object_id=body.object_id,
            points=tuple((point.x, point.y) for point in body.points),
            labels=tuple(point.label for point in body.points),
            box=body.box,
            mask=mask,
        )
    except ValueError as error:
        raise StudioError(422, str(error)) from error
    check_place(prompt, width, height)
    return prompt


def _decoded(rle: bodies.Rle) -> np.ndarray[Any, Any]:
    """A COCO RLE as (height, width) bool."""
    height, width = rle.size
    try:
        check_cover(runs(rle.counts.encode()), width, height)
    except ValueError as error:
        raise StudioError(422, f"mask.counts is no mask of {width}x{height} pixels: {error}") from error
    plane: np.ndarray[Any, Any] = coco.decode({"size": [height, width], "counts": rle.counts.encode()})
    return plane.astype(np.bool_)


def range_of(session: Session, body: bodies.Propagation) -> tuple[int, int]:
    """The first frame to track and the last."""
    prompted = [prompt.frame for prompt in session.prompts if prompt.text is None] or [0]
    last = session.frames - 1
    backward = body.direction == "backward"
    start, end = body.start_frame, body.end_frame
    if body.direction == "both" or session.texts:
        start, end = 0 if start is None else start, last if end is None else end
    if start is None:
        start = max(prompted) if backward else min(prompted)
    if end is None:
        end = 0 if backward else last
    for frame in (start, end):
        check_frame(session, frame, 422)
    if (start < end) if backward else (start > end):
        other = "forward" if backward else "backward"
        raise StudioError(422, f"{body.direction} from {start} does not lead to {end}: swap them, or go {other}")
    return start, end
