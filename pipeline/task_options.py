"""The options of single tasks: release and upload, plan, demo, segment, outputs. None of them decides a dataset."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from video.alpha import ALPHA

PICTURES = ("png", "jpeg", "webp")
STYLES = ("binary", "highlighted", "greenscreen")


@dataclass
class ReleaseConfig:
    """What a dataset says of itself to those who get it; texts, shown in the card and kept in `release.json`."""

    title: str | None = None
    licence: str | None = None  # an identifier of SPDX or Hugging Face such as cc-by-4.0, or a text
    source: str | None = None  # where the footage comes from, and whom to cite
    rights: str | None = None  # whom it shows, what they agreed to, what must not be done with it
    contact: str | None = None


@dataclass
class HubConfig:
    """Where task=upload puts an export. The token is no setting: `hf auth login`, or HF_TOKEN."""

    repo: str | None = None  # OWNER/NAME
    private: bool = True
    export: str = "videofolder"
    dry: bool = False  # only list what would be uploaded


@dataclass
class PlanConfig:
    """What task=plan tries out. trial: windows that go through the whole job, 0 for none. price: of an hour of the
    machine that will do it, in any currency."""

    trial: int = 0
    price: float | None = None

    def __post_init__(self) -> None:
        if self.trial < 0:
            raise ValueError(f"plan.trial must be 0 or more windows, got {self.trial}")
        if self.price is not None and not 0 <= self.price < math.inf:
            raise ValueError(f"plan.price must be 0 or more an hour, got {self.price}")


@dataclass
class DemoConfig:
    """The generated footage of task=demo."""

    footage: str = "demo/footage"
    videos: int = 4
    seconds: float = 30.0
    seed: int = 7

    def __post_init__(self) -> None:
        if self.videos < 1:
            raise ValueError(f"demo.videos must be at least 1, got {self.videos}")
        if not 1 <= self.seconds <= 3600:
            raise ValueError(f"demo.seconds must be from 1 to 3600, got {self.seconds}")


@dataclass
class SegmentConfig:
    """What task=segment follows through one video. Frames are source frames from 0, places source pixels."""

    points: Any = None  # [[920,470],[909,138]]
    labels: Any = None  # [1,0]: 1 inside the object, 0 outside; null: all 1
    box: Any = None  # [x0,y0,x1,y1]
    frame: int = 0  # the frame of points and box
    clicks: Any = None  # several objects and frames: a JSON file, JSON, or a list of {frame,object,points,labels,box}
    start: int = 0  # the first frame tracked
    end: int | None = None  # the last one, inclusive; null: the video's last

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"segment.start must be a frame from 0, got {self.start}")
        if self.end is not None and self.end < self.start:
            raise ValueError(f"segment.end is the last frame, at least segment.start={self.start}, got {self.end}")

    @property
    def given(self) -> bool:
        """Whether there is anything to follow."""
        return not (self.points is None and self.labels is None and self.box is None and self.clicks is None)


@dataclass
class OutputsConfig:
    """What task=outputs and task=segment write of masks.

    masks: a picture per frame (png, jpeg or webp; null for none). style: binary (255 on the object), highlighted (the
    frame, the object tinted) or greenscreen (the object on pure green). alpha: a video with transparency (webm or
    prores; null for none). per_object: one mask sequence and alpha video for every object, or false: for all together;
    null: true, and false for whole videos, where an object is an individual.
    """

    masks: str | None = "png"
    style: str = "binary"
    quality: int = 80  # of jpeg and webp, 1 to 100; webp is lossless at 100
    every: int = 1  # every n-th sampled frame
    overlay: bool = True  # H.264 with masks, boxes, labels and ids
    video: bool = False  # H.264 in the style of the masks, all objects together
    alpha: str | None = None
    per_object: bool | None = None
    objects: str = "kept"  # kept: what is in the dataset; all: everything that was tracked
    clips: Any = None  # glob or list of globs on clip ids
    per: str = "clip"  # clip | video: the sampled frames of all its clips in one

    def __post_init__(self) -> None:
        choices = {"masks": (*PICTURES, None), "style": STYLES, "alpha": (*ALPHA, None), "objects": ("kept", "all")}
        for key, valid in {**choices, "per": ("clip", "video")}.items():
            if getattr(self, key) not in valid:
                named = ", ".join("null" if v is None else v for v in valid)
                raise ValueError(f"outputs.{key} must be one of {named}, got {getattr(self, key)!r}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"outputs.quality must be from 1 to 100, got {self.quality}")
        if self.every < 1:
            raise ValueError(f"outputs.every must be at least 1: every n-th frame, got {self.every}")
        if self.per == "video" and self.per_object and self.objects == "all":
            raise ValueError(
                "outputs.per=video with outputs.per_object=true has a file for every individual, and only what is in "
                "the dataset has one: set outputs.objects=kept, or outputs.per_object=false"
            )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of "masks", "overlay", "video" and "alpha" are wanted."""
        wanted = {"masks": self.masks is not None, "overlay": self.overlay, "video": self.video}
        wanted["alpha"] = self.alpha is not None
        return tuple(kind for kind, on in wanted.items() if on)

    @property
    def apart(self) -> bool:
        """Whether every object has files of its own."""
        return self.per == "clip" if self.per_object is None else self.per_object
