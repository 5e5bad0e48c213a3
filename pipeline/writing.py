"""Atomic writes: a file appears under its final name complete or not at all.

It is written beside it under a temporary name ending in `.part`, flushed to disk, and renamed.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import DiskError

STALE_PART_S = 3600.0


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success flush it to disk and rename it to `path`, else remove it.

    Raises DiskError when the disk is full or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            with open(part, "rb+") as written:
                os.fsync(written.fileno())
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically."""
    with writing(path) as part:
        part.write_bytes(data)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces the folder at `path`, else it is removed."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with disk_errors(path):
            part.mkdir(parents=True)
            yield part
            old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old.part")
            if path.exists():
                os.replace(path, old)
            os.replace(part, path)
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space", "read-only" and "permission denied" into a DiskError that names the folder and the fix."""
    try:
        yield
    except OSError as error:
        folder = path.parent
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskError(
                f"no space left in {folder}: free some space and run the same command to continue"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise DiskError(
                f"{folder} cannot be written ({error.strerror}): choose a writable folder with out=..., "
                "or give yourself write access, and run the same command again"
            ) from error
        raise


def remove_stale_parts(folder: Path) -> int:
    """Remove temporary files that a killed run left more than an hour ago; returns how many."""
    removed = 0
    for place, folders, files in os.walk(folder):
        for name in [n for n in (*folders, *files) if n.endswith(".part") and n.startswith(".")]:
            part = Path(place, name)
            try:
                if time.time() - part.stat().st_mtime > STALE_PART_S:
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
                    removed += 1
            except FileNotFoundError:  # its own run has just finished it
                continue
    return removed
