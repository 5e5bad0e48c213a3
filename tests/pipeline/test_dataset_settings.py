"""Settings of a dataset that is there: its own come first, the command line lies on top; and the jobs of a sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pipeline.errors import ConfigError
from sam.tracker import trackers
from tests.pipeline.composing import BASE, changed, loaded

MADE_WITH = (
    *(*BASE, "crop.size=112", "crop.margin=0.2", "filters.size.min_side=8", "clip.stride=2", "clip.hop=5"),
    *(
        "tracker.threshold=9",
        "split.assign={farm3/*: test}",
        "exports=[videofolder,videomae]",
        "crop.variants=[black,mask]",
    ),
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A dataset folder that knows its settings."""
    out = tmp_path / "cows"
    out.mkdir()
    settings = loaded(*MADE_WITH, f"out={out}")
    (out / "dataset.yaml").write_text(settings.dataset_document)
    return out


@pytest.mark.parametrize("task", ["crop", "export", "report"])
def test_a_dataset_is_worked_on_with_the_settings_it_was_made_with(task: str, dataset: Path) -> None:
    made, again = changed(*MADE_WITH[len(BASE) :], f"out={dataset}"), loaded(f"task={task}", f"out={dataset}")
    assert again.task == task and again.out == dataset
    for name in ("videos", "prompts", "tracks", "clip", "crop", "encode", "filters", "split", "exports", "tracker"):
        assert getattr(again, name) == getattr(made, name), name
    assert again.tracker_name == "motion" and type(again.tracker) is type(made.tracker)
    assert again.digest == made.digest, "so nothing has to be done again"


def test_the_command_line_lies_on_top(dataset: Path) -> None:
    settings = loaded(
        *("task=crop", f"out={dataset}", "crop.size=64", "filters.truncated.enabled=true", "exports=[]"),
        *("crop.variants=null", "executor.workers=1"),
    )
    assert (settings.crop.size, settings.crop.margin, settings.crop.variants) == (64, 0.2, None)
    assert settings.filters["truncated"].enabled and settings.filters["size"].min_side == 8
    assert not settings.exports and settings.executor.workers == 1 and settings.clip.stride == 2


def test_a_preset_lies_on_top_too(dataset: Path) -> None:
    settings = loaded("task=crop", f"out={dataset}", "crop=context")
    assert (settings.crop.background, settings.crop.margin) == ("context", 0.3)
    assert settings.filters["size"].min_side == 8


def test_another_tracker_brings_its_own_options_only(dataset: Path) -> None:
    settings = loaded("task=crop", f"out={dataset}", "tracker=file", "tracker.path=/tracks.txt")
    assert settings.tracker_name == "file" and settings.tracker == trackers()["file"].config(path="/tracks.txt")


def test_a_fixed_split_can_be_replaced(dataset: Path) -> None:
    settings = loaded("task=export", f"out={dataset}", "split.by=folder")
    assert settings.split.by == "folder" and settings.split.assign == {"farm3/*": "test"}


def test_a_wrong_value_on_top_is_still_refused(dataset: Path) -> None:
    with pytest.raises(ConfigError, match=r"crop\.size must be an even number of at least 16, got 7"):
        loaded("task=crop", f"out={dataset}", "crop.size=7")
    with pytest.raises(ConfigError, match=r"there is no key crop\.side"):
        loaded("task=crop", f"out={dataset}", "+crop.side=7")


def test_a_moved_dataset_keeps_its_tracks(dataset: Path, tmp_path: Path) -> None:
    moved = dataset.rename(tmp_path / "elsewhere")
    settings = loaded("task=crop", f"out={moved}")
    assert settings.out == moved and settings.tracks == moved / "tracks"


def test_what_is_not_a_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"there is no {tmp_path}/dataset.yaml: build one first"):
        loaded("task=export", f"out={tmp_path}")


def test_settings_of_another_version_name_the_file_and_the_key(dataset: Path) -> None:
    saved = dataset / "dataset.yaml"
    saved.write_text(saved.read_text().replace("margin:", "padding:"))
    with pytest.raises(ConfigError, match=r"dataset\.yaml does not fit this version: .*padding"):
        loaded("task=crop", f"out={dataset}")


def test_the_document_is_plain_yaml_and_says_everything(dataset: Path) -> None:
    document = yaml.safe_load((dataset / "dataset.yaml").read_text())
    assert document["tracker_name"] == "motion" and document["tracker"]["threshold"] == 9
    assert document["crop"]["variants"] == ["black", "mask"] and document["split"]["assign"] == {"farm3/*": "test"}
    json.dumps(dict(changed().values))


# -- sweeps -----------------------------------------------------------------------------------------------------------


def test_a_job_of_a_sweep_has_a_folder_of_its_own_and_shares_the_tracks(tmp_path: Path) -> None:
    one = changed(f"out={tmp_path}", sweep="crop.size=112,prompt=cow")
    assert one.out == tmp_path / "crop.size=112,prompt=cow" and one.tracks == tmp_path / "tracks"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("select.include=cam1*", "select.include=cam1?"),
        ("prompt=polar bear", "prompt=polar_bear"),
        ("videos=/a/b", "videos=/a_b"),
        ("prompt=" + "a" * 300, "prompt=" + "a" * 299 + "b"),
    ],
)
def test_two_jobs_never_share_a_folder(one: str, other: str, tmp_path: Path) -> None:
    folders = [changed(f"out={tmp_path}", sweep=sweep).out for sweep in (one, other)]
    assert folders[0] != folders[1]
    for folder in folders:
        assert folder.parent == tmp_path and "/" not in folder.name and len(folder.name.encode()) < 255
    assert folders == [changed(f"out={tmp_path}", sweep=sweep).out for sweep in (one, other)], "nor move"


def test_a_dataset_of_a_sweep_finds_the_sweeps_tracks(tmp_path: Path) -> None:
    made = changed(f"out={tmp_path}", sweep="crop.size=112")
    made.tracks.mkdir()
    made.out.mkdir()
    (made.out / "dataset.yaml").write_text(made.dataset_document)
    assert changed("task=crop", f'out="{made.out}"').tracks == tmp_path / "tracks"


def test_paths_mean_the_same_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    made = loaded("videos=[barn,s3://bucket/cam1]", "prompt=cow", "tracker=file", "tracker.path=mot", "out=cows")
    assert made.videos == (str(tmp_path / "there" / "barn"), "s3://bucket/cam1")
    made.out.mkdir()
    (made.out / "dataset.yaml").write_text(made.dataset_document)
    monkeypatch.chdir(tmp_path)
    again = loaded("task=crop", f"out={made.out}")
    assert again.videos == made.videos and again.digest == made.digest
    assert getattr(again.tracker, "path") == str(tmp_path / "there" / "mot")  # noqa: B009 - the file tracker's own
