"""Small pictures of refused objects, for the report: a few per reason and chunk, written while the frames are at hand.

A thumbnail shows the object in its surroundings in its middle visible frame. What is refused without its frames being
decoded (another threshold on stored tracks) gets its thumbnail from the crop that was made of it before, if there was
one. Thumbnails are no part of the dataset: they are bounded, and go when their object is kept after all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DatasetError
from pipeline.extractor import Placement, render
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.records import Sample
from pipeline.report.contact import encoded, fit, most_telling, spread_frames
from pipeline.writing import write_bytes

SIDE = 96  # pixels
PER_REASON = 4  # of a chunk


def middle(placement: Placement) -> int:
    """The middle one of the frames that show the object."""
    seen = np.flatnonzero(placement.visible)
    return int(seen[len(seen) // 2])


def write(layout: Layout, sample_id: str, placement: Placement, frames: Sequence[NDArray[np.uint8]]) -> None:
    """frames: the clip's N frames, (H, W, 3) uint8 RGB. Raises DiskError."""
    n = middle(placement)
    picture = render(frames[n], placement.windows[n], placement.masks[n], "context", SIDE)
    write_bytes(layout.thumbnail(sample_id), encoded(picture, ".jpg"))


class Allowance:
    """How many thumbnails a chunk may still get, by reason; objects are asked for in the order of the record."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def takes(self, reason: str) -> bool:
        self._used[reason] += 1
        return self._used[reason] <= PER_REASON


def prune(layout: Layout, samples: Iterable[Sample], judge: Judge) -> None:
    """Remove what is beyond the allowance of a chunk: objects that their pixels refused were done all at once."""
    allowed = Allowance()
    for sample in samples:
        refusal = judge.refusal(sample)
        if refusal is None or not allowed.takes(refusal.reason):
            layout.remove(layout.thumbnail(sample.sample_id))


def from_crops(layout: Layout, crops: Iterable[tuple[str, str, str]]) -> None:
    """Thumbnails of refused objects whose crops are about to be removed: (sample id, reason, path of the crop). At most
    as many per reason as a chunk has. A crop that cannot be read gives none."""
    allowed = Allowance()
    for sample_id, reason, path in crops:
        if not layout.thumbnail(sample_id).is_file() and allowed.takes(reason):
            try:
                pictures = spread_frames(layout.here(layout.root / path), 3)
            except DatasetError:
                continue
            write_bytes(layout.thumbnail(sample_id), encoded(fit(most_telling(pictures), SIDE), ".jpg"))


def remove_superseded(layout: Layout, refused: set[str]) -> None:
    """Remove the thumbnails of all but these samples."""
    for sample_id, path in there(layout).items():
        if sample_id not in refused:
            layout.remove(path)


def there(layout: Layout) -> dict[str, Path]:
    """Every thumbnail by sample id."""
    return {path.stem: path for path in sorted(layout.thumbnails.glob("??/*.jpg"))}
