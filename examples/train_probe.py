"""A first honest number: how well a linear probe reads the labels of a dataset, and what would only look so.

    python -m examples.train_probe --dataset demo/behaviours [--backbone flow] [--folds 5] [--json FILE]

The same probe (standardised features, logistic regression, classes weighted alike) reads the crops (the main
background), every other background (`crop.variants`), and the whole frames of the source videos at the same moments.
Each is judged twice: on the dataset's own split, whose groups keep videos apart, and on a random split of the same
sizes, which puts neighbouring clips of one animal on both sides. The gap between the two is what leaks.

Balanced accuracy is the mean over classes of the part that is recognised, so guessing gives 1 / classes. Its interval
(95 %) comes from drawing the test videos with replacement: clips of one video are no independent evidence. Nothing is
tuned, so val is trained on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from examples.embed import Backbone, open_backbone, track
from pipeline.errors import PipelineError
from pipeline.loader import CropDataset
from pipeline.tables import read_table
from video.errors import VideoError
from video.reader import open_reader
from video.source import find, probe
from video.types import Grid

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Ints = NDArray[np.intp]
Fold = tuple[Ints, Ints]  # rows to train on, rows to test on

RESAMPLES, SEED = 1000, 0
COLUMNS = ["sample_id", "clip_id", "video", "split", "frame_indices", "boxes", "size", "background", "variants"]


@dataclass(frozen=True, slots=True)
class Score:
    """Balanced accuracy with its interval, and the part recognised of each class (NaN: none of it was tested)."""

    balanced: float
    low: float
    high: float
    recall: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the result: what was looked at, how, and both scores."""

    seen: str
    features: str
    grouped: Score
    random: Score


# -- features ---------------------------------------------------------------------------------------------------------


def of_crops(root: Path, variant: str, backbone: Backbone) -> F32:
    crops = CropDataset(root, variant=variant, classes="label")
    return np.stack([backbone(crops[n][0]) for n in range(len(crops))])


def of_whole_frames(root: Path, rows: Sequence[dict[str, Any]], backbone: Backbone) -> F32:
    """The frames of each crop's clip, whole, fitted into a square of the crops' size. Crops of one clip share them.

    Raises SystemExit when a video is not where the dataset says.
    """
    config = OmegaConf.load(root / "dataset.yaml")
    videos = config.videos if OmegaConf.is_list(config.videos) else [config.videos]
    places = {each.name: each.path for each in find([str(v) for v in videos])}
    found: dict[str, F32] = {}
    ordered = sorted(rows, key=lambda r: (r["video"], r["frame_indices"][0]))
    for name, of_video in groupby(ordered, key=lambda r: r["video"]):
        if name not in places:
            raise SystemExit(f"{name} is not among the videos of {root / 'dataset.yaml'}: leave out --whole-frames")
        found |= _of_video(places[name], name, of_video, backbone)
    return np.stack([found[row["clip_id"]] for row in rows])


def _of_video(path: str, name: str, rows: Iterable[dict[str, Any]], backbone: Backbone) -> dict[str, F32]:
    (listed,) = find([path])
    video = probe(listed)
    found: dict[str, F32] = {}
    reader, passed = open_reader(video), -1
    for row in rows:
        if row["clip_id"] in found:
            continue
        if row["frame_indices"][0] <= passed:  # clips that overlap
            reader.__exit__(None, None, None)
            reader = open_reader(video)
        positions = [range(index, index + 1) for index in row["frame_indices"]]
        pictures = [_square(frame.rgb, row["size"]) for frame in reader.read(Grid(), positions)]
        passed = row["frame_indices"][-1]
        found[row["clip_id"]] = backbone(np.stack(pictures))
    reader.__exit__(None, None, None)
    return found


def _square(picture: U8, side: int) -> U8:
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


# -- the probe --------------------------------------------------------------------------------------------------------


def own_folds(splits: Sequence[str]) -> list[Fold]:
    """Train and val against test. Raises SystemExit if either is empty."""
    named = np.array(splits)
    train, test = np.flatnonzero(named != "test"), np.flatnonzero(named == "test")
    if not len(train) or not len(test):
        raise SystemExit("the dataset has no labelled crops in train or in test: label more, or use --folds 5")
    return [(train, test)]


def grouped_folds(groups: NDArray[Any], labels: Ints, folds: int) -> list[Fold]:
    """Every video tested once, never with crops of its own in training."""
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(groups)) < folds:
        raise SystemExit(f"--folds {folds} needs as many videos, the labelled crops come from {len(set(groups))}")
    return list(StratifiedGroupKFold(folds, shuffle=True, random_state=SEED).split(labels, labels, groups))


def random_folds(labels: Ints, like: Sequence[Fold]) -> list[Fold]:
    """Splits of the same sizes that know nothing of videos: what a careless split gives."""
    from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

    if len(like) > 1:
        return list(StratifiedKFold(len(like), shuffle=True, random_state=SEED).split(labels, labels))
    sizes = {"train_size": len(like[0][0]), "test_size": len(like[0][1])}
    return list(StratifiedShuffleSplit(1, random_state=SEED, **sizes).split(labels, labels))


def judge(features: F32, labels: Ints, groups: NDArray[Any], folds: Sequence[Fold], classes: int) -> Score:
    """Fit on each fold's training rows, predict its test rows, and score all predictions together."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tested = np.concatenate([test for _, test in folds])
    predicted = []
    for train, test in folds:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000, class_weight="balanced"))
        predicted.append(model.fit(features[train], labels[train]).predict(features[test]))
    return scored(labels[tested], np.concatenate(predicted), groups[tested], classes)


def scored(true: Ints, predicted: Ints, groups: NDArray[Any], classes: int) -> Score:
    """Balanced accuracy over the classes that occur, its interval by resampling groups, and the recall per class."""
    names, place = np.unique(groups, return_inverse=True)
    right, seen = np.zeros((len(names), classes)), np.zeros((len(names), classes))
    np.add.at(seen, (place, true), 1)
    np.add.at(right, (place, true), true == predicted)

    def recall(counts: NDArray[Any]) -> NDArray[Any]:
        hits, all_of_it = counts @ right, counts @ seen
        rates: NDArray[np.float64] = np.divide(hits, all_of_it, out=np.full(classes, np.nan), where=all_of_it > 0)
        return rates

    random = np.random.default_rng(SEED)
    draws = random.multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    spread = [float(np.nanmean(recall(draw))) for draw in draws]
    whole = recall(np.ones(len(names)))
    low, high = np.quantile(spread, [0.025, 0.975])
    return Score(float(np.nanmean(whole)), float(low), float(high), tuple(map(float, whole)))


# -- the program ------------------------------------------------------------------------------------------------------


def run(
    root: Path, backbones: Sequence[str], folds: int | None, weights: Path | None, whole: bool
) -> tuple[list[Line], str, list[str]]:
    """Every line of the result, what it was measured on, and the names of the classes."""
    crops = CropDataset(root, classes="label")
    if not len(crops):
        raise SystemExit(f"{root} has no labelled crop: python main.py task=label out={root} labels=FILE")
    by_id = {row["sample_id"]: row for row in read_table(root / "samples.parquet", COLUMNS).to_pylist()}
    rows = [by_id[item.sample_id] for item in crops.items]
    labels = np.array([item.label for item in crops.items])
    groups = np.array([row["video"] for row in rows])
    names = sorted(crops.classes, key=crops.classes.__getitem__)
    grouped = own_folds([row["split"] for row in rows]) if folds is None else grouped_folds(groups, labels, folds)
    random = random_folds(labels, grouped)
    lacking = {
        names[c] for train, _ in (*grouped, *random) for c in range(len(names)) if not (labels[train] == c).any()
    }
    if lacking:
        raise SystemExit(f"nothing to train {', '.join(sorted(lacking))} on in one of the splits: label more of it")

    def line(seen: str, features: str, values: F32) -> Line:
        scores = [judge(values, labels, groups, each, len(names)) for each in (grouped, random)]
        return Line(seen, features, *scores)

    tracks = np.stack([track(row) for row in rows])
    lines = [line("no pixels", "track", tracks)]
    backgrounds = [rows[0]["background"], *(v["background"] for v in rows[0]["variants"])]
    for name in backbones:
        backbone = open_backbone(name, weights)
        for background in backgrounds:
            values = of_crops(root, background, backbone)
            lines.append(line(f"crops, {background}", name, values))
            lines.append(line(f"crops, {background}", f"{name} + track", np.hstack([values, tracks])))
        if whole:
            lines.append(line("whole frames", name, of_whole_frames(root, rows, backbone)))
    return lines, _about(labels, groups, grouped, names), names


def _about(labels: Ints, groups: NDArray[Any], grouped: Sequence[Fold], names: Sequence[str]) -> str:
    counts = np.bincount(labels, minlength=len(names))
    tested = sum(len(test) for _, test in grouped)
    return (
        f"{len(labels)} labelled crops of {len(set(groups))} videos "
        f"({', '.join(f'{n} {name}' for n, name in zip(counts, names, strict=True))}); "
        f"{tested} tested, from {len({g for _, test in grouped for g in groups[test]})} videos; "
        f"guessing gives {1 / len(names):.2f}"
    )


def table(lines: Sequence[Line], names: Sequence[str]) -> str:
    """The result as a markdown table."""
    head = ["looked at", "features", "videos kept apart (95 %)", *names, "random split", "looks better by"]
    rows = [head, ["---"] * len(head)]
    for line in lines:
        own, other = line.grouped, line.random
        interval = f"**{own.balanced:.2f}** ({own.low:.2f} to {own.high:.2f})"
        recall = [f"{r:.2f}" for r in own.recall]
        rows.append(
            [
                line.seen,
                line.features,
                interval,
                *recall,
                f"{other.balanced:.2f}",
                f"{other.balanced - own.balanced:+.2f}",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _score(score: Score) -> dict[str, Any]:
    return {"balanced_accuracy": score.balanced, "low": score.low, "high": score.high, "recall": score.recall}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", type=Path, required=True, help="the folder of a built and labelled dataset")
    parser.add_argument(
        "--backbone",
        action="append",
        metavar="NAME",
        help="flow (default), videomae-random, videomae:FOLDER, timm:NAME or torchvision:NAME; several may be given",
    )
    parser.add_argument("--weights", type=Path, help="a state dict for timm:NAME or torchvision:NAME")
    parser.add_argument("--folds", type=int, help="cross-validate over videos instead of the dataset's own split")
    parser.add_argument("--no-whole-frames", action="store_true", help="leave the source videos alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to FILE")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    backbones = options.backbone or ["flow"]
    try:
        lines, about, names = run(
            options.dataset, backbones, options.folds, options.weights, not options.no_whole_frames
        )
    except (PipelineError, VideoError) as error:
        raise SystemExit(str(error)) from error
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise SystemExit("the probe needs scikit-learn: pip install 'clipcrop[probe]'") from error
    print(f"{about}.\n\n{table(lines, names)}")
    if options.json is not None:
        found = [
            {"looked_at": x.seen, "features": x.features, "grouped": _score(x.grouped), "random": _score(x.random)}
            for x in lines
        ]
        options.json.write_text(json.dumps({"about": about, "classes": names, "results": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
