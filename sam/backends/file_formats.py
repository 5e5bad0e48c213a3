"""Readers of tracks that other programs wrote: MOT Challenge text, COCO and YouTube-VIS JSON, YOLO track text.

Each gives the same table: source frame index (from 0) -> the objects in it. Nothing is decoded before its frame is
asked for. A line or entry that makes no sense raises TrackingFailed with the file, the line and what would be right;
nothing is skipped silently.

- MOT (A. Milan et al., MOT16: A benchmark for multi-object tracking, 2016): `frame,id,x,y,w,h[,conf,...]` per line,
  frames from 1, boxes in pixels, which become rectangular masks.
- COCO (T.-Y. Lin et al. 2014) and YouTube-VIS (L. Yang et al. 2019): RLE, polygons, or boxes.
- YOLO, as ultralytics writes it with `save_txt` while tracking: one file `<video>_<frame>.txt` per frame, from 1, with
  lines `class cx cy w h [conf] id` or `class x1 y1 x2 y2 ... [conf] id`, in parts of the width and height.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson
from pycocotools import mask as coco

from sam.errors import TrackingFailed
from sam.rle import check_cover, runs
from sam.types import Mask

Draw = Callable[[int, int], Mask | None]  # source width and height -> the mask, None if it has no pixel inside
MOT_LINE = "frame,id,x,y,w,h[,conf,...] with frames counted from 1"
YOLO_LINE = "class cx cy w h [conf] id, or class x1 y1 x2 y2 x3 y3 ... [conf] id, in parts of the width and height"
TRACK_KEYS = ("track_id", "object_id", "instance_id", "tracking_id")


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in one frame; score is 0..1, 1 where the file has none."""

    object_id: int
    score: float
    draw: Draw


Table = dict[int, list[Entry]]


def read_mot(path: Path) -> Table:
    """The table of one MOT file."""
    table: Table = {}
    for number, line in enumerate(_lines(path), 1):
        fields = [field.strip() for field in re.split(r"[,;\s]\s*", line.strip().rstrip(","))]
        try:
            frame, object_id = _whole(fields[0]), _whole(fields[1])
            x, y, w, h = (_number(v) for v in fields[2:6])
            score = _number(fields[6]) if len(fields) > 6 else 1.0
            if frame < 1 or w < 0 or h < 0:
                raise ValueError
        except (ValueError, IndexError) as error:
            raise _malformed(path, number, line, MOT_LINE) from error
        entry = Entry(object_id, _unit(score), partial(_rectangle, (x, y, x + w, y + h)))
        table.setdefault(frame - 1, []).append(entry)
    return table


def read_yolo(files: Sequence[tuple[int, Path]]) -> Table:
    """The table of one video's files, given with their frame numbers from 1."""
    table: Table = {}
    for frame, path in files:
        for number, line in enumerate(_lines(path), 1):
            fields = line.split()
            try:
                if len(fields) < 6:
                    raise ValueError
                tail = 1 if len(fields) % 2 == 0 else 2
                shape = [_number(v) for v in fields[1:-tail]]
                score = _number(fields[-2]) if tail == 2 else 1.0
                object_id = _whole(fields[-1])
                if len(shape) < 4 or not -0.5 <= min(shape) <= max(shape) <= 1.5:
                    raise ValueError
            except ValueError as error:
                raise _malformed(path, number, line, YOLO_LINE) from error
            draw = partial(_part_box, shape) if len(shape) == 4 else partial(_part_polygon, shape)
            table.setdefault(frame - 1, []).append(Entry(object_id, _unit(score), draw))
    return table


def read_coco(path: Path, first_frame: int) -> dict[str, Table]:
    """Video name without suffix -> its table. Image names are numbered from `first_frame`.

    A video is named by `videos`, or by the image names: cam1/000012.jpg and cam1_000012.jpg are frame 12 of cam1, and
    plain 000012.jpg is frame 12 of the only video, whose name is then "".
    """
    try:
        data = orjson.loads(path.read_bytes())
        annotations = data["annotations"]
        videos = {video["id"]: _video_name(video) for video in data.get("videos", [])}
        if "images" not in data or (annotations and "segmentations" in annotations[0]):
            return _youtube_vis(path, data, videos, first_frame)
        return _coco(path, data, videos, first_frame)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TrackingFailed(
            f"{path} is neither COCO JSON with images and annotations nor YouTube-VIS JSON with videos and "
            f"annotations that hold segmentations: {type(error).__name__} {error}"
        ) from error


def _coco(path: Path, data: dict[str, Any], videos: dict[Any, str], first_frame: int) -> dict[str, Table]:
    images = {image["id"]: _image_frame(image, videos, first_frame) for image in data["images"]}
    tables: dict[str, Table] = {name: {} for name in [*videos.values(), *(name for name, _ in images.values())]}
    for n, annotation in enumerate(data["annotations"]):
        where = f"{path}: annotations[{n}]"
        if annotation.get("image_id") not in images:
            raise TrackingFailed(f"{where} has image_id {annotation.get('image_id')!r}, which no entry of images has")
        name, frame = images[annotation["image_id"]]
        shape = annotation.get("segmentation") or annotation.get("bbox")
        entry = Entry(_track_id(annotation, where), _score(annotation, where), partial(_shape, shape, where))
        tables[name].setdefault(frame, []).append(entry)
    return tables


def _youtube_vis(path: Path, data: dict[str, Any], videos: dict[Any, str], first_frame: int) -> dict[str, Table]:
    tables: dict[str, Table] = {name: {} for name in videos.values()}
    numbers = {video["id"]: _frame_numbers(video, first_frame) for video in data["videos"]}
    for n, annotation in enumerate(data["annotations"]):
        where = f"{path}: annotations[{n}]"
        if annotation.get("video_id") not in videos:
            raise TrackingFailed(f"{where} has video_id {annotation.get('video_id')!r}, which no entry of videos has")
        object_id = _track_id(annotation, where, fallback="id")
        boxes = annotation.get("bboxes") or [None] * len(annotation["segmentations"])
        frames = numbers[annotation["video_id"]] or range(len(boxes))
        if not len(frames) == len(boxes) == len(annotation["segmentations"]):
            raise TrackingFailed(f"{where} needs one segmentation per frame of its video, that is {len(frames)}")
        for frame, segmentation, box in zip(frames, annotation["segmentations"], boxes, strict=True):
            if segmentation or box:
                draw = partial(_shape, segmentation or box, where)
                entry = Entry(object_id, _score(annotation, where), draw)
                tables[videos[annotation["video_id"]]].setdefault(frame, []).append(entry)
    return tables


def _video_name(video: dict[str, Any]) -> str:
    """A video's name without suffix: its own, or the folder of its images."""
    given = video.get("name") or video.get("file_name")
    if given:
        return re.sub(r"\.\w{2,4}$", "", str(given))
    return _split_name(str(video["file_names"][0]))[0]


def _frame_numbers(video: dict[str, Any], first_frame: int) -> list[int]:
    """The frame numbers in a YouTube-VIS video's image names; empty if it names none, then they run from 0."""
    numbers = [_split_name(str(name))[1] for name in video.get("file_names", [])]
    return [] if None in numbers else [_counted(number, first_frame) for number in numbers if number is not None]


def _image_frame(image: dict[str, Any], videos: dict[Any, str], first_frame: int) -> tuple[str, int]:
    """Which video and source frame an image entry is."""
    name, number = _split_name(str(image.get("file_name", "")))
    name = videos.get(image.get("video_id"), name)
    for key in ("frame_index", "frame_id"):
        if key in image:
            return name, int(image[key])
    if number is None:
        raise TypeError(f"image {image.get('file_name')!r} has no frame number in its name and no frame_index")
    return name, _counted(number, first_frame)


def _counted(number: int, first_frame: int) -> int:
    """A source frame index from the number in an image's name."""
    if number < first_frame:
        raise ValueError(f"there is an image of frame {number}, but tracker.first_frame={first_frame}")
    return number - first_frame


def _split_name(name: str) -> tuple[str, int | None]:
    """A video's name and the frame number in an image's name, None if it has none: cam1/000012.jpg, cam1/frame_12.jpg
    and cam1_000012.jpg are frame 12 of cam1."""
    folder, _, stem = re.sub(r"\.\w{2,4}$", "", name.replace("\\", "/")).rpartition("/")
    if plain := re.fullmatch(r"(?:frame|img|image)?[_-]?(\d+)", stem):
        return folder, int(plain[1])
    start = f"{folder}/" if folder else ""
    if numbered := re.fullmatch(r"(.+)[_.-](\d+)", stem):
        return start + numbered[1], int(numbered[2])
    return start + stem, None


def _track_id(annotation: dict[str, Any], where: str, fallback: str | None = None) -> int:
    nested = annotation.get("attributes") or {}
    for source in (annotation, nested):
        for key in TRACK_KEYS:
            if isinstance(source.get(key), int):
                return int(source[key])
    if fallback and isinstance(annotation.get(fallback), int):
        return int(annotation[fallback])
    raise TrackingFailed(f"{where} has no whole number under {', '.join(TRACK_KEYS)}: tracks need an id per object")


def _shape(shape: Any, where: str, width: int, height: int) -> Mask | None:
    """A mask from COCO's RLE, polygons or x, y, w, h box, for a source of this size."""
    try:
        if isinstance(shape, dict):
            size, rle = list(shape["size"]), shape
            if size != [height, width]:
                raise TrackingFailed(f"{where} has a mask of {size[1]}x{size[0]}, but the video is {width}x{height}")
            counts = rle["counts"]
            plain = isinstance(counts, list)
            check_cover(counts if plain else runs(counts.encode()), width, height)
            return Mask.encode(coco.decode(coco.frPyObjects(rle, height, width) if plain else rle))
        if shape and isinstance(shape[0], list):
            if any(len(polygon) < 6 or len(polygon) % 2 for polygon in shape):
                raise ValueError("a polygon is x, y of at least three corners")
            return Mask.encode(coco.decode(coco.merge(coco.frPyObjects(shape, height, width))))
        x, y, w, h = (_number(v) for v in shape)
        if w < 0 or h < 0:
            raise ValueError(f"it is {w} wide and {h} high")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TrackingFailed(f"{where} holds no RLE, no polygons and no x, y, w, h box: {error}") from error
    return _rectangle((x, y, x + w, y + h), width, height)


def _part_box(shape: list[float], width: int, height: int) -> Mask | None:
    cx, cy, w, h = shape
    box = (cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height
    return _rectangle(box, width, height)


def _part_polygon(shape: list[float], width: int, height: int) -> Mask | None:
    plane = np.zeros((height, width), np.uint8)
    corners = np.array(shape).reshape(-1, 2) * (width, height) - 0.5
    cv2.fillPoly(plane, [np.rint(corners * 256).astype(np.int32)], 1, cv2.LINE_8, 8)
    return Mask.encode(plane)


def _rectangle(box: tuple[float, float, float, float], width: int, height: int) -> Mask | None:
    """A full rectangle, rounded to pixels and cut at the picture."""
    x0, y0 = max(0, round(box[0])), max(0, round(box[1]))
    x1, y1 = min(width, round(box[2])), min(height, round(box[3]))
    return Mask.encode(np.ones((y1 - y0, x1 - x0), np.uint8), (x0, y0)) if x0 < x1 and y0 < y1 else None


def _lines(path: Path) -> list[str]:
    """The lines of a text file; blank lines at its end do not count."""
    try:
        return path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise TrackingFailed(f"{path} is not UTF-8 text: {error}") from error


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no number")
    return number


def _whole(text: str) -> int:
    """A whole number, also written as 3.0 or 3e0."""
    number = _number(text)
    if number != int(number):
        raise ValueError
    return int(number)


def _score(annotation: dict[str, Any], where: str) -> float:
    score = annotation.get("score", 1.0)
    if not isinstance(score, int | float):
        raise TrackingFailed(f"{where} has the score {score!r}, which is no number")
    return _unit(score)


def _unit(score: float) -> float:
    """A score within 0..1; a negative one means the file has none."""
    return 1.0 if score < 0 else min(float(score), 1.0)


def _malformed(path: Path, number: int, line: str, right: str) -> TrackingFailed:
    return TrackingFailed(f"{path}:{number}: cannot read {line.strip()[:80]!r}; a line is {right}")
