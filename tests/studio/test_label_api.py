"""Labelling and browsing over the API: what is said is on disk and matched, filters, faults, and files' borders."""

from __future__ import annotations

import csv
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from benchmarks.synthetic_dataset import synthetic_dataset
from pipeline.errors import ConfigError, DatasetError
from pipeline.labels import COLUMNS, LabelStore, apply, match
from pipeline.layout import Layout
from pipeline.studio_config import StudioConfig
from pipeline.tables import read_table
from studio.dataset import Dataset
from studio.label_classes import KEYS, from_config
from tests.studio.serving import Served, serving

COUNT = 60


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return synthetic_dataset(tmp_path / "cows", COUNT, files=3, individuals=5, side=64)


@pytest.fixture
def studio(layout: Layout) -> Iterator[Served]:
    with serving(layout.root.parent / "studio", dataset=layout.root, classes=["lying", "standing"]) as served:
        yield served


def found(studio: Served, **search: Any) -> dict[str, Any]:
    answer: dict[str, Any] = studio.ask("POST", "/dataset/samples", json=search)
    return answer


def ids(studio: Served, **search: Any) -> list[str]:
    return [each["sample_id"] for each in found(studio, limit=200, **search)["samples"]]


def say(studio: Served, *names: str, status: int = 200, **word: Any) -> dict[str, Any]:
    words = [{"sample_id": name, **word} for name in names]
    answer: dict[str, Any] = studio.ask("POST", "/dataset/labels", status, json={"words": words, "author": "ann"})
    return answer


def test_a_label_is_on_disk_before_the_answer_and_flows_into_the_dataset(studio: Served, layout: Layout) -> None:
    first, second = ids(studio)[:2]
    answer = say(studio, first, label="lying")
    assert answer["now"] == [{"sample_id": first, "label": "lying", "unsure": False, "comment": ""}]
    assert answer["before"][0]["label"] is None and answer["labelled"] == 1
    (line,) = [orjson.loads(each) for each in layout.labels.read_bytes().splitlines()]
    assert line["label"] == "lying" and line["author"] == "ann" and len(line["boxes"]) == 5
    assert {"unsure", "comment"}.isdisjoint(line)  # a plain label's line is what it always was
    say(studio, second, label=None, unsure=True, comment="hidden")
    matched = apply(layout)
    labels = dict(zip(*(read_table(layout.samples)[c].to_pylist() for c in ("sample_id", "label")), strict=True))
    assert labels[first] == "lying" and labels[second] is None and sum(v is not None for v in labels.values()) == 1
    assert matched.lost == [] and LabelStore(layout).read()[1].comment == "hidden"


def test_an_undo_takes_back_and_brings_back(studio: Served, layout: Layout) -> None:
    name = ids(studio)[0]
    one = say(studio, name, label="lying")
    two = say(studio, name, label="standing")
    for answer, label, many in ((two, "lying", 1), (one, None, 0)):
        undone = studio.ask("POST", "/dataset/labels", json={"words": answer["before"]})
        assert undone["now"][0]["label"] == label and undone["labelled"] == many
    assert [each.label for each in LabelStore(layout).read()] == ["lying", "standing", "lying", None]
    assert apply(layout).found == [None] * COUNT


def test_a_restart_finds_everything_as_it_was(studio: Served, layout: Layout) -> None:
    names = ids(studio)
    say(studio, *names[:3], label="lying")
    say(studio, names[3], unsure=True)
    say(studio, names[0], label="standing", comment="after all")
    shown = found(studio, limit=200)
    labels = LabelStore(layout).read()  # matched here near labels only, there everywhere
    _, said = Dataset(layout, StudioConfig()).current()
    assert said.given.tolist() == match(labels, read_table(layout.samples, list(COLUMNS)).to_pylist()).given
    with serving(layout.root.parent / "again", dataset=layout.root) as again:
        assert found(again, limit=200) == shown
        assert again.ask("GET", "/dataset")["labelled"] == 3


def test_a_label_of_an_individual_and_of_a_span(studio: Served) -> None:
    seen = found(studio, limit=200)["samples"]
    mine = [each for each in seen if each["individual_id"] == seen[0]["individual_id"]]
    many = {"of": "individual", "sample_id": seen[0]["sample_id"], "label": "lame"}
    answer = studio.ask("POST", "/dataset/labels/many", json=many)
    assert {each["sample_id"] for each in answer["now"]} == {each["sample_id"] for each in mine}
    assert len(mine) == COUNT // 5 and answer["labelled"] == len(mine)
    # in a span: those with at least half of their time in it (windows last 3 s, one begins every 3.2 s)
    span = {"start_s": 3.2 + 1.4, "end_s": 9.4}
    answer = studio.ask("POST", "/dataset/labels/many", json={**many, **span, "label": "eats"})
    assert {each["sample_id"] for each in answer["now"]} == {each["sample_id"] for each in mine[1:3]}
    # everything in view: an object's own label comes before it
    answer = studio.ask("POST", "/dataset/labels/many", json={**many, **span, "of": "everything", "label": "night"})
    assert len(answer["now"]) == 8 and all(each["label"] == "night" for each in answer["now"])
    before = {"words": answer["before"]}
    assert all(each["label"] is None for each in studio.ask("POST", "/dataset/labels", json=before)["now"])
    studio.ask("POST", "/dataset/labels/many", 409, json={**many, "start_s": 900, "end_s": 901})


def test_filters_combine_and_pages_follow_each_other(studio: Served) -> None:
    names = ids(studio)
    say(studio, *names[:10], label="lying")
    say(studio, *names[10:14], unsure=True)
    assert len(ids(studio, filter={"state": "open"})) == COUNT - 14
    assert ids(studio, filter={"state": "unsure"}) == names[10:14]
    assert ids(studio, filter={"label": ["lying"]}) == names[:10]
    assert ids(studio, filter={"label": [""], "state": "any"}) == names[10:]
    calves = found(studio, filter={"prompt": ["calf"], "label": ["lying"]}, limit=200)
    assert calves["total"] == 4 and all(each["prompt"] == "calf" for each in calves["samples"])
    large = found(studio, filter={"figures": {"side": {"least": 150}}}, order="-side", limit=200)["samples"]
    sides = [each["figures"]["side"] for each in large]
    assert 0 < len(sides) < COUNT and min(sides) >= 150 and sides == sorted(sides, reverse=True)
    # one page after the other, also by the last id while labels take crops out of the filter
    walked: list[str] = []
    while True:
        more = found(studio, filter={"state": "open"}, order="shuffled", after=walked[-1] if walked else None, limit=9)
        if not more["samples"]:
            break
        walked += [each["sample_id"] for each in more["samples"]]
        say(studio, *walked[-9:-3], label="standing")
    assert len(walked) == len(set(walked)) == COUNT - 14 and walked != names[14:]


def test_every_bar_shows_its_crops(studio: Served) -> None:
    names = ids(studio)
    say(studio, *names[:7], label="lying")
    counted = studio.ask("POST", "/dataset/counts", json={"filter": {"label": ["lying"]}})
    assert counted["total"] == 7
    for bins in counted["figures"]:
        assert sum(bins["all"]) == COUNT and sum(bins["here"]) == 7
        for place, many in enumerate(bins["all"]):
            if many and bins["figure"] in ("side", "first_score"):
                limits = {"least": bins["edges"][place], "below": bins["edges"][place + 1]}
                assert found(studio, filter={"figures": {bins["figure"]: limits}})["total"] == many
    # its own column is counted as if it were not filtered by, so that another value can be chosen
    assert {each["name"]: each["here"] for each in counted["columns"]["label"]} == {"": COUNT - 7, "lying": 7}
    assert sum(each["here"] for each in counted["columns"]["prompt"]) == 7


def test_predictions_are_filtered_and_sorted_by(layout: Layout) -> None:
    names = read_table(layout.samples, ["sample_id"])["sample_id"].to_pylist()
    table = layout.root.parent / "predictions.csv"
    with table.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["sample_id", "label", "score"])
        out.writerows([name, ("lying", "standing")[n % 2], 1 - n / 100] for n, name in enumerate(names[:20]))
    with serving(layout.root.parent / "studio", dataset=layout.root, predictions=str(table)) as studio:
        assert ids(studio, filter={"predicted": ["lying"]}) == names[0:20:2]
        assert ids(studio, order="unsure_first")[:2] == [names[19], names[18]]
    table.write_text("sample_id,label,score\na,b,high\n")
    with pytest.raises(ConfigError, match="line 2: score must be a number, got 'high'"):
        Dataset(layout, StudioConfig(predictions=str(table)))
    table.write_text("name\nx\n")
    with pytest.raises(ConfigError, match="needs lines with the columns sample_id and label"):
        Dataset(layout, StudioConfig(predictions=str(table)))


def test_classes_come_from_the_config_and_are_kept_in_the_dataset(studio: Served, layout: Layout) -> None:
    there = studio.ask("GET", "/dataset/classes")
    assert [(each["name"], each["key"]) for each in there["classes"]] == [("lying", "1"), ("standing", "2")]
    say(studio, ids(studio)[0], label="grooming")  # one that somebody used stays to be chosen
    assert studio.ask("GET", "/dataset/classes")["classes"][2] == {"name": "grooming", "key": "3"}
    new = [{"name": "steht", "key": "q"}, {"name": "liegt", "key": None}]
    kept = studio.ask("PUT", "/dataset/classes", json={"classes": new})
    assert kept["classes"] == [*new, {"name": "grooming", "key": "1"}] and kept["counts"] == {"grooming": 1}
    assert [each["name"] for each in orjson.loads(layout.label_classes.read_bytes())] == ["steht", "liegt"]
    for wrong, said in (
        ([{"name": "a"}, {"name": "a"}], "given twice"),
        ([{"name": "a", "key": "1"}, {"name": "b", "key": "1"}], "the key '1' is given twice"),
        ([{"name": "a", "key": "s"}], "one of the keys"),
        ([{"name": " "}], "printed characters"),
    ):
        assert said in studio.ask("PUT", "/dataset/classes", 422, json={"classes": wrong})["detail"]
    layout.label_classes.write_bytes(b"[{]")
    assert "label_classes.json" in studio.ask("GET", "/dataset/classes", 503)["detail"]
    with pytest.raises(ConfigError, match="names a class twice"):
        from_config(["a", "a"])
    assert len(set(KEYS)) == len(KEYS) and set(KEYS).isdisjoint("snzxciogfa,.? ")  # what the page does itself


def test_only_files_of_the_dataset_are_sent(studio: Served, layout: Layout) -> None:
    name = ids(studio)[0]
    whole = requests.get(f"{studio.address}/dataset/crops/{name}")
    assert whole.status_code == 200 and whole.headers["content-type"] == "video/mp4"
    part = requests.get(f"{studio.address}/dataset/crops/{name}", headers={"range": "bytes=4-7"})
    assert part.status_code == 206 and part.content == whole.content[4:8] == b"ftyp"
    assert requests.get(f"{studio.address}/dataset/crops/{name}", headers={"range": "bytes=999999-"}).status_code == 416
    for wrong in ("x", "..%2F..%2Fsamples.parquet", "%2Fetc%2Fpasswd", "%00", "\u202e", f"{name}.mp4"):
        assert studio.ask("GET", f"/dataset/crops/{wrong}", 404)["detail"]
    path = layout.root / read_table(layout.samples, ["path"])["path"][0].as_py()
    secret = layout.root.parent / "secret.mp4"
    secret.write_bytes(path.read_bytes())
    path.unlink()
    os.symlink(secret, path)
    assert "is missing" in studio.ask("GET", f"/dataset/crops/{name}", 404)["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/dataset/labels", {"words": [{"sample_id": "nobody", "label": "x"}]}, 404, "no crop 'nobody'"),
        ("/dataset/labels", {"words": []}, 422, "words"),
        ("/dataset/labels", {"words": [{"sample_id": "a", "label": "../x\n"}]}, 422, "printed characters"),
        ("/dataset/labels/many", {"of": "individual", "sample_id": "a", "label": " x"}, 422, "printed characters"),
        ("/dataset/labels", {"words": [{"sample_id": "a", "label": "x", "unsure": True}]}, 422, "not both"),
        ("/dataset/labels", {"words": [{"sample_id": "a", "lable": "x"}]}, 422, "lable"),
        ("/dataset/labels/many", {"of": "everything", "sample_id": "a"}, 422, "needs start_s and end_s"),
        ("/dataset/labels/many", {"of": "individual", "sample_id": "a", "start_s": 1}, 422, "go together"),
        ("/dataset/labels/many", {"of": "individual", "sample_id": "a", "start_s": 2, "end_s": 1}, 422, "before"),
        ("/dataset/samples", {"order": "__class__"}, 422, "must be one of time"),
        ("/dataset/samples", {"filter": {"figures": {"nose": {}}}}, 422, "there is no figure 'nose'"),
        ("/dataset/samples", {"after": "nobody"}, 404, "no crop 'nobody'"),
        ("/dataset/samples", {"limit": 201}, 422, "limit"),
    ],
)
def test_a_bad_request_is_said(studio: Served, layout: Layout, path: str, body: Any, status: int, said: str) -> None:
    assert said in studio.ask("POST", path, status, json=body)["detail"]
    assert not layout.labels.exists()


def test_several_who_label_at_once_lose_nothing(studio: Served, layout: Layout) -> None:
    names = ids(studio)

    def some(own: list[str]) -> None:
        for name in own:
            say(studio, name, label="lying")

    threads = [threading.Thread(target=some, args=(names[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(LabelStore(layout).read()) == COUNT and studio.ask("GET", "/dataset")["labelled"] == COUNT


def test_what_others_change_is_seen(studio: Served, layout: Layout, tmp_path: Path) -> None:
    names = ids(studio)
    with serving(tmp_path / "other", dataset=layout.root) as other:
        say(other, names[0], label="lying")
    assert found(studio)["samples"][0]["label"] == "lying"
    synthetic_dataset(layout.root, COUNT + 5, files=3, individuals=5, side=64)
    assert found(studio)["total"] == COUNT + 5


def test_a_full_disk_is_said_and_the_next_try_counts(
    studio: Served, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ids(studio)[0]

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.labels.os.fsync", full)
    assert "no space left" in say(studio, name, label="lying", status=507)["detail"]
    monkeypatch.undo()
    say(studio, name, label="standing")
    assert found(studio)["samples"][0]["label"] == "standing"


def test_without_a_dataset_there_is_none(tmp_path: Path) -> None:
    with serving(tmp_path / "studio") as studio:
        assert studio.ask("GET", "/health")["dataset"] is None
        studio.ask("GET", "/dataset", 404)
        assert "studio" in requests.get(studio.address).text
    with pytest.raises(DatasetError, match="cannot be read"):
        Dataset(Layout(tmp_path, tmp_path), StudioConfig())


def test_pages_ask_for_nothing_elsewhere_and_files_stay_inside(studio: Served) -> None:
    for path in ("/", "/label", "/browse", "/static/style.css", "/static/common.js"):
        answer = requests.get(studio.address + path)
        assert answer.status_code == 200 and "default-src 'self'" in answer.headers["content-security-policy"]
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "") and "https://" not in answer.text
    for wrong in (
        "/static/../guard.py",
        "/static/..%2Fguard.py",
        "/static/%2e%2e/guard.py",
        "/static/",
        "/?name=../guard.py",
    ):
        raw = requests.Request("GET", studio.address).prepare()
        raw.url = studio.address + wrong
        answer = requests.Session().send(raw)
        assert "Guard" not in answer.text and (answer.status_code == 404 or wrong.startswith("/?"))


def test_pages_work_with_a_token(layout: Layout) -> None:
    token = "s3cret-s3cret-s3cret"
    with serving(layout.root.parent / "studio", dataset=layout.root, token=token) as studio:
        assert requests.get(studio.address + "/label").status_code == 401
        browser = requests.Session()
        opened = browser.get(f"{studio.address}/label?token={token}")
        assert opened.status_code == 200 and opened.url == f"{studio.address}/label"
        (cookie,) = browser.cookies
        assert cookie.has_nonstandard_attr("HttpOnly") and cookie.get_nonstandard_attr("SameSite") == "strict"
        body = {"words": [{"sample_id": ids(studio)[0], "label": "lying"}]}
        assert browser.post(f"{studio.address}/dataset/labels", json=body).status_code == 200
        other = {"origin": "http://evil.example"}
        assert browser.post(f"{studio.address}/dataset/labels", json=body, headers=other).status_code == 403
