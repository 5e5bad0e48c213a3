"""COCO instances and YouTube-VIS: the masks of the samples as run-length codes of whole pictures.

COCO has an image per sampled source frame and an annotation per object in it. YouTube-VIS has a video per clip and an
annotation per object with one mask per frame. Pictures are named `<video without extension>/<frame, 7 digits>.jpg` and
not written: the masks fit the source frames, whose numbers are given. Categories are the classes, from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import orjson
from pycocotools import mask as rle

from pipeline.errors import DatasetError
from pipeline.exports.export import dataset_export
from pipeline.exports.masks import full_rle, with_masks
from pipeline.exports.rows import classes_of

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.layout import Layout

Item = dict[str, Any]
Pictures = Callable[["pa.Table"], dict[str, Item]]
Annotations = Callable[["pa.Table", "Layout", dict[str, int], dict[str, int]], Iterator[Item]]


@dataset_export("coco")
@dataclass
class Coco:
    """COCO instance masks: `<split>.json`, an image per sampled source frame."""

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write one file per split, and check its last mask. Raises DatasetError when the tracks are gone."""
        _export(samples, layout, target, "images", _images, _instances)


@dataset_export("ytvis")
@dataclass
class YouTubeVis:
    """YouTube-VIS: `<split>.json`, a video per clip, one mask per frame and object."""

    def write(self, samples: pa.Table, layout: Layout, target: Path, link: str) -> None:
        """Write one file per split, and check its last mask. Raises DatasetError when the tracks are gone."""
        _export(samples, layout, target, "videos", _clips, _tracks)


def _export(
    samples: pa.Table, layout: Layout, target: Path, kind: str, pictures: Pictures, annotations: Annotations
) -> None:
    """kind: what the format calls its pictures, "images" or "videos"."""
    import pyarrow.compute as pc

    target.mkdir(parents=True, exist_ok=True)
    categories = {name: number + 1 for name, number in classes_of(samples["class"].to_pylist()).items()}
    for split in sorted(set(samples["split"].to_pylist())):
        rows = samples.filter(pc.equal(samples["split"], split))
        shown = pictures(rows)
        items = annotations(rows, layout, {name: picture["id"] for name, picture in shown.items()}, categories)
        _write(target / f"{split}.json", categories, kind, shown.values(), items)


def _picture(video: str, index: int) -> str:
    return f"{PurePosixPath(video).with_suffix('')}/{index:07d}.jpg"


def _images(rows: pa.Table) -> dict[str, Item]:
    """One image per source frame that a clip shows, by file name."""
    columns = ["video", "frame_indices", "timestamps_s", "source_width", "source_height"]
    found: dict[str, Item] = {}
    for row in rows.select(columns).to_pylist():
        for index, time in zip(row["frame_indices"], row["timestamps_s"], strict=True):
            name = _picture(row["video"], index)
            size = {"width": row["source_width"], "height": row["source_height"]}
            source = {"source_video": row["video"], "frame_index": index, "time_s": time}
            found.setdefault(name, {"id": len(found) + 1, "file_name": name} | size | source)
    return found


def _clips(rows: pa.Table) -> dict[str, Item]:
    """One video per clip, by clip id."""
    columns = ["clip_id", "video", "frame_indices", "source_width", "source_height", "num_frames"]
    found: dict[str, Item] = {}
    for row in rows.select(columns).to_pylist():
        names = [_picture(row["video"], index) for index in row["frame_indices"]]
        size = {"width": row["source_width"], "height": row["source_height"], "length": row["num_frames"]}
        source = {"file_names": names, "source_video": row["video"], "clip_id": row["clip_id"]}
        found.setdefault(row["clip_id"], {"id": len(found) + 1} | size | source)
    return found


def _instances(rows: pa.Table, layout: Layout, ids: dict[str, int], categories: dict[str, int]) -> Iterator[Item]:
    number = 0
    for row, masks in with_masks(rows, layout):
        for index, mask in zip(row["frame_indices"], masks, strict=True):
            if mask is not None:
                number += 1
                yield {
                    "id": number,
                    "image_id": ids[_picture(row["video"], index)],
                    "category_id": categories[row["class"]],
                    "segmentation": full_rle(mask, row["source_width"], row["source_height"]),
                    "bbox": _bbox(mask.box),
                    "area": mask.area,
                    "iscrowd": 0,
                    "sample_id": row["sample_id"],
                }


def _tracks(rows: pa.Table, layout: Layout, ids: dict[str, int], categories: dict[str, int]) -> Iterator[Item]:
    for number, (row, masks) in enumerate(with_masks(rows, layout), start=1):
        width, height = row["source_width"], row["source_height"]
        yield {
            "id": number,
            "video_id": ids[row["clip_id"]],
            "category_id": categories[row["class"]],
            "segmentations": [None if m is None else full_rle(m, width, height) for m in masks],
            "bboxes": [None if m is None else _bbox(m.box) for m in masks],
            "areas": [None if m is None else m.area for m in masks],
            "width": width,
            "height": height,
            "iscrowd": 0,
            "sample_id": row["sample_id"],
        }


def _bbox(box: tuple[int, int, int, int]) -> list[int]:
    """x, y, width, height."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _write(path: Path, categories: dict[str, int], kind: str, pictures: Iterable[Item], items: Iterable[Item]) -> None:
    """Write the file piece by piece, so that it never lies in memory, and see that its last mask can be decoded."""
    listed = [{"id": number, "name": name, "supercategory": "object"} for name, number in categories.items()]
    last: Item | None = None
    with path.open("wb") as file:
        file.write(b'{"categories":' + orjson.dumps(listed) + b',"' + kind.encode() + b'":[')
        for n, picture in enumerate(pictures):
            file.write(b",\n" * bool(n) + orjson.dumps(picture))
        file.write(b'],"annotations":[')
        for n, item in enumerate(items):
            file.write(b",\n" * bool(n) + orjson.dumps(item))
            last = item
        file.write(b"]}\n")
    if last is not None:
        masks = last["segmentations"] if "segmentations" in last else [last["segmentation"]]
        areas = last["areas"] if "areas" in last else [last["area"]]
        if any(m is not None and int(rle.area(m)) != area for m, area in zip(masks, areas, strict=True)):
            raise DatasetError(f"{path}: the mask of annotation {last['id']} does not have its area")
