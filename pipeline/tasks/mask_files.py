"""Tracked masks on disk: COCO JSON that `tracker=file` reads back.

It is written frame by frame: nothing but the frames' times is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

import orjson

from pipeline.exports.masks import full_rle
from sam.types import FrameMasks, Mask
from video.types import Frame, Video


class MaskFiles:
    """Writes `masks.json` into a folder. about: what else it says, under "info"."""

    def __init__(self, folder: Path, video: Video, about: Mapping[str, Any]) -> None:
        self._folder = folder
        self._video = video
        self._about = about
        self._file: IO[bytes] | None = None
        self._frames: list[tuple[int, float]] = []
        self._rows = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = (self._folder / "masks.json").open("wb")
        name = Path(self._video.name).with_suffix("").as_posix()
        head = {
            "info": self._about,
            "videos": [{"id": 1, "name": name, "width": self._video.width, "height": self._video.height}],
            "categories": [{"id": 1, "name": "object"}],
        }
        self._file.write(orjson.dumps(head)[:-1] + b',"annotations":[')
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._file is not None
        size = {"width": self._video.width, "height": self._video.height, "video_id": 1}
        self._file.write(b'],"images":[')
        for n, (index, time_s) in enumerate(self._frames):
            image = {"id": index, "file_name": f"{index:06}.jpg", "frame_index": index, "time_s": time_s, **size}
            self._file.write((b"," if n else b"") + orjson.dumps(image))
        self._file.write(b"]}\n")
        self._file.close()

    def write(self, frame: Frame, seen: FrameMasks) -> None:
        """Write the objects of one source frame."""
        assert self._file is not None
        self._frames.append((frame.index, round(frame.time_s, 6)))
        for object_id, mask, score in zip(seen.object_ids, seen.masks, seen.scores, strict=True):
            self._rows += 1
            row = self._row(frame.index, object_id, mask, score)
            self._file.write((b"," if self._rows > 1 else b"") + orjson.dumps(row))

    def _row(self, index: int, object_id: int, mask: Mask, score: float) -> dict[str, Any]:
        x0, y0, x1, y1 = mask.box
        return {
            "id": self._rows,
            "image_id": index,
            "category_id": 1,
            "track_id": object_id,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": mask.area,
            "score": score,
            "iscrowd": 0,
            "segmentation": full_rle(mask, self._video.width, self._video.height),
        }
