"""Masks that a person accepted: how one object looks in frames that follow one another, kept beside the corrections.

    corrections/barn/cam1.mp4.json                        names it: {"do": "redraw", ..., "masks": "5f0c..."}
    corrections/barn/cam1.mp4.masks/5f0c....parquet       holds it: frame, box, counts

The name is a digest of the content, so a file is written once, never changed, and what was damaged is noticed. Boxes
and counts are those of the stored tracks: source pixels, half-open, and COCO's compressed run-length code of the box.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pipeline.errors import ConfigError
from pipeline.tables import read_table, write_table
from sam.rle import check_cover, runs
from sam.types import Mask
from video.types import digest

if TYPE_CHECKING:
    import pyarrow as pa

NAME = re.compile(r"[0-9a-f]{32}")
HELD = 512  # drawings in memory


@dataclass(frozen=True, slots=True)
class Drawing:
    """One object in some frames of a window.

    width, height: of the source, in pixels. frames: source frames, ascending, every one that is tracked between the
    first and the last. masks: one for each, None where the object is not seen. Raises ValueError for what no video
    could make right.
    """

    width: int
    height: int
    frames: tuple[int, ...]
    masks: tuple[Mask | None, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not len(self.frames) == len(self.masks) > 0:
            raise ValueError(
                f"a drawing has a mask, or None, for each frame, got {len(self.masks)} for {len(self.frames)}"
            )
        if list(self.frames) != sorted(set(self.frames)) or self.frames[0] < 0:
            raise ValueError("the frames of a drawing are whole numbers from 0, ascending, each once")
        if not any(self.masks):
            raise ValueError("the object is seen in none of its frames: remove it, or split it and remove the part")
        for frame, mask in zip(self.frames, self.masks, strict=True):
            if mask is not None:
                try:
                    self._check(mask)
                except ValueError as error:
                    raise ValueError(f"the mask of frame {frame} is wrong: {error}") from error

    def _check(self, mask: Mask) -> None:
        x0, y0, x1, y1 = mask.box
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise ValueError(f"its box {list(mask.box)} is not inside the frame of {self.width}x{self.height} pixels")
        check_cover(runs(mask.counts), x1 - x0, y1 - y0)
        if Mask.encode(mask.decode(), (x0, y0)) != mask:
            raise ValueError(f"its code is not that of pixels which fill the box {list(mask.box)} to its edges")

    @property
    def name(self) -> str:
        """What it is called: a digest of all of it."""
        rows = [None if mask is None else (mask.box, mask.counts) for mask in self.masks]
        return digest("drawing", self.width, self.height, self.frames, rows, length=32)

    def save(self, folder: Path) -> None:
        """Write it under its name, atomically, unless it is there."""
        path = _path(folder, self.name)
        if path.is_file():
            return
        import pyarrow as pa

        rows = [
            {"frame": frame, "box": None if mask is None else mask.box, "counts": None if mask is None else mask.counts}
            for frame, mask in zip(self.frames, self.masks, strict=True)
        ]
        head = orjson.dumps({"width": self.width, "height": self.height})
        write_table(path, pa.Table.from_pylist(rows, schema=_rows().with_metadata({b"drawing": head})))


def folder_of(corrections: Path) -> Path:
    """Where the drawings of a corrections file lie."""
    return corrections.with_suffix(".masks")


@lru_cache(HELD)
def read_drawing(folder: Path, name: str) -> Drawing:
    """The drawing with this name. Raises ConfigError, without naming the entry, for none or a damaged one."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"masks must be the name of a file in {folder.name}/, 32 hexadecimal digits, got {name!r}")
    path = _path(folder, name)
    if not path.is_file():
        raise ConfigError(f"its masks are missing: {path} does not exist. Copy {folder.name}/ too, or remove the entry")
    try:
        found = _read(path)
        if found.name != name:
            raise ValueError("its content is not what its name says")
    except (OSError, ValueError, LookupError, TypeError) as error:  # pyarrow's errors are such errors
        raise ConfigError(f"{path} is damaged: {error}. Copy it anew, or remove the entry") from error
    return found


def keep_only(folder: Path, names: Collection[str]) -> None:
    """Delete the drawings that no entry names any more."""
    if folder.is_dir():
        for path in folder.glob("*.parquet"):
            if NAME.fullmatch(path.stem) and path.stem not in names:
                path.unlink(missing_ok=True)


def _read(path: Path) -> Drawing:
    table = read_table(path)
    head = orjson.loads((table.schema.metadata or {})[b"drawing"])
    frames, boxes, counts = (table[name].to_pylist() for name in ("frame", "box", "counts"))
    masks = (
        None if box is None else Mask((box[0], box[1], box[2], box[3]), code)
        for box, code in zip(boxes, counts, strict=True)
    )
    return Drawing(head["width"], head["height"], tuple(frames), tuple(masks))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _rows() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("frame", pa.int64(), nullable=False),
            pa.field("box", pa.list_(pa.int32(), 4)),
            pa.field("counts", pa.binary()),
        ]
    )
