"""What a build refused, and what failed: found, counted, shown and explained beside the crops."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from pipeline.build import Build
from pipeline.index import FAILURES
from pipeline.layout import Layout
from pipeline.tables import write_table
from tests.pipeline.composing import loaded
from tests.running import rows
from tests.studio.browsing import browser, page, until
from tests.studio.serving import Served, film, serving

LIMIT = 24


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large disc and a small one in four windows; the small one is refused in each. One clip failed."""
    root = tmp_path_factory.mktemp("dataset")
    (root / "footage").mkdir()
    film(root / "footage" / "barn.mp4", 64, (320, 180), [((40, 50), (3, 0)), ((280, 130), (-3, 0))], [16, 8])
    small = ("clip.num_frames=8", "clip.stride=2", "crop.size=32", f"filters.size.min_side={LIMIT}", "exports=[]")
    given = (f"videos={root / 'footage'}", f"out={root / 'cows'}", "prompt=cow", "tracker=motion", *small)
    Build(loaded(*given, "encode.preset=ultrafast", "executor.workers=1")).run()
    layout = Layout(root / "cows", root / "cows" / "tracks")
    failed = {
        "video": "yard.mp4",
        "clip_id": None,
        "stage": "read",
        "error": "yard.mp4 is no video: moov atom not found",
    }
    write_table(layout.failures, pa.Table.from_pylist([failed], FAILURES))
    return root / "cows"


@pytest.fixture
def studio(built: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, dataset=built) as served:
        yield served


def found(studio: Served, **wanted: Any) -> dict[str, Any]:
    return dict(studio.ask("POST", "/dataset/samples", json=wanted))


def test_refused_objects_are_found_with_their_reason_and_picture(studio: Served, built: Path) -> None:
    told = {row["sample_id"]: row for row in rows(built / "rejected.parquet")}
    assert len(told) == 4 and studio.ask("GET", "/dataset")["refused"] == 4
    answer = found(studio, filter={"outcome": "refused"})
    assert answer["total"] == 4 and answer["labelled"] == 0
    for each in answer["samples"]:
        row = told[each["sample_id"]]
        assert (each["reason"], each["threshold"], each["video"]) == ("size", LIMIT, "barn.mp4")
        assert each["value"] == row["value"] < LIMIT and each["figures"]["side"] == pytest.approx(row["side"], abs=1e-4)
        assert each["picture"]
        answered = studio.ask("GET", f"/dataset/thumbnails/{each['sample_id']}")
        picture = cv2.imdecode(np.frombuffer(answered.content, np.uint8), 1)
        assert answered.headers["content-type"] == "image/jpeg" and picture.shape == (96, 96, 3)
        b, _, r = picture[48, 48].astype(int)
        assert b > r + 60  # the small one is blue
    kept = found(studio)["samples"][0]["sample_id"]
    for name in (kept, "nothing", "..%2f..%2fdataset.yaml"):
        studio.ask("GET", f"/dataset/thumbnails/{name}", 404)


def test_both_come_in_one_order_and_page_by_page(studio: Served) -> None:
    both = found(studio, filter={"outcome": "all"})
    assert both["total"] == 8 and ["reason" in each for each in both["samples"]].count(True) == 4
    clips = [each.get("clip_id") for each in both["samples"]]
    assert all((clips[n] is None) != (clips[n + 1] is None) for n in range(0, 8, 2)), (
        "by time both of a clip are together"
    )
    sizes = [each["figures"]["side"] for each in found(studio, filter={"outcome": "all"}, order="side")["samples"]]
    assert sizes == sorted(sizes) and sizes[3] < LIMIT <= sizes[4]
    assert sizes[::-1] == [
        e["figures"]["side"] for e in found(studio, filter={"outcome": "all"}, order="-side")["samples"]
    ]
    parts = [found(studio, filter={"outcome": "all"}, offset=n, limit=3)["samples"] for n in (0, 3, 6)]
    assert [each for part in parts for each in part] == both["samples"]
    for order in ("shuffled", "unsure_first", "time"):
        assert found(studio, filter={"outcome": "all"}, order=order)["total"] == 8
    refused = {"filter": {"outcome": "refused"}, "after": both["samples"][0]["sample_id"]}
    assert "use offset" in studio.ask("POST", "/dataset/samples", 422, json=refused)["detail"]


def test_filters_mean_the_same_for_refused_objects(studio: Served) -> None:
    def total(**wanted: Any) -> int:
        return int(found(studio, filter={"outcome": "refused"} | wanted)["total"])

    assert total(reason=["size"]) == 4 and total(reason=["blur"]) == 0 and total(prompt=["cow"]) == 4
    assert total(figures={"side": {"least": 0, "below": LIMIT}}) == 4 and total(figures={"side": {"least": LIMIT}}) == 0
    assert total(split=["train"]) == 0 and total(label=["lying"]) == 0 and total(label=[""]) == 4
    assert total(state="labelled") == 0 and total(state="unlabelled") == 4
    assert found(studio, filter={"reason": ["size"]})["total"] == 0, "what was kept has no reason"


def test_histograms_count_both_and_show_where_filters_refuse(studio: Served) -> None:
    def figures(**wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        answer = studio.ask("POST", "/dataset/counts", json={"filter": wanted})
        return answer, {each["figure"]: each for each in answer["figures"]}

    answer, kept = figures()
    assert (answer["total"], answer["kept"], answer["refused"]) == (4, 4, 0)
    assert sum(kept["side"]["here"]) == 4 and sum(kept["side"]["refused_here"]) == 0
    assert kept["side"]["limit"] == {"value": LIMIT, "least": True}
    assert kept["truncated"]["limit"] is None or not kept["truncated"]["limit"]["least"]
    answer, both = figures(outcome="all")
    assert (answer["total"], answer["kept"], answer["refused"]) == (8, 4, 4)
    side = both["side"]
    assert side["edges"][0] <= LIMIT <= side["edges"][-1] and side["edges"] == kept["side"]["edges"]
    below = [n for n, edge in enumerate(side["edges"][1:]) if edge <= LIMIT]
    assert sum(side["refused"][n] for n in below) == 4 == sum(side["refused_here"]) and not any(
        side["here"][n] for n in below
    )
    assert answer["columns"]["reason"][0] == {"name": "", "all": 4, "here": 4}
    answer, only = figures(outcome="refused", reason=["size"])
    assert answer["columns"]["reason"] == [{"name": "size", "all": 4, "here": 4}] and sum(only["side"]["here"]) == 0
    assert answer["columns"]["video"] == [{"name": "barn.mp4", "all": 4, "here": 4}]
    unmeasured = only["sharpness"]  # refused before its pixels were looked at
    assert sum(unmeasured["refused"]) in (0, 4)


def test_failures_are_listed_with_their_reason(studio: Served) -> None:
    assert studio.ask("GET", "/dataset")["failures"] == 1
    listed = studio.ask("GET", "/dataset/failures")
    (failure,) = listed["failures"]
    assert listed["total"] == 1 and failure["video"] == "yard.mp4" and "moov atom" in failure["error"]
    assert studio.ask("GET", "/dataset/failures?offset=1") == {"total": 1, "failures": []}


def test_a_dataset_without_these_tables_has_its_crops(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "cows")
    for name in ("rejected.parquet", "failures.parquet"):
        (tmp_path / "cows" / name).unlink()
    with serving(tmp_path / "studio", dataset=tmp_path / "cows") as studio:
        facts = studio.ask("GET", "/dataset")
        assert (facts["samples"], facts["refused"], facts["failures"]) == (4, 0, 0)
        assert found(studio, filter={"outcome": "all"})["total"] == 4
        assert studio.ask("GET", "/dataset/failures")["failures"] == []


@pytest.mark.slow
def test_the_browse_page_shows_what_was_refused_and_why(studio: Served) -> None:
    with browser() as chromium, page(chromium) as tab:
        tab.goto(f"{studio.address}/browse")
        until(tab, "document.querySelectorAll('#crops .card').length === 4")
        assert tab.locator("#crops .refused").count() == 0 and tab.locator("#failures").is_visible()
        line = tab.locator('figure:has([data-figure="side"]) .line')
        assert line.get_attribute("title") == f"the filter asks for at least {LIMIT} px"
        tab.click('[data-outcome="refused"]')
        until(tab, "document.querySelectorAll('#crops .refused').length === 4")
        assert "size" in tab.inner_text("#crops") and f"px, limit {LIMIT} px" in tab.inner_text("#crops")
        until(tab, "[...document.querySelectorAll('#crops img')].every((each) => each.naturalWidth === 96)")
        assert not tab.locator("#label-these").is_visible() and tab.inner_text("#total") == "4 refused"
        tab.click('[data-column="reason"][data-value="size"]')
        until(tab, "document.querySelector('#chips').textContent.includes('Refused by: size')")
        tab.click("#crops .card >> nth=0")
        assert "Refused by" in tab.inner_text("#facts") and tab.locator("#still").is_visible()
        tab.keyboard.press("Escape")
        tab.click('[data-outcome="all"]')
        until(tab, "document.querySelectorAll('#crops .card').length === 4")  # the reason still holds
        tab.click("#chips button")
        until(tab, "document.querySelectorAll('#crops .card').length === 8")
        assert tab.locator("#crops video").count() == 4
        tab.click('[data-outcome="kept"]')
        until(tab, "document.querySelectorAll('#crops .card').length === 4")
        tab.click("#failures summary")
        assert "moov atom not found" in tab.inner_text("#failed")
