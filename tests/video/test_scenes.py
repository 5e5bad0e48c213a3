"""Synthetic scenes: the truth is where the pixels are, the seed decides everything, finished files are kept."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

import video.scenes
from video.scenes import SceneTruth, load_truth, make_footage, render_scene, truth_path

SMALL = {"seconds": 4, "width": 160, "height": 96, "cows": 5, "people": 2}
TINY = {"seconds": 0.4, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SceneTruth]:
    path = tmp_path_factory.mktemp("scenes") / "scene.mp4"
    return path, render_scene(path, seed=10, **SMALL)


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_file_is_what_was_asked_for(rendered: tuple[Path, SceneTruth]) -> None:
    path, truth = rendered
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 160, 96)
        assert stream.average_rate == 25 == truth.fps
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (6, 1)
    assert len(decode(path)) == truth.frames == 100


def test_truth_masks_are_where_the_pixels_differ_from_the_empty_scene(
    rendered: tuple[Path, SceneTruth], tmp_path: Path
) -> None:
    path, truth = rendered
    render_scene(tmp_path / "empty.mp4", seed=10, **SMALL | {"cows": 0, "people": 0})
    pairs = zip(decode(path), decode(tmp_path / "empty.mp4"), strict=True)
    for index, (seen, empty) in enumerate(pairs):
        off = np.abs(seen.astype(float) - empty).mean(axis=2)
        masks = [truth.mask(row) > 0 for row in truth.rows(index)]
        anyone = np.logical_or.reduce(masks)
        outside = off[~anyone].mean()
        assert all(off[mask].mean() > 5 * outside for mask in masks if mask.sum() > 20)
        assert (off[anyone] > 12).mean() > 0.9, "nearly all of the mask is somebody"
        assert (off[~anyone] > 12).mean() < 0.05, "shadows and soft edges, no individual without a mask"


def test_truth_is_disjoint_tight_and_ordered(rendered: tuple[Path, SceneTruth]) -> None:
    _, truth = rendered
    assert truth.names == (*(f"cow-{i}" for i in range(1, 6)), "person-1", "person-2")
    assert truth.kinds == ("cow",) * 5 + ("person",) * 2
    assert (np.diff(truth.frame) >= 0).all()
    assert len(set(truth.individual.tolist())) >= 3
    assert min(truth.visible(row) for row in range(len(truth.frame))) < 0.9, "somebody is hidden in part"
    for index in range(0, truth.frames, 5):
        total = np.zeros((96, 160), int)
        for row in truth.rows(index):
            mask = truth.mask(row)
            total += mask
            x0, y0, x1, y1 = truth.boxes[row]
            assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
            assert 0 <= x0 < x1 <= 160 and 0 <= y0 < y1 <= 96
            for edge in (mask[y0, x0:x1], mask[y1 - 1, x0:x1], mask[y0:y1, x0], mask[y0:y1, x1 - 1]):
                assert edge.any()
            assert 0 < truth.visible(row) <= 1
        assert total.max() <= 1


def test_truth_is_read_back_as_it_was(rendered: tuple[Path, SceneTruth]) -> None:
    path, truth = rendered
    for source in (path, truth_path(path)):
        read = load_truth(source)
        assert (read.width, read.height, read.fps, read.frames) == (160, 96, truth.fps, truth.frames)
        assert (read.names, read.kinds, read.counts) == (truth.names, truth.kinds, truth.counts)
        for field in ("frame", "individual", "boxes", "silhouette"):
            assert np.array_equal(getattr(read, field), getattr(truth, field))


def test_the_seed_decides(rendered: tuple[Path, SceneTruth], tmp_path: Path) -> None:
    path, truth = rendered
    again = render_scene(tmp_path / "again.mp4", seed=10, **SMALL)
    other = render_scene(tmp_path / "other.mp4", seed=11, **SMALL)
    assert again.counts == truth.counts != other.counts
    assert (tmp_path / "again.mp4").read_bytes() == path.read_bytes() != (tmp_path / "other.mp4").read_bytes()
    assert truth_path(tmp_path / "again.mp4").read_bytes() == truth_path(path).read_bytes()


def test_a_scene_may_be_empty(tmp_path: Path) -> None:
    truth = render_scene(tmp_path / "empty.mp4", seed=1, seconds=0.4, width=128, height=96, cows=0, people=0)
    assert (truth.frames, len(truth.frame), truth.names) == (10, 0, ())
    assert len(load_truth(tmp_path / "empty.mp4").boxes) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 130}, "multiples of 4"),
        ({"height": 60}, "from 64 on"),
        ({"seconds": 0}, "at least one frame"),
        ({"seconds": -1}, "at least one frame"),
        ({"seconds": float("nan")}, "at least one frame"),
        ({"seconds": float("inf")}, "at least one frame"),
        ({"fps": 0}, "at least one frame"),
        ({"cows": -1}, "cows = -1"),
        ({"people": -1}, "people = -1"),
        ({"noise": -0.5}, "noise = -0.5"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_bad_numbers_are_refused(tmp_path: Path, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_scene(tmp_path / "x.mp4", **{"seed": 1, **SMALL, **options})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["_encode", "_truth", "_save_truth"])
def test_an_interrupted_scene_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def broken(*given: object) -> None:
        if step == "_encode" and isinstance(given[0], Path):
            given[0].write_bytes(b"half a film")
        raise KeyboardInterrupt

    monkeypatch.setattr(video.scenes, step, broken)
    with pytest.raises(KeyboardInterrupt):
        render_scene(tmp_path / "x.mp4", seed=1, **TINY)
    assert list(tmp_path.iterdir()) == []


def test_footage_is_named_by_farm_camera_and_time_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []

    def quick(path: Path, seed: int, **_: object) -> None:
        rendered.append(seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        truth_path(path).touch()

    monkeypatch.setattr(video.scenes, "render_scene", quick)
    paths = make_footage(tmp_path, count=5, seconds=10, seed=3)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "farm1/cam1_20260601_0900.mp4",
        "farm1/cam2_20260601_1215.mp4",
        "farm2/cam1_20260601_1530.mp4",
        "farm2/cam2_20260601_1845.mp4",
        "farm1/cam1_20260601_2200.mp4",
    ]
    truth_path(paths[1]).unlink()
    assert make_footage(tmp_path, count=5, seconds=10, seed=3) == paths
    assert rendered == [3000, 3001, 3002, 3003, 3004, 3001]


def test_half_written_footage_is_made_again(tmp_path: Path) -> None:
    (path,) = make_footage(tmp_path, count=1, seconds=0.08, seed=3)
    assert load_truth(path).frames == len(decode(path)) == 2
    written, stamp = path.read_bytes(), path.stat().st_mtime_ns
    assert make_footage(tmp_path, count=1, seconds=0.08, seed=3) == [path]
    assert path.stat().st_mtime_ns == stamp
    for lost in (path, truth_path(path)):
        lost.unlink()
        make_footage(tmp_path, count=1, seconds=0.08, seed=3)
        assert path.read_bytes() == written and truth_path(path).is_file()
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, truth_path(path).name]


def test_rendering_side_by_side_changes_no_byte(tmp_path: Path) -> None:
    alone = make_footage(tmp_path / "alone", count=3, seconds=0.2, seed=3)
    beside = make_footage(tmp_path / "beside", count=3, seconds=0.2, seed=3, workers=2)
    for one, other in zip(alone, beside, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert truth_path(one).read_bytes() == truth_path(other).read_bytes()


def killed(*_: object, **__: object) -> None:
    os._exit(1)


def test_a_killed_renderer_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video.scenes, "render_scene", killed)
    with pytest.raises(ChildProcessError, match=r"was killed, maybe for want of memory: 2 ran side by side"):
        make_footage(tmp_path, count=2, seconds=0.2, seed=3, workers=2)


def test_no_footage_is_no_error(tmp_path: Path) -> None:
    assert make_footage(tmp_path, count=0, seconds=1, seed=1) == []
