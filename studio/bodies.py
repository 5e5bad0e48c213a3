"""What requests and answers hold: the shapes behind the OpenAPI description. Places are source pixels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Pixel = Annotated[float, Field(ge=0, le=65535, allow_inf_nan=False, description="source pixels")]
FrameNumber = Annotated[int, Field(ge=0, le=2**31 - 1, description="source frame, from 0")]
ObjectId = Annotated[int, Field(ge=0, le=65535, description="a number of your choice for the object")]


class Body(BaseModel):
    """A request's body: unknown keys are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid")


class Point(Body):
    """A click. label: 1 in the object, 0 not in it."""

    x: Pixel
    y: Pixel
    label: Literal[0, 1] = 1


class Rle(Body):
    """A mask as COCO's compressed run-length code of the whole frame. size: [height, width]."""

    size: tuple[Annotated[int, Field(ge=1, le=65535)], Annotated[int, Field(ge=1, le=65535)]]
    counts: Annotated[str, Field(min_length=1, max_length=2**21)]


def _clicks(frame: int, points: list[dict[str, int]], **more: Any) -> dict[str, Any]:
    return {"frame_idx": frame, "points": points, **more}


class Clicks(Body):
    """What an object is on a frame: points, a box [x0, y0, x1, y1] (with points or without), or a mask."""

    frame_idx: FrameNumber
    points: Annotated[list[Point], Field(max_length=1000)] = []
    object_id: ObjectId = 1
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = None
    mask: Rle | None = None


class Annotation(Clicks):
    """See `Clicks`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                _clicks(0, [{"x": 920, "y": 470, "label": 1}, {"x": 900, "y": 450, "label": 0}]),
                _clicks(0, [], object_id=2, box=[860, 400, 980, 540]),
            ]
        },
    )


class Refinement(Clicks):
    """See `Clicks`; of an object that has been annotated."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [_clicks(50, [{"x": 800, "y": 600, "label": 0}])]}
    )


class Propagation(Body):
    """From which frame to which, inclusive. Without frames: from the first (backward: last) annotated one to the end.

    session_id: may repeat the one of the path. wait: answer when it is done; false answers at once, and progress is
    told by /sessions/{session}/events.
    """

    session_id: Annotated[str, Field(max_length=64)] | None = None
    start_frame: FrameNumber | None = None
    end_frame: FrameNumber | None = None
    direction: Literal["forward", "backward", "both"] = "forward"
    wait: bool = True

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"start_frame": 0, "end_frame": 100},
                {"start_frame": 60, "end_frame": 40, "direction": "backward"},
                {"direction": "both", "wait": False},
            ]
        },
    )


class Text(Body):
    """What to look for, with a tracker that takes text."""

    text: Annotated[str, Field(min_length=1, max_length=1000)]

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"text": "cow"}]})


class Problem(BaseModel):
    """Why a request was refused: the value, what would be right, the fix."""

    detail: str


class JobState(BaseModel):
    """Something the model does. state: waiting, running, done, failed or cancelled. done, total: frames."""

    job: int
    name: str
    state: str
    done: int
    total: int
    error: str | None


class SessionInfo(BaseModel):
    """A session. objects: in how many frames each has a mask. created, expires: seconds since 1970. jobs: what runs and
    waits; last_job: what ended last, with its error if it failed."""

    session_id: str
    name: str
    width: int
    height: int
    fps: float
    frames: int
    duration: float
    created: float
    expires: float
    objects: dict[int, int]
    prompts: list[dict[str, Any]]
    undoable: int
    jobs: list[JobState]
    last_job: JobState | None
    tracker: str
    understands: list[str]


class Sessions(BaseModel):
    """All sessions, the oldest first."""

    sessions: list[SessionInfo]


class Shown(BaseModel):
    """What an object looks like on a frame. box: [x0, y0, x1, y1], null if nothing of it is seen; mask: COCO RLE."""

    session_id: str
    frame_idx: int
    object_id: int
    score: float
    area: int
    box: tuple[int, int, int, int] | None
    mask: Rle | None
    overlay: str


class Propagated(BaseModel):
    """What was tracked. objects: in how many of these frames each is seen. state: of the job, done if waited for."""

    session_id: str
    start_frame: int
    end_frame: int
    direction: str
    frames: int
    state: str
    job: int
    objects: dict[int, int]


class Cancelled(BaseModel):
    """How many jobs were told to stop."""

    cancelled: int


class Deleted(BaseModel):
    """Which session is gone."""

    deleted: str


class Health(BaseModel):
    """That the server and its model thread live."""

    status: Literal["ok"]
    tracker: str
    sessions: int
    dataset: str | None = Field(default=None, description="the name of the dataset that is served with it")
