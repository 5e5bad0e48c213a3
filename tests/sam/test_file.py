"""Tracks made elsewhere: every format gives back what was written, and a bad file says where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from sam.backends.file import FileConfig
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.types import Mask, SessionFrames, Track, iou
from tests.sam.scoring import tracks_of

WIDTH, HEIGHT = 64, 48
BOXES = {4: {0: (10, 8, 30, 20), 4: (14, 8, 34, 20)}, 9: {4: (40, 20, 50, 44), 8: (44, 20, 54, 44)}}  # id: frame: box


def window(*indices: int, video: str = "farm1/cam1.mp4") -> SessionFrames:
    images = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * len(indices)
    return SessionFrames(images, np.array(indices, np.int64), np.array(indices) / 25, WIDTH, HEIGHT, video)


def read(path: Path, frames: SessionFrames | None = None, **options: Any) -> dict[int, Track]:
    with FileConfig(str(path), **options).build() as tracker:
        return {track.object_id: track for track in tracks_of(tracker, frames or window(0, 4, 8))}


def rectangle(box: tuple[int, int, int, int]) -> np.ndarray:
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    plane[box[1] : box[3], box[0] : box[2]] = 1
    return plane


def check(tracks: dict[int, Track]) -> None:
    assert sorted(tracks) == [4, 9]
    assert tracks[4].frames.tolist() == [0, 1]
    assert tracks[9].frames.tolist() == [1, 2]
    for number, frames in BOXES.items():
        assert tracks[number].boxes.tolist() == [list(box) for box in frames.values()]


def rows() -> list[tuple[int, int, tuple[int, int, int, int]]]:
    return [(frame, number, box) for number, frames in BOXES.items() for frame, box in frames.items()]


def write_mot(path: Path, separator: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        separator.join(map(str, (frame + 1, number, x0, y0, x1 - x0, y1 - y0, 0.5, -1, -1, -1)))
        for frame, number, (x0, y0, x1, y1) in rows()
    ]
    path.write_text("\n".join(lines) + "\n\n")


def write_yolo(folder: Path, stem: str, tail: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for frame, number, (x0, y0, x1, y1) in rows():
        box = ((x0 + x1) / 2 / WIDTH, (y0 + y1) / 2 / HEIGHT, (x1 - x0) / WIDTH, (y1 - y0) / HEIGHT)
        with open(folder / f"{stem}_{frame + 1}.txt", "a") as file:
            file.write(" ".join(map(str, (19, *box))) + tail.format(number) + "\n")


def coco_images(names: str = "cam1_{:06d}.jpg", shape: str = "rle") -> dict[str, Any]:
    def drawn(box: tuple[int, int, int, int]) -> dict[str, Any]:
        x0, y0, x1, y1 = box
        if shape == "rle":
            return {"segmentation": code(rectangle(box))}
        if shape == "polygon":
            return {"segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
        return {"bbox": [x0, y0, x1 - x0, y1 - y0]}

    return {
        "images": [{"id": 100 + frame, "file_name": names.format(frame)} for frame in range(9)],
        "annotations": [
            {"id": n, "image_id": 100 + frame, "track_id": number, "score": 0.5, **drawn(box)}
            for n, (frame, number, box) in enumerate(rows())
        ],
    }


def code(plane: np.ndarray) -> dict[str, Any]:
    found = coco.encode(np.asfortranarray(plane))
    return {"size": found["size"], "counts": found["counts"].decode()}


def one(**annotation: Any) -> str:
    """COCO JSON of one image, frame 0 of cam1, and one annotation."""
    given = {"image_id": 1, "track_id": 1, **annotation}
    return json.dumps({"images": [{"id": 1, "file_name": "cam1_0.jpg"}], "annotations": [given]})


def vis(*annotations: dict[str, Any], **video: Any) -> str:
    """YouTube-VIS JSON of one video."""
    numbered = [{"id": n, "video_id": 1, **annotation} for n, annotation in enumerate(annotations)]
    return json.dumps({"videos": [{"id": 1, **video}], "annotations": numbered})


@pytest.mark.parametrize("name", ["farm1/cam1.txt", "cam1.txt", "farm1/cam1.csv"])
@pytest.mark.parametrize("separator", [",", ", ", " "])
def test_mot_in_a_folder(tmp_path: Path, name: str, separator: str) -> None:
    write_mot(tmp_path / name, separator)
    tracks = read(tmp_path)
    check(tracks)
    assert tracks[4].first_score == 0.5
    assert tracks[4].masks[0].area == 20 * 12


def test_one_mot_file_serves_one_video(tmp_path: Path) -> None:
    write_mot(tmp_path / "tracks.txt")
    with FileConfig(str(tmp_path / "tracks.txt")).build() as tracker:
        assert len(tracks_of(tracker, window(0, 4))) == 2
        with pytest.raises(TrackingFailed, match=r"would serve both farm1/cam1\.mp4 and farm2/cam1\.mp4"):
            tracks_of(tracker, window(0, video="farm2/cam1.mp4"))


@pytest.mark.parametrize("tail", [" {}", " 0.5 {}", " 0.5 {}.0"])
@pytest.mark.parametrize("folder", ["", "farm1"])
def test_yolo_boxes(tmp_path: Path, tail: str, folder: str) -> None:
    write_yolo(tmp_path / folder, "cam1", tail)
    (tmp_path / folder / "cam10_1.txt").write_text("0 0.5 0.5 1 1 77\n")
    check(read(tmp_path, format="yolo" if folder else "auto"))


@pytest.mark.parametrize("tail", [" 6", " 0.25 6"])
def test_yolo_polygons(tmp_path: Path, tail: str) -> None:
    (tmp_path / "cam1_1.txt").write_text("0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75" + tail)
    (track,) = read(tmp_path).values()
    assert track.object_id == 6
    assert np.abs(track.boxes - [[16, 12, 48, 36]]).max() <= 1
    assert track.first_score == (0.25 if " 0.25 6" in tail else 1.0)


@pytest.mark.parametrize("shape", ["rle", "polygon", "bbox"])
@pytest.mark.parametrize(
    "names", ["cam1_{:06d}.jpg", "farm1/cam1/frame_{:d}.jpg", "farm1/cam1/{:06d}.jpg", "{:06d}.png"]
)
def test_coco_images(tmp_path: Path, shape: str, names: str) -> None:
    (tmp_path / "all.json").write_text(json.dumps(coco_images(names, shape)))
    check(read(tmp_path / "all.json"))


def test_coco_images_counted_from_one(tmp_path: Path) -> None:
    data = coco_images()
    for frame, image in enumerate(data["images"]):
        image["file_name"] = f"cam1_{frame + 1}.jpg"
    (tmp_path / "cam1.json").write_text(json.dumps(data))
    check(read(tmp_path, first_frame=1))


def test_coco_with_videos_and_uncompressed_rle(tmp_path: Path) -> None:
    data = coco_images("{:06d}.jpg")
    data["videos"] = [{"id": 1, "name": "farm1/cam1.mp4"}]
    for frame, image in enumerate(data["images"]):
        image |= {"video_id": 1, "frame_id": frame, "file_name": "whatever.jpg"}
    plane = np.zeros((HEIGHT, WIDTH), np.uint8)
    plane[:, :2] = 1
    counts = [0, 2 * HEIGHT, (WIDTH - 2) * HEIGHT]
    data["annotations"][0]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": counts}
    (tmp_path / "all.json").write_text(json.dumps(data))
    assert read(tmp_path / "all.json")[4].masks[0] == Mask.encode(plane)


@pytest.mark.parametrize("numbered", [True, False])
def test_youtube_vis(tmp_path: Path, numbered: bool) -> None:
    frames = [0, 4, 8] if numbered else list(range(9))
    video = {"file_names": [f"cam1/{f:05d}.jpg" for f in frames]} if numbered else {"name": "cam1"}
    annotations = [
        {"id": number, "segmentations": [code(rectangle(boxes[f])) if f in boxes else None for f in frames]}
        for number, boxes in BOXES.items()
    ]
    (tmp_path / "vis.json").write_text(vis(*annotations, length=len(frames), **video))
    check(read(tmp_path))


@pytest.mark.parametrize("text", [vis(name="cam1"), vis(name="farm1/cam1.mp4"), '{"images": [], "annotations": []}'])
def test_json_without_any_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "cam1.json").write_text(text)
    if "videos" in text:
        assert read(tmp_path) == {}
    else:
        with pytest.raises(TrackingFailed, match=r"cam1\.json has no video farm1/cam1 or cam1; it has none"):
            read(tmp_path)


def test_masks_are_the_pixels_of_the_file(tmp_path: Path) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = ((x - 30) ** 2 + (y - 20) ** 2 < 100).astype(np.uint8)
    disc[18:22, 28:32] = 0  # a hole
    (tmp_path / "cam1.json").write_text(one(segmentation=code(disc)))
    assert np.array_equal(read(tmp_path)[1].masks[0].full(WIDTH, HEIGHT), disc)
    (tmp_path / "cam1.json").write_text(vis({"segmentations": [code(disc)]}, name="cam1"))
    assert np.array_equal(read(tmp_path)[0].masks[0].full(WIDTH, HEIGHT), disc)


def test_polygons_cover_their_pixels(tmp_path: Path) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    triangle = Mask.encode((x > 8) & (y < 40) & (x - 8 < y - 4))  # corners (8, 4), (8, 40), (44, 40)
    assert triangle is not None
    (tmp_path / "a.json").write_text(one(segmentation=[[8, 4, 8, 40, 44, 40], [50, 4, 60, 4, 60, 14, 50, 14]]))
    (found,) = read(tmp_path / "a.json").values()
    square = np.zeros((HEIGHT, WIDTH), bool)
    square[4:14, 50:60] = True
    both = Mask.encode(square | (triangle.full(WIDTH, HEIGHT) > 0))
    assert both is not None and iou(found.masks[0], both) > 0.9


def test_yolo_segments_give_back_the_mask_they_were_traced_from(tmp_path: Path) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = ((x - 30) ** 2 + (y - 20) ** 2 < 200).astype(np.uint8)
    (contour,), _ = cv2.findContours(disc, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)  # as ultralytics does
    points = " ".join(f"{px / WIDTH:.6f} {py / HEIGHT:.6f}" for px, py in contour[:, 0].tolist())
    (tmp_path / "cam1_1.txt").write_text(f"19 {points} 0.8 5\n")
    traced = Mask.encode(disc)
    assert traced is not None and iou(read(tmp_path)[5].masks[0], traced) > 0.95


def write_any(folder: Path, kind: str) -> None:
    if kind == "mot":
        write_mot(folder / "cam1.txt")
    elif kind == "yolo":
        write_yolo(folder, "cam1", " 0.5 {}")
    else:
        (folder / "cam1.json").write_text(json.dumps(coco_images(shape=kind)))


@pytest.mark.parametrize("kind", ["mot", "yolo", "rle", "polygon", "bbox"])
def test_frames_are_picked_by_their_index_in_the_video(tmp_path: Path, kind: str) -> None:
    write_any(tmp_path, kind)
    late = read(tmp_path, window(3, 4, 5, 8, 1000))
    assert {i: (t.frames.tolist(), t.boxes.tolist()) for i, t in late.items()} == {
        4: ([1], [[14, 8, 34, 20]]),
        9: ([1, 3], [[40, 20, 50, 44], [44, 20, 54, 44]]),
    }
    assert read(tmp_path, window(1, 2, 3, 1000)) == {}
    assert late[4].masks[0] == Mask.encode(rectangle((14, 8, 34, 20)))


@pytest.mark.parametrize("kind", ["mot", "yolo", "rle"])
def test_every_video_has_its_own_file(tmp_path: Path, kind: str) -> None:
    for farm, number in (("farm1", 1), ("farm2", 2)):
        (tmp_path / farm).mkdir()
        if kind == "mot":
            (tmp_path / farm / "cam1.txt").write_text(f"1,{number},5,5,10,10\n")
        elif kind == "yolo":
            (tmp_path / farm / "cam1_1.txt").write_text(f"0 0.5 0.5 0.2 0.2 {number}\n")
        else:
            (tmp_path / farm / "cam1.json").write_text(one(bbox=[5, 5, 10, 10], track_id=number))
    with FileConfig(str(tmp_path)).build() as tracker:
        for farm, number in (("farm2", 2), ("farm1", 1), ("farm2", 2)):
            assert [t.object_id for t in tracks_of(tracker, window(0, video=f"{farm}/cam1.mp4"))] == [number]
        with pytest.raises(TrackingFailed, match=r"no tracks for farm3/cam1\.mp4 in .*farm3/cam1\.txt.*cam1_<frame>"):
            tracks_of(tracker, window(0, video="farm3/cam1.mp4"))


def test_the_full_name_comes_before_the_bare_one(tmp_path: Path) -> None:
    (tmp_path / "farm1").mkdir()
    (tmp_path / "cam1.txt").write_text("1,1,5,5,10,10\n")
    (tmp_path / "farm1" / "cam1.json").write_text(one(bbox=[5, 5, 10, 10], track_id=2))
    assert sorted(read(tmp_path)) == [2]


@pytest.mark.parametrize("text", ["", "1 3 5 5 10 10"])
def test_a_video_whose_name_ends_in_a_number_is_no_yolo_frame(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cam1_20260601_0900.txt"
    file.write_text(text)
    for path in (tmp_path, file):
        tracks = read(path, window(0, video="farm1/cam1_20260601_0900.mp4"))
        assert sorted(tracks) == ([3] if text else [])


def test_a_video_of_a_shared_json_serves_one_video(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps(coco_images()))
    with FileConfig(str(tmp_path)).build() as tracker:
        assert len(tracks_of(tracker, window(0, 4))) == 2
        with pytest.raises(TrackingFailed, match=r"would serve both farm1/cam1\.mp4 and farm2/cam1\.mp4"):
            tracks_of(tracker, window(0, video="farm2/cam1.mp4"))
        with pytest.raises(TrackingFailed, match=r"no tracks for cam7\.mp4"):
            tracks_of(tracker, window(0, video="cam7.mp4"))


def test_scores_below_the_least_are_left_out(tmp_path: Path) -> None:
    write_mot(tmp_path / "cam1.txt")
    assert read(tmp_path, min_score=0.6) == {}


def test_boxes_are_cut_at_the_picture(tmp_path: Path) -> None:
    (tmp_path / "cam1.txt").write_text("1,1,-5,-5,10,10,1\n1,2,60,40,50,50,1\n1,3,200,200,5,5,1\n")
    tracks = read(tmp_path)
    assert {i: t.boxes[0].tolist() for i, t in tracks.items()} == {1: [0, 0, 5, 5], 2: [60, 40, 64, 48]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "cam1.txt",
            "1,1,5,5,10,10\n2,one,5,5,10,10",
            r"cam1\.txt:2: cannot read '2,one,5,5,10,10'; a line is frame,id",
        ),
        ("cam1.txt", "1,1,5,5", r"cam1\.txt:1: cannot read"),
        ("cam1.txt", "0,1,5,5,10,10", r"frames counted from 1"),
        ("cam1.txt", "1,1,5,5,-10,10", r"cam1\.txt:1"),
        ("cam1.txt", "inf,1,5,5,10,10", r"cam1\.txt:1"),
        ("cam1.txt", "1,1,5,5,10,10\n\n2,1,nan,5,10,10", r"cam1\.txt:2"),
        ("cam1.txt", "1,1,5,5,10,10,nan", r"cam1\.txt:1"),
        ("cam1.txt", "1.5,1,5,5,10,10", r"cam1\.txt:1"),
        ("cam1_3.txt", "0 0.5 0.5 0.2 0.2", r"cam1_3\.txt:1: cannot read .* a line is class cx cy w h"),
        ("cam1_3.txt", "0 320 240 20 20 1", r"in parts of the width"),
        ("cam1_3.txt", "0 0.5 0.5 0.2 0.2 0.87", r"cam1_3\.txt:1"),
        ("cam1_3.txt", "0 0.5 nan 0.2 0.2 1", r"cam1_3\.txt:1"),
        ("cam1.json", "{", "is neither COCO JSON"),
        ("cam1.json", "[]", "is neither COCO JSON"),
        ("cam1.json", '{"images": [{"id": 1, "file_name": "cam1.jpg"}], "annotations": []}', "no frame number"),
        (
            "cam1.json",
            '{"images": [{"id": 1, "file_name": "cam1_0.jpg"}], "annotations": [{"image_id": 1, "bbox": [1, 1, 5]}]}',
            r"annotations\[0\] has no whole number under track_id",
        ),
        (
            "cam1.json",
            '{"images": [], "annotations": [{"image_id": 1, "track_id": 1, "bbox": [1, 1, 5, 5]}]}',
            "image_id 1, which no entry of images has",
        ),
        (
            "other.txt",
            "1,1,5,5,10,10",
            r"no tracks for farm1/cam1\.mp4 in .*; expected one of farm1/cam1\.txt, .*cam1\.txt",
        ),
        ("cam1.txt", "1,1,5,5,10,10\n1,1,6,6,10,10", r"object 1 twice in frame 0 of farm1/cam1\.mp4"),
    ],
)
def test_bad_files_say_where_and_what_would_be_right(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TrackingFailed, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (one(bbox=[1, 1, 5, 5], score=None), r"annotations\[0\] has the score None"),
        (one(image_id=[1]), "is neither COCO JSON"),
        (one()[:-2] + ", 5]}", "is neither COCO JSON"),
        (one(), r"annotations\[0\] holds no RLE, no polygons and no x, y, w, h box"),
        (one(bbox=[5, 5, -3, 2]), r"annotations\[0\] .* -3\.0 wide"),
        (one(segmentation=[[1, 2, 3, 4]]), "at least three corners"),
        (one(segmentation=[[]]), "at least three corners"),
        (one(segmentation={"size": [48, 64], "counts": [5, 5]}), "its runs cover 10 pixels, not 3072"),
        (one(segmentation={"size": [48, 64], "counts": [3074, -2]}), r"annotations\[0\]"),
        (one(segmentation={"size": [48, 64], "counts": "zzzz"}), "it is no compressed COCO run-length code"),
        (one(segmentation={"size": [48, 64], "counts": "55"}), "its runs cover 10 pixels, not 3072"),
        (one(segmentation={"size": [48, 64], "counts": ""}), r"annotations\[0\]"),
        (one(segmentation={"counts": [5]}), r"annotations\[0\]"),
        (vis({"segmentations": [None]}, file_names=[]), "is neither COCO JSON"),
        (vis({"segmentations": [None]}, name="cam1", file_names=["a/0.jpg", "a/1.jpg"]), r"annotations\[0\] needs one"),
        (vis({"segmentations": [], "video_id": 7}, name="cam1"), "video_id 7, which no entry of videos has"),
    ],
)
def test_bad_json_says_which_annotation(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "cam1.json").write_text(text)
    with pytest.raises(TrackingFailed, match=message) as caught:
        read(tmp_path)
    assert "cam1.json" in str(caught.value)


def test_numbers_before_the_first_frame_are_refused(tmp_path: Path) -> None:
    for text in (one(bbox=[1, 1, 5, 5]), vis({"segmentations": [None]}, file_names=["cam1/0.jpg"])):
        (tmp_path / "cam1.json").write_text(text)
        with pytest.raises(TrackingFailed, match=r"cam1\.json .* frame 0, but tracker\.first_frame=1"):
            read(tmp_path, first_frame=1)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cam1.txt").write_bytes(b"\xff\xfe1,1,5,5,10,10")
    with pytest.raises(TrackingFailed, match=r"cam1\.txt is not UTF-8 text"):
        read(tmp_path)


def test_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cam1.json").write_text(json.dumps(coco_images()))
    frames = SessionFrames([np.zeros((24, 32, 3), np.uint8)], np.zeros(1, np.int64), np.zeros(1), 32, 24, "cam1.mp4")
    with pytest.raises(TrackingFailed, match=r"mask of 64x48, but the video is 32x24"):
        read(tmp_path, frames)


def test_one_yolo_frame_is_not_a_path(tmp_path: Path) -> None:
    write_yolo(tmp_path, "cam1", " {}")
    with pytest.raises(TrackingFailed, match="the folder that holds all frames"):
        read(tmp_path / "cam1_1.txt")


def test_missing_path_and_bad_options(tmp_path: Path) -> None:
    with pytest.raises(TrackerUnavailable, match="does not exist"), FileConfig(str(tmp_path / "no")).build():
        pass
    with pytest.raises(TrackerUnavailable, match=r"holds no \.txt"), FileConfig(str(tmp_path)).build():
        pass
    with pytest.raises(ValueError, match="auto, mot, coco, yolo, got 'xml'"):
        FileConfig("x", format="xml")
    with pytest.raises(ValueError, match="min_score"):
        FileConfig("x", min_score=2)


def test_identity_is_the_content_and_never_the_path(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        write_mot(tmp_path / folder / "cam1.txt")
    (tmp_path / "c" / "cam1.txt").write_text("1,1,5,5,10,10\n")
    a, b, c = (FileConfig(str(tmp_path / folder)).build().identity() for folder in ("a", "b", "c"))
    assert a == b != c
    assert str(tmp_path) not in json.dumps(a)
    (tmp_path / "a" / "cam1.txt").rename(tmp_path / "elsewhere.txt")
    alone, also = (FileConfig(str(tmp_path / name)).build().identity() for name in ("elsewhere.txt", "b/cam1.txt"))
    assert alone == also
    strict = FileConfig(str(tmp_path / "b"), min_score=0.5).build().identity()
    assert strict != b and strict["digest"] == b["digest"]
