"""The page that corrects, as a person uses it: in a real browser, by keyboard, from a wrong track to the new crop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import rows
from tests.studio.browsing import browser
from tests.studio.browsing import page as tab
from tests.studio.serving import Served, serving
from tests.studio.test_correct import built, objects, out, windows

__all__ = ["built", "out"]  # fixtures
pytestmark = pytest.mark.slow


@pytest.fixture
def studio(out: Path) -> Iterator[Served]:
    with serving(out.parent / "studio", dataset=out) as served:
        yield served


@pytest.fixture
def page() -> Iterator[Any]:
    """A tab, which must ask no other site, and in which no script may fail."""
    with browser() as chromium, tab(chromium) as made:
        yield made


def opened(page: Any, studio: Served, number: int) -> dict[str, Any]:
    """Open the window with this number in order of time; returns its line of the list."""
    line = windows(studio)[number]
    page.goto(f"{studio.address}/correct#{line['window']}/0")
    page.wait_for_selector('#canvas[data-frame="0"]')
    return line


def until(page: Any, what: Callable[[], bool]) -> None:
    for _ in range(600):
        if what():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not happen within 30 s")


def test_tracks_are_corrected_by_keyboard_applied_and_undone(page: Any, studio: Served, out: Path) -> None:
    before = {row["sample_id"]: row["sha256"] for row in rows(out / "samples.parquet")}
    window = opened(page, studio, 2)["window"]
    one, two = sorted(objects(studio, window))
    keys = page.keyboard
    keys.press("1")
    keys.press("c")  # without a name nothing is written, and the name is asked for
    assert page.evaluate("document.activeElement.id") == "author"
    keys.type("Ann")
    keys.press("Enter")
    for _ in range(4):
        keys.press("ArrowRight")
    page.wait_for_selector('#canvas[data-frame="4"]')
    keys.press("c")
    until(page, lambda: page.locator("#objects li").count() == 3)
    new = max(objects(studio, window))
    assert objects(studio, window) == {one: {0, 1, 2, 3}, two: set(range(8)), new: {4, 5, 6, 7}}
    keys.press("m")  # the new one, which is chosen, into the first again
    keys.press("1")
    until(page, lambda: page.locator("#objects li").count() == 2)
    assert objects(studio, window) == {one: set(range(8)), two: set(range(8))}
    keys.press("2")
    keys.press("Delete")
    until(page, lambda: page.locator("#objects li").count() == 1)
    written = json.loads((out / "corrections" / "barn.mp4.json").read_text())["corrections"]
    assert [entry["do"] for entry in written] == ["split", "merge", "remove"]
    assert {entry["author"] for entry in written} == {"Ann"} and page.locator("#stale").is_visible()
    assert page.locator("#crops video").count() == 2  # as they were before
    keys.press("Shift+Enter")
    until(page, lambda: page.locator("#crops video").count() == 1 and not page.locator("#stale").is_visible())
    sample = page.locator("#crops figure").get_attribute("data-sample")
    made = {row["sample_id"]: row for row in rows(out / "samples.parquet")}
    assert sample not in before and made[sample]["object_id"] == one and made[sample]["corrected"]
    until(page, lambda: page.evaluate("document.querySelector('#crops video').readyState") >= 2)
    for left in (2, 1, 0):
        keys.press("z")
        until(page, lambda left=left: page.locator("#entries li").count() == left)
    keys.press("Shift+Enter")
    until(page, lambda: page.locator("#crops video").count() == 2 and not page.locator("#stale").is_visible())
    assert {row["sample_id"]: row["sha256"] for row in rows(out / "samples.parquet")} == before


def test_frames_play_objects_are_clicked_and_ids_swapped(page: Any, studio: Served) -> None:
    window = opened(page, studio, 1)["window"]
    one, two = sorted(objects(studio, window))
    page.fill("#author", "Bea")
    page.locator("#author").press("Enter")
    for key, frame in (("End", 7), ("ArrowLeft", 6), ("Home", 0), ("Shift+ArrowRight", 7), ("Home", 0)):
        page.keyboard.press(key)
        page.wait_for_selector(f'#canvas[data-frame="{frame}"]')
    page.keyboard.press("Space")
    page.wait_for_selector('#canvas[data-frame="3"]')
    page.keyboard.press("Space")
    page.keyboard.press("Home")
    page.wait_for_selector('#canvas[data-frame="0"]')
    seen = studio.ask("GET", f"/dataset/windows/{window}/masks")["objects"]
    x0, y0, x1, y1 = next(each for each in seen if each["object"] == two)["masks"][0]["box"]
    at_source(page, (x0 + x1) / 2, (y0 + y1) / 2)
    assert page.locator(f'[data-object="{two}"]').get_attribute("aria-pressed") == "true"
    page.keyboard.press("s")
    assert "Swap with which object" in page.locator("#mode").inner_text()
    page.keyboard.press("1")
    until(page, lambda: page.locator("#entries li").count() == 1)
    assert f"swap {two} with {one} at 16" in page.locator("#entries").inner_text()
    page.keyboard.press("n")
    until(page, lambda: window not in page.url)


def test_an_individual_is_the_same_in_another_window(page: Any, studio: Served, out: Path) -> None:
    first = opened(page, studio, 0)["window"]
    page.fill("#author", "Bea")
    page.locator("#author").press("Enter")
    page.select_option("#order", "time")
    until(page, lambda: page.locator("#list button").first.get_attribute("data-window") == first)
    page.keyboard.press("1")
    page.keyboard.press("i")
    assert "in another window" in page.locator("#mode").inner_text()
    page.keyboard.press("n")
    until(page, lambda: page.locator("#where").inner_text().startswith("1/8 · frame 16"))
    page.keyboard.press("1")
    page.keyboard.press("i")
    until(page, lambda: page.locator("#entries li").count() == 1)
    (entry,) = json.loads((out / "corrections" / "barn.mp4.json").read_text())["corrections"]
    assert (entry["do"], entry["frame"], entry["at"], entry["author"]) == ("same", 16, 0, "Bea")
    assert not page.locator("#mode").is_visible()
    page.keyboard.press("z")
    until(page, lambda: page.locator("#entries li").count() == 0)


def test_clicks_are_followed_written_as_seen_applied_and_undone(page: Any, studio: Served, out: Path) -> None:
    before = {row["sample_id"]: row["sha256"] for row in rows(out / "samples.parquet")}
    window = opened(page, studio, 1)["window"]
    one = min(objects(studio, window))
    page.fill("#author", "Ann")
    page.locator("#author").press("Enter")
    keys = page.keyboard
    for _ in range(2):
        keys.press("ArrowRight")
    page.wait_for_selector('#canvas[data-frame="2"]')
    x, y = 40 + 3 * 20, 50
    keys.press("1")
    keys.press("e")
    assert page.locator("#clicking").is_visible() and not page.locator("#by-build").is_visible()
    with page.expect_response("**/preview") as answered:
        drag(page, x - 14, y - 14, x + 2, y + 14)  # only its left half
    (mask,) = answered.value.json()["masks"]
    assert x - 15 <= mask["box"][0] and mask["box"][2] <= x + 8
    with page.expect_response("**/preview") as answered:
        keys.press("Enter")  # nothing that was not seen is written: this follows
    shown = answered.value.json()
    until(page, lambda: "Enter writes them" in page.locator("#followed").inner_text())
    assert not (out / "corrections" / "barn.mp4.json").exists()
    keys.press("b")  # the whole window instead: it has to be followed again
    assert page.locator('[data-reach="window"]').get_attribute("aria-pressed") == "true"
    keys.press("b")
    until(page, lambda: page.locator("#followed").inner_text() == "")
    keys.press("f")
    until(page, lambda: "Enter writes them" in page.locator("#followed").inner_text())
    keys.press("Enter")
    until(page, lambda: page.locator("#entries li").count() == 1)
    assert not page.locator("#clicking").is_visible() and f"redraw {one} at 20" in page.locator("#entries").inner_text()
    (entry,) = json.loads((out / "corrections" / "barn.mp4.json").read_text())["corrections"]
    assert (entry["do"], entry["frame"], entry["author"], entry["masks"]) == ("redraw", 20, "Ann", shown["name"])
    now = studio.ask("GET", f"/dataset/windows/{window}/masks")["objects"]
    masks = {mask["frame"]: mask for mask in next(each for each in now if each["object"] == one)["masks"]}
    assert [masks[n] for n in sorted(masks) if n >= 2] == shown["masks"] and {0, 1} <= set(masks)
    keys.press("Escape")
    keys.press("Shift+Enter")
    until(page, lambda: not page.locator("#stale").is_visible() and page.locator("#crops video").count() == 2)
    after = {row["sample_id"]: row for row in rows(out / "samples.parquet")}
    (made,) = [row for row in after.values() if row["window_id"] == window and row["object_id"] == one]
    assert made["corrected"] and made["sha256"] not in before.values()
    until(page, lambda: page.locator(f'#crops [data-sample="{made["sample_id"]}"] video').count() == 1)
    keys.press("z")
    until(page, lambda: page.locator("#entries li").count() == 0)
    keys.press("Shift+Enter")
    until(page, lambda: not page.locator("#stale").is_visible())
    assert {row["sample_id"]: row["sha256"] for row in rows(out / "samples.parquet")} == before


def test_a_new_object_is_drawn_by_a_box_in_the_whole_window(page: Any, studio: Served) -> None:
    window = opened(page, studio, 1)["window"]
    page.fill("#author", "Bea")
    page.locator("#author").press("Enter")
    one, two = sorted(objects(studio, window))
    page.keyboard.press("End")
    page.wait_for_selector('#canvas[data-frame="7"]')
    page.keyboard.press("a")
    page.click('[data-reach="window"]')
    x, y = 40 + 3 * 30, 50
    with page.expect_response("**/preview") as answered:
        drag(page, x - 14, y - 14, x + 14, y + 14)
    (mask,) = answered.value.json()["masks"]
    x0, y0, x1, y1 = mask["box"]
    assert abs((x0 + x1) / 2 - x) < 4 and abs((y0 + y1) / 2 - y) < 4
    page.keyboard.press("Enter")
    until(page, lambda: "of 8 frames" in page.locator("#followed").inner_text())
    page.keyboard.press("Home")  # looked at, from the first frame on
    page.wait_for_selector('#canvas[data-frame="0"]')
    page.keyboard.press("Enter")
    until(page, lambda: page.locator("#objects li").count() == 3)
    found = objects(studio, window)
    (new,) = set(found) - {one, two}
    assert min(found[new]) < 3 and 7 in found[new]
    assert page.locator(f'[data-object="{new}"]').get_attribute("aria-pressed") == "true"
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    assert not page.locator("#clicking").is_visible() and not page.locator("#mode").is_visible()


def test_a_picture_of_the_page(tmp_path: Path, out: Path, demo: Path | None, pictures: Path) -> None:
    """Kept in docs/ when told where; made each time, so that what makes it works."""
    if demo is not None:
        out = Path(shutil.copytree(demo, tmp_path / "demo"))
    picture = pictures / "studio_correct.jpg"
    with (
        serving(tmp_path / "studio", dataset=out) as served,
        browser() as chromium,
        tab(chromium, color_scheme="dark") as page,
    ):
        page.goto(f"{served.address}/correct")
        page.wait_for_selector('#canvas[data-frame="0"]')
        page.fill("#author", "Ann")
        page.locator("#author").press("Enter")
        count = page.locator("#objects li").count()
        for key in (str(count), "Delete"):
            page.keyboard.press(key)
        until(page, lambda: page.locator("#objects li").count() == count - 1)
        for key in ("1", *["ArrowRight"] * 4):
            page.keyboard.press(key)
        page.wait_for_selector('#canvas[data-frame="4"]')
        page.keyboard.press("c")
        until(page, lambda: page.locator("#entries li").count() == 2)
        page.keyboard.press("Shift+Enter")
        until(page, lambda: page.locator("#crops video").count() > 0 and not page.locator("#stale").is_visible())
        until(
            page, lambda: page.evaluate("[...document.querySelectorAll('#crops video')].every(v => v.readyState > 1)")
        )
        page.set_viewport_size({"width": 1280, "height": 1120})
        page.wait_for_timeout(600)
        page.screenshot(path=picture, type="jpeg", quality=80)
    assert 20_000 < picture.stat().st_size < 300_000


def drag(page: Any, x0: float, y0: float, x1: float, y1: float) -> None:
    """Draw a box on the source."""
    box = page.locator("#canvas").bounding_box()
    scale = box["width"] / 320
    page.mouse.move(box["x"] + x0 * scale, box["y"] + y0 * scale)
    page.mouse.down()
    page.mouse.move(box["x"] + x1 * scale, box["y"] + y1 * scale, steps=3)
    page.mouse.up()


def at_source(page: Any, x: float, y: float) -> None:
    """Click a place of the source."""
    box = page.locator("#canvas").bounding_box()
    scale = box["width"] / 320
    page.mouse.click(box["x"] + x * scale, box["y"] + y * scale)


def test_without_any_source_video_the_page_says_which_is_gone_and_labelling_works(
    page: Any, built: Path, tmp_path: Path
) -> None:
    shutil.copytree(built, tmp_path / "moved")
    out = tmp_path / "moved" / "cows"
    (out / "dataset.yaml").write_text((out / "dataset.yaml").read_text().replace(str(built), str(tmp_path / "moved")))
    gone = tmp_path / "moved" / "footage" / "barn.mp4"
    gone.unlink()
    with serving(tmp_path / "studio", dataset=out, classes=["lying"]) as studio:
        page.goto(f"{studio.address}/correct")
        until(page, lambda: "not at hand" in page.locator("#missing-title").inner_text())
        assert f"source video not found: {gone}" in page.locator("#gone").inner_text()
        assert "put the source videos back" in page.locator("#why").inner_text()
        page.goto(f"{studio.address}/label")
        page.wait_for_selector(".cell[aria-current=true]")
        page.keyboard.press("1")
        until(page, lambda: page.locator("#saved").inner_text() == "all saved")
        assert (out / "labels.jsonl").read_text().count("\n") == 1
