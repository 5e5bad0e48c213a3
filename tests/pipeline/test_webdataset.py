"""WebDataset shards, read back by webdataset itself and by Hugging Face datasets."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.errors import DatasetError
from pipeline.exports.webdataset import WebDataset, check
from pipeline.layout import Layout
from tests.pipeline.dataset_fixture import make_dataset

COUNTS = {"train": 8, "val": 4, "test": 4}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, Layout]:
    root = tmp_path_factory.mktemp("made") / "ds"
    return make_dataset(root, variants=("mask",)), Layout(root, root / "tracks")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)  # webdataset's
def test_webdataset_reads_every_sample(source: tuple[pa.Table, Layout], tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")  # it leaves its files open
    samples, layout = source
    WebDataset(shard_mb=0.01).write(samples, layout, tmp_path / "wds", "hard")
    expected = {row["sample_id"]: row for row in samples.to_pylist()}
    index = json.loads((tmp_path / "wds" / "dataset.json").read_text())
    assert {split: each["samples"] for split, each in index["splits"].items()} == COUNTS
    assert len(index["splits"]["train"]["shards"]) > 1, "small shards"
    seen = set()
    for split, each in index["splits"].items():
        urls = [str(tmp_path / "wds" / shard) for shard in each["shards"]]
        for sample in wds.WebDataset(urls, shardshuffle=False, empty_check=False):
            row = expected[sample["__key__"]]
            assert row["split"] == split
            assert sample["mp4"] == (layout.root / row["path"]).read_bytes()
            assert sample["mask.mp4"] == (layout.root / row["variants"][0]["path"]).read_bytes()
            assert index["classes"][row["prompt"]] == int(sample["cls"])
            said = json.loads(sample["json"])
            assert (said["label"], said["source_video"]) == (row["prompt"], row["video"])
            assert said["individual_id"] == (row["individual_id"] or "")
            assert said["boxes"] == row["boxes"] and said["sharpness"] == pytest.approx(row["sharpness"])
            seen.add(sample["__key__"])
    assert seen == set(expected)


def test_datasets_reads_it_too(
    source: tuple[pa.Table, Layout], tmp_path: Path, tmp_path_factory: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))
    datasets.disable_progress_bars()
    samples, layout = source
    WebDataset().write(samples, layout, tmp_path / "wds", "hard")
    files = {split: str(tmp_path / "wds" / split / "*.tar") for split in COUNTS}
    loaded = datasets.load_dataset("webdataset", data_files=files)
    assert {split: len(rows) for split, rows in loaded.items()} == COUNTS
    for column in ("mp4", "mask.mp4"):
        loaded = loaded.cast_column(column, datasets.Video(decode=False))
    expected = {row["sample_id"]: row for row in samples.to_pylist()}
    for row in loaded["val"]:
        sample = expected[row["__key__"]]
        assert row["mp4"]["bytes"] == (layout.root / sample["path"]).read_bytes()
        assert row["json"]["label"] == sample["prompt"]


def test_equal_datasets_give_equal_bytes(source: tuple[pa.Table, Layout], tmp_path: Path) -> None:
    for name in ("a", "b"):
        WebDataset().write(source[0], source[1], tmp_path / name, "hard")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_neighbours_come_from_anywhere(source: tuple[pa.Table, Layout], tmp_path: Path) -> None:
    WebDataset().write(source[0], source[1], tmp_path / "wds", "hard")
    with tarfile.open(tmp_path / "wds" / "train" / "train-000000.tar") as tar:
        keys = [name.split(".")[0] for name in tar.getnames() if name.endswith(".cls")]
    assert keys == sorted(keys) and len(keys) == 8


def test_a_missing_crop_and_a_missing_member_are_named(tmp_path: Path) -> None:
    samples = make_dataset(tmp_path / "ds", objects=1)
    layout = Layout(tmp_path / "ds", tmp_path / "ds" / "tracks")
    WebDataset().write(samples, layout, tmp_path / "wds", "hard")
    (tmp_path / "wds" / "val" / "val-000000.tar").unlink()
    with tarfile.open(tmp_path / "wds" / "val" / "val-000000.tar", "w"):
        pass
    with pytest.raises(DatasetError, match="the shards do not hold the samples"):
        check(samples, tmp_path / "wds")
    gone = tmp_path / "ds" / samples["path"][0].as_py()
    gone.unlink()
    with pytest.raises(DatasetError, match=rf"{gone.name} is listed in samples.parquet but missing"):
        WebDataset().write(samples, layout, tmp_path / "again", "hard")


def test_a_shard_needs_a_size() -> None:
    with pytest.raises(ValueError, match=r"export\.webdataset\.shard_mb must be more than 0, got 0"):
        WebDataset(shard_mb=0)
