"""A build on top of a finished one: what changed beside the chunks is seen, and what is gone is made again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.build import Build, Summary
from pipeline.errors import DatasetError
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import write_crop
from tests.running import rows

Again = Callable[..., Summary]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """One video of 40 frames with one given track, two clips long."""
    write_crop(tmp_path / "videos" / "a.mp4", 64, 40, seed=1)
    lines = [f"{frame + 1},1,{8 + frame // 4},16,32,24,1,-1,-1,-1\n" for frame in range(40)]
    (tmp_path / "a.txt").write_text("".join(lines))
    return tmp_path / "videos"


@pytest.fixture
def build(videos: Path) -> Again:
    def run(*more: str) -> Summary:
        root = videos.parent
        chosen = (f"videos={videos}", f"out={root}/out", f"tracker.path={root}/a.txt")
        small = ("crop.size=16", "filters.size.min_side=8", "clip.num_frames=5", "exports=[]")
        return Build(loaded("prompt=cow", "tracker=file", *chosen, *small, *more)).run()

    return run


def test_a_video_that_cannot_be_used_is_noticed_when_it_comes_and_when_it_goes(build: Again, videos: Path) -> None:
    failures = videos.parent / "out" / "failures.parquet"
    first = build()
    assert (first.crops, first.failures, first.status) == (2, 0, 0)
    (videos / "b.mp4").write_text("not a video")
    second = build()
    assert (second.crops, second.failures, second.status) == (2, 1, 3)
    assert [row["video"] for row in rows(failures)] == ["b.mp4"]
    assert build().status == 3, "and again, as long as it is there"
    (videos / "b.mp4").unlink()
    assert build().status == 0 and rows(failures) == []


def test_a_second_copy_is_noticed_when_it_comes_and_when_it_goes(build: Again, videos: Path) -> None:
    rejected = videos.parent / "out" / "rejected.parquet"
    build()
    shutil.copyfile(videos / "a.mp4", videos / "b.mp4")
    build()
    assert [(row["video"], row["reason"]) for row in rows(rejected)] == [("b.mp4", "duplicate of a.mp4")]
    (videos / "b.mp4").unlink()
    build()
    assert rows(rejected) == []


@pytest.mark.parametrize("pattern", ["*.mp4", "*.mask.mp4"])
def test_a_crop_that_is_gone_is_made_again(build: Again, videos: Path, pattern: str) -> None:
    variants = "crop.variants=[black,mask]"
    build(variants)
    crops = videos.parent / "out" / "crops"
    before = {path: path.read_bytes() for path in crops.rglob("*.mp4")}
    assert len(before) == 4
    next(crops.rglob(pattern)).unlink()
    build(variants)
    assert {path: path.read_bytes() for path in crops.rglob("*.mp4")} == before


def test_nothing_to_do_writes_no_crop_index_or_report(build: Again, videos: Path) -> None:
    out = videos.parent / "out"

    def written() -> dict[Path, int]:
        notes = ("settings", "index.lock", "done.json")
        kept = [p for p in out.rglob("*") if p.is_file() and p.name not in notes]
        return {p: p.stat().st_mtime_ns for p in kept if "trackers" not in p.parts}

    build()
    before = written()
    assert build().crops == 2 and written() == before


def test_what_the_settings_no_longer_name_is_removed(build: Again, videos: Path) -> None:
    out = videos.parent / "out"
    build("crop.variants=[black,mask]")
    build()
    assert len(list((out / "crops").rglob("*.mp4"))) == 2 and len(list((out / "records").glob("??/*.json"))) == 1
    build("filters.size.min_side=60")
    assert rows(out / "samples.parquet") == [] and not list((out / "crops").rglob("*.mp4"))
    assert len(rows(out / "rejected.parquet")) == 2


def test_what_a_killed_run_left_to_remove_is_removed_by_the_next(
    build: Again, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = videos.parent / "out"
    build("crop.variants=[black,mask]")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(Build, "_remove_superseded", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        build()
    assert len(list((out / "crops").rglob("*.mp4"))) == 4
    build()
    assert len(list((out / "crops").rglob("*.mp4"))) == 2


# -- what a rerun looks into ------------------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The records that were read."""
    names: list[str] = []
    one = Ledger.read
    monkeypatch.setattr(Ledger, "read", lambda self, name: (names.append(name), one(self, name))[1])
    return names


def aged(out: Path, seconds: float = 60) -> None:
    """Let everything under records/ and crops/ have happened earlier, but what was noted of it now."""
    for path in [*(out / "crops").rglob("*"), *(out / "records").rglob("*")]:
        if path.name != "done.json":
            stat = path.stat()
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - round(seconds * 1e9)))


def test_a_rerun_looks_into_no_record_that_was_found_finished(build: Again, videos: Path, read: list[str]) -> None:
    out = videos.parent / "out"
    build()
    aged(out)
    build()
    assert len(set(read)) == 1, "its marks are those of other times"
    build()
    read.clear()
    assert build().crops == 2 and read == []


@pytest.mark.parametrize("change", ["gone", "another", "record"])
def test_what_changed_since_is_looked_into(change: str, build: Again, videos: Path, read: list[str]) -> None:
    out = videos.parent / "out"
    build()
    aged(out)
    build()
    read.clear()
    crop, *_ = (out / "crops").rglob("*.mp4")
    (record,) = (out / "records").glob("??/*.json")
    before = crop.read_bytes()
    match change:
        case "gone":
            crop.unlink()
        case "another":
            crop.unlink()
            crop.write_bytes(b"another")
        case "record":
            record.write_bytes(record.read_bytes()[:100])
    build()
    assert read and crop.read_bytes() == before


def test_only_the_crops_of_changed_chunks_are_looked_for(
    build: Again, videos: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: a network drive answers slowly."""
    out, listed = videos.parent / "out", list[str]()
    write_crop(videos / "b.mp4", 64, 40, seed=2)
    (videos.parent / "a.txt").rename(videos / "a.txt")
    shutil.copyfile(videos / "a.txt", videos / "b.txt")
    given = f"tracker.path={videos}"
    build(given)
    aged(out)
    build(given)
    read.clear()
    one = Layout._crop_files
    monkeypatch.setattr(Layout, "_crop_files", lambda self, clip: (listed.append(clip), one(self, clip))[1])
    crop = min((out / "crops").rglob("*.mp4"))
    before = crop.read_bytes()
    crop.unlink()
    monkeypatch.setattr(Build, "_finish", lambda self, *_: None)
    build(given)
    record = Ledger(Layout(out, out / "tracks")).read(read[0])
    assert record is not None and crop.parent.name in record.clips
    assert set(read) == {record.id} and sorted(listed) == sorted(record.clips)
    assert crop.read_bytes() == before


def test_a_filter_that_admits_more_is_not_taken_for_what_was_judged_before(build: Again, videos: Path) -> None:
    strict, out = "filters.size.min_side=60", videos.parent / "out"
    assert build(strict).crops == 0
    aged(out)
    assert build(strict).crops == 0
    assert build().crops == 2


def test_what_was_only_just_made_is_looked_into(build: Again, videos: Path, read: list[str]) -> None:
    """Its folder could change within the same tick of the file system's clock."""
    build()
    noted = videos.parent / "out" / "records" / "done.json"
    made = [*(videos.parent / "out" / "crops").iterdir(), *(videos.parent / "out" / "records").glob("??/*.json")]
    newest = max(path.stat().st_mtime_ns for path in made)
    for apart, looks in ((1.9, True), (2.1, False)):
        os.utime(noted, ns=(newest, newest + round(apart * 1e9)))
        read.clear()
        marks = noted.read_bytes()
        build()
        assert bool(read) == looks
        noted.write_bytes(marks)


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"judged": 1}'])
def test_damaged_notes_cost_a_look_and_no_more(damage: bytes, build: Again, videos: Path) -> None:
    build()
    (videos.parent / "out" / "records" / "done.json").write_bytes(damage)
    assert build().crops == 2


# -- filters of pixels ------------------------------------------------------------------------------------------------


def test_a_crop_is_judged_again_by_its_pixels_before_it_is_written(build: Again, videos: Path) -> None:
    out = videos.parent / "out"
    strict = ("filters.still.enabled=true", "filters.still.min_motion=1.0")
    first = build(*strict)
    assert (first.crops, first.rejected) == (0, 2) and not list(out.rglob("crops/*/*.mp4"))
    refused = rows(out / "rejected.parquet")
    assert {(row["reason"], row["threshold"]) for row in refused} == {("still", 1.0)}
    assert all(0 < row["value"] < 1 and row["value"] == pytest.approx(row["motion"]) for row in refused)
    record = next((out / "records").glob("??/*.json"))
    before = record.stat().st_mtime_ns
    assert build(*strict).rejected == 2 and record.stat().st_mtime_ns == before, "nothing is rendered again"
    admitted = build()
    assert (admitted.crops, admitted.tracked_windows) == (2, 0)
    assert [row["motion"] for row in rows(out / "samples.parquet")] == pytest.approx([row["motion"] for row in refused])
    assert build(*strict).crops == 0 and not list(out.rglob("crops/*/*.mp4"))


# -- splits -----------------------------------------------------------------------------------------------------------


def test_a_video_cut_in_time_has_both_sides_and_says_what_it_left_out(build: Again, videos: Path) -> None:
    """40 frames of 5 a second: clips at 0..3.4 and 4..7.4 s; the border lies at 4 s."""
    out = videos.parent / "out"
    halves = ("split.by=time", "split.fractions=[0.5,0.5,0]")
    build(*halves, "split.embargo=0")
    assert [row["split"] for row in rows(out / "samples.parquet")] == ["train", "val"]
    build(*halves, "split.embargo=0.3")
    assert [row["split"] for row in rows(out / "samples.parquet")] == ["train"]
    (refused,) = rows(out / "rejected.parquet")
    assert (refused["reason"], refused["threshold"]) == ("embargo", pytest.approx(0.3))
    assert refused["value"] == pytest.approx(0.0)
    again = build(*halves, "split.embargo=0")
    assert (again.crops, again.tracked_windows) == (2, 0)


def test_the_same_footage_under_two_names_may_not_lie_in_two_splits(build: Again, videos: Path) -> None:
    out = videos.parent / "out"
    (videos / "copy.mp4").write_bytes((videos / "a.mp4").read_bytes() + (16).to_bytes(4) + b"free" + bytes(8))
    (videos.parent / "mot").mkdir()
    for name in ("a", "copy"):
        shutil.copyfile(videos.parent / "a.txt", videos.parent / "mot" / f"{name}.txt")
    wanted = (f"tracker.path={videos.parent}/mot", "exports=[videofolder]")
    apart = ("split.assign={a.mp4: train, copy.mp4: test}", *wanted)
    with pytest.raises(DatasetError, match=r"the splits leak.* 2 pairs of crops.*\(train\).*\(test\) share bytes"):
        build(*apart)
    assert not (out / "exports" / "videofolder").exists()
    with pytest.raises(DatasetError, match="the splits leak"):
        build(*apart)
    together = build("split.assign={a.mp4: train, copy.mp4: train}", *wanted)
    assert together.crops == 4 and (out / "exports" / "videofolder").is_dir()
