"""Footage on servers, by URL: what a file is like, and its bytes, a range at a time.

Any file system that fsspec knows will do (http, s3, gcs, sftp, hf). Its libraries are imported where a URL needs them;
one that is missing is named with the extra that brings it. A try that fails in a way that may pass (a cut connection,
a server that is busy, no answer for a minute) is followed by others, further and further apart; what does not pass (no
such file, no access) is not tried again. It never writes; `fetch.py` brings whole files here.
"""

from __future__ import annotations

import base64
import io
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from video.errors import FetchError, RangesRefused, SourceError

log = logging.getLogger(__name__)

TRIES = 5
BACK_OFF_S = 1.0  # before the second try; doubled before each one after it
STALL_S = 60.0  # without a byte, after which a connection counts as dead
BLOCK_BYTES = 256 << 10
HELD_BLOCKS = 64
LONGEST_READ_BLOCKS = 16  # asked for at once where a file is read on and on
EXTRAS = {
    **dict.fromkeys(("http", "https", "memory"), "remote"),
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("sftp", "ssh"), "sftp"),
    "hf": "hub",
}
LOGIN = {
    "s3": "log in with `aws configure`, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gcs": "log in with `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
    "sftp": "use a key of ssh-agent or ~/.ssh, or sftp://USER@HOST/...",
    "hub": "log in with `hf auth login`, or set HF_TOKEN",
}
# Words in the names of errors that other libraries raise where nobody is logged in.
_NO_LOGIN = ("credentials", "authentication", "accessdenied", "permission", "unauthorized", "forbidden", "gatedrepo")
_MAY_PASS = frozenset({408, 425, 429})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteStat:
    """size: bytes. stamp: what changes with the contents, as far as the server says (an ETag or a time). checksum: of
    the whole file, ("md5" or "sha256", hexadecimal digits), where the server gives one."""

    size: int
    stamp: str
    checksum: tuple[str, str] | None = None


def is_remote(path: str) -> bool:
    """Whether this is a URL and not a path of this machine."""
    return "://" in path


def shown(url: str) -> str:
    """A URL for people and logs: without password and query, where secrets stand. A path as it is."""
    if not is_remote(url):
        return url
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def connect(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it. Raises SourceError for a scheme or a package that is not there."""
    scheme = urlsplit(url).scheme
    extra = EXTRAS.get(scheme, "remote")
    try:
        import fsspec
    except ModuleNotFoundError:
        raise _missing(url, extra, "fsspec") from None
    if scheme not in fsspec.available_protocols():
        raise SourceError(
            f"{shown(url)}: {scheme}:// is none of the kinds of URL that can be read: a path, or {', '.join(EXTRAS)}; "
            "download the video or mount its storage first"
        )
    try:
        if scheme in ("sftp", "ssh"):
            return _sftp(url)
        options: dict[str, Any] = {}
        if scheme in ("http", "https"):
            import aiohttp

            wait = aiohttp.ClientTimeout(total=None, sock_connect=STALL_S, sock_read=STALL_S)
            options = {"client_kwargs": {"timeout": wait}, "use_listings_cache": False}
        fs, path = fsspec.core.url_to_fs(url, **options)
        return fs, str(path)
    except ImportError as error:
        package = getattr(_chain(error)[-1], "name", None)
        raise _missing(url, extra, package or str(error)) from error


def _missing(url: str, extra: str, package: str) -> SourceError:
    return SourceError(
        f"{shown(url)}: reading it needs {package}, which is not installed: make setup EXTRAS={extra} "
        f"(or pip install '.[{extra}]')"
    )


_own = threading.local()  # a connection over SSH answers one thread at a time


def _sftp(url: str) -> tuple[Any, str]:
    """This thread's connection to the host of the URL."""
    from fsspec.implementations.sftp import SFTPFileSystem

    from video.known_hosts import KnownHosts

    parts = urlsplit(url)
    key = (parts.scheme, parts.netloc)
    held = _own.__dict__.setdefault("connections", {})
    if key not in held:
        options = SFTPFileSystem._get_kwargs_from_urls(url)
        waits = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), STALL_S)
        fs = SFTPFileSystem(**options, **waits, host_key_policy=KnownHosts(), skip_instance_cache=True)
        fs.ftp.get_channel().settimeout(STALL_S)
        held[key] = fs
    return held[key], parts.path or "/"


def disconnect(url: str) -> None:
    """Forget a connection that has failed, so that the next try makes a new one."""
    parts = urlsplit(url)
    fs = _own.__dict__.get("connections", {}).pop((parts.scheme, parts.netloc), None)
    if fs is not None:
        with suppress(Exception):
            fs.client.close()


def patiently(url: str, attempt: Callable[[], T]) -> T:
    """What `attempt` returns, tried again after failures that may pass. Raises FetchError, SourceError."""
    for number in range(1, TRIES + 1):
        try:
            return attempt()
        except (FetchError, SourceError):
            raise
        except Exception as error:  # every library behind fsspec has its own
            given_up = verdict(url, error, last=number == TRIES)
            if given_up is not None:
                raise given_up from error
            disconnect(url)
            time.sleep(BACK_OFF_S * 2 ** (number - 1))
    raise AssertionError("the last try returns or raises")


def verdict(url: str, error: BaseException, last: bool) -> FetchError | None:
    """Why a file is given up after this error; None if it may pass and this was not the last try."""
    chain = _chain(error)
    status = next((s for e in chain if isinstance(s := getattr(e, "status", None), int)), None)
    name = shown(url)
    if any("support range requests" in str(e) for e in chain):
        return RangesRefused(f"{name}: its server gives whole files only")
    if status in (404, 410) or (status is None and isinstance(chain[-1], FileNotFoundError)):
        return FetchError(f"{name}: the server has no such file" + (f" ({status})" if status else ""))
    denied = any(word in type(e).__name__.lower() for e in chain for word in _NO_LOGIN)
    if status in (401, 403) or denied:
        login = LOGIN.get(EXTRAS.get(urlsplit(url).scheme, ""), "a URL may carry USER:PASSWORD@, or a signature")
        return FetchError(f"{name}: access is denied ({status or chain[-1]}); {login}")
    if status is not None and 400 <= status < 500 and status not in _MAY_PASS:
        return FetchError(f"{name}: the server refuses it ({status})")
    reason = f"the server answers {status}" if status else _in_words(chain[-1]).replace(url, name)
    if last:
        return FetchError(f"{name}: given up after {TRIES} tries: {reason}")
    log.debug("%s: %s; tried again", name, reason)
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from."""
    chain = [error]
    while chain[-1].__cause__ is not None and len(chain) < 10:
        chain.append(chain[-1].__cause__)
    return chain


def _in_words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer for {STALL_S:g} s"
    return str(error).strip() or type(error).__name__


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
