"""The label and browse pages in a real browser, as a person uses them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from benchmarks.synthetic_dataset import synthetic_dataset
from pipeline.labels import LabelStore, apply
from pipeline.layout import Layout
from pipeline.tables import read_table
from tests.studio.browsing import Studio, browser, page, until
from tests.studio.serving import serving

pytestmark = pytest.mark.slow
CLASSES = ["lying", "standing", "walking"]
SHOWN = ".cell[aria-current=true]"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return synthetic_dataset(tmp_path / "cows", 60, files=12, individuals=5, side=128)


@pytest.fixture
def address(layout: Layout) -> Iterator[str]:
    with serving(layout.root.parent / "studio", dataset=layout.root, classes=CLASSES) as served:
        yield served.address


def shown(tab: Any) -> str:
    """The sample id of the crop in view."""
    return str(tab.get_attribute(SHOWN, "data-id"))


def press(tab: Any, *keys: str) -> None:
    for key in keys:
        tab.keyboard.press(key)


def saved(tab: Any) -> None:
    until(tab, "document.querySelector('#saved').textContent === 'all saved'")


def labels_of(layout: Layout) -> dict[str, str]:
    """What a build would say now, by sample id."""
    matched = apply(layout)
    names = read_table(layout.samples, ["sample_id"])["sample_id"].to_pylist()
    return {name: label for name, label in zip(names, matched.found, strict=True) if label is not None}


def test_twenty_labels_by_keyboard_survive_a_killed_server(chromium: Any, layout: Layout) -> None:
    studio = Studio(
        f"out={layout.root}", f"studio.folder={layout.root.parent / 'studio'}", f"studio.classes=[{','.join(CLASSES)}]"
    )
    studio.start()
    try:
        with page(chromium) as tab:
            tab.goto(f"{studio.address}/label")
            tab.wait_for_selector(SHOWN)
            said = {}
            for n in range(20):
                said[shown(tab)] = CLASSES[n % 3]
                press(tab, str(n % 3 + 1))
            assert len(said) == 20  # each key press brought another crop
            saved(tab)
            studio.kill()
            assert len(LabelStore(layout).read()) == 20
            # what is said while nobody answers waits, is named, and comes through
            late = shown(tab)
            press(tab, "2")
            tab.wait_for_selector("#unsaved:not([hidden])")
            assert "1 not saved yet" in tab.inner_text("#unsaved")
            studio.start()
            tab.wait_for_selector("#unsaved", state="hidden")
            saved(tab)
            tab.reload()
            tab.wait_for_selector(SHOWN)
            assert tab.inner_text("#progress").startswith("21 of 60")
            assert shown(tab) not in said
        assert labels_of(layout) == {**said, late: "standing"}
    finally:
        studio.kill()


def test_undo_unsure_skip_and_comments(chromium: Any, layout: Layout, address: str) -> None:
    with page(chromium) as tab:
        tab.goto(f"{address}/label")
        tab.wait_for_selector(SHOWN)
        tab.fill("#author", "ann")
        tab.press("#author", "Tab")
        names = []
        for key in ("1", "n", "s", "3"):
            names.append(shown(tab))
            press(tab, key)
        press(tab, "z")
        assert shown(tab) == names[3]
        press(tab, "2", "ArrowLeft", "c")
        tab.keyboard.type("a 1 and an n are text here")
        press(tab, "Enter")
        assert shown(tab) == names[3]
        saved(tab)
        said = LabelStore(layout).read()
        assert [(each.label, each.unsure) for each in said] == [
            ("lying", False), (None, True), ("walking", False), (None, False), ("standing", False), ("standing", False)
        ]  # fmt: skip
        assert said[-1].comment == "a 1 and an n are text here" and {each.author for each in said} == {"ann"}
        # an undo outlives a reload
        tab.reload()
        tab.wait_for_selector(SHOWN)
        press(tab, "z", "z")
        until(tab, f"document.querySelector('{SHOWN}').dataset.id === {names[3]!r}")
        saved(tab)
    assert labels_of(layout) == {names[0]: "lying"}


def test_individuals_spans_and_a_grid(chromium: Any, layout: Layout, address: str) -> None:
    with page(chromium) as tab:
        tab.goto(f"{address}/label")
        tab.wait_for_selector(SHOWN)
        first = shown(tab)
        press(tab, "Shift+Digit3")
        tab.wait_for_selector("text=12 crops: walking")
        table = read_table(layout.samples, ["sample_id", "individual_id"]).to_pylist()
        who = next(row["individual_id"] for row in table if row["sample_id"] == first)
        mine = {row["sample_id"] for row in table if row["individual_id"] == who}
        assert labels_of(layout) == dict.fromkeys(mine, "walking")
        press(tab, "z")  # an individual is undone in one step
        saved(tab)
        assert labels_of(layout) == {}
        # from a place in one crop to a place in another of the same video
        until(tab, "document.querySelector('.cell video').duration > 0")
        press(tab, ",", "i")
        press(tab, "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")  # five individuals further
        until(tab, "document.querySelector('.cell video').duration > 0")
        press(tab, ",", "o")
        assert "Every crop of" in tab.inner_text("#scope-note") and "from" in tab.inner_text("#scope-note")
        press(tab, "1")
        tab.wait_for_selector("text=crops: lying")
        assert 0 < len(labels_of(layout)) <= 2
        # a grid: two are chosen, one key labels both; then all of the next
        press(tab, "g")
        until(tab, "document.querySelectorAll('.cell').length === 9")
        cells = tab.query_selector_all(".cell:not(.said)")
        chosen = [cell.get_attribute("data-id") for cell in cells[1:3]]
        for cell in cells[1:3]:
            cell.click()
        press(tab, "2")
        saved(tab)
        labels = labels_of(layout)
        assert [labels[name] for name in chosen] == ["standing", "standing"]
        press(tab, "Enter", "a", "3")
        saved(tab)
        assert len(labels_of(layout)) == len(labels) + 9


def test_the_end_is_said_and_what_was_skipped_comes_again(chromium: Any, layout: Layout, address: str) -> None:
    name = read_table(layout.samples, ["individual_id"])["individual_id"][0].as_py()
    whose = json.dumps({"state": "open", "individual_id": [name]})
    with page(chromium) as tab:
        tab.goto(f"{address}/label#{quote(whose)}")
        tab.wait_for_selector(SHOWN)
        skipped = shown(tab)
        press(tab, "s", *"12312312312")
        tab.wait_for_selector("text=That was the last one.")
        press(tab, "ArrowLeft")
        assert shown(tab) != skipped
        press(tab, "ArrowRight")
        saved(tab)
        tab.click("text=Look for what was skipped")
        until(tab, f"document.querySelector('{SHOWN}')?.dataset.id === {skipped!r}")
        press(tab, "1")
        tab.click("text=Look for what was skipped")
        tab.click("text=Show all crops")
        tab.wait_for_selector(SHOWN)
        saved(tab)
    assert len(labels_of(layout)) == 12


def test_classes_and_keys_are_edited_in_the_page(chromium: Any, layout: Layout, address: str) -> None:
    with page(chromium) as tab:
        tab.goto(f"{address}/label")
        tab.wait_for_selector("#classes button")
        tab.click("#edit")
        tab.click("#more")
        press(tab, *"grooming")
        tab.click("#keep")
        tab.wait_for_selector("#classes button[data-name=grooming]")
        name = shown(tab)
        press(tab, "4")
        saved(tab)
        press(tab, "?")
        assert "grooming" in tab.inner_text("dialog[open]")
    assert labels_of(layout) == {name: "grooming"} and layout.label_classes.is_file()


def test_a_bar_shows_its_crops_and_filters_combine(chromium: Any, layout: Layout, address: str) -> None:
    sides = [row["side"] for row in read_table(layout.samples, ["side"]).to_pylist()]
    with page(chromium) as tab:
        tab.goto(f"{address}/browse")
        tab.wait_for_selector(".crops li")
        assert tab.inner_text("#total") == "60 crops, 0 labelled" and len(tab.query_selector_all(".crops li")) == 48
        press(tab, "ArrowRight")
        until(tab, "document.querySelectorAll('.crops li').length === 12")
        bars = tab.query_selector_all("[data-figure=side]")
        heights = [bar.evaluate("bar => parseFloat(bar.querySelector('b').style.height)") for bar in bars]
        tallest = heights.index(max(heights))
        many = int(bars[tallest].get_attribute("aria-label").split(": ")[1].split(" of ")[0])
        bars[tallest].click()
        until(tab, f"document.querySelector('#total').textContent.startsWith('{many} crop')")
        assert 1 <= many < 60 and len(tab.query_selector_all(".crops li")) == many
        low, high = max(sides) * 0, max(sides)
        assert low < high and "Object size" in tab.inner_text(".chips")
        tab.click("[data-column=prompt][data-value=calf]")
        until(tab, "document.querySelectorAll('.chips .chip').length === 2")
        both = int(tab.inner_text("#total").split()[0])
        assert both <= many and both == len(tab.query_selector_all(".crops li"))
        tab.reload()  # the address holds the filter
        until(tab, "document.querySelectorAll('.chips .chip').length === 2")
        tab.click("text=clear all")
        tab.wait_for_selector("text=60 crops, 0 labelled")
        tab.click(".crops li button")
        until(tab, "document.querySelector('#film').readyState >= 2")
        # it seeks: a part of the file is asked for, and shown
        tab.evaluate("document.querySelector('#film').currentTime = 2")
        until(tab, "!document.querySelector('#film').seeking")
        press(tab, "Escape")
        tab.click("[data-column=split][data-value=train]")
        tab.click("#label-these")
        tab.wait_for_selector(SHOWN)
        assert "Split: train" in tab.inner_text(".chips")


@pytest.mark.parametrize("path", ["/", "/label", "/browse"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_and_name_what_they_show(chromium: Any, address: str, path: str, width: int) -> None:
    with page(chromium) as tab:
        tab.set_viewport_size({"width": width, "height": 800})
        tab.goto(address + path)
        tab.wait_for_load_state("networkidle")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"
        nameless = tab.evaluate(
            """() => [...document.querySelectorAll('button, a, input, select')]
                .filter((e) => e.offsetParent && !(e.innerText || e.ariaLabel || e.labels?.length || e.title))
                .map((e) => e.outerHTML)"""
        )
        assert nameless == []
        assert tab.evaluate("document.querySelectorAll('h1').length") == 1


def test_pictures_of_the_pages(chromium: Any, tmp_path: Path, demo: Path | None, pictures: Path) -> None:
    """Kept in docs/ when told where; made each time, so that what makes them works."""
    layout = Layout(tmp_path / "cows", tmp_path / "tracks")
    if demo is None:
        synthetic_dataset(layout.root, 400, files=24, individuals=6, side=224)
    else:
        shutil.copytree(demo, layout.root)
        layout.labels.unlink(missing_ok=True)
    whole = "#%7B%22figures%22%3A%7B%22visible_share%22%3A%7B%22least%22%3A0.99%7D%7D%7D"
    with serving(tmp_path / "studio", dataset=layout.root, classes=[*CLASSES, "feeding"]) as served:
        with page(chromium, color_scheme="light") as tab:
            tab.set_viewport_size({"width": 1180, "height": 700})
            tab.goto(f"{served.address}/label{whole}")
            tab.wait_for_selector(SHOWN)
            press(tab, "1", "2", "3", "2", "4", "2", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft")
            saved(tab)
            tab.wait_for_timeout(600)
            tab.screenshot(path=pictures / "studio_label.png")
        with page(chromium, color_scheme="dark") as tab:
            tab.goto(f"{served.address}/browse{whole}")
            tab.wait_for_selector(".crops li")
            tab.wait_for_load_state("networkidle")
            tab.wait_for_timeout(600)
            tab.screenshot(path=pictures / "studio_browse.png")
    assert all(10_000 < (pictures / f"studio_{name}.png").stat().st_size < 200_000 for name in ("label", "browse"))
