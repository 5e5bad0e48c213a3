"""The best pictures of every individual, of one size: for galleries, for re-identification, to see who is who.

`<split>/<individual>/<sample id>-<frame>.png` is what image loaders and re-identification toolboxes take: a folder per
identity. `stills.csv` says of each picture where it comes from and how good it is. Crops are decoded for it, and not
changed: a still is a frame of the main crop.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DatasetError
from pipeline.exports.export import dataset_export
from pipeline.exports.rows import each

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

U8 = NDArray[np.uint8]
FORMATS = ("png", "jpeg")
COLUMNS = (
    "path", "split", "individual_id", "sample_id", "frame", "source_frame", "time_s", "video", "class", "score",
    "shown", "size", "sharpness",
)  # fmt: skip
NEEDED = [
    "sample_id", "path", "split", "individual_id", "class", "video", "frame_indices", "timestamps_s", "boxes",
    "source_width", "source_height", "visible_share", "foreign", "side", "sharpness",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Still:
    """One frame of one crop. shown, size, sharpness: 0 to 1 against the best of the same individual; score: their
    product."""

    row: dict[str, Any]
    frame: int
    shown: float
    size: float
    sharpness: float

    @property
    def score(self) -> float:
        return self.shown * self.size * self.sharpness


@dataset_export("stills")
@dataclass
class Stills:
    """The best pictures per individual, one size: `<split>/<individual>/*.png`, for galleries and re-identification.

    per_individual: so many, each of another crop. size: side in pixels; null: that of the crops. format: png, jpeg.
    """

    per_individual: int = 1
    size: int | None = None
    format: str = "png"

    def __post_init__(self) -> None:
        if self.per_individual < 1:
            raise ValueError(f"export.stills.per_individual must be at least 1, got {self.per_individual}")
        if self.size is not None and not 8 <= self.size <= 4096:
            raise ValueError(f"export.stills.size must be null or from 8 to 4096 pixels, got {self.size}")
        if self.format not in FORMATS:
            raise ValueError(f"export.stills.format must be one of {', '.join(FORMATS)}, got {self.format!r}")

    reads_crops: ClassVar[bool] = True

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write the pictures and stills.csv. An individual has stills in every split where it has crops.

        Crops are looked at in the order of what their records say of them, and no more than needed: three for each
        wanted still. Raises DatasetError when a crop is missing, or when nobody was told apart (link.enabled=false).
        """
        target.mkdir(parents=True, exist_ok=True)
        rows = [row for row in each(samples.select(NEEDED)) if row["individual_id"] is not None]
        if not rows and len(samples):
            raise DatasetError(
                "no crop has an individual_id, so exports=[stills] has nobody: build with link.enabled=true"
            )
        rows.sort(key=lambda row: (row["split"], row["individual_id"], row["sample_id"]))
        suffix = "jpg" if self.format == "jpeg" else "png"
        with (target / "stills.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            for (split, who), group in groupby(rows, key=lambda row: (row["split"], row["individual_id"])):
                for still, picture in self._best(list(group), layout.root):
                    name = f"{split}/{who}/{still.row['sample_id']}-{still.frame:02d}.{suffix}"
                    (target / name).parent.mkdir(parents=True, exist_ok=True)
                    _save(target / name, picture, self.size)
                    table.writerow(_line(still, name))

    def _best(self, rows: list[dict[str, Any]], root: Path) -> Iterator[tuple[Still, U8]]:
        from pipeline.loader import decode

        rows = sorted(rows, key=_promise, reverse=True)[: 3 * self.per_individual]
        sizes = [_sides(row) for row in rows]
        largest = max((max(each, default=0.0) for each in sizes), default=1.0)
        found: list[tuple[float, Still, U8]] = []
        for row, sides in zip(rows, sizes, strict=True):
            frames = decode(root / row["path"])
            sharp = [_sharpness(picture) for picture in frames]
            stills = [
                (sharp[n], Still(row, n, _shown(row, n), sides[n] / largest, 1.0))
                for n, box in enumerate(row["boxes"])
                if box is not None and n < len(frames)
            ]
            # sharpness comes last: it is measured against the sharpest frame of all, which is known only then
            best = max(stills, key=lambda s: s[0] * s[1].shown * s[1].size)
            found.append((best[0], best[1], frames[best[1].frame]))
        sharpest = max(value for value, _, _ in found) or 1.0
        ranked = sorted(
            ((Still(s.row, s.frame, s.shown, s.size, value / sharpest), p) for value, s, p in found),
            key=lambda pair: (-pair[0].score, pair[0].row["sample_id"]),
        )
        yield from ranked[: self.per_individual]


def _promise(row: dict[str, Any]) -> float:
    """How good the stills of a crop may be, from its quality card: seen, alone, large and sharp."""
    return float(row["visible_share"] * (1 - row["foreign"]) * row["side"] * row["sharpness"])


def _sides(row: dict[str, Any]) -> list[float]:
    """The longer side of each frame's box in source pixels; 0 where there is none."""
    return [0.0 if b is None else float(max(b[2] - b[0], b[3] - b[1])) for b in row["boxes"]]


def _shown(row: dict[str, Any], n: int) -> float:
    """How much of the object can be seen in a frame: half where its box touches the border of the picture, since nobody
    knows how much lies beyond; the area of the box against its median over the clip, up to 1, elsewhere."""
    boxes = np.array([b for b in row["boxes"] if b is not None], np.float64)
    area = float(np.median((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))
    x0, y0, x1, y1 = row["boxes"][n]
    cut = x0 <= 0 or y0 <= 0 or x1 >= row["source_width"] or y1 >= row["source_height"]
    return float(min(1.0, (x1 - x0) * (y1 - y0) / max(area, 1.0)) * (0.5 if cut else 1.0))


def _sharpness(picture: U8) -> float:
    """Standard deviation of the Laplacian of the grey picture (Pech-Pacheco et al. 2000), where it is not black."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    inside = cv2.erode((grey > 8).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # not the edge of the mask
    values = cv2.Laplacian(grey, cv2.CV_64F)[inside]
    return float(values.std()) if values.size else 0.0


def _save(path: Path, picture: U8, size: int | None) -> None:
    if size is not None and size != picture.shape[0]:
        how = cv2.INTER_AREA if size < picture.shape[0] else cv2.INTER_CUBIC
        picture = np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)
    ok, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not ok:
        raise DatasetError(f"{path} cannot be written as a picture: try export.stills.format=png")
    path.write_bytes(data.tobytes())


def _line(still: Still, name: str) -> dict[str, Any]:
    row, n = still.row, still.frame
    line = {key: row[key] for key in ("split", "individual_id", "sample_id", "video", "class")}
    line |= {"path": name, "frame": n, "source_frame": row["frame_indices"][n], "time_s": row["timestamps_s"][n]}
    return line | {key: f"{getattr(still, key):.4f}" for key in ("score", "shown", "size", "sharpness")}
