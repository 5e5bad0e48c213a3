"""task=doctor: one table of what is there and missing, an exit status, and not a byte written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from pipeline.settings import Settings
from pipeline.tasks import doctor as module
from pipeline.tasks.doctor import doctor
from sam import tracker as registry
from sam.backends.preflight import wishes
from sam.checks import Check
from tests.pipeline.composing import loaded
from tests.running import run


@dataclass
class FussyConfig:
    """Needs what the test says."""

    broken: bool = True

    def build(self) -> object:
        raise AssertionError("the doctor builds no tracker that can say what it needs")

    def preflight(self) -> Iterator[Check]:
        print("a library that chats when it is imported")
        yield Check("crystal", "NO" if self.broken else "note", "the ball is clouded: polish it " + "well " * 40)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks Hugging Face for anything."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if find_spec("huggingface_hub") is not None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def fussy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    registry.trackers()
    monkeypatch.setitem(registry.REGISTRY, "fussy", registry.TrackerEntry(FussyConfig, "Fussy."))
    yield
    ConfigStore.instance().repo.get("tracker", {}).pop("fussy.yaml", None)  # composing put it there


def settings(*words: str) -> Settings:
    return loaded("task=doctor", *words)


def lines_of(text: str, group: str) -> list[str]:
    """The table's lines of one group, up to the empty line."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith(group))
    return lines[first : lines.index("", first)]


def test_it_needs_neither_videos_nor_prompt_and_names_every_tracker(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run(capfd, monkeypatch, "task=doctor", "tracker=motion", f"out={out}")
    assert done.status == 0, done.text
    assert done.text.rstrip().endswith("tracker=motion can run here.")
    for name in registry.trackers():
        assert lines_of(done.text, f"{name} " if name != "motion" else "motion (chosen)")
    for what in ("Python", "encoder", "decoder", "disk", "token", "GPU"):
        assert any(what in line.split() for line in lines_of(done.text, "machine"))
    assert not out.exists()
    assert os.listdir(tmp_path) == []


def test_what_the_chosen_tracker_lacks_decides_the_status(fussy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    motion = settings("tracker=motion")
    status, text = doctor(motion)
    assert status == 0
    assert "NO" in " ".join(lines_of(text, "fussy")).split()
    status, text = doctor(replace(motion, tracker_name="fussy", tracker=FussyConfig()))
    assert status == 2
    assert text.endswith("tracker=fussy cannot run here yet: see crystal.")
    status, text = doctor(replace(motion, tracker_name="fussy", tracker=FussyConfig(broken=False)))
    assert status == 0
    assert "note" in " ".join(lines_of(text, "fussy (chosen)")).split()


def test_the_table_is_as_wide_as_it_says_and_no_library_talks_into_it(fussy: None) -> None:
    _, text = doctor(settings("tracker=motion"))
    assert max(map(len, text.splitlines())) <= module.WIDTH
    first, *rest = lines_of(text, "fussy")
    assert rest and all(line.startswith(" " * first.index("the ball")) for line in rest)
    assert " ".join(" ".join([first, *rest]).split()).endswith("well well well")
    assert "chats" not in text


def test_a_tracker_that_needs_an_option_says_which(tmp_path: Path) -> None:
    _, text = doctor(settings("tracker=motion"))
    assert "tracker=file tracker.path=..." in " ".join(lines_of(text, "file"))
    status, text = doctor(settings("tracker=file", f"tracker.path={tmp_path / 'nothing.txt'}"))
    assert status == 2
    assert str(tmp_path / "nothing.txt") in "".join(line.strip() for line in lines_of(text, "file (chosen)"))


def test_an_unwritable_place_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)
    status, text = doctor(settings("tracker=motion", f"out={tmp_path}/new/out"))
    assert status == 2
    assert f"{tmp_path} is not writable" in " ".join(" ".join(lines_of(text, "machine")).split())
    assert "see disk" in text


def test_a_missing_encoder_and_decoder_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.codec.codecs_available", {"mpeg4"})
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    status, text = doctor(settings("tracker=motion", "reader=decord"))
    assert status == 2
    assert "without libx264" in " ".join(text.split())
    assert "make setup EXTRAS=decord" in text
    assert "see encoder, decoder" in text


def test_packages_that_overwrite_each_other_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"opencv-python": "5.0", "opencv-python-headless": "5.0"}
    monkeypatch.setattr(module, "_version", lambda package: there.get(package, ""))
    _, text = doctor(settings("tracker=motion"))
    assert "opencv-python and opencv-python-headless overwrite each other" in " ".join(text.split())


class TestWishes:
    """Requirements of packages, against what is installed."""

    @pytest.fixture(autouse=True)
    def installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        there = {"numpy": "2.5.5", "huggingface-hub": "1.33.0", "tqdm": "4.67.0rc1"}

        def version(name: str) -> str:
            try:
                return there[name]
            except KeyError:
                raise metadata.PackageNotFoundError(name) from None

        monkeypatch.setattr("sam.backends.preflight.metadata.version", version)

    def test_met_ones_say_nothing(self) -> None:
        met = ["numpy>=1.26", "huggingface-hub<2,>=0.30", "tqdm<4.68,>=4.60", "black==1; extra == 'dev'"]
        others = ["winonly>=1; sys_platform == 'nowhere'", "https://example.org/a.whl"]
        assert list(wishes("sam3 0.1.4", [*met, *others], "do this")) == []

    def test_unmet_ones_name_both_versions_and_the_fix(self) -> None:
        (old, absent) = wishes("sam3 0.1.4", ["numpy<2.4,>=1.26", "iopath>=0.1"], "do this")
        assert (old.state, absent.state) == ("note", "note")
        assert old.detail == "sam3 0.1.4 asks for numpy<2.4,>=1.26, and numpy 2.5.5 is installed: do this"
        assert absent.detail == "sam3 0.1.4 asks for iopath>=0.1, which is not installed: do this"
