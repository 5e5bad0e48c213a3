"""The survey: what is found, what is wrong with the rest, and what is remembered of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import cache, footage
from pipeline.footage import Footage, survey
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.settings import CacheConfig
from tests.pipeline.dataset_fixture import write_crop
from video.clipper import ClipConfig
from video.errors import SourceError

Survey = Callable[..., Footage]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Three readable videos of 40 frames, the last with the bytes of the first, and one file that is none."""
    folder = tmp_path / "videos"
    write_crop(folder / "a" / "cam1.mp4", 32, 40, seed=1)
    write_crop(folder / "a" / "cam2.mp4", 32, 40, seed=2)
    shutil.copyfile(folder / "a" / "cam1.mp4", folder / "copy.mp4")
    (folder / "broken.mp4").write_bytes(b"not a video")
    return folder


@pytest.fixture
def look(videos: Path) -> Survey:
    def run(ledger: Ledger | None = None, **changes: Any) -> Footage:
        chosen: dict[str, Any] = {
            "videos": (str(videos),),
            "include": (),
            "exclude": (),
            "hours": None,
            "time_pattern": None,
            "retry_failed": True,
            "task": "build",
            "prompts": ("cow",),
            "prompts_file": None,
            "out": videos.parent / "out",
            "url": None,
            "cache": CacheConfig(),
            "clip": ClipConfig(num_frames=5, stride=2),
        }
        settings: Any = SimpleNamespace(**(chosen | changes))
        return survey(settings, ledger)

    return run


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Layout(tmp_path / "out", tmp_path / "tracks"))


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that were opened."""
    names: list[str] = []
    probe = cache.probe
    monkeypatch.setattr(cache, "probe", lambda found, pattern: (names.append(found.name), probe(found, pattern))[1])
    return names


def test_every_file_is_a_video_a_failure_or_a_duplicate(look: Survey) -> None:
    found = look()
    assert [v.name for v in found.videos] == ["a/cam1.mp4", "a/cam2.mp4"]
    (failure,) = found.failures
    assert (failure.video, failure.stage, failure.clip_id) == ("broken.mp4", "probe", None)
    (twin,) = found.duplicates
    assert (twin.video, twin.reason) == ("copy.mp4", "duplicate of a/cam1.mp4")


def test_chunks_come_by_video_and_in_order(look: Survey) -> None:
    found = look()
    assert [c.video.name for c in found.chunks] == ["a/cam1.mp4", "a/cam2.mp4"]
    starts = [w.start for w in found.chunks[0].windows]
    assert starts == [0, 5, 10, 15] and found.clips == 8
    assert {video.name: count for video, count in found.clips_by_video().items()} == {"a/cam1.mp4": 4, "a/cam2.mp4": 4}


def test_a_video_too_short_for_a_clip_is_a_failure_of_the_plan(look: Survey, videos: Path) -> None:
    write_crop(videos / "short.mp4", 32, 6, seed=3)
    found = look()
    assert [v.name for v in found.videos] == ["a/cam1.mp4", "a/cam2.mp4"]
    (short,) = [f for f in found.failures if f.video == "short.mp4"]
    assert short.stage == "plan" and "shorter than one clip: 3 sampled frames of the 5" in short.error


def test_hours_without_a_time_in_the_name_are_said(look: Survey) -> None:
    found = look(hours=(6.0, 18.0))
    assert not found.videos and not found.chunks
    assert {f.stage for f in found.failures if f.video != "broken.mp4"} == {"plan"}


def test_names_can_be_chosen(look: Survey) -> None:
    assert [v.name for v in look(include=("*cam2*",)).videos] == ["a/cam2.mp4"]
    assert [v.name for v in look(exclude=("a/*",)).videos] == ["copy.mp4"], "now nobody's duplicate"


def test_a_source_without_videos_stops_everything(look: Survey, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="none"):
        look(videos=(str(tmp_path / "none"),))


def test_a_second_survey_opens_only_what_failed(look: Survey, ledger: Ledger, probed: list[str]) -> None:
    first = look(ledger)
    assert sorted(probed) == ["a/cam1.mp4", "a/cam2.mp4", "broken.mp4", "copy.mp4"]
    probed.clear()
    assert look(ledger) == first
    assert probed == ["broken.mp4"]
    probed.clear()
    assert look(ledger, retry_failed=False) == first
    assert probed == []


def test_what_is_known_is_not_written_again(look: Survey, ledger: Ledger, tmp_path: Path) -> None:
    def written() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.json")}

    look(ledger)
    before = written()
    look(ledger)
    assert len(before) == 4 and written() == before


def test_a_changed_file_is_opened_again(look: Survey, ledger: Ledger, probed: list[str], videos: Path) -> None:
    look(ledger, retry_failed=False)
    probed.clear()
    write_crop(videos / "broken.mp4", 32, 40, seed=9)
    os.utime(videos / "a" / "cam2.mp4", (1, 1))
    assert len(look(ledger, retry_failed=False).videos) == 3
    assert sorted(probed) == ["a/cam2.mp4", "broken.mp4"]


def test_without_a_ledger_nothing_is_written(look: Survey, tmp_path: Path) -> None:
    look(None)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["videos"]


def test_a_video_that_was_moved_keeps_its_clips(look: Survey, videos: Path) -> None:
    before = look(include=("*cam2*",))
    (videos / "a" / "cam2.mp4").rename(videos / "renamed.mp4")
    after = look(include=("renamed*",))
    assert [c.id for c in before.chunks] == [c.id for c in after.chunks]


# -- a budget ---------------------------------------------------------------------------------------------------------

BUDGET = ClipConfig(num_frames=5, stride=2, sampling="spread", total=3)


def test_a_budget_is_spread_over_all_videos_and_packets_are_looked_at_once(
    look: Survey, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    measure = footage.activity
    monkeypatch.setattr(footage, "activity", lambda path, s: (looked.append(Path(path).name), measure(path, s))[1])
    found = look(ledger, clip=BUDGET)
    assert found.clips == 3 and found.spread is not None
    assert sorted(found.clips_by_video().values()) == [1, 2]
    assert sum(found.spread.available.values()) == 8 and sum(found.spread.taken.values()) == 3
    again = look(ledger, clip=BUDGET)
    assert [c.id for c in again.chunks] == [c.id for c in found.chunks]
    assert sorted(looked) == ["cam1.mp4", "cam2.mp4"], "the second survey opened nothing"


def test_a_video_without_a_clip_in_the_budget_is_still_a_video(look: Survey) -> None:
    found = look(clip=ClipConfig(num_frames=5, stride=2, sampling="spread", total=1))
    assert found.clips == 1 and len(found.videos) == 2
