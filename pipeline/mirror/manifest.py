"""What is known of a dataset on a server: every file there, and which state of the file here is the same.

One SQLite file beside the folder that stands for the dataset, for all processes of this machine that work on it. It
can be deleted: the next listing of the server makes another one, and what is here counts as not yet sent.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WAIT_S = 120.0  # for other processes
TABLE = """CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, stamp TEXT NOT NULL, here TEXT, used REAL NOT NULL
) WITHOUT ROWID"""
UNWANTED = ""  # as `here`: to be removed from the server


@dataclass(frozen=True, slots=True)
class Entry:
    """A file on the server. size: bytes. stamp: see `video.remote.RemoteStat`. here: `state_of` the file here that is
    the same; None where there is none; UNWANTED."""

    size: int
    stamp: str
    here: str | None

    @property
    def sent(self) -> bool:
        """Whether it was here when it was last looked at."""
        return self.here is not None and self.here != UNWANTED


def state_of(path: Path) -> str | None:
    """Changes with the file; None where there is none."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return f"{stat.st_size}:{stat.st_mtime_ns}"


class Manifest:
    """Paths are relative to the dataset, with forward slashes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(TABLE)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """All changes of the block at once."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @property
    def is_empty(self) -> bool:
        with self._lock:
            return self._db.execute("SELECT 1 FROM files LIMIT 1").fetchone() is None

    def get(self, path: str) -> Entry | None:
        with self._lock:
            row = self._db.execute("SELECT size, stamp, here FROM files WHERE path = ?", (path,)).fetchone()
        return Entry(*row) if row else None

    def under(self, folder: str = "") -> dict[str, Entry]:
        """Every file below a folder."""
        first, last = (f"{folder}/", f"{folder}0") if folder else ("", "\U0010ffff")  # "0" comes after "/"
        with self._lock:
            rows = self._db.execute(
                "SELECT path, size, stamp, here FROM files WHERE path >= ? AND path < ?", (first, last)
            ).fetchall()
        return {path: Entry(*rest) for path, *rest in rows}

    def keep(self, path: str, size: int, stamp: str, here: str | None) -> None:
        with self._lock:
            self._db.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", (path, size, stamp, here, time.time())
            )

    def mark(self, path: str, here: str | None) -> None:
        with self._lock:
            self._db.execute("UPDATE files SET here = ? WHERE path = ?", (here, path))

    def drop(self, path: str) -> None:
        with self._lock:
            self._db.execute("DELETE FROM files WHERE path = ?", (path,))

    def longest_unused(self, heavy: Callable[[str], bool], more_than: int) -> list[str]:
        """Heavy files that are both here and there, the longest unused first, so many that the others of them take no
        more than `more_than` bytes."""
        with self._lock:
            rows = self._db.execute(
                "SELECT path, size FROM files WHERE here IS NOT NULL AND here != ? ORDER BY used", (UNWANTED,)
            ).fetchall()
        rows = [(path, size) for path, size in rows if heavy(path)]
        over = sum(size for _, size in rows) - more_than
        chosen = []
        for path, size in rows:
            if over <= 0:
                break
            chosen.append(path)
            over -= size
        return chosen


def changes(before: Mapping[str, Entry], listed: Mapping[str, tuple[int, str]]) -> tuple[list[str], list[str]]:
    """The paths that are new or other ones on the server, and those that are there no more."""
    other = [
        path for path, said in listed.items() if (old := before.get(path)) is None or (old.size, old.stamp) != said
    ]
    return other, [path for path in before if path not in listed]
