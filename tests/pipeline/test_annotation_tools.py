"""What FiftyOne and Label Studio's own packages make of the exports, and what of theirs comes back. Both are large and
not among this project's extras: pip install fiftyone label-studio-sdk. FiftyOne also needs a MongoDB that it can start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.exports.export import exports
from pipeline.label_import import read_labels
from pipeline.layout import Layout
from tests.pipeline.dataset_fixture import make_dataset, write_tables

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    root = tmp_path / "my cows"
    rows = make_dataset(root).drop_columns(["class"]).to_pylist()
    for n, row in enumerate(rows):
        row["label"] = ("lying", "Füttern, früh", None)[n % 3]
    table = write_tables(root, rows, [], [])
    for name in ("fiftyone", "cvat", "labelstudio"):
        exports()[name]().write(table.append_column("class", table["label"]), Layout(root, root), root / name, "hard")
    return root, rows


def test_fiftyone_loads_relabels_and_gives_back(made: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    fo = pytest.importorskip("fiftyone")
    root, rows = made
    kind = fo.types.FiftyOneDataset
    dataset = fo.Dataset.from_dir(
        str(root / "fiftyone"), dataset_type=kind, name=f"clipcrop-{tmp_path.name}-{id(made)}"
    )
    try:
        by_id = {row["sample_id"]: row for row in rows}
        assert dataset.media_type == "video" and len(dataset) == 16
        for sample in dataset:
            row = by_id[sample["sample_id"]]
            assert Path(sample.filepath).read_bytes() == (root / row["path"]).read_bytes()
            assert (sample["label"].label if sample["label"] else None) == row["label"]
            assert sample.tags == [row["split"]] and sample["prompt"] == row["prompt"]
        first = dataset.first()
        first["label"] = fo.Classification(label="turning")
        first.save()
        dataset.export(str(tmp_path / "back"), dataset_type=kind, export_media=False, rel_dir=str(root / "fiftyone"))
        found = read_labels(tmp_path / "back" / "samples.json", rows)
        assert sum(label.label == "turning" for label in found) == 1
        assert len(found) == sum(row["label"] is not None for row in rows) + (
            by_id[first["sample_id"]]["label"] is None
        )
    finally:
        dataset.delete()


def test_fiftyones_cvat_reader_finds_every_box_and_attribute(made: tuple[Path, list[dict[str, Any]]]) -> None:
    cvat = pytest.importorskip("fiftyone.utils.cvat")
    root, rows = made
    files = sorted((root / "cvat").glob("*.xml"))
    assert len(files) == 4
    seen = 0
    for file in files:
        _, _, tracks = cvat.load_cvat_video_annotations(str(file))
        for track in tracks:
            boxes = [box for box in track.boxes.values() if not box.outside]
            seen += len(boxes)
            assert {a.name for box in boxes for a in box.attributes} == {"label"}
            assert track.label in {row["prompt"] for row in rows}
    assert seen == 16 * 7


def test_label_studio_accepts_the_interface_and_every_task(made: tuple[Path, list[dict[str, Any]]]) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
    root, rows = made
    view = interface((root / "labelstudio" / "config.xml").read_text())
    tasks = json.loads((root / "labelstudio" / "tasks.json").read_text())
    assert set(view.get_control("label").labels) == {row["label"] for row in rows if row["label"]}
    for task in tasks:
        annotations = task.pop("annotations", [])
        assert view.validate_task(task)
        assert all(view.validate_annotation(each) for each in annotations)
