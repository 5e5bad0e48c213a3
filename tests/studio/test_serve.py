"""Which tracker the studio takes, and what it refuses before it listens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from studio.serve import chosen_tracker, serve
from tests.pipeline.composing import loaded


def chosen(*words: str) -> object:
    return chosen_tracker(loaded("task=studio", *words), words)


def test_what_follows_the_clicks() -> None:
    assert chosen().name == "grabcut"
    assert chosen("tracker=sam3_tracker").name == "sam3_tracker"
    assert chosen("studio.tracker=motion").name == "motion"
    assert chosen("tracker=sam2", "studio.tracker=grabcut").name == "grabcut"
    for size, weights in (("tiny", "tiny"), ("base", "base-plus"), ("large", "large")):
        for words in ([f"studio.model={size}"], [f"studio.model={size}", "tracker=sam2"]):
            tracker = chosen(*words)
            assert tracker.name == "sam2" and tracker._config.weights == f"facebook/sam2.1-hiera-{weights}"
    own = chosen("tracker=sam2", "tracker.weights=/models/mine", "tracker.max_side=640")
    assert (own._config.weights, own.max_side) == ("/models/mine", 640)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["studio.tracker=yolo"], "studio.tracker must be one of motion, grabcut"),
        (["studio.model=tiny", "tracker=grabcut"], "studio.model=tiny is a size of SAM2, and tracker=grabcut is not"),
        (["studio.tracker=file"], "studio.tracker=file needs options"),
    ],
)
def test_trackers_that_do_not_fit_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen(*words)


def test_a_dataset_is_no_place_for_uploads(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("task: build\n")
    with pytest.raises(ConfigError, match="is a dataset: the studio needs a folder of its own"):
        serve(loaded("task=studio", f"studio.folder={tmp_path}"), [])


def test_without_its_packages_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.serve.find_spec", lambda name: None if name == "fastapi" else object())
    with pytest.raises(ConfigError, match="task=studio needs fastapi: make setup EXTRAS=studio"):
        serve(loaded("task=studio", f"studio.folder={tmp_path}"), [])


def test_an_address_that_is_not_here_is_said(tmp_path: Path) -> None:
    words = ["task=studio", "studio.host=192.0.2.1", "studio.token=0123456789abcdef", f"studio.folder={tmp_path}"]
    with pytest.raises(ConfigError, match=r"studio\.host=192\.0\.2\.1 studio\.port=8000 cannot be used"):
        serve(loaded(*words), words)


def test_every_page_has_its_frame_its_script_and_its_styles() -> None:
    from studio.pages import FRAME, PAGES, STATIC

    assert {f"{page.name}.html" for page in PAGES.values()} | {FRAME} == {path.name for path in STATIC.glob("*.html")}
    for page in PAGES.values():
        html = page.html()
        assert (
            html.startswith("<!doctype html>")
            and html.count("<body>") == 1
            and f"<title>{page.title} \N{EN DASH} studio</title>" in html
        )
        loaded = re.findall(r'(?:src|href)="/static/([^"]+)"', html)
        assert {"style.css", f"{page.name}.js", "icon.svg"} <= set(loaded)
        assert all((STATIC / name).is_file() for name in loaded) and 'id="main"' in html
