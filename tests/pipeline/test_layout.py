"""Where things lie under the dataset root."""

from __future__ import annotations

from pathlib import Path

from pipeline.layout import Layout
from pipeline.writing import write_bytes


def test_crops_and_records_are_found_where_they_are_written(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / "tracks")
    crop, variant = layout.crop("clip", "sample"), layout.crop("clip", "sample", "mask")
    write_bytes(crop, b"1")
    write_bytes(variant, b"22")
    (crop.parent / ".other.mp4.9.part").write_bytes(b"333")
    write_bytes(layout.record("abcdef"), b"{}")
    write_bytes(layout.video_record("ffff"), b"{}")
    write_bytes(layout.index_state, b"{}")
    assert layout.crop_sizes(["clip", "gone"]) == {"crops/clip/sample.mp4": 1, "crops/clip/sample.mask.mp4": 2}
    assert {name: entry.path for name, entry in layout.record_files().items()} == {
        "abcdef": str(layout.record("abcdef"))
    }
    assert layout.relative(crop) == "crops/clip/sample.mp4"


def test_an_empty_root_has_no_crops_and_no_records(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "none", tmp_path / "tracks")
    assert layout.crop_sizes(["clip"]) == {} and list(layout.crop_paths()) == [] and layout.record_files() == {}
