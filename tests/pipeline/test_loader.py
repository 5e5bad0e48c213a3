"""The loader gives every crop of a split, as it was written, with class numbers that all splits share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ConfigError, DatasetError
from pipeline.loader import CropDataset, decode
from tests.pipeline.dataset_fixture import FRAMES, PROMPTS, make_dataset


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "my cows"
    make_dataset(root, variants=("mask",))
    return root


def test_every_crop_of_a_split_with_its_class(root: Path) -> None:
    sets = {split: CropDataset(root, split) for split in ("train", "val", "test")}
    assert {split: len(crops) for split, crops in sets.items()} == {"train": 8, "val": 4, "test": 4}
    assert len(CropDataset(root)) == 16
    expected = {name: n for n, name in enumerate(sorted(PROMPTS))}
    assert all(crops.classes == expected for crops in sets.values())
    frames, label = sets["val"][0]
    assert frames.shape == (FRAMES, 32, 32, 3) and frames.dtype == np.uint8 and label in (0, 1)
    assert (frames == decode(sets["val"].items[0].path)).all()
    assert {crop[1] for crop in (sets["val"][n] for n in range(4))} == {0, 1}


def test_frames_are_spread_evenly_and_repeated_where_there_are_too_few(root: Path) -> None:
    path = CropDataset(root).items[0].path
    every = decode(path)
    assert (decode(path, 3) == every[[0, 4, 7]]).all() and (decode(path, 1) == every[:1]).all()
    assert len(decode(path, 20)) == 20
    crops = CropDataset(root, frames=2, transform=lambda frames: frames.mean())
    assert crops[0][0] == pytest.approx(every[[0, 7]].mean())


def test_another_background_lies_under_the_same_sample(root: Path) -> None:
    main, mask = CropDataset(root, "train"), CropDataset(root, "train", variant="mask")
    assert [a.sample_id for a in main.items] == [b.sample_id for b in mask.items]
    assert mask.items[0].path.name.endswith(".mask.mp4") and (mask[0][0] != main[0][0]).any()
    assert CropDataset(root, "train", variant="black").items == main.items


def test_a_data_loader_takes_it_as_it_is(root: Path) -> None:
    data: Any = pytest.importorskip("torch.utils.data")
    batches = list(data.DataLoader(CropDataset(root, "train", frames=4), batch_size=3))
    assert [tuple(frames.shape) for frames, _ in batches] == [(3, 4, 32, 32, 3), (3, 4, 32, 32, 3), (2, 4, 32, 32, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, "split must be one of train, val, test, got 'dev'"),
        ({"variant": "blur"}, "variant must be one of black, mask, which sample .* has, got 'blur'"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
        ({"classes": "all"}, "classes must be one of auto, prompt, label, got 'all'"),
    ],
)
def test_what_a_dataset_does_not_have_is_named(root: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CropDataset(root, **options)


def test_a_folder_that_is_no_dataset_and_a_broken_crop(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no samples\.parquet"):
        CropDataset(tmp_path)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(CropDataset(root).items[0].path.read_bytes()[:100])
    for path in (broken, tmp_path / "none.mp4"):
        with pytest.raises(DatasetError, match="cannot be decoded"):
            decode(path)
