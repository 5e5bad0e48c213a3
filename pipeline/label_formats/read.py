"""A file of labels, in whichever format it has: every format is one file here with `understands` and `read`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from pipeline.errors import ConfigError
from pipeline.label_formats import cvat, fiftyone, labelstudio
from pipeline.label_formats.said import Said
from pipeline.span_table import lines_of

FORMATS: tuple[ModuleType, ...] = (cvat, labelstudio, fiftyone)
HEAD = 4096


def read(path: Path) -> Said:
    """What a file says, in whichever format it has. Raises ConfigError when it is in none, or damaged."""
    try:
        if path.is_dir():
            raise ConfigError(f"labels={path} is a folder: name the file in it that holds the labels")
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise ConfigError(f"labels={path} cannot be read ({error.strerror or error})") from error
    for each in FORMATS:
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
