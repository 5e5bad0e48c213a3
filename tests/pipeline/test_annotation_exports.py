"""COCO, YouTube-VIS and MOT: the masks and boxes that were tracked come back exactly."""

from __future__ import annotations

import contextlib
import json
import shutil
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.build import Build
from pipeline.errors import DatasetError
from pipeline.exports.masks import full_rle
from sam.types import Mask
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import write_crop
from tests.running import rows

SIZE = 96
KINDS = "exports=[coco,ytvis,mot]"
SMALL = ("crop.size=16", "filters.size.min_side=8", "clip.num_frames=5")


def boxes_of(frame: int) -> dict[int, tuple[int, int, int, int]]:
    """What stands in the MOT file for a source frame: id -> x, y, width, height. The second is there from frame 20."""
    first = {1: (8 + frame // 4, 16, 32, 24)}
    return first | ({2: (50, 50, 30, 40)} if frame >= 20 else {})


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of 40 frames in train and val, two clips each, cut from given boxes."""
    root = tmp_path_factory.mktemp("annotated")
    (root / "mot").mkdir()
    for seed, name in enumerate(("a 1", "b.2")):
        write_crop(root / "videos" / "barn" / f"{name}.mp4", SIZE, 40, seed)
        lines = [
            f"{frame + 1},{number},{x},{y},{w},{h},1,-1,-1,-1\n"
            for frame in range(40)
            for number, (x, y, w, h) in boxes_of(frame).items()
        ]
        (root / "mot" / f"{name}.txt").write_text("".join(lines))
    chosen = (f"videos={root}/videos", f"out={root}/out", f"tracker.path={root}/mot", KINDS)
    sides = "split.assign={barn/a*: train, barn/b*: val}"
    summary = Build(loaded("prompt=brown cow", "tracker=file", *chosen, *SMALL, sides)).run()
    assert (summary.crops, summary.failures) == (6, 0)
    return root / "out"


def file(out: Path, kind: str, split: str) -> Any:
    return json.loads((out / "exports" / kind / f"{split}.json").read_text())


def test_coco_gives_back_every_mask(out: Path) -> None:
    found = file(out, "coco", "train")
    assert found["categories"] == [{"id": 1, "name": "brown cow", "supercategory": "object"}]
    images = {image["id"]: image for image in found["images"]}
    assert [image["frame_index"] for image in images.values()] == list(range(0, 40, 4))
    assert {image["file_name"] for image in images.values()} == {f"barn/a 1/{n:07d}.jpg" for n in range(0, 40, 4)}
    seen: dict[int, list[tuple[int, ...]]] = {}
    for each in found["annotations"]:
        frame = images[each["image_id"]]["frame_index"]
        x, y, w, h = each["bbox"]
        plane = np.zeros((SIZE, SIZE), np.uint8)
        plane[y : y + h, x : x + w] = 1
        assert (rle.decode(each["segmentation"]) == plane).all() and each["area"] == w * h
        seen.setdefault(frame, []).append((x, y, w, h))
    assert {f: sorted(b) for f, b in seen.items()} == {f: sorted(boxes_of(f).values()) for f in range(0, 40, 4)}


def test_a_coco_evaluator_agrees_with_itself(out: Path, tmp_path: Path) -> None:
    path = out / "exports" / "coco" / "train.json"
    with contextlib.redirect_stdout(None):
        truth = COCO(str(path))
        results = [
            {key: each[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.9}
            for each in file(out, "coco", "train")["annotations"]
        ]
        score = COCOeval(truth, truth.loadRes(results), "segm")
        score.evaluate()
        score.accumulate()
        score.summarize()
    assert score.stats[0] == pytest.approx(1.0)


def test_youtube_vis_has_a_video_per_clip_and_a_mask_per_frame(out: Path) -> None:
    found = file(out, "ytvis", "val")
    assert [v["length"] for v in found["videos"]] == [5, 5] and found["videos"][0]["width"] == SIZE
    videos = {video["id"]: video for video in found["videos"]}
    assert len(found["annotations"]) == 3
    for each in found["annotations"]:
        names = videos[each["video_id"]]["file_names"]
        assert len(each["segmentations"]) == len(each["bboxes"]) == len(each["areas"]) == len(names) == 5
        for name, mask, box in zip(names, each["segmentations"], each["bboxes"], strict=True):
            frame = int(Path(name).stem)
            assert Path(name).parent == Path("barn/b.2") and tuple(box) in boxes_of(frame).values()
            assert rle.toBbox(mask).tolist() == box and mask["size"] == [SIZE, SIZE]
    ids = {row["sample_id"] for row in rows(out / "samples.parquet") if row["split"] == "val"}
    assert {each["sample_id"] for each in found["annotations"]} == ids


def test_mot_text_can_be_tracked_from_again(out: Path, tmp_path: Path) -> None:
    sequence = out / "exports" / "mot" / "train" / "barn-a-1"
    lines = [line.split(",") for line in (sequence / "gt" / "gt.txt").read_text().splitlines()]
    assert {line[7] for line in lines} == {"1"} and [int(line[0]) for line in lines] == sorted(
        int(line[0]) for line in lines
    )
    found: dict[int, list[tuple[int, ...]]] = {}
    for frame, _, *box in lines:
        found.setdefault(int(frame) - 1, []).append(tuple(map(int, box[:4])))
    assert {f: sorted(b) for f, b in found.items()} == {f: sorted(boxes_of(f).values()) for f in range(0, 40, 4)}
    info = ConfigParser()
    info.read(sequence / "seqinfo.ini")
    said = dict(info["Sequence"])
    assert (said["imwidth"], said["seqlength"], float(said["framerate"])) == (str(SIZE), "37", pytest.approx(5))
    shutil.copyfile(sequence / "gt" / "gt.txt", tmp_path / "a.txt")
    (tmp_path / "videos").mkdir()
    shutil.copyfile(out.parent / "videos" / "barn" / "a 1.mp4", tmp_path / "videos" / "a.mp4")
    chosen = (f"videos={tmp_path}/videos", f"out={tmp_path}/out", f"tracker.path={tmp_path}/a.txt", "exports=[]")
    Build(loaded("prompt=cow", "tracker=file", *chosen, *SMALL)).run()
    again, first = (
        sorted(
            (row["start_frame"], row["boxes"])
            for row in rows(path / "samples.parquet")
            if "a" in Path(row["video"]).stem
        )
        for path in (tmp_path / "out", out)
    )
    assert again == first


def test_masks_that_are_gone_are_asked_for(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(out, copy)
    shutil.rmtree(copy / "tracks")
    (copy / "tracks").mkdir()
    from pipeline.derive import export
    from pipeline.layout import Layout

    shutil.rmtree(copy / "exports")
    with pytest.raises(DatasetError, match=r"the masks are not in .*tracks\.keep=true"):
        export(loaded("task=export", f"out={copy}", "exports=[coco]"), Layout(copy, copy / "tracks"))


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 9), st.integers(0, 9), st.data())
def test_a_box_local_code_and_that_of_the_whole_picture_are_the_same_mask(
    width: int, height: int, x: int, y: int, data: st.DataObject
) -> None:
    bits = data.draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))
    plane = np.zeros((y + height + 3, x + width + 2), np.uint8)
    plane[y : y + height, x : x + width] = np.array(bits, np.uint8).reshape(height, width)
    mask = Mask.encode(plane)
    if mask is not None:
        code = full_rle(mask, plane.shape[1], plane.shape[0])
        assert (rle.decode(code) == plane).all()
        assert code["counts"] == rle.encode(np.asfortranarray(plane))["counts"].decode(), "one mask, one code"
