"""The export protocol and registry. An export is one file here: a decorated dataclass whose fields are its options.

    @dataset_export("videofolder")
    @dataclass
    class VideoFolder:
        \"\"\"Hugging Face VideoFolder: <split>/metadata.jsonl beside the videos.\"\"\"

        def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None: ...

An export is one pass over the committed samples. It never decodes, tracks or crops. One that hands crops to people who
label them says `everything: ClassVar[bool] = True` and gets those without a label too; one that is made to be passed on
says `released: ClassVar[bool] = True` and is made again when `release.json` changes; one that needs the files of the
crops says `reads_crops: ClassVar[bool] = True`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import ConfigError, DatasetError
from pipeline.registry import Registry

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

LINKS = ("hard", "copy", "symlink")
CLASSES = ("auto", "prompt", "label")


class Export(Protocol):
    """Writes one format."""

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write the samples into the empty folder `target`, and check what was written; raises DatasetError when the
        check fails.

        samples: schema `pipeline.index.SAMPLES`, paths relative to `layout.root`, and the column `class`, which is the
        label, or null, for an export of everything. link: one of LINKS.
        """
        ...


_registry = Registry("pipeline.exports", "export")
dataset_export = _registry.register
exports = _registry.entries


def place(source: Path, target: Path, link: str) -> None:
    """Make `source` appear at `target`: a hard link (copied where the file system has none), a copy, or a symlink.

    Raises DatasetError when there is no such crop.
    """
    if not source.is_file():
        raise DatasetError(f"{source} is listed in samples.parquet but missing: run the build again to restore it")
    target.parent.mkdir(parents=True, exist_ok=True)
    if link == "symlink":
        target.symlink_to(os.path.relpath(source, target.parent))
    elif link == "copy":
        shutil.copyfile(source, target)
    elif link == "hard":
        try:
            os.link(source, target)
        except OSError:  # another disk, or a file system without hard links
            shutil.copyfile(source, target)
    else:
        raise ConfigError(f"export.link must be one of {', '.join(LINKS)}, got {link!r}")
