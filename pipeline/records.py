"""What a worker leaves behind: flat rows about clips and objects, never pixels or masks.

A `Sample` is one object in one clip, whether its crop was written or not: the filters decide that from its figures,
so another threshold needs no tracking. Split, individual and label are not here: the index joins them.
Everything here turns into JSON and back without loss, and equal work gives equal JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

FORMAT = 4


@dataclass(frozen=True, slots=True)
class Figures:
    """Measured on the tracked masks of one object in one clip, before any filter; boxes in source pixels.

    visible_share: share of the clip's frames in which the object has pixels, 0..1.
    side: median over visible frames of the box's longer side, pixels.
    area: median over visible frames of the mask's pixels.
    truncated: share of visible frames in which the box touches the border of the picture, 0..1.
    scale_outliers: visible frames whose box is more than 1.8 x the median side (a mask that swallowed a neighbour).
    corrupt_frames: frames of the clip that the decoder flagged as damaged.
    jitter: how far box centres jump to and fro, in sides of the object.
    scale_drift: change of the side from the first to the last third of the clip, octaves.
    mask_iou: IoU of the masks of consecutive frames, median.
    foreign: mean share of the crop window that other tracked objects cover, 0..1.
    The formulas are in `pipeline.stages.quality`.
    """

    visible_share: float
    side: float
    area: float
    truncated: float
    scale_outliers: int
    corrupt_frames: int
    jitter: float
    scale_drift: float
    mask_iou: float
    foreign: float


@dataclass(frozen=True, slots=True)
class PixelFigures:
    """Measured when the crop is rendered, so only on objects that no filter of the masks refused.

    sharpness: standard deviation of the Laplacian of the object's luma, 8-bit levels. luma: its mean luma, 0..1.
    clipped: share of its pixels that are almost black or white, 0..1. motion: mean change from frame to frame of the
    crop, 0..1.
    """

    sharpness: float
    luma: float
    clipped: float
    motion: float


MASK_FIGURES = tuple(f.name for f in fields(Figures))
PIXEL_FIGURES = tuple(f.name for f in fields(PixelFigures))
FIGURES = MASK_FIGURES + PIXEL_FIGURES


@dataclass(frozen=True, slots=True)
class CropFile:
    """One written crop video. path: relative to the dataset root, with forward slashes. size: bytes."""

    background: str
    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One object in one clip of N frames.

    boxes: N boxes (x0, y0, x1, y1), half-open source pixels as displayed, None where the object is not visible.
    crop_windows: N square windows in the same coordinates, which may reach beyond the picture.
    fps: playback rate of the crop, (N-1) / (last time - first time). files: empty when a filter refused the object.
    """

    sample_id: str
    video: str
    video_fingerprint: str
    recorded_at: str | None
    clip_id: str
    window_id: str
    track_key: str
    tracker: str
    object_id: int
    prompt: str
    first_score: float
    start_frame: int
    stride: int | None
    num_frames: int
    fps: float
    frame_indices: tuple[int, ...]
    timestamps_s: tuple[float, ...]
    boxes: tuple[tuple[int, int, int, int] | None, ...]
    crop_windows: tuple[tuple[int, int, int, int], ...]
    source_width: int
    source_height: int
    degraded: bool
    duplicate_of: int | None  # object id of the same thing found by an earlier prompt
    figures: Figures
    pixels: PixelFigures | None  # None: its crop was never rendered
    colours: str | None  # `pipeline.stages.colours`; None as above
    phash: str | None  # `pipeline.near_duplicates`; None as above
    files: tuple[CropFile, ...]
    corrected: bool = False  # a person's corrections changed or named it

    @property
    def visible(self) -> tuple[bool, ...]:
        return tuple(box is not None for box in self.boxes)

    def figure(self, name: str) -> float | None:
        """One of `FIGURES` by name; None where it was not measured."""
        of = self.figures if name in MASK_FIGURES else self.pixels
        return None if of is None else float(getattr(of, name))


OF_SAMPLE = frozenset(f.name for f in fields(Sample))


@dataclass(frozen=True, slots=True)
class Rejection:
    """Something that was found and not kept, and why. Fields that do not apply are None."""

    video: str
    clip_id: str | None
    sample_id: str | None
    object_id: int | None
    prompt: str | None
    reason: str
    value: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that could not be done, and why. stage: probe, decode, track, crop. clip_id: None for a whole video."""

    video: str
    clip_id: str | None
    stage: str
    error: str


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """All that leaves a worker for one chunk; written last, so its presence means the chunk is done."""

    id: str
    chunk_id: str
    video: str
    clips: tuple[str, ...]
    samples: tuple[Sample, ...]
    short: tuple[Rejection, ...]  # clips with fewer frames than asked for
    failures: tuple[Failure, ...]

    @property
    def incomplete(self) -> bool:
        """Whether trying again could bring more: something failed, or was tracked with fewer objects than there are."""
        return bool(self.failures) or any(sample.degraded for sample in self.samples)

    def to_json(self) -> bytes:
        return orjson.dumps({"format": FORMAT} | asdict(self), option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, data: bytes) -> ChunkRecord:
        """Raises ValueError when the data is not a record of this format."""
        raw = orjson.loads(data)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            found = raw.get("format") if isinstance(raw, dict) else None
            raise ValueError(f"not a record of format {FORMAT}: {found = }")
        return cls(
            id=raw["id"],
            chunk_id=raw["chunk_id"],
            video=raw["video"],
            clips=tuple(raw["clips"]),
            samples=tuple(_sample(s) for s in raw["samples"]),
            short=tuple(Rejection(**r) for r in raw["short"]),
            failures=tuple(Failure(**f) for f in raw["failures"]),
        )


def _sample(raw: dict[str, Any]) -> Sample:
    values = {name: value for name, value in raw.items() if name in OF_SAMPLE}
    values["frame_indices"] = tuple(raw["frame_indices"])
    values["timestamps_s"] = tuple(raw["timestamps_s"])
    values["boxes"] = tuple(None if b is None else tuple(b) for b in raw["boxes"])
    values["crop_windows"] = tuple(tuple(w) for w in raw["crop_windows"])
    values["figures"] = Figures(**raw["figures"])
    values["pixels"] = PixelFigures(**raw["pixels"]) if raw["pixels"] else None
    values["files"] = tuple(CropFile(**f) for f in raw["files"])
    return Sample(**values)
