"""A built dataset as training sees it: crops decoded to arrays, with class numbers.

    crops = CropDataset("/data/cows", "train", frames=16)
    frames, label = crops[0]  # (16, 224, 224, 3) uint8 RGB, int

`torch.utils.data.DataLoader` takes it as it is, since a map-style dataset is anything with a length and items; so this
needs no torch. Every crop is decoded from its first frame on: crops are short, and one keyframe holds them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from pipeline.derive import with_classes
from pipeline.errors import ConfigError, DatasetError
from pipeline.exports.export import CLASSES
from pipeline.exports.rows import classes_of
from pipeline.layout import Layout
from pipeline.settings import SPLITS
from pipeline.tables import read_table

U8 = NDArray[np.uint8]
COLUMNS = ["sample_id", "path", "split", "label", "prompt", "background", "variants", "num_frames"]


@dataclass(frozen=True, slots=True)
class Item:
    """One crop. path: of the wanted background. label: its class number."""

    sample_id: str
    path: Path
    label: int


class CropDataset:
    """The crops of one split.

    root: the dataset's folder. split: train, val or test; None for all. variant: a background of `crop.variants`; None
    for the main one. frames: so many, spread evenly over the clip; None for all. transform: what is done to the
    (T, S, S, 3) uint8 RGB frames before they are given out. classes: as `export.classes`. Class numbers count all
    classes of the dataset, in every split alike: `classes` maps names to them.

    Raises ConfigError for an option that this dataset does not have, DatasetError when there is none at `root`.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        *,
        variant: str | None = None,
        frames: int | None = None,
        transform: Callable[[U8], Any] | None = None,
        classes: str = "auto",
    ) -> None:
        if split is not None and split not in SPLITS:
            raise ConfigError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if classes not in CLASSES:
            raise ConfigError(f"classes must be one of {', '.join(CLASSES)}, got {classes!r}")
        if frames is not None and frames < 1:
            raise ConfigError(f"frames must be at least 1, got {frames}")
        folder = Path(root).expanduser()
        samples = Layout(folder, folder / "tracks").samples
        if not samples.is_file():
            raise DatasetError(f"{folder} has no samples.parquet: it is not the folder of a finished dataset")
        rows = with_classes(read_table(samples, COLUMNS), classes).to_pylist()
        self.classes = classes_of([row["class"] for row in rows])
        self.items = [
            Item(row["sample_id"], folder / _path(row, variant), self.classes[row["class"]])
            for row in rows
            if split is None or row["split"] == split
        ]
        self._frames = frames
        self._transform = transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """The frames, (T, S, S, 3) uint8 RGB or what the transform makes of them, and the class number."""
        item = self.items[index]
        frames = decode(item.path, self._frames)
        return (frames if self._transform is None else self._transform(frames)), item.label


def _path(row: dict[str, Any], variant: str | None) -> str:
    paths = {row["background"]: row["path"]} | {v["background"]: v["path"] for v in row["variants"]}
    if variant is None:
        return str(row["path"])
    if variant not in paths:
        raise ConfigError(
            f"variant must be one of {', '.join(paths)}, which sample {row['sample_id']} has, got {variant!r}"
        )
    return str(paths[variant])


def decode(path: Path, count: int | None = None) -> U8:
    """All frames of a crop, or `count` of them spread evenly (some twice if it has fewer), (T, S, S, 3) uint8 RGB.

    Raises DatasetError for a file that is missing or damaged.
    """
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1  # workers are processes, each with a core of its own
            pictures: Sequence[U8] = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (av.error.FFmpegError, IndexError) as error:
        raise DatasetError(f"{path} cannot be decoded ({error}): run the build again") from error
    if not pictures:
        raise DatasetError(f"{path} holds no frame: run the build again")
    if count is not None:
        pictures = [pictures[n] for n in np.linspace(0, len(pictures) - 1, count).round().astype(int)]
    return np.stack(pictures)
