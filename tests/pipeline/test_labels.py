"""Labels: kept with their anchors, found again after other tracking, never lost and never guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.build import Build
from pipeline.errors import ConfigError, DatasetError
from pipeline.label_import import label, read_labels
from pipeline.labels import Label, LabelStore, anchored, match
from pipeline.layout import Layout
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import write_crop
from tests.running import rows

NOW = "2026-01-01T00:00:00+00:00"


def sample(name: str, first: int = 0, at: int = 10, step: int = 4, count: int = 5, **more: Any) -> dict[str, Any]:
    """A row: 25 frames a second, an object of 20 x 20 that stands at x = `at`."""
    frames = [first + step * n for n in range(count)]
    row = {
        "sample_id": name,
        "video": "barn/a.mp4",
        "video_fingerprint": "f" * 16,
        "frame_indices": frames,
        "timestamps_s": [frame / 25 for frame in frames],
        "boxes": [[at, 10, at + 20, 30]] * count,
    }
    return row | more


def given(text: str | None, row: dict[str, Any], time: str = NOW) -> Label:
    return anchored(text, "ann", time, row)


def span(text: str, start: float, end: float, time: str = NOW) -> Label:
    return Label(text, "ann", time, "barn/a.mp4", "f" * 16, start, end)


# -- matching ---------------------------------------------------------------------------------------------------------


def test_a_label_finds_its_object_by_place_and_time_alone() -> None:
    old = sample("old", at=10)
    now = [sample("new 1", at=12), sample("new 2", at=60), sample("later", first=400, at=12)]
    assert match([given("lying", old)], now).found == ["lying", None, None]
    other_video = sample("twin", at=12, video_fingerprint="e" * 16)
    assert match([given("lying", old)], [other_video]).found == [None]


def test_it_follows_another_stride_and_other_cuts() -> None:
    moving = sample("old", count=9, boxes=[[10 + 4 * n, 10, 30 + 4 * n, 30] for n in range(9)])
    finer = sample("fine", step=2, count=17, boxes=[[10 + 2 * n, 10, 30 + 2 * n, 30] for n in range(17)])
    half = {key: moving[key][4:] for key in ("frame_indices", "timestamps_s", "boxes")}
    late = sample("late") | half
    assert match([given("walking", moving)], [finer, late]).found == ["walking", "walking"]
    last = sample("last") | {key: moving[key][7:] for key in ("frame_indices", "timestamps_s", "boxes")}
    assert match([given("walking", moving)], [last]).found == [None], "less than half of what was seen"


def test_what_overlaps_a_little_is_left_open() -> None:
    anchor = given("lying", sample("old", at=10))
    assert match([anchor], [sample("near", at=19)]).doubtful == [anchor], "IoU 11 / 29"
    gone = match([anchor], [sample("far", at=90)])
    assert (gone.lost, gone.doubtful, gone.found) == ([anchor], [], [None])
    assert match([anchor], []).lost == [anchor]


def test_the_latest_counts_and_nothing_takes_it_back() -> None:
    row = sample("a")
    first, second = given("lying", row, "2026-01-01"), given("standing", row, "2026-01-02")
    assert match([second, first], [row]).found == ["standing"], "by time, not by place in the file"
    assert match([first, second, given(None, row, "2026-01-03")], [row]).found == [None]
    assert match([first, given("eating", row, "2026-01-01")], [row]).found == ["eating"], "then by place"


def test_a_span_is_said_of_everything_at_least_half_in_it() -> None:
    early, late = sample("early", count=26), sample("late", first=100, count=26)
    assert match([span("feeding", 2.0, 60)], [early, late]).found == ["feeding", "feeding"]
    assert match([span("feeding", 2.1, 60)], [early, late]).found == [None, "feeding"]
    both = [span("feeding", 0, 3), span("resting", 3, 9)]
    assert match(both, [early]).found == ["feeding"], "three of four seconds"
    assert match([*both, given("lying", early)], [early, late]).found == ["lying", "resting"]


def test_a_thousand_labels_and_samples_meet_in_order() -> None:
    many = [sample(f"s{n}", first=100 * n, at=n % 50) for n in range(1000)]
    assert match([given(f"l{n}", row) for n, row in enumerate(many)], many).found == [f"l{n}" for n in range(1000)]


# -- the store --------------------------------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "tracks")


def test_what_is_appended_is_read_back_in_order(layout: Layout) -> None:
    store = LabelStore(layout)
    assert store.read() == []
    labels = [given("lying", sample("a")), span("Füttern, früh", 0, 2), given(None, sample("a"))]
    store.append(labels[:2])
    store.append(labels[2:])
    assert store.read() == labels


def test_a_cut_last_line_costs_that_line_alone(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    store = LabelStore(layout)
    first, second = given("lying", sample("a")), given("standing", sample("b"))
    store.append([first, second])
    whole = layout.labels.read_bytes()
    layout.labels.write_bytes(whole[:-20])
    assert store.read() == [first] and "line 2 is no label" in caplog.text
    store.append([second])
    assert store.read() == [first, second], "what comes after a cut line is not glued to it"


# -- reading tables ---------------------------------------------------------------------------------------------------

ROWS = [sample("abc", at=10), sample("def", at=60), sample("ghi", video="field/a.mp4", video_fingerprint="d" * 16)]


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_crops_by_id_or_path(tmp_path: Path) -> None:
    text = "path,label,author,time\ncrops/x/abc.mp4,lying,ann,2026-05-01\n/data/def.black.mp4,standing,,\n"
    first, second = read_labels(table(tmp_path, text), ROWS)
    assert (first.label, first.author, first.time) == ("lying", "ann", "2026-05-01")
    assert first.boxes == given("", ROWS[0]).boxes and second.boxes[0][1] == 60 and second.time
    (one,) = read_labels(table(tmp_path, "\ufeffSample_ID,Behaviour\nabc,lying\nabc,lying\n"), ROWS)[:1]
    assert one.label == "lying"


def test_spans_as_boris_writes_them(tmp_path: Path) -> None:
    text = "Observer,Media file name,Behavior,Start (s),Stop (s)\nann,C:\\\\video\\\\barn\\\\a.mp4,lying,1.5,8\n"
    (found,) = read_labels(table(tmp_path, text.replace("\\\\", "\\")), ROWS)
    assert found == replace(span("lying", 1.5, 8), time=found.time) and found.author == "ann"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\nlying\n", "must say what is labelled"),
        ("sample_id,colour\nabc,red\n", "needs a column label, it has sample_id"),
        ("sample_id,label\n", "no lines below its header"),
        ("sample_id,label\nabc,lying\nxyz,lying\nuvw,lying\n", r"no such crop in samples\.parquet \(line 3, 4\)"),
        ("sample_id,label\nabc,\ndef,\n", "none of its 2 lines has a label"),
        ("individual_id,label\nann,\n", r"no label \(line 2\)"),
        ("individual_id,label\nann,lying\nbert,lying\n", r"no such individual_id in samples\.parquet \(line 2, 3\)"),
        ("sample_id,label\nabc,lying\nabc,standing\n", r"another label for a crop that has one above \(line 3\)"),
        ("video,start_s,end_s,label\na.mp4,0,1,x\n", r"several videos of that name \(line 2\)"),
        ("video,start_s,end_s,label\nc.mp4,0,1,x\n", r"no such video \(line 2\)"),
        ("video,start_s,end_s,label\nbarn/a.mp4,5,1,x\n", r"start and end must be seconds, the start first \(line 2\)"),
        ("video,start_s,end_s,label\nbarn/a.mp4,0,soon,x\n", r"must be seconds"),
        ("video,start_s,end_s,label\nbarn/a.mp4,0,1,\nq.mp4,0,1,x\n", r"no label \(line 2\); no such video \(line 3\)"),
    ],
)
def test_a_table_with_mistakes_gives_nothing_and_names_them(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_labels(table(tmp_path, text), ROWS)
    assert str(table(tmp_path, text)) in str(caught.value)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file"):
        read_labels(tmp_path / "none.csv", ROWS)


# -- a dataset --------------------------------------------------------------------------------------------------------


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two given objects in two clips of one video: four crops."""
    write_crop(tmp_path / "videos" / "a.mp4", 96, 40, seed=1)
    retrack(tmp_path, 8)
    assert build(tmp_path / "out") == 4
    return tmp_path / "out"


def retrack(root: Path, x: int) -> None:
    lines = [f"{f + 1},1,{x},16,32,24,1,-1,-1,-1\n{f + 1},2,{x + 50},50,30,40,1,-1,-1,-1\n" for f in range(40)]
    (root / "a.txt").write_text("".join(lines))


def build(out: Path, *more: str) -> int:
    chosen = (f"videos={out.parent}/videos", f"out={out}", f"tracker.path={out.parent}/a.txt")
    small = ("crop.size=16", "filters.size.min_side=8", "clip.num_frames=5", "exports=[videomae]")
    return Build(loaded("prompt=cow", "tracker=file", *chosen, *small, *more)).run().crops


def take(out: Path, text: str) -> None:
    settings = loaded("task=label", f"out={out}", f"labels={table(out.parent, text)}")
    assert label(settings, Layout(out, out / "tracks")) == 0


def labels_of(out: Path) -> dict[tuple[int, int], str | None]:
    return {(row["object_id"], row["start_frame"]): row["label"] for row in rows(out / "samples.parquet")}


def test_labels_become_classes_and_survive_cropping_and_tracking_again(out: Path) -> None:
    assert set(labels_of(out).values()) == {None}
    ids = {(row["object_id"], row["start_frame"]): row["sample_id"] for row in rows(out / "samples.parquet")}
    take(out, f"sample_id,label\n{ids[1, 0]},lying\n{ids[2, 0]},standing\n{ids[1, 20]},standing\n")
    expected = {(1, 0): "lying", (2, 0): "standing", (1, 20): "standing", (2, 20): None}
    assert labels_of(out) == expected
    assert json.loads((out / "exports" / "videomae" / "classes.json").read_text()) == {"lying": 0, "standing": 1}
    listed = sum(
        len((out / "exports" / "videomae" / f"{s}.csv").read_text().splitlines()) for s in ("train", "val", "test")
    )
    assert listed == 3, "what has no label is left out"
    page = (out / "report" / "index.html").read_text()
    assert "<h3>Labels</h3>" in page and "standing" in page
    assert build(out, "crop.size=32") == 4 and labels_of(out) == expected
    retrack(out.parent, 10)
    tracks_before = {row["sample_id"] for row in rows(out / "samples.parquet")}
    assert build(out, "crop.size=32") == 4 and labels_of(out) == expected
    assert tracks_before.isdisjoint(row["sample_id"] for row in rows(out / "samples.parquet")), "other ids altogether"
    build(out, "export.classes=prompt")
    assert json.loads((out / "exports" / "videomae" / "classes.json").read_text()) == {"cow": 0}


def test_labels_that_no_longer_fit_are_listed(out: Path) -> None:
    take(out, "video,start_s,end_s,label\na.mp4,0,3.5,feeding\n")
    assert labels_of(out) == {(1, 0): "feeding", (2, 0): "feeding", (1, 20): None, (2, 20): None}
    ids = {(row["object_id"], row["start_frame"]): row["sample_id"] for row in rows(out / "samples.parquet")}
    take(out, f"sample_id,label\n{ids[1, 20]},lying\n")
    retrack(out.parent, 22)
    build(out)
    assert labels_of(out)[1, 20] is None, "it may be another animal"
    (line,) = (out / "labels.open.jsonl").read_text().splitlines()
    assert json.loads(line)["label"] == "lying" and json.loads(line)["state"] == "doubtful"


def test_nothing_is_taken_from_a_table_with_a_mistake(out: Path) -> None:
    before = (out / "samples.parquet").read_bytes()
    with pytest.raises(ConfigError, match="no such crop"):
        take(out, "sample_id,label\nnobody,lying\n")
    assert (out / "samples.parquet").read_bytes() == before and not (out / "labels.jsonl").exists()


def test_a_build_does_not_take_labels_and_label_needs_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is taken in by task=label"):
        loaded("videos=x", "prompt=cow", "labels=a.csv")
    layout = Layout(tmp_path, tmp_path)
    with pytest.raises(DatasetError, match=r"has no samples\.parquet"):
        label(loaded("videos=x", "prompt=cow"), layout)


# -- clips from events ------------------------------------------------------------------------------------------------


def test_clips_are_cut_from_events_and_carry_their_labels(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Five frames a second, stride 4: a sampled frame every 0.8 s, clips of five last 3.2 s."""
    events = out.parent / "events.csv"
    lines = ["0.5,5,feeding", "4.9,5.2,lying", "3.9,7.9,resting"]
    events.write_text("media file name,start (s),stop (s),behavior\n" + "".join(f"x/a.mp4,{n}\n" for n in lines))
    with events.open("a") as file:
        file.write("b.mp4,0,9,walking\n")
    assert build(out, f"clip.spans={events}") == 4
    found = {(row["object_id"], row["frame_indices"][0]): row["label"] for row in rows(out / "samples.parquet")}
    assert found == {(1, 4): "feeding", (2, 4): "feeding", (1, 20): "resting", (2, 20): "resting"}
    assert "1 spans name no video" in caplog.text
    assert any("span 4.9 to 5.2 s gives no clip" in row["reason"] for row in rows(out / "rejected.parquet"))
    before = (out / "labels.jsonl").read_bytes()
    build(out, f"clip.spans={events}")
    assert (out / "labels.jsonl").read_bytes() == before, "remembered once"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,start_s,label\na.mp4,1,x\n", "needs the columns video, start_s and end_s, it lacks end_s"),
        ("video,start_s,end_s\na.mp4,1,0\na.mp4,x,2\n", r"the start first \(line 2, 3\)"),
        ("video,start_s,end_s\n", "no lines below its header"),
        ("video,start_s,end_s\nz.mp4,0,9\n", "names none of the videos, such as a.mp4"),
    ],
)
def test_a_table_of_events_with_mistakes_is_refused(out: Path, text: str, message: str) -> None:
    events = table(out.parent, text)
    with pytest.raises(ConfigError, match=message):
        build(out, f"clip.spans={events}")
