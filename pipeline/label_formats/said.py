"""What a file of labels says, in one form for every format, and which format a file has.

A format is one file here with `understands` and `read`. It knows files alone: whether a crop, an individual or a video
of that name exists, and whether two lines contradict one another, is the business of `pipeline.label_import`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.span_table import Line, lines_of

HEAD = 4096


@dataclass(frozen=True, slots=True)
class Run:
    """One object with one label over a stretch of source frames.

    number: of its track in the file. video: as the file names it. frames: (n,) ascending source frames. boxes: (n, 4)
    xyxy half-open source pixels.
    """

    number: int
    video: str
    label: str
    author: str
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Said:
    """unit: what the numbers count, such as "line". lines: numbered values by the names of `span_table.NAMES`; without
    a label nothing is said of it. runs: of a format that draws boxes."""

    unit: str
    lines: tuple[Line, ...] = ()
    runs: tuple[Run, ...] = ()


def read(path: Path) -> Said:
    """What a file says, in whichever format it has. Raises ConfigError when it is in none, or damaged."""
    from pipeline.label_formats import cvat, fiftyone, labelstudio

    formats: tuple[ModuleType, ...] = (cvat, labelstudio, fiftyone)
    try:
        if path.is_dir():
            raise ConfigError(f"labels={path} is a folder: name the file in it that holds the labels")
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise ConfigError(f"labels={path} cannot be read ({error.strerror or error})") from error
    for each in formats:
        if each.understands(path, head):
            found = each.read(path)
            assert isinstance(found, Said)
            return found
    if path.suffix.lower() in (".json", ".xml", ".zip"):
        raise ConfigError(
            f"labels={path} is in no format that is known: CVAT for video 1.1 (.xml, unpacked), Label Studio's JSON or "
            "JSON-MIN, FiftyOne's samples.json, or a table (.csv, BORIS)"
        )
    return Said("line", tuple(lines_of(path, "labels")))
