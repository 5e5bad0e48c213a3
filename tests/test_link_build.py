"""Individuals from the command line: true tracks whose numbers change with every clip are put together again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import Done, rows, run
from video.scenes import load_truth

Run = Callable[..., Done]
CLIP = 40  # source frames: ten sampled ones
NUMBERS = 10  # individuals are numbered from 1 in the first clip, from 11 in the second, ...


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: run(capfd, monkeypatch, *arguments)


def write_mot(footage: Path, folder: Path, tens: int) -> Path:
    """MOT files of the truth; with tens, a number's tens say in which clip it was given."""
    for video in footage.rglob("*.mp4"):
        truth = load_truth(video)
        lines = []
        for frame, who, box in zip(truth.frame.tolist(), truth.individual.tolist(), truth.boxes.tolist(), strict=True):
            x0, y0, x1, y1 = box
            number = frame // CLIP * tens + who + 1
            lines.append(f"{frame + 1},{number},{x0 + 1},{y0 + 1},{x1 - x0},{y1 - y0},1,-1,-1,-1")
        (folder / f"{video.stem}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def common(footage: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    tracks = write_mot(footage, tmp_path_factory.mktemp("mot"), NUMBERS)
    small = ("clip.num_frames=10", "crop.size=32", "filters.size.min_side=8", "exports=[]", "prompt=cow")
    return (f"videos={footage}/farm1", f"out={tmp_path}", "tracker=file", f"tracker.path={tracks}", *small)


def test_a_build_names_the_individuals(common: tuple[str, ...], tmp_path: Path, go: Run) -> None:
    done = go(*common)
    assert done.status == 0, done.text
    samples = rows(tmp_path / "samples.parquet")
    assert all(s["individual_id"] for s in samples), "nobody is without a name"
    true: dict[str, set[tuple[str, int]]] = {}
    for s in samples:
        true.setdefault(s["individual_id"], set()).add((s["video"], s["object_id"] % NUMBERS))
    assert all(len(who) == 1 for who in true.values()), "no name is shared by two"
    there = {(s["video"], s["object_id"] % NUMBERS) for s in samples}
    assert len(there) <= len(true) <= len(there) + 2 < len(samples) / 2, "and few have two names"
    links = rows(tmp_path / "links.parquet")
    joined = [s for s in samples if s["link_confidence"] is not None]
    assert joined and {x["state"] for x in links} <= {"linked", "open"}
    assert {x["second_sample"] for x in links if x["state"] == "linked"} >= {s["sample_id"] for s in joined}
    assert "links.parquet" in (tmp_path / "checksums.sha256").read_text()
    assert f"{len(samples)} crops of {len(true)} individuals" in done.text

    before = {s["sample_id"]: s["individual_id"] for s in samples}
    done = go(*common, "crop.size=48", "crop.margin=0.3")
    assert "nothing was tracked" in done.text, done.text
    assert {s["sample_id"]: s["individual_id"] for s in rows(tmp_path / "samples.parquet")} == before


def test_other_thresholds_need_no_tracking_and_off_is_off(common: tuple[str, ...], tmp_path: Path, go: Run) -> None:
    assert go(*common).status == 0
    done = go(*common, "link.min_score=1", "link.min_iou=1")
    assert done.status == 0 and "2 of 2 chunks are done already" in done.text, done.text
    samples = rows(tmp_path / "samples.parquet")
    assert len({s["individual_id"] for s in samples}) == len(samples), "each its own"
    assert {x["state"] for x in rows(tmp_path / "links.parquet")} == {"open"}
    done = go(*common, "link.enabled=false")
    assert done.status == 0, done.text
    assert {s["individual_id"] for s in rows(tmp_path / "samples.parquet")} == {None}
    assert not (tmp_path / "links.parquet").exists()


def test_a_lead_links_by_masks_and_divided_individuals_are_said(
    common: tuple[str, ...], footage: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, go: Run
) -> None:
    """The numbers stay here, as a clip's are not those of the frames before it otherwise."""
    steady = write_mot(footage, tmp_path_factory.mktemp("mot"), 0)
    by_time = ("split.by=time", "split.embargo=0", "split.fractions=[0.4,0.3,0.3]")
    done = go(*common, f"tracker.path={steady}", "clip.lead=2", *by_time)
    assert done.status == 0, done.text
    samples = rows(tmp_path / "samples.parquet")
    assert len({s["split"] for s in samples}) > 1
    assert "individuals have crops in more than one split" in done.text
    by = [x["by"] for x in rows(tmp_path / "links.parquet") if x["state"] == "linked"]
    assert by.count("masks") >= 5
    true: dict[str, set[tuple[str, int]]] = {}
    for s in samples:
        true.setdefault(s["individual_id"], set()).add((s["video"], s["object_id"]))
    assert all(len(who) == 1 for who in true.values())
    done = go(*common, f"tracker.path={steady}", "clip.lead=2", *by_time, "split.embargo=1000")
    assert "no crop was kept for train, val and test" not in done.text, "then there is more to say"
    done = go(*common, f"tracker.path={steady}", "clip.lead=2", *by_time, "split.fractions=[0.98,0.01,0.01]")
    assert (
        "no crop was kept for val and test: no clip was taken there, nothing was found, or it was refused" in done.text
    ), done.text
    assert "(split.embargo)" in done.text


def test_a_split_by_individual_keeps_a_herd_in_sight_together(common: tuple[str, ...], tmp_path: Path, go: Run) -> None:
    done = go(*common, "split.by=individual", "split.embargo=0", "link.min_score=0", "link.margin=0")
    assert done.status == 0, done.text
    samples = rows(tmp_path / "samples.parquet")
    of: dict[str, set[str]] = {}
    for s in samples:
        of.setdefault(s["individual_id"], set()).add(s["split"])
    assert all(len(splits) == 1 for splits in of.values())
    assert "in every video all clips join into one group" in done.text
    kept = {row["group"]: row["split"] for row in rows(tmp_path / "splits.parquet") if row["by"] == "individual"}
    assert kept == {s["clip_id"]: s["split"] for s in samples}
    again = go(*common, "split.by=individual", "split.embargo=0", "link.min_score=0", "link.margin=0")
    assert again.status == 0 and "2 of 2 chunks are done already" in again.text
    alone = go(*common, "split.by=individual", "link.enabled=false")
    assert alone.status == 2 and "split.by=individual needs the individuals that link.enabled=true finds" in alone.text
