"""What requests and answers about a dataset hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from studio.bodies import Body
from studio.columns import FIGURES
from studio.label_classes import LONGEST, MOST, LabelClass, checked

Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False, description="of the video")]
Bound = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=1024)]
Many = Annotated[list[Text], Field(max_length=1000)]
SampleId = Annotated[str, Field(min_length=1, max_length=128, description="sample_id of the index")]
Name = Annotated[str, Field(min_length=1, max_length=1024, description="a class")]
Author = Annotated[str, Field(max_length=100, description="who says so")]
ORDERS = ("time", "shuffled", "unsure_first", *FIGURES, *(f"-{name}" for name in FIGURES))


class Range(Body):
    """Of a figure, in its own unit: least <= value < below; null for no bound."""

    least: Bound | None = None
    below: Bound | None = None


class Filter(Body):
    """Which crops. Within a list any of the values; of several keys all. outcome: crops of the dataset, objects that
    were refused, which have no label, split or individual, or both. reason: why they were refused."""

    outcome: Literal["kept", "refused", "all"] = "kept"
    reason: Many = Field(default=[])
    prompt: Many = Field(default=[])
    video: Many = Field(default=[])
    split: Many = Field(default=[])
    individual_id: Many = Field(default=[])
    label: Many = Field(default=[])
    predicted: Many = Field(default=[])
    state: Literal["any", "labelled", "unlabelled", "open", "unsure", "commented"] = Field(
        default="any", description="open: neither labelled nor unsure"
    )
    figures: dict[str, Range] = Field(default={})

    @field_validator("figures")
    @classmethod
    def known(cls, given: dict[str, Range]) -> dict[str, Range]:
        for name in given:
            if name not in FIGURES:
                raise ValueError(f"there is no figure {name[:40]!r}; there are {', '.join(FIGURES)}")
        return given


class Search(Body):
    """A page of crops. after: the sample id after which it begins, in this order; offset: how many more are passed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {},
                {"filter": {"state": "open", "split": ["train"]}, "order": "shuffled"},
                {"filter": {"outcome": "refused"}, "order": "-side"},
            ]
        },
    )
    filter: Filter = Filter()
    order: str = Field(default="time", description="time, shuffled, unsure_first, a figure, or - and a figure")
    after: SampleId | None = None
    offset: Annotated[int, Field(ge=0, le=2**31)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    @field_validator("order")
    @classmethod
    def known(cls, given: str) -> str:
        if given not in ORDERS:
            raise ValueError(f"must be one of {', '.join(ORDERS)}")
        return given


class Counting(Body):
    """Which crops to count."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{}, {"filter": {"figures": {"side": {"least": 40, "below": 80}}}}]},
    )
    filter: Filter = Filter()


class Crop(BaseModel):
    """A crop and what is said of it. Times are seconds of the video."""

    sample_id: str
    prompt: str
    video: str
    split: str
    individual_id: str | None
    object_id: int
    start_s: float
    end_s: float
    start_frame: int
    num_frames: int
    fps: float
    label: str | None
    unsure: bool
    comment: str
    author: str | None
    predicted: str | None
    figures: dict[str, float]


class RefusedObject(BaseModel):
    """What is not in the dataset, and why. value: of the figure that refused it, in its own unit; threshold: of the
    filter; null where the reason has none. sample_id, object_id: null for a clip that was refused as a whole. picture:
    whether /dataset/thumbnails has one. figures: those that were measured."""

    sample_id: str | None
    clip_id: str
    object_id: int | None
    prompt: str | None
    video: str
    reason: str
    value: float | None
    threshold: float | None
    picture: bool
    figures: dict[str, float]


class Found(BaseModel):
    """total: how many fit the filter, labelled: how many of them have a label. What has a reason was refused."""

    total: int
    labelled: int
    samples: list[Crop | RefusedObject]


class Described(BaseModel):
    """The dataset: what can be filtered by, and how far its labels are. refused: objects; failures: of videos and
    clips."""

    name: str
    samples: int
    refused: int
    failures: int
    labelled: int
    unsure: int
    prompts: list[str]
    videos: list[str]
    splits: list[str]
    figures: list[dict[str, Any]]
    predicted: list[str]
    individuals: int
    orders: list[str]


class Limit(BaseModel):
    """The threshold of a figure's filter, in the figure's own unit. least: what is below is refused, else what is
    above."""

    value: float
    least: bool


class Bins(BaseModel):
    """A figure's histogram. edges: of the bins, in the figure's own unit; times `scale` in `unit`. all: crops in each,
    here: those that fit the filter, whatever it says of this figure; refused, refused_here: the same of what was
    refused. limit: of its filter, null when that is off."""

    figure: str
    title: str
    unit: str
    scale: float
    note: str
    edges: list[float]
    all: list[int]
    here: list[int]
    refused: list[int]
    refused_here: list[int]
    limit: Limit | None


class Value(BaseModel):
    """How many crops have a value, and how many of those fit the filter, whatever it says of this column."""

    name: str
    all: int
    here: int


class Counted(BaseModel):
    """The figures and columns of the dataset as far as a filter goes. total: kept and refused."""

    total: int
    kept: int
    refused: int
    figures: list[Bins]
    columns: dict[str, list[Value]]


class FailureLine(BaseModel):
    """What could not be done. clip_id: null when it was the whole video."""

    video: str
    clip_id: str | None
    stage: str
    error: str


class Failures(BaseModel):
    total: int
    failures: list[FailureLine]


class SetWord(Body):
    """What is said of one crop. label: a class, null for none; unsure goes with null."""

    sample_id: SampleId
    label: Name | None = None
    unsure: bool = False
    comment: Annotated[str, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def one_of_both(self) -> SetWord:
        if self.unsure and self.label is not None:
            raise ValueError("say a label or unsure, not both")
        return self


class Words(Body):
    """Said of crops; each is on disk before the answer comes. An undo says again what was there `before`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"words": [{"sample_id": "SAMPLE", "label": "lying"}], "author": "ann"}]},
    )
    words: Annotated[list[SetWord], Field(min_length=1, max_length=5000)]
    author: Author = ""


class ManyWords(Body):
    """Said of many crops at once. of: the individual that `sample_id` shows, wherever it was seen or from start_s to
    end_s; or everything in view from start_s to end_s, in the video of `sample_id`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"of": "individual", "sample_id": "SAMPLE", "label": "lame", "author": "ann"},
                {"of": "everything", "sample_id": "SAMPLE", "start_s": 0, "end_s": 9.5, "label": "feeding"},
            ]
        },
    )
    of: Literal["individual", "everything"]
    sample_id: SampleId
    label: Name | None = None
    unsure: bool = False
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    author: Author = ""

    @model_validator(mode="after")
    def whole(self) -> ManyWords:
        if (self.start_s is None) != (self.end_s is None):
            raise ValueError("start_s and end_s go together")
        if self.start_s is not None and self.end_s is not None and self.start_s >= self.end_s:
            raise ValueError("start_s must be before end_s")
        if self.of == "everything" and self.start_s is None:
            raise ValueError("everything in view needs start_s and end_s")
        if self.unsure and self.label is not None:
            raise ValueError("say a label or unsure, not both")
        return self


class WordOf(BaseModel):
    """What counts of a crop."""

    sample_id: str
    label: str | None
    unsure: bool
    comment: str


class Changed(BaseModel):
    """What has changed by it: each crop as it is now, and what was said of it before, which undoes it."""

    now: list[WordOf]
    before: list[WordOf]
    labelled: int
    unsure: int


class OneClass(Body):
    """A class and its key."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    key: Annotated[str, Field(min_length=1, max_length=1)] | None = None


class Classes(Body):
    """The classes in their order."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"classes": [{"name": "lying", "key": "1"}, {"name": "standing", "key": "2"}]}]
        },
    )
    classes: Annotated[list[OneClass], Field(max_length=MOST)]

    @field_validator("classes")
    @classmethod
    def usable(cls, given: list[OneClass]) -> list[OneClass]:
        checked([LabelClass(each.name, each.key) for each in given])
        return given


class ClassCounts(BaseModel):
    """The classes in their order, how many crops have each, and the keys that classes can have."""

    classes: list[OneClass]
    counts: dict[str, int]
    keys: str
