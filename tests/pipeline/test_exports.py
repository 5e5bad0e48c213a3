"""The exports, read back by the loaders they are for: Hugging Face datasets, and a parser as in VideoMAE's code."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import ConfigError, DatasetError
from pipeline.exports import videofolder, videomae
from pipeline.exports.export import exports
from pipeline.exports.videofolder import VideoFolder, video_slug
from pipeline.exports.videomae import VideoMae
from pipeline.layout import Layout
from pipeline.loader import decode
from pipeline.writing import writing_folder
from tests.pipeline.dataset_fixture import FRAMES, PROMPTS, VIDEOS, make_dataset


def at(root: Path) -> Layout:
    return Layout(root, root / "tracks")


COUNTS = {"train": 8, "val": 4, "test": 4}
HF_NAMES = {"train": "train", "val": "validation", "test": "test"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, Path]:
    root = tmp_path_factory.mktemp("made") / "ds"
    return make_dataset(root, variants=("mask",)), root


@pytest.fixture
def hf(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets`, offline and with its cache in a temporary folder."""
    cache = tmp_path_factory.mktemp("hf")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(cache))
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    datasets.disable_progress_bars()
    return datasets


def paths_only(datasets: Any, loaded: Any) -> Any:
    for column in ("video", "mask"):
        if column in loaded["train"].features:
            loaded = loaded.cast_column(column, datasets.Video(decode=False))
    return loaded


def metadata(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_both_formats_are_registered() -> None:
    assert {"videofolder": VideoFolder, "videomae": VideoMae}.items() <= exports().items()


@pytest.mark.parametrize("by", ["data_dir", "card"])
def test_datasets_loads_the_videofolder(source: tuple[pa.Table, Path], tmp_path: Path, hf: Any, by: str) -> None:
    samples, root = source
    target = tmp_path / "exports" / "videofolder"
    VideoFolder().write(samples, at(root), target, "hard")
    loaded = hf.load_dataset(str(target)) if by == "card" else hf.load_dataset("videofolder", data_dir=str(target))
    assert {name: len(rows) for name, rows in loaded.items()} == {HF_NAMES[s]: n for s, n in COUNTS.items()}
    expected = {row["sample_id"]: row for row in samples.to_pylist()}
    seen = set()
    for split, rows in paths_only(hf, loaded).items():
        for row in rows:
            sample = expected[row["sample_id"]]
            assert HF_NAMES[sample["split"]] == split
            assert row["label"] == row["prompt"] == sample["prompt"]
            assert row["source_video"] == sample["video"]
            assert (row["individual_id"] or None) == sample["individual_id"]
            assert Path(row["video"]["path"]).read_bytes() == (root / sample["path"]).read_bytes()
            assert Path(row["mask"]["path"]).read_bytes() == (root / sample["variants"][0]["path"]).read_bytes()
            assert row["timestamps_s"] == sample["timestamps_s"]
            assert (row["recorded_at"] or None) == (sample["recorded_at"] and sample["recorded_at"] + ".000")
            seen.add(row["sample_id"])
    assert seen == expected.keys()


def test_torchcodec_decodes_what_datasets_loads(source: tuple[pa.Table, Path], tmp_path: Path, hf: Any) -> None:
    """As a user does: no cast, every video column decoded to tensors; the pixels are those of our own loader."""
    try:
        pytest.importorskip("torchcodec.decoders")
    except (RuntimeError, OSError) as error:
        pytest.skip(f"torchcodec finds no FFmpeg here ({str(error).splitlines()[0]})")
    samples, root = source
    VideoFolder().write(samples, at(root), tmp_path / "my vf", "hard")
    loaded = hf.load_dataset("videofolder", data_dir=str(tmp_path / "my vf"))
    paths = {row["sample_id"]: row for row in samples.to_pylist()}
    seen = 0
    for rows in loaded.values():
        for row in rows:
            sample = paths[row["sample_id"]]
            for column, path in (("video", sample["path"]), ("mask", sample["variants"][0]["path"])):
                frames = row[column].get_frames_in_range(0, FRAMES).data.numpy().transpose(0, 2, 3, 1)
                ours = decode(root / path)
                assert row[column].metadata.num_frames == FRAMES and frames.shape == ours.shape
                assert np.abs(frames.astype(int) - ours).mean() < 2
                seen += 1
    assert seen == 32


def test_a_video_called_like_a_split_makes_no_split(tmp_path: Path, hf: Any) -> None:
    """With `train/barn-test/` and no test folder, datasets 5.2 stops: Instruction "test" corresponds to no data."""
    samples = make_dataset(tmp_path / "ds", videos={"barn/test.mp4": "train"}, objects=1)
    VideoFolder().write(samples, at(tmp_path / "ds"), tmp_path / "vf", "hard")
    loaded = hf.load_dataset("videofolder", data_dir=str(tmp_path / "vf"))
    assert {name: len(rows) for name, rows in loaded.items()} == {"train": 2}


def test_labels_become_classes_as_the_card_says(source: tuple[pa.Table, Path], tmp_path: Path, hf: Any) -> None:
    samples, root = source
    VideoFolder().write(samples, at(root), tmp_path / "vf", "symlink")
    loaded = paths_only(hf, hf.load_dataset("videofolder", data_dir=str(tmp_path / "vf")))
    encoded = loaded.class_encode_column("label")
    assert encoded["train"].features["label"].names == sorted(PROMPTS)


def test_metadata_lies_in_each_split_folder_and_stays_small(source: tuple[pa.Table, Path], tmp_path: Path) -> None:
    samples, root = source
    VideoFolder().write(samples, at(root), tmp_path / "vf", "hard")
    assert not (tmp_path / "vf" / "metadata.jsonl").exists()
    for split, count in COUNTS.items():
        rows = metadata(tmp_path / "vf" / split)
        assert len(rows) == count
        assert next(iter(rows[0])) == "file_name"
        assert all((tmp_path / "vf" / split / row["file_name"]).is_file() for row in rows)
        assert not {"boxes", "crop_windows", "video"} & rows[0].keys()
        assert rows[0]["visible_share"] == pytest.approx((FRAMES - 1) / FRAMES)


def test_boxes_are_written_on_request(source: tuple[pa.Table, Path], tmp_path: Path) -> None:
    samples, root = source
    VideoFolder(boxes=True).write(samples, at(root), tmp_path / "vf", "hard")
    row = metadata(tmp_path / "vf" / "train")[0]
    assert row["boxes"][0] is None
    assert len(row["boxes"]) == len(row["crop_windows"]) == FRAMES


@pytest.mark.parametrize("link", ["hard", "copy", "symlink"])
def test_links(source: tuple[pa.Table, Path], tmp_path: Path, link: str) -> None:
    """Symlinks must still point at the crops after the export's folder has got its final name."""
    samples, root = source
    target = root / "exports" / f"vf-{link}"
    target.parent.mkdir(exist_ok=True)
    with writing_folder(target) as part:
        VideoFolder().write(samples, at(root), part, link)
    row = samples.slice(0, 1).to_pylist()[0]
    placed, crop = next(target.rglob(f"{row['sample_id']}.mp4")), root / row["path"]
    assert placed.read_bytes() == crop.read_bytes()
    assert placed.is_symlink() == (link == "symlink")
    assert os.path.samefile(placed, crop) == (link != "copy")


def test_an_unknown_link_is_refused(source: tuple[pa.Table, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"export\.link must be one of hard, copy, symlink"):
        VideoFolder().write(source[0], at(source[1]), tmp_path / "vf", "soft")


def test_the_check_names_a_removed_and_an_extra_file(source: tuple[pa.Table, Path], tmp_path: Path) -> None:
    samples, root = source
    target = tmp_path / "vf"
    VideoFolder().write(samples, at(root), target, "hard")
    videofolder.check(samples, target)
    victim = target / "train" / metadata(target / "train")[0]["file_name"]
    content = victim.read_bytes()
    victim.unlink()
    with pytest.raises(DatasetError, match=f"rows without a file: .*{victim.name}"):
        videofolder.check(samples, target)
    victim.write_bytes(content)
    extra = target / "val" / "stray.mp4"
    extra.write_bytes(content)
    with pytest.raises(DatasetError, match=r"files without a row: stray\.mp4"):
        videofolder.check(samples, target)
    extra.unlink()
    with pytest.raises(DatasetError, match=r"has 8 rows, samples\.parquet has 7 in train"):
        videofolder.check(samples.slice(1), target)
    (target / "val" / "metadata.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"metadata\.jsonl is missing"):
        videofolder.check(samples, target)


@pytest.mark.parametrize("export", [VideoFolder(), VideoMae()])
def test_a_missing_crop_is_named(tmp_path: Path, export: Any) -> None:
    samples = make_dataset(tmp_path / "ds", prompts=("cow",), objects=1)
    lost = tmp_path / "ds" / samples["path"][0].as_py()
    lost.unlink()
    with pytest.raises(DatasetError, match=lost.name):
        export.write(samples, at(tmp_path / "ds"), tmp_path / "out", "hard")


def test_samples_with_different_variants_are_refused(tmp_path: Path) -> None:
    rows = make_dataset(tmp_path / "ds", objects=1, variants=("mask",)).to_pylist()
    rows[0]["variants"] = []
    with pytest.raises(DatasetError, match=r"differ in crop\.variants"):
        VideoFolder().write(pa.Table.from_pylist(rows), at(tmp_path / "ds"), tmp_path / "vf", "hard")


@pytest.mark.parametrize(
    ("video", "slug"),
    [
        ("cam 1/2024-05-01 06.mp4", "cam-1-2024-05-01-06"),
        ("barn/test.mp4", "barn-Test"),
        ("cam1test2/val_dev.mov", "cam1Test2-Val_Dev"),
        ("contest/trains.mp4", "contest-trains"),
        (".hidden/a.b.mp4", "hidden-a.b"),
        ("ü.mp4", ""),
    ],
)
def test_video_slug(video: str, slug: str) -> None:
    assert video_slug(video) == slug


def test_an_empty_dataset_is_exported(tmp_path: Path) -> None:
    samples = make_dataset(tmp_path / "ds", videos={"a.mp4": "train"}, objects=0)
    VideoFolder().write(samples, at(tmp_path / "ds"), tmp_path / "vf", "hard")
    assert {p.name for p in (tmp_path / "vf").iterdir()} == {"README.md", "checksums.sha256"}
    VideoMae().write(samples, at(tmp_path / "ds"), tmp_path / "mae", "hard")
    assert (tmp_path / "mae" / "train.csv").read_bytes() == b""


def test_videomae_lists_read_back_as_the_loaders_do(source: tuple[pa.Table, Path], tmp_path: Path) -> None:
    samples, root = source
    target = tmp_path / "mae"
    VideoMae().write(samples, at(root), target, "hard")
    classes = json.loads((target / "classes.json").read_text(encoding="utf-8"))
    assert classes == {label: index for index, label in enumerate(sorted(PROMPTS))}
    assert (target / "labels.txt").read_text(encoding="utf-8").splitlines() == sorted(PROMPTS)
    expected = {row["sample_id"]: row for row in samples.to_pylist()}
    for split, count in COUNTS.items():
        lines = (target / f"{split}.csv").read_text().splitlines()
        assert len(lines) == count
        for line in lines:
            path, label = line.strip().split(" ")
            sample = expected[Path(path).stem]
            assert (sample["split"], classes[sample["prompt"]]) == (split, int(label))
            assert videomae.count_frames(target / path) == FRAMES


@pytest.mark.parametrize("prefix", ["data_root", "absolute"])
def test_loaders_built_on_decord_read_every_line(source: tuple[pa.Table, Path], tmp_path: Path, prefix: str) -> None:
    """As VideoMAEv2 (pandas, blank as delimiter, data_root), mmaction2 (split, data_prefix) and SlowFast (rsplit once)
    do it: the same clips and classes, and frames that decord gets by their numbers in a batch."""
    decord, pandas = pytest.importorskip("decord"), pytest.importorskip("pandas")
    samples, made = source
    home = tmp_path / "cows.v1"
    shutil.copytree(made, home, ignore=shutil.ignore_patterns("exports", "mae"))
    target = home / "mae"
    VideoMae(absolute=prefix == "absolute").write(samples, at(home), target, "hard")
    expected = {Path(row["path"]).stem: row for row in samples.to_pylist()}
    for split, count in COUNTS.items():
        table = pandas.read_csv(target / f"{split}.csv", header=None, delimiter=" ")
        lines = (target / f"{split}.csv").read_text().splitlines()
        assert len(table) == len(lines) == count
        for (path, label), line in zip(table.values, lines, strict=True):
            assert line.strip().split(" ") == [path, str(label)] == line.rsplit(" ", 1)
            reader = decord.VideoReader(os.path.join(target, path), num_threads=1)
            batch = reader.get_batch(list(range(0, FRAMES, 2))).asnumpy()
            ours = decode(made / expected[Path(path).stem]["path"])[::2]
            assert batch.shape == ours.shape and np.abs(batch.astype(int) - ours).mean() < 2


def test_videomae_writes_an_empty_list_for_an_empty_split(tmp_path: Path) -> None:
    samples = make_dataset(tmp_path / "ds", videos={"a.mp4": "train"}, objects=1)
    VideoMae().write(samples, at(tmp_path / "ds"), tmp_path / "mae", "hard")
    sizes = {split: (tmp_path / "mae" / f"{split}.csv").stat().st_size for split in ("train", "val", "test")}
    assert sizes["train"] > 0 == sizes["val"] == sizes["test"]


def test_videomae_absolute_paths_outlive_the_temporary_folder(source: tuple[pa.Table, Path]) -> None:
    samples, root = source
    with writing_folder(root / "mae") as part:
        VideoMae(absolute=True).write(samples, at(root), part, "hard")
    rows = videomae.read_list(root / "mae" / "train.csv")
    assert len(rows) == COUNTS["train"]
    assert all(Path(path).is_absolute() and Path(path).is_file() for path, _ in rows)
    assert not (root / "mae" / "videos").exists()


def test_videomae_absolute_paths_must_hold_no_space(tmp_path: Path) -> None:
    root = tmp_path / "my cows"
    samples = make_dataset(root, videos={"a b.mp4": "train"}, objects=1)
    with pytest.raises(ConfigError, match=r"export\.videomae\.absolute=true.*'.*my cows'.*out="):
        VideoMae(absolute=True).write(samples, at(root), tmp_path / "mae", "hard")
    VideoMae().write(samples, at(root), tmp_path / "mae", "hard")


@pytest.mark.parametrize("decord_installed", [True, False])
def test_videomae_check_notices_a_wrong_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decord_installed: bool
) -> None:
    if decord_installed:
        pytest.importorskip("decord")
    else:
        monkeypatch.setitem(sys.modules, "decord", None)
    rows = make_dataset(tmp_path / "ds", videos={"a.mp4": "train"}, objects=1).to_pylist()
    for row in rows:
        row["num_frames"] = FRAMES + 1
    with pytest.raises(DatasetError, match=f"decodes to {FRAMES} frames instead of {FRAMES + 1}"):
        VideoMae().write(pa.Table.from_pylist(rows), at(tmp_path / "ds"), tmp_path / "mae", "hard")


@pytest.mark.parametrize("line", ["videos/a b.mp4 0", "videos/a.mp4", "videos/a.mp4  0", "videos/a.mp4 cow"])
def test_videomae_refuses_lines_that_loaders_misread(tmp_path: Path, line: str) -> None:
    (tmp_path / "train.csv").write_text(f"videos/ok.mp4 0\n{line}\n")
    with pytest.raises(DatasetError, match="line 2: expected 'path label_index'"):
        videomae.read_list(tmp_path / "train.csv")


def test_the_card_counts_and_names(source: tuple[pa.Table, Path], tmp_path: Path) -> None:
    samples, root = source
    VideoFolder().write(samples, at(root), tmp_path / "vf", "hard")
    card = (tmp_path / "vf" / "README.md").read_text(encoding="utf-8")
    assert f"{len(samples)} crop videos" in card
    assert f"Source videos: {len(VIDEOS)}" in card
    assert all(prompt in card for prompt in PROMPTS)
    assert "| val | validation | 4 |" in card
    assert "Tracker: motion" in card
