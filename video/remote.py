"""Footage on servers, by URL: what a file is like, and its bytes, a range at a time. It never writes; `fetch.py`
brings whole files here.
"""

from __future__ import annotations

import base64
import io
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from video.connection import connect, is_remote, patiently, shown
from video.errors import FetchError

BLOCK_BYTES = 256 << 10
HELD_BLOCKS = 64
LONGEST_READ_BLOCKS = 16  # asked for at once where a file is read on and on


@dataclass(frozen=True, slots=True)
class RemoteStat:
    """size: bytes. stamp: what changes with the contents, as far as the server says (an ETag or a time). checksum: of
    the whole file, ("md5" or "sha256", hexadecimal digits), where the server gives one."""

    size: int
    stamp: str
    checksum: tuple[str, str] | None = None


def remote_stat(url: str) -> RemoteStat:
    """What the server says of a file, by one request. Raises FetchError, SourceError."""

    def attempt() -> RemoteStat:
        fs, path = connect(url)
        with suppress(AttributeError):  # not all keep what they were told before
            fs.invalidate_cache(path)
        return stat_of(url, fs.info(path))

    return patiently(url, attempt)


def stat_of(url: str, info: Mapping[str, Any]) -> RemoteStat:
    """The same from an entry of fsspec. Raises FetchError where the size is not said."""
    if info.get("size") is None:
        raise FetchError(f"{shown(url)}: its server does not say how large it is; download it first")
    keys = ("ETag", "etag", "md5Hash", "blob_id", "LastModified", "Last-Modified", "mtime", "updated", "created")
    stamp = next((str(info[key]) for key in keys if info.get(key)), "")
    return RemoteStat(int(info["size"]), stamp, _checksum(info))


def _checksum(info: Mapping[str, Any]) -> tuple[str, str] | None:
    lfs = info.get("lfs") or {}
    if lfs.get("sha256"):
        return "sha256", str(lfs["sha256"])
    md5 = info.get("Content-MD5") or info.get("md5Hash")
    digests = dict(part.strip().partition("=")[::2] for part in str(info.get("Digest") or "").split(","))
    for kind, value in (("sha256", digests.get("sha-256") or digests.get("SHA-256")), ("md5", md5)):
        if value:
            with suppress(ValueError):
                return kind, base64.b64decode(str(value), validate=True).hex()
    return None


class RemoteFile:
    """A file on a server, read by ranges. For one thread; `open` gives a file object for whatever wants one."""

    def __init__(self, url: str, stat: RemoteStat | None = None) -> None:
        self.url = url
        self.stat = stat or remote_stat(url)
        self._file: Any = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._following = -1

    def __str__(self) -> str:
        return shown(self.url)

    def open(self) -> RangeReader:
        return RangeReader(self)

    def block(self, number: int) -> bytes:
        """The bytes from `number * BLOCK_BYTES` on; the last block is shorter. Raises FetchError."""
        if number not in self._blocks:
            # What is read on and on is asked for in larger and larger pieces.
            count = min(2 * self._run, LONGEST_READ_BLOCKS) if number == self._following else 1
            self._run, self._following = count, number + count
            data = self.read(number * BLOCK_BYTES, count * BLOCK_BYTES)
            for at in range(0, len(data), BLOCK_BYTES):
                self._blocks[number + at // BLOCK_BYTES] = data[at : at + BLOCK_BYTES]
            while len(self._blocks) > HELD_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    _run = 1

    def read(self, start: int, count: int) -> bytes:
        """These bytes, or those up to the end; never fewer. Raises FetchError."""
        count = max(0, min(count, self.stat.size - start))

        def attempt() -> bytes:
            try:
                if self._file is None:
                    self._file = open_remote(self.url, self.stat.size)
                data = read_at(self._file, start, count)
            except BaseException:
                self.close()
                raise
            if len(data) != count:
                self.close()
                raise ConnectionError(f"{len(data)} bytes came of {count} from byte {start} on")
            return data

        return patiently(self.url, attempt) if count else b""

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(Exception):  # the connection is gone, perhaps
                file.close()


def open_remote(url: str, size: int, whole: bool = False) -> Any:
    """fsspec's file object. whole: of a server that knows no ranges, to be read once from the start."""
    fs, path = connect(url)
    known = {"size": size} if urlsplit(url).scheme in ("http", "https") else {}
    blocks = {"block_size": 0} if whole else {}
    return fs.open(path, "rb", cache_type="none", **known, **blocks)


def read_at(file: Any, start: int, count: int) -> bytes:
    """Bytes from `start` on; fewer at the end of the file."""
    if hasattr(file, "readv"):  # SFTP answers 32 KiB at a time: ask for them all at once
        piece = 32 << 10
        asked = [(at, min(piece, start + count - at)) for at in range(start, start + count, piece)]
        return b"".join(file.readv(asked))
    file.seek(start)
    return bytes(file.read(count))


class RangeReader(io.RawIOBase):
    """A file object on a `RemoteFile` with a place of its own; PyAV reads from it."""

    def __init__(self, remote: RemoteFile) -> None:
        self._remote = remote
        self._at = 0
        self.name = urlsplit(remote.url).path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._remote.stat.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._remote.stat.size if size is None or size < 0 else min(self._at + size, self._remote.stat.size)
        parts = []
        while self._at < end:
            number, inside = divmod(self._at, BLOCK_BYTES)
            part = self._remote.block(number)[inside : inside + end - self._at]
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)


Source = str | RemoteFile


def located(path: str) -> Source:
    """A path of this machine as it is; a URL as the file it names. Raises FetchError."""
    return RemoteFile(path) if is_remote(path) else path
