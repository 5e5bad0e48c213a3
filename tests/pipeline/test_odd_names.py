"""Spaces, umlauts, dots, quotes and commas in folders, videos, prompts and labels survive every format there is."""

from __future__ import annotations

import csv
import json
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pipeline.build import Build
from pipeline.exports.export import exports
from pipeline.label_import import label
from pipeline.layout import Layout
from pipeline.loader import decode
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import write_crop
from tests.running import rows

PROMPT = 'Kälbchen v1.5 <jung> & "klein"'
LABEL = "Füttern, früh v.2"
VIDEO = "Stall ü.1/cam 1.v2 & test.mp4"


@pytest.fixture(scope="module", params=["prompt", "label"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A dataset of two crops with every export, in a folder with a space, dot and umlaut; the name of its class."""
    root = tmp_path_factory.mktemp("Höfe v1.2 & co")
    write_crop(root / "my videos" / VIDEO, 96, 40, seed=1)
    (root / "mot").mkdir()
    lines = [f"{f + 1},1,{8 + f // 4},16,32,24,1,-1,-1,-1\n" for f in range(40)]
    (root / "mot" / f"{Path(VIDEO).stem}.txt").write_text("".join(lines))
    quoted = PROMPT.replace('"', '\\"')
    chosen = (f'videos="{root}/my videos"', f'out="{root}/my out"', f'tracker.path="{root}/mot"')
    small = ("crop.size=16", "filters.size.min_side=8", "clip.num_frames=5", f"exports=[{','.join(exports())}]")
    assert Build(loaded(f'prompt="{quoted}"', "tracker=file", *chosen, *small)).run().crops == 2
    out = root / "my out"
    if request.param == "prompt":
        return out, PROMPT
    (root / "labels.csv").write_text(f'video,start_s,end_s,label\n"{VIDEO}",0,100,"{LABEL}"\n', encoding="utf-8")
    settings = loaded("task=label", f'out="{out}"', f'labels="{root}/labels.csv"')
    assert label(settings, Layout(out, out / "tracks")) == 0
    return out, LABEL


def coco(target: Path) -> tuple[set[str], set[str], list[Path]]:
    found = json.loads((target / "train.json").read_text(encoding="utf-8"))
    named = {c["name"] for c in found["categories"]}
    files = {str(Path(i["file_name"]).parent) for i in found.get("images", ())}
    files |= {str(Path(f).parent) for v in found.get("videos", ()) for f in v["file_names"]}
    return named, {f"{f}.mp4" for f in files}, []


def videofolder(target: Path) -> tuple[set[str], set[str], list[Path]]:
    lines = [json.loads(x) for x in (target / "train" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    files = [target / "train" / x["file_name"] for x in lines]
    return {x["label"] for x in lines}, {x["source_video"] for x in lines}, files


def videomae(target: Path) -> tuple[set[str], set[str], list[Path]]:
    lines = [x.split(" ") for x in (target / "train.csv").read_text(encoding="utf-8").splitlines()]
    assert all(len(x) == 2 for x in lines)
    return set(json.loads((target / "classes.json").read_text(encoding="utf-8"))), set(), [target / x for x, _ in lines]


def webdataset(target: Path) -> tuple[set[str], set[str], list[Path]]:
    (shard,) = (target / "train").glob("*.tar")
    with tarfile.open(shard) as tar:
        names = tar.getnames()
        said = [json.load(tar.extractfile(n)) for n in names if n.endswith(".json")]  # type: ignore[arg-type]
    assert all(len(n.split(".")) == 2 for n in names), "the name ends at the first dot"
    return {x["label"] for x in said}, {x["source_video"] for x in said}, []


def mot(target: Path) -> tuple[set[str], set[str], list[Path]]:
    named = set((target / "labels.txt").read_text(encoding="utf-8").splitlines())
    return named, set(), list(target.glob("train/*/gt/gt.txt"))


def stills(target: Path) -> tuple[set[str], set[str], list[Path]]:
    with (target / "stills.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    return {x["class"] for x in lines}, {x["video"] for x in lines}, [target / x["path"] for x in lines]


def table(target: Path) -> tuple[set[str], set[str], list[Path]]:
    with (target / "labels.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    named = {x["label"] or x["prompt"] for x in lines}
    return named, {x["video"] for x in lines}, [target.parents[1] / x["path"] for x in lines]


def boris(target: Path) -> tuple[set[str], set[str], list[Path]]:
    with (target / "events.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    return {x["Behavior"] for x in lines}, {x["Media file name"] for x in lines}, []


def cvat(target: Path) -> tuple[set[str], set[str], list[Path]]:
    (file,) = target.glob("*.xml")
    root = ElementTree.parse(file).getroot()
    said = {a.text or "" for a in root.iter("attribute") if a.get("name")} - {"unlabelled"}
    return said or {t.get("label") or "" for t in root.iter("track")}, {root.findtext("meta/task/source") or ""}, []


def labelstudio(target: Path) -> tuple[set[str], set[str], list[Path]]:
    tasks = json.loads((target / "tasks.json").read_text(encoding="utf-8"))
    named = {r["value"]["choices"][0] for t in tasks for a in t.get("annotations", ()) for r in a["result"]}
    files = [target / unquote(t["data"]["video"].split("?d=")[1]) for t in tasks]
    return named or {t["data"]["prompt"] for t in tasks}, {t["data"]["source_video"] for t in tasks}, files


def fiftyone(target: Path) -> tuple[set[str], set[str], list[Path]]:
    found = json.loads((target / "samples.json").read_text(encoding="utf-8"))["samples"]
    named = {s["label"]["label"] if "label" in s else s["prompt"] for s in found}
    return named, {s["source_video"] for s in found}, [target / s["filepath"] for s in found]


READERS: dict[str, Callable[[Path], Any]] = {
    "boris": boris, "coco": coco, "csv": table, "cvat": cvat, "fiftyone": fiftyone, "labelstudio": labelstudio,
    "mot": mot, "stills": stills, "videofolder": videofolder, "videomae": videomae, "webdataset": webdataset,
    "ytvis": coco,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(exports()))
def test_names_come_back_as_they_were_and_every_file_is_there(name: str, made: tuple[Path, str]) -> None:
    out, wanted = made
    named, videos, files = READERS[name](out / "exports" / name)
    if name == "boris" and wanted == PROMPT:
        assert named == set(), "without labels there are no events"
        return
    assert named == {wanted}
    assert videos in (set(), {VIDEO})
    assert all(file.is_file() and file.stat().st_size > 0 for file in files)
    assert all(len(decode(file)) == 5 for file in files if file.suffix == ".mp4")


def test_the_index_has_them_too(made: tuple[Path, str]) -> None:
    out, wanted = made
    for row in rows(out / "samples.parquet"):
        assert (row["video"], row["prompt"]) == (VIDEO, PROMPT)
        assert row["label"] == (None if wanted == PROMPT else LABEL)
