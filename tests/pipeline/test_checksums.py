"""Checksums: a copy is proved whole, and everything that is not is named."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.build import Build
from pipeline.checksums import Verdict, verify, write_checksums
from pipeline.derive import checksums
from pipeline.errors import DatasetError
from pipeline.exports.videofolder import VideoFolder
from pipeline.layout import Layout
from tests.pipeline.composing import loaded
from tests.pipeline.dataset_fixture import make_dataset, write_crop
from tests.running import run


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A dataset with variants and an export, in a folder with a space, listed."""
    layout = Layout(tmp_path / "my cows", tmp_path / "tracks")
    samples = make_dataset(layout.root, variants=("mask",))
    VideoFolder().write(samples, layout, layout.exports / "videofolder", "hard")
    write_checksums(layout)
    return layout


def test_a_copy_is_whole_and_the_common_tool_says_so_too(layout: Layout, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(layout.root, copy)
    verdict = verify(Layout(copy, copy))
    assert verdict.whole and verdict.listed == 16 * 2 + 3 + 4 + 1, (
        "crops and masks, tables, metadata and card, its list"
    )
    assert "exports/videofolder/train/metadata.jsonl" in layout.checksums.read_text()
    done = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "checksums.sha256"], cwd=copy, check=False)
    assert done.returncode == 0


def test_what_is_missing_changed_or_more_is_named(layout: Layout) -> None:
    crops = sorted(layout.root.glob("crops/*/*.mp4"))
    crops[0].unlink()
    crops[1].write_bytes(b"x" + crops[1].read_bytes()[1:])
    (crops[2].parent / "zz.mp4").write_bytes(b"more")
    names = [path.relative_to(layout.root).as_posix() for path in (*crops[:2], crops[2].parent / "zz.mp4")]
    assert verify(layout) == Verdict(40, (names[0],), (names[1],), (names[2],))


@pytest.mark.parametrize("line", ["hello", f"{'a' * 64}  ../../etc/passwd", f"{'a' * 64}  /etc/passwd"])
def test_a_list_that_is_none_is_refused(layout: Layout, line: str) -> None:
    layout.checksums.write_text(line + "\n")
    with pytest.raises(DatasetError, match=r"checksums\.sha256, line 1 is not a checksum and a path"):
        verify(layout)
    layout.checksums.unlink()
    with pytest.raises(DatasetError, match="copy the whole dataset"):
        verify(layout)


def test_a_build_lists_its_files_and_task_verify_checks_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_crop(tmp_path / "videos" / "a.mp4", 64, 40, seed=1)
    (tmp_path / "a.txt").write_text("".join(f"{f + 1},1,8,16,32,24,1,-1,-1,-1\n" for f in range(40)))
    out = tmp_path / "out"
    chosen = (f"videos={tmp_path}/videos", f"out={out}", f"tracker.path={tmp_path}/a.txt", "crop.size=16")
    small = ("filters.size.min_side=8", "clip.num_frames=5", "exports=[videomae]")
    Build(loaded("prompt=cow", "tracker=file", *chosen, *small)).run()
    done = run(capfd, monkeypatch, "task=verify", f"out={out}")
    assert done.status == 0 and "all 14 files are there and unchanged" in done.text
    assert not (out / "runs").exists(), "it writes nothing"
    before = (out / "checksums.sha256").stat().st_mtime_ns
    checksums(Layout(out, out / "tracks"))
    assert (out / "checksums.sha256").stat().st_mtime_ns == before
    next(out.glob("crops/*/*.mp4")).unlink()
    done = run(capfd, monkeypatch, "task=verify", f"out={out}")
    assert done.status == 3 and "1 missing: crops/" in done.text
