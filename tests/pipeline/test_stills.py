"""Stills: the best frame of every individual, in its split's folder, as image loaders take them."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import DatasetError
from pipeline.exports.stills import Stills
from pipeline.layout import Layout
from pipeline.loader import decode
from tests.pipeline.dataset_fixture import PROMPTS, make_dataset
from video.encoder import EncodeConfig, encode


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Sixteen crops of four individuals, each in one split, under odd names."""
    root = tmp_path_factory.mktemp("made") / "my cows"
    rows = make_dataset(root).to_pylist()
    names = sorted({row["video"] for row in rows})
    return root, [row | {"individual_id": f"id{names.index(row['video'])}"} for row in rows]


def write(root: Path, rows: list[dict[str, Any]], target: Path, **options: Any) -> list[dict[str, str]]:
    Stills(**options).write(pa.Table.from_pylist(rows), Layout(root, root), target, "hard")
    with (target / "stills.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_one_per_individual_in_its_split_and_exactly_a_frame_of_its_crop(
    made: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    root, rows = made
    by_id = {row["sample_id"]: row for row in rows}
    lines = write(root, rows, tmp_path / "s")
    assert {line["individual_id"] for line in lines} == {"id0", "id1", "id2", "id3"} and len(lines) == 4
    assert sorted(p.relative_to(tmp_path / "s").as_posix() for p in tmp_path.rglob("*.png")) == sorted(
        line["path"] for line in lines
    )
    for line in lines:
        row = by_id[line["sample_id"]]
        assert line["path"].startswith(f"{row['split']}/{row['individual_id']}/") and line["class"] in PROMPTS
        picture = cv2.cvtColor(cv2.imread(str(tmp_path / "s" / line["path"])), cv2.COLOR_BGR2RGB)
        assert (picture == decode(root / row["path"])[int(line["frame"])]).all()
        assert row["boxes"][int(line["frame"])] is not None
        assert int(line["source_frame"]) == row["frame_indices"][int(line["frame"])]


def test_several_come_from_several_crops_and_have_one_size(
    made: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    root, rows = made
    lines = write(root, rows, tmp_path / "s", per_individual=3, size=20, format="jpeg")
    assert len(lines) == 12 == len({line["sample_id"] for line in lines})
    assert {cv2.imread(str(p)).shape for p in (tmp_path / "s").rglob("*.jpg")} == {(20, 20, 3)}
    for who in ("id0", "id1"):
        scores = [float(line["score"]) for line in lines if line["individual_id"] == who]
        assert scores == sorted(scores, reverse=True)


def one_crop(root: Path, pictures: list[np.ndarray], boxes: list[Any], base: dict[str, Any]) -> dict[str, Any]:
    path = root / "crops" / "x" / "one.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(path, np.stack(pictures), Fraction(5), EncodeConfig(lossless=True), size=(64, 64))
    count = {"frame_indices": list(range(len(boxes))), "timestamps_s": [n / 5 for n in range(len(boxes))]}
    return base | count | {"path": "crops/x/one.mp4", "boxes": boxes}


def test_the_sharp_whole_and_large_frame_is_taken(made: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    """Frame by frame: gone, blurred, cut by the border, half hidden, good, small."""
    sharp = np.random.default_rng(0).integers(60, 250, (64, 64, 3)).astype(np.uint8)
    blurred = cv2.GaussianBlur(sharp, (9, 9), 4)
    pictures = [np.zeros_like(sharp), blurred, sharp, sharp, sharp, sharp]
    whole = [100, 100, 200, 180]
    boxes = [None, whole, [0, 100, 100, 180], [100, 100, 140, 180], whole, [100, 100, 180, 160]]
    row = one_crop(tmp_path, pictures, boxes, made[1][0])
    (line,) = write(tmp_path, [row], tmp_path / "s")
    assert line["frame"] == "4" and float(line["shown"]) == float(line["size"]) == 1


def test_the_better_crop_is_taken(made: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    root, rows = made
    mine = [row for row in rows if row["individual_id"] == "id0"]
    for favoured in mine:
        twice = {"boxes": [None if b is None else [2 * v for v in b] for b in favoured["boxes"]]}
        changed = [row | twice | {"side": 999.0} if row is favoured else row for row in mine]
        (line,) = write(root, changed, tmp_path / favoured["sample_id"])
        assert line["sample_id"] == favoured["sample_id"]


def test_what_cannot_be_done_is_said(made: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    root, rows = made
    nobody = [row | {"individual_id": None} for row in rows]
    with pytest.raises(DatasetError, match=r"no crop has an individual_id.*link\.enabled=true"):
        write(root, nobody, tmp_path / "s")
    with pytest.raises(DatasetError, match=r"gone\.mp4 cannot be decoded"):
        write(root, [rows[0] | {"path": "crops/gone.mp4"}], tmp_path / "t")
    for options, message in (
        ({"per_individual": 0}, r"export\.stills\.per_individual must be at least 1, got 0"),
        ({"size": 3}, r"export\.stills\.size must be null or from 8 to 4096 pixels, got 3"),
        ({"format": "gif"}, r"export\.stills\.format must be one of png, jpeg, got 'gif'"),
    ):
        with pytest.raises(ValueError, match=message):
            Stills(**options)
