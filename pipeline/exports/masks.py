"""The masks of samples, from the stored tracks, for the formats that carry them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from pipeline.errors import DatasetError
from pipeline.exports.rows import each
from sam.types import Mask

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout
    from pipeline.track_store import WindowTracks


def with_masks(samples: pa.Table, layout: Layout) -> Iterator[tuple[dict[str, Any], list[Mask | None]]]:
    """Every sample with its N masks, None where it is not visible, in the table's order.

    Raises DatasetError when the tracks are gone.
    """
    from pipeline.track_store import TrackStore

    store = TrackStore(layout)

    @lru_cache(maxsize=8)
    def stored(key: str) -> dict[str, WindowTracks]:
        try:
            return store.read(key)
        except FileNotFoundError:
            raise DatasetError(
                f"the masks are not in {layout.tracks} (no tracks {key}): this export needs them, so build with "
                "tracks.keep=true and the same tracks.path"
            ) from None

    for row in each(samples):
        window = stored(row["track_key"])[row["window_id"]]
        (track,) = [t for t in window.tracks if t.object_id == row["object_id"]]
        masks = dict(zip(window.indices[track.frames].tolist(), track.masks, strict=True))
        yield row, [masks.get(index) for index in row["frame_indices"]]


def full_rle(mask: Mask, width: int, height: int) -> dict[str, Any]:
    """COCO's compressed RLE of the whole picture, as JSON holds it. Only the columns of the box are looked at."""
    x0, y0, x1, y1 = mask.box
    strip = np.zeros((x1 - x0, height), np.uint8)  # transposed: COCO counts down the columns
    strip[:, y0:y1] = mask.decode().T
    counts = _runs(strip.ravel(), before=x0 * height, after=(width - x1) * height)
    packed = coco.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode()}


def _runs(flat: NDArray[np.uint8], before: int, after: int) -> list[int]:
    """Lengths of the runs of 0, 1, 0, ... of `before` zeros, `flat`, and `after` zeros."""
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=0)) + before
    total = before + len(flat) + after
    return [int(length) for length in np.diff(edges, prepend=0, append=total)]
