"""The ledger: what is damaged counts as absent, and what decides a record decides its id."""

from __future__ import annotations

import logging
import os
from dataclasses import asdict, replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.extractor import CropConfig
from pipeline.layout import Layout
from pipeline.ledger import Ledger, VideoEntry, record_id
from pipeline.records import FORMAT
from tests.pipeline.making import a_chunk, a_clip, a_record, a_sample, a_video
from video.encoder import EncodeConfig
from video.types import Window


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "tracks")


@pytest.fixture
def ledger(layout: Layout) -> Ledger:
    return Ledger(layout)


def test_a_record_is_read_back_and_removed(ledger: Ledger) -> None:
    record = a_record(a_sample())
    assert ledger.read(record.id) is None
    ledger.write(record)
    assert ledger.read(record.id) == record
    ledger.remove(record.id)
    ledger.remove(record.id)
    assert ledger.read(record.id) is None


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "another format": lambda data: data.replace(b'"format": %d' % FORMAT, b'"format": 99'),
    "a key gone": lambda data: data.replace(b'"clips"', b'"clops"'),
    "a key of a figure gone": lambda data: data.replace(b'"area"', b'"aria"'),
    "a key of a sample gone": lambda data: data.replace(b'"tracker"', b'"trucker"'),
    "no object": lambda data: b"[1, 2]",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_counts_as_absent_and_is_named(
    damage: str, ledger: Ledger, layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    record = a_record(a_sample())
    ledger.write(record)
    path = layout.record(record.id)
    damaged = DAMAGE[damage](path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    with caplog.at_level(logging.WARNING):
        assert ledger.read(record.id) is None
    assert str(path) in caplog.text and "done again" in caplog.text
    ledger.write(record)
    assert ledger.read(record.id) == record, "and doing it again mends it"


# -- ids --------------------------------------------------------------------------------------------------------------

KEYS = ("k1", "k2")


def an_id(**changes: object) -> str:
    parts: dict = {"chunk": a_chunk(), "track_keys": KEYS, "crop": CropConfig(), "encode": EncodeConfig()}
    parts |= changes
    return record_id(**parts | {name: asdict(parts[name]) for name in ("crop", "encode")})


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": CropConfig(size=112)},
        {"crop": CropConfig(margin=0.2)},
        {"crop": CropConfig(background="context")},
        {"crop": CropConfig(variants=["black", "mask"])},
        {"crop": CropConfig(scale="frame")},
        {"crop": CropConfig(upscale=False)},
        {"crop": CropConfig(missing="hold")},
        {"encode": EncodeConfig(crf=20)},
        {"encode": EncodeConfig(preset="fast")},
        {"encode": EncodeConfig(lossless=True)},
        {"track_keys": ("k1",)},
        {"track_keys": ("k1", "k3")},
        {"track_keys": ("k2", "k1")},
        {"chunk": a_chunk(Window((a_clip(),)))},
        {"chunk": a_chunk(Window((a_clip(),)), Window((a_clip(8),)))},
        {"chunk": a_chunk(Window((a_clip(),), lead=1), Window((a_clip(4),), lead=1))},
    ],
    ids=str,
)
def test_what_changes_a_crop_changes_the_id(changes: dict[str, object]) -> None:
    assert an_id(**changes) != an_id()


def test_equal_settings_give_equal_ids_wherever_the_video_lies() -> None:
    moved = a_video(path="/elsewhere/cam1.mp4", name="cam1.mp4")
    elsewhere = a_chunk(Window((a_clip(video=moved),)), Window((a_clip(4, video=moved),)))
    assert an_id() == an_id(chunk=elsewhere, crop=CropConfig(), encode=EncodeConfig(), track_keys=list(KEYS))
    assert an_id().isalnum() and len(an_id()) == 24


# -- videos -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cam.mp4"
    path.write_bytes(b"a video")
    return path


def known(ledger: Ledger, file: Path, name: str = "cam.mp4", pattern: str | None = None) -> VideoEntry | None:
    return ledger.known_video(str(file), name, pattern)


def test_a_probed_video_is_remembered_exactly(ledger: Ledger, file: Path) -> None:
    video = a_video(path=str(file), fps=Fraction(30000, 1001), recorded_at=datetime(2026, 6, 1, 9, 30, 5, 123))
    assert known(ledger, file) is None
    ledger.remember_video(str(file), "cam.mp4", None, VideoEntry(video, None))
    assert known(ledger, file) == VideoEntry(video, None)


def test_an_unreadable_video_is_remembered_with_its_reason(ledger: Ledger, file: Path) -> None:
    ledger.remember_video(str(file), "cam.mp4", None, VideoEntry(None, "not a video"))
    assert known(ledger, file) == VideoEntry(None, "not a video")


def test_a_file_that_changed_is_forgotten(ledger: Ledger, file: Path) -> None:
    entry = VideoEntry(a_video(path=str(file)), None)
    ledger.remember_video(str(file), "cam.mp4", None, entry)
    before = os.stat(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert known(ledger, file) is None, "the modification time counts, to the nanosecond"
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known(ledger, file) == entry
    file.write_bytes(b"a longer video")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known(ledger, file) is None, "so does the size"
    file.unlink()
    assert known(ledger, file) is None


def test_what_was_learnt_under_another_name_or_pattern_is_not_used(ledger: Ledger, file: Path) -> None:
    ledger.remember_video(str(file), "cam.mp4", "%Y", VideoEntry(a_video(path=str(file)), None))
    assert known(ledger, file, pattern="%Y") is not None
    assert known(ledger, file) is None and known(ledger, file, pattern="%y") is None
    assert known(ledger, file, name="farm/cam.mp4", pattern="%Y") is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"stat": 1}'])
def test_a_damaged_memory_of_a_video_counts_as_none(ledger: Ledger, layout: Layout, file: Path, damage: bytes) -> None:
    ledger.remember_video(str(file), "cam.mp4", None, VideoEntry(a_video(path=str(file)), None))
    (path,) = layout.video_records.iterdir()
    path.write_bytes(damage)
    assert known(ledger, file) is None


def test_a_video_remembered_by_an_older_version_is_probed_again(ledger: Ledger, layout: Layout, file: Path) -> None:
    ledger.remember_video(str(file), "cam.mp4", None, VideoEntry(replace(a_video(), path=str(file)), None))
    (path,) = layout.video_records.iterdir()
    path.write_bytes(path.read_bytes().replace(b'"codec"', b'"coder"'))
    assert known(ledger, file) is None
