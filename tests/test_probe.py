"""The probe: its score by hand, what a leak looks like in it, its features, and the program on a small dataset."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
from examples.behaviours import true_label
from examples.embed import flow, open_backbone, track
from examples.train_probe import grouped_folds, judge, of_whole_frames, own_folds, random_folds, scored
from pipeline.derive import with_classes
from tests.pipeline.dataset_fixture import make_dataset, write_crop, write_tables
from tests.running import ROOT, rows
from video.scenes import SceneTruth


def test_balanced_accuracy_counts_classes_alike_and_videos_make_its_interval() -> None:
    true, groups = np.array([0] * 8 + [1] * 2), np.array(["a"] * 5 + ["b"] * 5)
    predicted = np.zeros(10, int)
    score = scored(true, predicted, groups, 2)
    assert (score.balanced, score.recall) == (0.5, (1.0, 0.0)) and score.low == 0.5
    perfect = scored(true, true, groups, 3)
    assert (perfect.low, perfect.balanced, perfect.high) == (1, 1, 1) and np.isnan(perfect.recall[2])
    half = np.where(groups == "a", true, 1 - true)
    spread = scored(true, half, groups, 2)
    assert spread.low < spread.balanced < spread.high == 1, "one of two videos decides it all"


def test_features_that_know_the_video_alone_look_good_on_a_random_split_and_fail_apart() -> None:
    """Every video has one label: who knows the video knows the label, and nothing about other videos."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.array([f"v{n}" for n in range(20)]), 10)
    labels = np.repeat(random.permutation(np.arange(20) % 2), 10)
    looks = np.repeat(random.normal(size=(20, 30)), 10, axis=0) + 0.01 * random.normal(size=(200, 30))
    apart = grouped_folds(groups, labels, 5)
    assert all(not set(groups[train]) & set(groups[test]) for train, test in apart)
    assert sorted(np.concatenate([test for _, test in apart])) == list(range(200))
    mixed = random_folds(labels, apart)
    assert judge(looks, labels, groups, mixed, 2).balanced > 0.95
    assert judge(looks, labels, groups, apart, 2).balanced < 0.7
    truly = labels[:, None] + 0.1 * random.normal(size=(200, 3))
    assert judge(truly.astype(np.float32), labels, groups, apart, 2).balanced == 1


def test_a_random_split_has_the_sizes_of_the_own_one() -> None:
    own = own_folds(["train"] * 60 + ["val"] * 10 + ["test"] * 30)
    ((train, test),) = random_folds(np.arange(100) % 2, own)
    assert (len(own[0][0]), len(own[0][1])) == (len(train), len(test)) == (70, 30)
    assert not set(train) & set(test)
    with pytest.raises(SystemExit, match="no labelled crops in train or in test"):
        own_folds(["train"] * 3)
    with pytest.raises(SystemExit, match="--folds 5 needs as many videos"):
        grouped_folds(np.array(["a", "b"]), np.array([0, 1]), 5)


def test_flow_tells_direction_and_place() -> None:
    ground = np.random.default_rng(1).integers(0, 255, (12, 12, 3)).astype(np.uint8).repeat(6, 0).repeat(6, 1)
    right = np.stack([np.roll(ground, 2 * n, axis=1) for n in range(6)])
    left, still = right[::-1], np.repeat(ground[None], 6, axis=0)
    assert flow(still).shape == (108,) and np.abs(flow(still)[:81]).max() < 1e-3
    one, other = flow(right)[:72].reshape(9, 8).sum(0), flow(left)[:72].reshape(9, 8).sum(0)
    assert {int(one.argmax()), int(other.argmax())} != {int(one.argmax())}, "other bins"
    assert np.corrcoef(one, np.roll(other, 4))[0, 1] > 0.9, "turned by half a circle"


def test_track_features_tell_speed_from_shape() -> None:
    walking = track({"boxes": [[10 * n, 0, 10 * n + 40, 20] for n in range(5)]})
    turning = track({"boxes": [[0, 0, 40 - 5 * n, 20] for n in range(5)]})
    assert walking.shape == (12,) and walking[0] == pytest.approx(10 / 40) and walking[9] == 0
    assert walking[7] == pytest.approx(40 / 40), "from first to last"
    assert turning[9] > 0.1 and turning[0] < 0.1
    assert np.isfinite(track({"boxes": [None, [0, 0, 4, 4], None]})).all()


def test_the_truth_labels_a_crop_by_what_its_cow_does_most_of_the_time() -> None:
    """One cow at x 10 and another at x 60, both for ten frames."""
    boxes = np.array([[10, 10, 30, 30], [60, 10, 80, 30]] * 10, np.int32)
    truth = SceneTruth(
        *(100, 50, Fraction(25), 10, ("cow-1", "cow-2"), ("cow", "cow")),
        np.repeat(np.arange(10, dtype=np.int32), 2), np.tile(np.array([0, 1], np.int32), 10), boxes,
        (b"",) * 20, np.full(20, 400, np.int32),
    )  # fmt: skip
    spans = {"cow-1": [(0, 4, "walk"), (4, 10, "feed")], "cow-2": [(0, 4, "stand")]}

    def row(x: int) -> dict[str, Any]:
        return {"frame_indices": list(range(10)), "boxes": [None] + [[x, 10, x + 20, 30]] * 9}

    assert [true_label(row(x), truth, spans) for x in (12, 60, 35)] == ["feed", None, None]


# -- the program ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos of four crops each, the prompt is the label; the sources are there too, under odd names."""
    folder = tmp_path_factory.mktemp("probe")
    root = folder / "my cows"
    made = make_dataset(root, variants=("context",), videos={"a 1.mp4": "train", "ü.mp4": "train", "b.mp4": "test", "c.mp4": "test"})  # fmt: skip  # noqa: E501
    labelled = [row | {"label": row["prompt"]} for row in made.drop_columns(["class"]).to_pylist()]
    with_classes(write_tables(root, labelled, [], []), "label")
    for name in {row["video"] for row in labelled}:
        write_crop(folder / "videos" / name, 48, 40, seed=len(name))
    (root / "dataset.yaml").write_text(f"videos: {folder / 'videos'}\n")
    return root


def probe(root: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.train_probe", "--dataset", str(root), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_program_prints_a_line_for_every_way_to_look(dataset: Path, tmp_path: Path) -> None:
    done = probe(dataset, "--json", str(tmp_path / "r.json"))
    assert done.returncode == 0, done.stderr
    assert "16 labelled crops of 4 videos" in done.stdout and "8 tested, from 2 videos" in done.stdout
    found = json.loads((tmp_path / "r.json").read_text())
    seen = [(x["looked_at"], x["features"]) for x in found["results"]]
    crops = [(f"crops, {b}", f) for b in ("black", "context") for f in ("flow", "flow + track")]
    assert seen == [("no pixels", "track"), *crops, ("whole frames", "flow")]
    for each in found["results"]:
        assert 0 <= each["grouped"]["low"] <= each["grouped"]["balanced_accuracy"] <= each["grouped"]["high"] <= 1
    assert done.stdout.count("\n| ") == 8


def test_whole_frames_are_the_source_at_the_crops_moments(dataset: Path) -> None:
    wanted = rows(dataset / "samples.parquet")
    values = of_whole_frames(dataset, wanted, lambda frames: frames.reshape(-1).astype(np.float32))
    assert values.shape == (16, 8 * 32 * 32 * 3)
    for a, b in zip(wanted, values, strict=True):
        same = [(x == b).all() for x, other in zip(values, wanted, strict=True) if other["video"] == a["video"]]
        assert all(same), "crops of one clip share them"
    assert len(np.unique(values, axis=0)) > 1


@pytest.mark.slow
def test_what_cannot_be_probed_is_said(dataset: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    make_dataset(bare, objects=1)
    moved = tmp_path / "moved"
    shutil.copytree(dataset, moved)
    (moved / "dataset.yaml").write_text(f"videos: {bare / 'crops'}\n")
    for root, more, message in (
        (bare, (), "has no labelled crop"),
        (tmp_path / "none", (), "has no samples.parquet"),
        (dataset, ("--backbone", "resnet"), "--backbone must be flow, videomae-random"),
        (dataset, ("--folds", "9"), "--folds 9 needs as many videos"),
        (moved, (), "is not among the videos of"),
    ):
        done = probe(root, *more)
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_backbone_that_is_not_installed_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"there is no .*config\.json"):
        open_backbone(f"videomae:{tmp_path}")
    with pytest.raises(SystemExit, match="--weights must be a file"):
        open_backbone("timm:resnet18", tmp_path / "w.pt")
    with pytest.raises(SystemExit, match="--weights goes with"):
        open_backbone("flow", Path(__file__))
