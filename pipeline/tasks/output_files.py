"""What `outputs.*` writes: mask pictures, overlay videos and alpha videos, frame by frame.

It gets frames with their masks and holds none. The caller says where each kind goes, and gives it its final name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.task_options import OutputsConfig
from pipeline.tasks.matte import even, styled, transparent, union
from pipeline.tasks.overlay import paint, paint_prompts
from sam.types import Mask, Prompt
from video.alpha import ALPHA, alpha_writer
from video.encoder import EncodeConfig, H264Writer, VideoWriter

KINDS = {"masks": "masks", "overlay": "overlay.mp4", "video": "video.mp4", "alpha": "alpha"}  # where each lies
FILES = ("overlay", "video")  # those that are one file
EXTENSIONS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
ENCODERS_BYTES = 2 * 2**30  # alpha encoders that are open at once take about so much
BYTES_PER_PIXEL = {"webm": 160, "prores": 24}  # of a picture, that one of them takes


@dataclass(frozen=True, slots=True)
class Item:
    """An object as its files name it. name: a file name of its own. label: what is drawn beside it."""

    object_id: int
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A source frame and what is seen in it. rgb: (H, W, 3) uint8. masks: of the objects that are visible."""

    index: int
    rgb: NDArray[np.uint8]
    masks: Mapping[Item, Mask]
    prompts: tuple[Prompt, ...] = ()

    def of(self, item: Item | None) -> list[tuple[int, Mask]]:
        """(object id, mask) of one object, if it is visible, or of all."""
        return [(each.object_id, mask) for each, mask in self.masks.items() if item in (None, each)]


class Sink(Protocol):
    """Takes frames one after another."""

    def write(self, shown: Shown) -> None: ...


Opening = Callable[[], AbstractContextManager[Sink]]


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """All files of one clip or video.

    places: where each kind that is wanted goes. items: all objects, in the order they are drawn.
    size: (width, height) of the frames.
    """

    places: Mapping[str, Path]
    items: Sequence[Item]
    options: OutputsConfig
    encode: EncodeConfig
    rate: Fraction | float
    size: tuple[int, int]

    def rounds(self) -> list[list[Opening]]:
        """What has to see the frames, in groups: each group sees all of them once, and fits into memory."""
        first: list[Opening] = []
        each: list[Item | None] = [*self.items] if self.options.apart else [None]
        if "masks" in self.places:
            first += [partial(MaskPictures, self._masks_of(item), item, self.options) for item in each]
        if "overlay" in self.places:
            first.append(partial(Overlay, self.places["overlay"], self))
        if "video" in self.places:
            first.append(partial(Styled, self.places["video"], self))
        if "alpha" not in self.places:
            return [first]
        assert self.options.alpha is not None
        width, height = self.size
        at_once = max(1, ENCODERS_BYTES // (BYTES_PER_PIXEL[self.options.alpha] * width * height))
        alpha: list[Opening] = [partial(Alpha, self._alpha_of(item), item, self) for item in each]
        later = range(at_once, len(alpha), at_once)
        return [first + alpha[:at_once], *(alpha[n : n + at_once] for n in later)]

    def _masks_of(self, item: Item | None) -> Path:
        place = self.places["masks"]
        return place if item is None else place / item.name

    def _alpha_of(self, item: Item | None) -> Path:
        assert self.options.alpha is not None
        name = "all" if item is None else item.name
        return self.places["alpha"] / f"{name}{ALPHA[self.options.alpha]}"


def write(group: Sequence[Opening], frames: Iterable[Shown], workers: int) -> list[int]:
    """Pass the frames through a group of sinks, which work side by side; returns the source frames that were seen."""
    seen = []
    with ExitStack() as stack:
        sinks = [stack.enter_context(opening()) for opening in group]
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="outputs"))
        for shown in frames:
            seen.append(shown.index)
            for _ in pool.map(lambda sink: sink.write(shown), sinks):  # noqa: B023 - they end before the next frame
                pass
    return seen


@dataclass
class MaskPictures:
    """A picture per frame, `<source frame>.<extension>`; of a frame without the object too. item: None for all."""

    folder: Path
    item: Item | None
    options: OutputsConfig
    _extension: str = field(init=False)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        assert self.options.masks is not None
        self._extension = EXTENSIONS[self.options.masks]
        return self

    def __exit__(self, *exc: object) -> None: ...

    def write(self, shown: Shown) -> None:
        picture = styled(self.options.style, shown.rgb, shown.of(self.item))
        if picture.ndim == 3:
            picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
        done, data = cv2.imencode(self._extension, picture, self._parameters())
        assert done, "encoding a picture in memory cannot fail"
        (self.folder / f"{shown.index:06}{self._extension}").write_bytes(data.tobytes())

    def _parameters(self) -> list[int]:
        quality = self.options.quality
        if self.options.masks == "png":
            return [cv2.IMWRITE_PNG_BILEVEL, 1] if self.options.style == "binary" else []
        if self.options.masks == "jpeg":
            return [cv2.IMWRITE_JPEG_QUALITY, quality]
        return [cv2.IMWRITE_WEBP_QUALITY, 101 if quality == 100 else quality]  # above 100 is OpenCV's word for lossless


class _Film:
    """A sink that writes a video."""

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)


class Overlay(_Film):
    """The frames with masks, boxes, labels and clicks drawn in; an odd side gets one more row or column."""

    def __init__(self, path: Path, files: OutputFiles) -> None:
        super().__init__(_h264(path, files))

    def write(self, shown: Shown) -> None:
        picture = paint(shown.rgb, shown.of(None), [item.label for item in shown.masks], boxes=True)
        paint_prompts(picture, shown.prompts)
        self._writer.write(even(picture))


class Styled(_Film):
    """The pictures of `outputs.style` as a video; an odd side gets one more row or column."""

    def __init__(self, path: Path, files: OutputFiles) -> None:
        super().__init__(_h264(path, files))
        self._style = files.options.style

    def write(self, shown: Shown) -> None:
        picture = styled(self._style, shown.rgb, shown.of(None))
        colours = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        self._writer.write(even(colours))


def _h264(path: Path, files: OutputFiles) -> VideoWriter:
    width, height = files.size
    return H264Writer(path, files.rate, files.encode, size=(width + width % 2, height + height % 2))


class Alpha(_Film):
    """The frames with everything but one object (None: all objects) transparent."""

    def __init__(self, path: Path, item: Item | None, files: OutputFiles) -> None:
        assert files.options.alpha is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(alpha_writer(files.options.alpha, path, files.rate, files.encode, size=files.size))
        self._item = item
        self._size = files.size

    def write(self, shown: Shown) -> None:
        self._writer.write(transparent(shown.rgb, union((mask for _, mask in shown.of(self._item)), *self._size)))
