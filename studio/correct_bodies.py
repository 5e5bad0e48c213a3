"""The shapes of what the page that corrects sends and gets; frames are session frames unless said otherwise."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from studio.bodies import Body, Pixel

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Author = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
Points = Annotated[list[tuple[Pixel, Pixel]], Field(max_length=200)]
Labels = Annotated[list[Literal[0, 1]], Field(max_length=200)]
Box = tuple[Pixel, Pixel, Pixel, Pixel]


class Correct(Body):
    """One correction. frame: source frame that is tracked. other: of merge (into it) and swap; of split and add a
    number that is free is chosen. same and different are about `other` in the window `at_window`; at: a frame there,
    its first unless said. masks: of redraw and draw, the name that a preview gave the masks it showed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"do": "split", "frame": 24, "object": 1, "author": "ann"},
                {"do": "swap", "frame": 28, "object": 1, "other": 2, "author": "ann", "note": "behind the post"},
                {"do": "merge", "frame": 24, "object": 2, "other": 1, "author": "ann"},
                {"do": "remove", "frame": 24, "object": 1, "author": "ann"},
            ]
        },
    )

    do: Literal["remove", "merge", "swap", "split", "refine", "add", "redraw", "draw", "same", "different"]
    frame: Number
    object: Number | None = None
    other: Number | None = None
    at: Number | None = None
    at_window: Text | None = None
    prompt: Text | None = None
    points: Points = Field(default_factory=list)
    labels: Labels = Field(default_factory=list)
    box: Box | None = None
    masks: Text | None = None
    note: Text | None = None
    author: Author


class Clicks(Body):
    """Clicks of which to see the effect. frame: source frame that is tracked. reach: only on it; also on the frames
    after it; or in the whole window."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"frame": 20, "box": [86, 36, 114, 64], "reach": "onward"},
                {"frame": 20, "points": [[100, 50], [10, 10]], "labels": [1, 0]},
            ]
        },
    )

    frame: Number
    object: Number | None = None
    prompt: Text | None = None
    points: Points = Field(default_factory=list)
    labels: Labels = Field(default_factory=list)
    box: Box | None = None
    reach: Literal["frame", "onward", "window"] = "frame"


class Entry(BaseModel):
    """A correction that was written. entry: as it stands in the file."""

    id: str
    entry: dict[str, Any]


class WindowLine(BaseModel):
    """A window in the list. start_s, stop_s: seconds from the start of its video. why: what is doubtful, in words."""

    window: str
    video: str
    start_s: float
    stop_s: float
    crops: int
    refused: int
    corrected: int
    corrections: int
    why: list[str]


class MissingVideo(BaseModel):
    """A video of the dataset that is not at hand, so that its windows cannot be shown."""

    video: str
    why: str


class WindowList(BaseModel):
    """total: of the windows that can be shown. videos: those that are at hand."""

    total: int
    videos: list[str]
    missing: list[MissingVideo]
    windows: list[WindowLine]


class Crop(BaseModel):
    """An object in a clip. reason: why it was refused, None if it is in the dataset; then crop is its address."""

    sample_id: str
    clip_id: str
    object_id: int
    prompt: str
    crop: str | None
    reason: str | None


class LinkLine(BaseModel):
    """An object of a window and one of another that may be the same individual. start_s: of the other window."""

    object: int
    prompt: str
    other: int
    other_prompt: str
    window: str
    start_s: float
    by: str
    score: float
    state: str


class ClickState(BaseModel):
    """show: whether the studio's tracker follows clicks, whose masks can then be written; why: if not, the reason.
    build: whether the dataset's own does, so that the clicks themselves can be written."""

    show: bool
    build: bool
    tracker: str
    why: str | None


class WindowInfo(BaseModel):
    """One window. frames: source frame of each session frame; times_s: seconds. waiting: clicks are written that only
    a build follows. unapplied: its crops were made without these corrections, or with others."""

    window: str
    video: str
    width: int
    height: int
    prompts: list[str]
    frames: list[int]
    times_s: list[float]
    clips: list[ClipFrames]
    why: list[str]
    error: str | None
    waiting: bool
    unapplied: bool
    clicks: ClickState
    corrections: list[Entry]
    crops: list[Crop]
    links: list[LinkLine]
    stamp: str


class MaskOn(BaseModel):
    """An object's pixels. frame: session frame. box: x0, y0, x1, y1, half-open. counts: COCO's code of the box."""

    frame: int
    box: list[int]
    counts: str


class ClipFrames(BaseModel):
    """A clip of a window: its first and last session frame."""

    clip_id: str
    first: int
    last: int


class SeenObject(BaseModel):
    """An object in its window, with its masks; corrected: a correction changed or named it."""

    prompt: str
    object: int
    corrected: bool
    masks: list[MaskOn]


class WindowMasks(BaseModel):
    objects: list[SeenObject]


class Preview(BaseModel):
    """masks: as of an object; empty: frames in which it is not seen. name: under which a correction can take them."""

    masks: list[MaskOn]
    empty: list[int]
    name: str | None


class Applied(BaseModel):
    """A build. done, total: clips that had to be made again. status: its exit status. says: its last words. waiting: it
    begins when the studio's model has ended what it is doing, and has left the device's memory."""

    number: int
    state: Literal["idle", "running", "done", "failed", "cancelled"]
    done: int
    total: int
    status: int | None
    says: str
    waiting: bool
