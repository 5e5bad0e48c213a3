"""The cache of footage from servers: a video is brought here before it is decoded, and removed when room is needed.

Several processes, runs and datasets share one folder. A file appears under its fingerprint complete and verified or not
at all; what is being used is never removed; together they take at most `cache.max_gb`. Locks are the operating
system's, so they end with the process that holds them, however it ends.

    FINGERPRINT.mp4                 a whole video; FINGERPRINT.used beside it since it has been used
    FINGERPRINT.SIZE.part           the beginning of one, which takes SIZE bytes of the room already
    FINGERPRINT.RANDOM.using        locked by whoever uses it
    locks/                          one lock for all of it, and one for each 256th of the fingerprints while fetching
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Self
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from pipeline.errors import DiskError
from pipeline.settings import GB, CacheConfig
from video.connection import is_remote, shown
from video.errors import FetchError, RangesRefused, SourceError
from video.fetch import Stopped, fetch
from video.probe import probe
from video.remote import remote_stat
from video.source import Found
from video.types import Video, digest

log = logging.getLogger(__name__)

POLL_S = 0.5
CLOSE_S = 5.0  # the thread may hang in a connection; the process ends without it


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file that takes room. rank: what goes first has the lowest. size: bytes, of a part the whole file's."""

    path: Path
    size: int
    rank: tuple[int, float]

    @property
    def key(self) -> str:
        return self.path.name.partition(".")[0]


class Cache:
    """The videos of one worker or survey, fetched when asked for, or ahead. Not to be held from two threads."""

    def __init__(self, options: CacheConfig) -> None:
        self._folder = Path(options.path).expanduser()
        self._room = round(options.max_gb * GB)
        self._failed: dict[str, FetchError] = {}
        self._ahead: threading.Thread | None = None
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop fetching ahead; what is there of it is gone on from another time."""
        self.stop()
        if self._ahead is not None:
            self._ahead.join(CLOSE_S)

    def stop(self) -> None:
        """Fetch no more, from any thread: whoever waits for a video gets Stopped."""
        self._closing.set()

    @contextmanager
    def hold(self, video: Video) -> Iterator[Video]:
        """The video as a file of this machine, fetched if need be, which stays while the block runs.

        Waits for room while others use all of it. Raises FetchError, DiskError.
        """
        if not is_remote(video.path):
            yield video
            return
        path = self._place(video)
        with ExitStack() as stack:
            with self._written():
                stack.enter_context(self._using(video.fingerprint))
                self._bring(video, needed=True)
            stack.callback(path.with_suffix(".used").touch)
            yield replace(video, path=str(path), url=video.path)

    def ahead(self, video: Video | None) -> None:
        """Begin to fetch a video that will be wanted, beside what goes on; nothing while another one is under way."""
        busy = self._ahead is not None and self._ahead.is_alive()
        if video is None or busy or not is_remote(video.path) or video.fingerprint in self._failed:
            return
        self._ahead = threading.Thread(target=self._bring_ahead, args=(video,), name="fetch", daemon=True)
        self._ahead.start()

    def probe(self, found: Found, time_pattern: str | None = None) -> Video:
        """The video, by ranges; a server that gives whole files only has it fetched. Raises UnreadableVideo."""
        try:
            return probe(found, time_pattern)
        except RangesRefused:
            return self._probe_whole(found, time_pattern)

    def _probe_whole(self, found: Found, time_pattern: str | None) -> Video:
        stat = found.stat or remote_stat(found.path)
        key = digest(found.path, stat.size, stat.stamp)
        with self._written(), self._using(key), self._fetching(key):
            part = self._folder / f"{key}.{stat.size}.part"
            self._make_room(part, stat.size, found.path, needed=True)
            fetch(found.path, part, stat.size, stopped=self._closing.is_set)
            local = part.with_name(f"{key}{_suffix(found.path)}")
            os.replace(part, local)
            try:
                video = replace(probe(Found(str(local), found.name), time_pattern), path=found.path)
                os.replace(local, self._place(video))
            finally:
                local.unlink(missing_ok=True)
        return video

    # -- fetching -----------------------------------------------------------------------------------------------------

    def _place(self, video: Video) -> Path:
        return self._folder / f"{video.fingerprint}{_suffix(video.path)}"

    def _bring_ahead(self, video: Video) -> None:
        try:
            self._bring(video, needed=False)
        except (FetchError, SourceError, OSError, Stopped) as error:  # said when it is needed
            log.debug("%s was not fetched ahead: %s", shown(video.path), error)

    def _bring(self, video: Video, needed: bool) -> None:
        """See to it that the video's file is there; ahead of need, only where it takes nobody's room."""
        key = video.fingerprint
        path = self._place(video)
        if path.is_file():
            return
        with self._fetching(key):
            if path.is_file():
                return
            if key in self._failed:
                raise self._failed[key]
            part = self._folder / f"{key}.{video.size_bytes}.part"
            if not self._make_room(part, video.size_bytes, video.path, needed):
                return
            began = time.monotonic()
            try:
                fetch(video.path, part, video.size_bytes, key, self._closing.is_set)
            except FetchError as error:
                self._failed[key] = error  # not to be waited for again at its next chunk
                raise
            os.replace(part, path)
            megabytes, seconds = video.size_bytes / 1e6, max(time.monotonic() - began, 1e-3)
            log.info("fetched %s: %.0f MB, %.0f MB/s", video.name, megabytes, megabytes / seconds)

    def _make_room(self, part: Path, size: int, url: str, needed: bool) -> bool:
        """Remove what is least wanted until `size` bytes fit, and take them; False where that cannot be had."""
        if size > self._room:
            raise FetchError(
                f"{shown(url)}: it has {size / GB:.3g} GB, and cache.max_gb={self._room / GB:g}: give the cache more"
            )
        said = False
        while not self._closing.is_set():
            with self._alone():
                if self._cleared(part, size, needed):
                    part.touch()
                    return True
            if not needed:
                return False
            if not said:
                log.info("%s waits: all of cache.max_gb=%g in %s is in use", shown(url), self._room / GB, self._folder)
                said = True
            time.sleep(POLL_S)
        raise Stopped(url)

    # -- room ---------------------------------------------------------------------------------------------------------

    def _cleared(self, part: Path, size: int, needed: bool) -> bool:
        entries = [entry for entry in self._entries() if entry.path != part]
        over = sum(entry.size for entry in entries) + size - self._room
        for entry in sorted(entries, key=lambda entry: entry.rank):
            if over <= 0:
                break
            if not needed and entry.rank[0] > 0:  # what was fetched for later is not given up for what comes later
                break
            if self._is_free(entry, part.name.partition(".")[0]):
                entry.path.unlink(missing_ok=True)
                entry.path.with_suffix(".used").unlink(missing_ok=True)
                over -= entry.size
        return over <= 0

    def _entries(self) -> list[_Entry]:
        found = []
        for path in self._folder.iterdir():
            parts = path.name.split(".")
            with suppress(FileNotFoundError, ValueError):
                if parts[-1] == "part":
                    found.append(_Entry(path, int(parts[-2]), (1, path.stat().st_mtime)))
                elif parts[-1] not in ("used", "using") and path.is_file():
                    used = path.with_suffix(".used")
                    rank = (0, used.stat().st_mtime) if used.exists() else (2, path.stat().st_mtime)
                    found.append(_Entry(path, path.stat().st_size, rank))
        return found

    def _is_free(self, entry: _Entry, ours: str) -> bool:
        """Whether nobody uses a file, or fetches it."""
        for mark in self._folder.glob(f"{entry.key}.*.using"):
            try:
                with FileLock(mark, timeout=0):
                    mark.unlink(missing_ok=True)  # left by a process that was killed
            except Timeout:
                return False
        if entry.path.suffix != ".part" or entry.key[:2] == ours[:2]:  # that lock is ours, so nobody fetches under it
            return True
        try:
            with FileLock(self._lock(entry.key), timeout=0):
                return True
        except Timeout:
            return False

    # -- locks --------------------------------------------------------------------------------------------------------

    def _lock(self, key: str) -> Path:
        return self._folder / "locks" / f"{key[:2]}.lock"

    @contextmanager
    def _fetching(self, key: str) -> Iterator[None]:
        self._lock(key).parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock(key)):
            yield

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with FileLock(self._folder / "locks" / "room.lock"):
            yield

    @contextmanager
    def _using(self, key: str) -> Iterator[None]:
        """Mark a video as used, whether it is there yet or not."""
        mark = self._folder / f"{key}.{uuid.uuid4().hex[:12]}.using"
        (self._folder / "locks").mkdir(parents=True, exist_ok=True)
        lock = FileLock(mark)
        with self._alone():
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
            mark.unlink(missing_ok=True)

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Turn what the disk says into a DiskError that names the key."""
        try:
            yield
        except OSError as error:
            raise DiskError(
                f"cache.path={self._folder}: {error.strerror or error}: free some space or choose another folder, and "
                "run the same command again"
            ) from error


def _suffix(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).suffix.lower()
