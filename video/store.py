"""Files written to servers, whole: put, brought back, listed and removed, by URL.

A file appears under its name complete or not at all where the server can do that: object stores take a file as a whole,
and over SFTP it is sent under a temporary name and renamed. Each is looked at after it was sent: its size, and its
checksum where the server says one, have to be those of the file here. Tries are those of `connection.py`.
"""

from __future__ import annotations

import errno
import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from video import buckets
from video.connection import SSH, connect, patiently
from video.remote import RemoteStat, open_remote, read_at, remote_stat, stat_of

PIECE_BYTES = 8 << 20
STALE_PART_S = 3600.0
DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})  # this machine's, and no matter of the connection
_folders: set[tuple[str, str]] = set()  # that are known to be there, by host


def put(url: str, path: Path) -> RemoteStat:
    """Send a file, over whatever is there. Raises FetchError, SourceError, and OSError where `path` cannot be read."""
    size = path.stat().st_size
    mark = uuid.uuid4().hex[:8]  # one for all tries: what a cut connection leaves behind is written over

    def attempt() -> RemoteStat:
        fs, there = connect(url)
        if urlsplit(url).scheme in SSH:
            return _put_sftp(fs, url, path, there, mark)
        fs.put_file(str(path), there, **buckets.in_parts(urlsplit(url).scheme))
        _forget(fs, there)
        said = stat_of(url, fs.info(there))
        if (wrong := differs(path, size, said)) is not None:
            raise ConnectionError(f"after it was sent, {wrong}")
        return said

    return patiently(url, attempt)


def differs(path: Path, size: int, said: RemoteStat) -> str | None:
    """In which way a server's file is not the one of `size` bytes at `path`; None where nothing says so."""
    if said.size != size:
        return f"there are {size} bytes here and {said.size} on the server"
    if said.checksum is not None:
        kind, digits = said.checksum
        with path.open("rb") as file:
            if (ours := hashlib.file_digest(file, kind).hexdigest()) != digits:
                return f"the server's {kind} is {digits}, and the file's is {ours}"
    return None


def _put_sftp(fs: Any, url: str, path: Path, there: str, mark: str) -> RemoteStat:
    folder, _, name = there.rpartition("/")
    part = f"{folder}/.{name}.{mark}.part"
    try:
        _sent(fs, url, folder, lambda: fs.ftp.put(str(path), part, confirm=False))
        said = stat_of(url, fs.info(part))
        if said.size != path.stat().st_size:
            raise ConnectionError(f"{said.size} of {path.stat().st_size} bytes arrived")
        _rename(fs.ftp, part, there)
        return said
    except BaseException:
        with suppress(Exception):  # the connection is gone, perhaps
            fs.ftp.remove(part)
        raise


def _sent(fs: Any, url: str, folder: str, send: Callable[[], Any]) -> None:
    """Send into a folder that may have to be made first."""
    host = urlsplit(url).netloc
    if (host, folder) in _folders:
        with suppress(FileNotFoundError):  # somebody has removed it
            send()
            return
        for each in (PurePosixPath(folder), *PurePosixPath(folder).parents):
            _folders.discard((host, str(each)))
    _make_folder(fs.ftp, host, folder)
    send()


def _make_folder(ftp: Any, host: str, folder: str) -> None:
    """With those above it. No lock: each question takes a way there and back, and several may make the same one."""
    if not folder or (host, folder) in _folders:
        return
    _make_folder(ftp, host, folder.rpartition("/")[0])
    try:
        ftp.mkdir(folder)
    except OSError as error:
        if not _is_there(ftp, folder):  # else it was there, or another one has just made it
            raise error from None
    _folders.add((host, folder))


def _is_there(ftp: Any, place: str) -> bool:
    try:
        ftp.stat(place)
    except FileNotFoundError:
        return False
    return True


def _rename(ftp: Any, part: str, there: str) -> None:
    try:
        ftp.posix_rename(part, there)
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        # A server without OpenSSH's extension renames onto nothing that exists.
        with suppress(FileNotFoundError):
            ftp.remove(there)
        ftp.rename(part, there)


def get(url: str, path: Path, stat: RemoteStat | None = None) -> RemoteStat:
    """Bring a file to `path`. stat: as a listing has it. Raises FetchError, SourceError, and OSError where the disk
    gives out."""
    stats = [stat] if stat is not None else []

    def attempt() -> RemoteStat | OSError:
        said = stats.pop() if stats else remote_stat(url)  # a listing may be older than the file
        try:
            _read_to(url, said.size, path)
        except OSError as error:
            if error.errno in DISK:
                return error
            raise
        if (wrong := differs(path, path.stat().st_size, said)) is not None:
            raise ConnectionError(wrong)
        return said

    got = patiently(url, attempt)
    if isinstance(got, OSError):
        raise got
    return got


def _read_to(url: str, size: int, path: Path) -> None:
    if urlsplit(url).scheme not in SSH:
        fs, there = connect(url)
        fs.get_file(there, str(path))
        return
    file = open_remote(url, size)
    try:
        with path.open("wb") as into:
            for at in range(0, size, PIECE_BYTES):
                into.write(read_at(file, at, min(PIECE_BYTES, size - at)))
    finally:
        with suppress(Exception):  # the connection is gone, perhaps
            file.close()


def is_stale_part(name: str, stat: RemoteStat) -> bool:
    """Whether a listed file is what a run that was killed more than an hour ago left of a file it was sending."""
    name = name.rpartition("/")[2]
    if not (name.startswith(".") and name.endswith(".part")):
        return False
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(stat.stamp)
    except (ValueError, TypeError):  # no time, or one without a zone: only SFTP needs parts, and says it
        return False
    return age.total_seconds() > STALE_PART_S


def remove(url: str) -> None:
    """Remove a file, if it is there. Raises FetchError, SourceError."""

    def attempt() -> None:
        fs, there = connect(url)
        _forget(fs, there)
        with suppress(FileNotFoundError):
            fs.rm_file(there)

    patiently(url, attempt)


def tree(url: str, pool: Executor) -> dict[str, RemoteStat]:
    """Every file below a folder by its path in it; none where the folder is not there. Raises FetchError, SourceError.

    pool: threads that list folders, where a server lists one at a time.
    """
    if urlsplit(url).scheme not in SSH:  # all below a folder by one request
        return dict(_listed_at_once(url))
    found: dict[str, RemoteStat] = {}
    waiting = [""]
    while waiting:
        below = []
        for folder, entries in zip(waiting, pool.map(lambda each: _entries(url, each), waiting), strict=True):
            for info in entries:
                name = f"{folder}{str(info['name']).rpartition('/')[2]}"
                if info["type"] == "directory":
                    below.append(f"{name}/")
                elif info["type"] == "file":
                    found[name] = stat_of(f"{url}/{name}", info)
        waiting = below
    return found


def _entries(url: str, folder: str) -> Iterable[Mapping[str, Any]]:
    def attempt() -> list[Mapping[str, Any]]:
        fs, top = connect(url)
        try:
            return list(fs.ls(f"{top.rstrip('/')}/{folder}".rstrip("/") or "/", detail=True))
        except FileNotFoundError:
            return []

    return patiently(url, attempt)


def _listed_at_once(url: str) -> Iterator[tuple[str, RemoteStat]]:
    def attempt() -> tuple[str, Mapping[str, Mapping[str, Any]]]:
        fs, top = connect(url)
        _forget(fs, top)
        try:
            return top.rstrip("/"), fs.find(top, detail=True)
        except FileNotFoundError:
            return top, {}

    top, entries = patiently(url, attempt)
    for place, info in entries.items():
        name = str(place).removeprefix(top).lstrip("/")
        if name and info.get("type", "file") == "file":
            yield name, stat_of(f"{url}/{name}", info)


def _forget(fs: Any, path: str) -> None:
    """What a file system remembers of a place is older than what was just done there."""
    with suppress(AttributeError):  # not all remember
        fs.invalidate_cache(path)
        fs.invalidate_cache(path.rpartition("/")[0])
