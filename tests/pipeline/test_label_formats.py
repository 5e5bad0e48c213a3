"""Labels out to annotation tools and back: CVAT, Label Studio, FiftyOne, BORIS, CSV, and of whole individuals."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.derive import export
from pipeline.errors import ConfigError
from pipeline.exports.export import exports
from pipeline.label_import import read_labels
from pipeline.labels import Label, match
from pipeline.layout import Layout
from pipeline.span_table import read_spans
from tests.pipeline.composing import changed
from tests.pipeline.dataset_fixture import make_dataset, write_tables

LABELS = ("lying", "Füttern, früh", None)
FORMATS = {
    "cvat": "*.xml",
    "labelstudio": "tasks.json",
    "fiftyone": "samples.json",
    "boris": "events.csv",
    "csv": "labels.csv",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Crops of odd videos and prompts, two of three labelled. Each object has a place and a time of its own."""
    root = tmp_path_factory.mktemp("made") / "my cows"
    rows = make_dataset(root).drop_columns(["class"]).to_pylist()
    for n, row in enumerate(rows):
        at = 50 * (n % 4)
        row["boxes"] = [None if box is None else [at + k, 4, at + k + 40, 44] for k, box in enumerate(row["boxes"])]
        row["label"] = LABELS[n % 3]
        row["individual_id"] = f"who-{n}"
    write_tables(root, rows, [], [])
    return root, rows


@pytest.fixture
def written(made: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> Path:
    """Every format, exported from a copy as a build does."""
    root = tmp_path / "my cows"
    shutil.copytree(made[0], root)
    settings = changed(f"exports=[{','.join(FORMATS)}]", f'out="{root}"')
    assert set(export(settings, Layout(root, root / "tracks"))) == set(FORMATS)
    return root / "exports"


def taken(path: Path, rows: list[dict[str, Any]]) -> list[str | None]:
    """What crops that have no label are given by a file."""
    bare = [row | {"label": None} for row in rows]
    return match(read_labels(path, bare), bare).found


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_goes_out_comes_back(name: str, written: Path, made: tuple[Path, list[dict[str, Any]]]) -> None:
    _, rows = made
    files = sorted((written / name).glob(FORMATS[name]))
    assert len(files) == (4 if name == "cvat" else 1)
    found: list[str | None] = [None] * len(rows)
    for file in files:
        found = [new or old for new, old in zip(taken(file, rows), found, strict=True)]
    assert found == [row["label"] for row in rows] and None in found


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_label_survives_the_way_even_when_the_object_was_tracked_anew(
    name: str, written: Path, made: tuple[Path, list[dict[str, Any]]]
) -> None:
    _, rows = made
    labels = [x for file in sorted((written / name).glob(FORMATS[name])) for x in read_labels(file, rows)]
    again = [row | {"sample_id": f"new-{n}", "individual_id": None} for n, row in enumerate(rows)]
    assert match(labels, again).found == [row["label"] for row in rows]
    assert all(label.fingerprint and label.boxes for label in labels), "anchored by video and boxes"


# -- CVAT -------------------------------------------------------------------------------------------------------------

XML = """<annotations><version>1.1</version><meta><task><name>job 7</name><source>{source}</source>
<owner><username>ann</username></owner></task></meta>{tracks}</annotations>"""


def track(*steps: tuple[int, int, str], name: str = "Behaviour", last: int = 99) -> str:
    """A track of boxes 40 x 40 at (frame, x, label)."""
    place = 'ytl="4" xbr="{}" ybr="44" keyframe="1"'
    boxes = "".join(
        f'<box frame="{frame}" outside="0" xtl="{x}" {place.format(x + 40)}><attribute name="{name}">{label}</attribute></box>'  # noqa: E501
        for frame, x, label in steps
    )
    return f'<track id="3" label="cow">{boxes}<box frame="{last}" outside="1" xtl="0" {place.format(40)}></box></track>'


def cvat(tmp_path: Path, *tracks: str, source: str = "Stall ü.mov") -> Path:
    path = tmp_path / "annotations.xml"
    path.write_text(XML.format(source=source, tracks="".join(tracks)), encoding="utf-8")
    return path


def test_tracks_drawn_in_cvat_find_their_crops_between_keyframes(
    made: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """The crops of this video move one pixel per sampled frame from x = 0, 50, 100, 150, seen at frames 4 to 28."""
    _, rows = made
    here = [n for n, row in enumerate(rows) if row["video"] == "hof/Stall ü.mov"]
    path = cvat(tmp_path, track((0, 100, "resting"), (28, 107, "resting")))
    found = taken(path, rows)
    assert [found[n] for n in here] == [None, None, "resting", None] and set(found) == {None, "resting"}
    (label,) = read_labels(path, rows)
    assert label.author == "ann" and label.video == "hof/Stall ü.mov"


def test_a_label_that_changes_on_the_way_goes_to_what_is_mostly_in_it(
    made: tuple[Path, list[dict[str, Any]]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, rows = made
    early = cvat(tmp_path, track((0, 0, "walk"), (4, 1, "walk"), (8, 2, "feed"), (28, 7, "feed")))
    assert [x.label for x in read_labels(early, rows)] == ["feed"]
    assert "1 stretches of a label are shorter than half of the crop they lie in" in caplog.text
    assert "feed" in taken(early, rows) and "walk" not in taken(early, rows)
    unlabelled = cvat(
        tmp_path, track((0, 0, "unlabelled"), (28, 7, "unlabelled")), track((0, 50, "walk"), (28, 57, "walk"))
    )
    assert set(taken(unlabelled, rows)) == {None, "walk"}


def test_a_track_that_shows_no_crop_is_kept_and_listed(made: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    _, rows = made
    (label,) = read_labels(cvat(tmp_path, track((0, 400, "resting"), (28, 400, "resting"))), rows)
    assert label.boxes[0] == (0, 400, 4, 440, 44) and label.start_s == 0 and label.end_s == pytest.approx(1.4)
    assert match([label], rows).lost == [label]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations><image/></annotations>", "has no tracks: export it from CVAT as 'CVAT for video 1.1'"),
        ("<annotations><track>", "is not whole XML"),
        (XML.format(source="x.mp4", tracks=track((0, 0, "a"), (9, 0, "a"))), r"no such video \(x\.mp4\) \(track 3\)"),
        (XML.format(source="", tracks=track((0, 0, "a"))), r"no such video \(job 7\)"),
        (XML.format(source="x.mp4", tracks=track((0, 0, "a"), name="age")), "no box has an attribute label, behaviour"),
        (XML.format(source="Stall ü.mov", tracks=2 * track((0, 0, "a"), (28, 7, "a")).replace("a<", "b<", 1)), None),
        (
            XML.format(
                source="Stall ü.mov",
                tracks=track((0, 0, "a"), (28, 7, "a")) + track((0, 0, "b"), (28, 7, "b")),
            ),
            r"another label for a crop that has one above \(track 3\)",
        ),
        (XML.format(source="Stall ü.mov", tracks=track((0, 0, "a")).replace("xtl", "left")), "lacks its corners"),
        ("<something/>", "is in no format that is known: CVAT for video 1.1"),
    ],
)
def test_cvat_files_with_mistakes_are_refused(
    text: str, message: str | None, made: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text, encoding="utf-8")
    if message is None:
        assert read_labels(path, made[1])
        return
    with pytest.raises(ConfigError, match=message):
        read_labels(path, made[1])


def test_cvat_draws_nothing_where_an_individual_is_away(
    made: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    _, rows = made
    row = rows[0]
    later = row | {"sample_id": "later", "frame_indices": [f + 400 for f in row["frame_indices"]], "label": "x"}
    table = pa.Table.from_pylist([row | {"class": "x"}, later | {"class": "x"}])
    exports()["cvat"]().write(table, Layout(made[0], made[0]), tmp_path / "cvat", "hard")
    (file,) = (tmp_path / "cvat").glob("*.xml")
    boxes = ElementTree.parse(file).getroot().findall("track/box")
    assert [b.get("frame") for b in boxes if b.get("outside") == "1"] == ["29", "429"]
    assert len(boxes) == 7 + 1 + 7 + 1
    raw = json.loads((tmp_path / "cvat" / "labels.json").read_text())
    assert raw[0]["attributes"][0]["values"] == ["unlabelled", "lying", "x"]


# -- Label Studio, FiftyOne -------------------------------------------------------------------------------------------


def answer(choice: str | list[str], **more: Any) -> dict[str, Any]:
    choices = choice if isinstance(choice, list) else [choice]
    return {"result": [{"type": "choices", "value": {"choices": choices}}]} | more


def as_json(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "export.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_label_studio_exports_as_it_writes_them(made: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> None:
    first, second, third = made[1][:3]
    url = f"/data/local-files/?d=cows/videos/{third['sample_id']}.mp4"
    author = {"completed_by": {"id": 3, "email": "ann@x.org"}, "updated_at": "2026-05-01T06:00:00Z"}
    tasks = [
        {"id": 9, "data": {"sample_id": first["sample_id"]}, "annotations": [answer("lying", **author)]},
        {"id": 8, "data": {"sample_id": second["sample_id"]}, "annotations": [answer("lying", was_cancelled=True)]},
        {"id": 7, "data": {"video": url}, "annotations": [answer("lying", completed_by=4)]},
    ]
    one, two = read_labels(as_json(tmp_path, tasks), made[1])
    assert (one.label, one.author, one.time) == ("lying", "ann@x.org", "2026-05-01T06:00:00Z")
    assert two.boxes == read_labels(as_json(tmp_path, tasks), made[1])[1].boxes and two.author == "4"
    short = [{"id": 1, "sample_id": first["sample_id"], "label": "lying", "annotator": 1, "updated_at": "2026"}]
    (min_,) = read_labels(as_json(tmp_path, short), made[1])
    assert (min_.label, min_.time, min_.boxes) == ("lying", "2026", one.boxes)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"data": {"sample_id": "?"}, "annotations": [answer("a")]}], r"no such crop in samples\.parquet \(task 1\)"),
        ([{"data": {"sample_id": "ID"}, "annotations": [answer("a"), answer("b")]}], r"another label .* \(task 1\)"),
        ([{"data": {"text": "x"}, "annotations": [answer("a")]}], "task 1 has neither sample_id nor video"),
        ([{"data": {"sample_id": "ID"}, "annotations": []}], "none of its 1 tasks is annotated"),
        ([1, 2], "is no list of tasks"),
        ("[{", "is not whole JSON"),
        ({"samples": [{"label": {"_cls": "Classification", "label": "x"}}]}, "sample 1 has no field sample_id"),
        ({"samples": [{"sample_id": "ID"}]}, "none of its 1 samples has a Classification"),
        ({"other": 1}, "is in no format that is known"),
    ],
)
def test_json_with_mistakes_is_refused(
    value: Any, message: str, made: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    text = value if isinstance(value, str) else json.dumps(value)
    path = as_json(tmp_path, text.replace('"ID"', json.dumps(made[1][0]["sample_id"])))
    with pytest.raises(ConfigError, match=message):
        read_labels(path, made[1])


def test_what_label_studio_shows_offers_every_label(written: Path) -> None:
    view = ElementTree.parse(written / "labelstudio" / "config.xml").getroot()
    assert [c.get("value") for c in view.iter("Choice")] == ["Füttern, früh", "lying"]
    tasks = json.loads((written / "labelstudio" / "tasks.json").read_text())
    assert len(tasks) == 16 and all(
        (written / "labelstudio" / t["data"]["video"].split("?d=")[1]).is_file() for t in tasks
    )


def test_options_that_are_no_labels_are_refused() -> None:
    for name in ("labelstudio", "cvat"):
        with pytest.raises(ValueError, match=rf"export\.{name}\.labels must be a list such as"):
            exports()[name](labels="lying")


# -- BORIS, individuals -----------------------------------------------------------------------------------------------


def test_bouts_of_an_individual_are_one_event_and_cut_clips_too(
    made: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    row = made[1][0]
    rows = []
    for n, label in enumerate(["lying", "lying", "standing", None, "lying"]):
        times = [1.6 * n + t for t in row["timestamps_s"]]
        rows.append(row | {"sample_id": f"s{n}", "label": label, "class": label, "timestamps_s": times})
    exports()["boris"]().write(pa.Table.from_pylist(rows), Layout(made[0], made[0]), tmp_path / "b", "hard")
    spans = [(s.label, s.start_s, s.end_s) for s in read_spans(tmp_path / "b" / "events.csv")]
    assert spans == [("lying", 0, 3.0), ("standing", 3.2, 4.6), ("lying", 6.4, 7.8)]


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_individuals_label_goes_to_all_its_crops_and_a_crops_own_comes_first(
    tmp_path: Path, made: tuple[Path, list[dict[str, Any]]]
) -> None:
    one = made[1][0] | {"individual_id": "ann"}
    rows = [
        one
        | {
            "sample_id": f"s{n}",
            "timestamps_s": [10 * n + t for t in one["timestamps_s"]],
            "frame_indices": [250 * n + f for f in one["frame_indices"]],
        }
        for n in range(3)
    ]
    rows.append(made[1][1] | {"individual_id": "bert"})

    def found(text: str) -> list[str | None]:
        return match(read_labels(table(tmp_path, text), rows), rows).found

    assert found("individual,label\nann,lame\n") == ["lame", "lame", "lame", None]
    assert found("individual_id,sample_id,label\nann,,lame\n,s1,fit\n") == ["lame", "fit", "lame", None]
    assert found("individual_id,start_s,end_s,label\nann,9,12,lying\n") == [None, "lying", None, None]
    assert found("individual_id,start_s,end_s,label\nann,,,lame\nbert,0,5,fit\n") == ["lame", "lame", "lame", "fit"]
    with pytest.raises(ConfigError, match=r"another label for a crop that has one above \(line 3\)"):
        found("individual_id,label\nann,lame\nann,fit\n")
    with pytest.raises(ConfigError, match=r"nothing says which crop \(line 3\)"):
        found("individual_id,label\nann,lame\n,fit\n")
    with pytest.raises(ConfigError, match=r"start and end must be seconds, the start first \(line 2\)"):
        found("individual_id,start_s,end_s,label\nann,9,,lame\n")


def test_a_subject_that_is_nobody_here_is_said(
    tmp_path: Path, made: tuple[Path, list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    video = made[1][0]["video"]
    lines = [f"{video},cow 12,lying,0,9", f"{video},No focal subject,up,20,29"]
    text = "\n".join(["Media file name,Subject,Behavior,Start (s),Stop (s)", *lines, ""])
    labels = read_labels(table(tmp_path, text), made[1])
    assert replace(labels[0], time="") == Label("lying", "", "", video, made[1][0]["video_fingerprint"], 0, 9)
    assert "the subjects of 1 lines are no individual_id" in caplog.text


def test_a_folder_is_no_file_of_labels(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder: name the file in it"):
        read_labels(tmp_path, [])
