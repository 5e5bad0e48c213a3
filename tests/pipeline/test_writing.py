"""Atomic writes: a file or folder is there complete or not at all, and what the disk refuses is said plainly."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from pipeline.errors import DiskError
from pipeline.writing import STALE_PART_S, disk_errors, remove_stale_parts, write_bytes, writing, writing_folder


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


def test_nothing_appears_under_the_final_name_before_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.bin"
    with writing(target) as part:
        part.write_bytes(b"half")
        assert not target.exists()
        assert part.parent == target.parent and part.name.endswith(".part"), "the rename stays on one disk"
    assert target.read_bytes() == b"half"
    assert names(tmp_path) == ["deep", "deep/file.bin"]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(1)])
def test_a_body_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "file.bin"
    write_bytes(target, b"before")
    with pytest.raises(type(error)), writing(target) as part:
        part.write_bytes(b"half")
        raise error
    assert target.read_bytes() == b"before"
    assert names(tmp_path) == ["file.bin"]


def test_a_body_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path / "file.bin"):
        pass
    assert names(tmp_path) == []


def test_the_bytes_are_flushed_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("pipeline.writing.os.fsync", lambda fd: (order.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr("pipeline.writing.os.replace", lambda a, b: (order.append("replace"), replace(a, b))[1])
    write_bytes(tmp_path / "file.bin", b"x")
    assert order == ["fsync", "replace"]


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    with writing(target) as one, writing(target) as other:
        assert one != other
        one.write_bytes(b"one")
        other.write_bytes(b"other")
    assert target.read_bytes() == b"one", "the last to finish wins, whole"
    assert names(tmp_path) == ["file.bin"]


def test_a_folder_replaces_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "export"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with writing_folder(target) as part:
        (part / "new.txt").write_text("new")
        assert (target / "old.txt").exists(), "the old one serves until the new one is complete"
    assert names(tmp_path) == ["export", "export/new.txt"]


def test_a_folder_whose_body_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "export"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), writing_folder(target) as part:
        (part / "new.txt").write_text("new")
        raise RuntimeError
    assert names(tmp_path) == ["export", "export/old.txt"]


FULL, READ_ONLY = "no space left in {}: free some space", "{} cannot be written"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, FULL),
        (errno.EDQUOT, FULL),
        (errno.EROFS, READ_ONLY),
        (errno.EACCES, READ_ONLY),
        (errno.EPERM, READ_ONLY),
    ],
)
@pytest.mark.parametrize("write", [writing, writing_folder])
def test_what_the_disk_refuses_names_folder_and_fix(tmp_path: Path, write: object, number: int, message: str) -> None:
    target = tmp_path / "made" / "file.bin"
    with pytest.raises(DiskError) as caught, write(target):  # type: ignore[operator]
        raise OSError(number, os.strerror(number))
    assert message.format(target.parent) in str(caught.value)
    assert "same command" in str(caught.value)
    assert not target.exists() and not list(tmp_path.rglob("*.part"))


def test_other_errors_of_the_system_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), disk_errors(tmp_path / "file"):
        raise IsADirectoryError(errno.EISDIR, "is a directory")


def test_only_old_temporary_files_are_removed(tmp_path: Path) -> None:
    old, young = tmp_path / "a" / ".old.mp4.1.part", tmp_path / "a" / ".young.mp4.2.part"
    folder, kept = tmp_path / ".export.3.part", tmp_path / "a" / "crop.mp4"
    old.parent.mkdir()
    for path in (old, young, kept):
        path.write_bytes(b"x")
    folder.mkdir()
    (folder / "inside.txt").write_text("x")
    long_ago = time.time() - STALE_PART_S - 60
    for path in (old, folder, kept):
        os.utime(path, (long_ago, long_ago))
    assert remove_stale_parts(tmp_path) == 2
    assert names(tmp_path) == ["a", "a/.young.mp4.2.part", "a/crop.mp4"]
