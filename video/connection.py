"""Connections to servers, by URL: which file system answers for it, and how long one goes on trying.

Any file system that fsspec knows will do (http, s3, gcs, sftp, hf). Its libraries are imported where a URL needs them;
one that is missing is named with the extra that brings it. A try that fails in a way that may pass (a cut connection,
a server that is busy, no answer for a minute) is followed by others, further and further apart; what does not pass (no
such file, no access) is not tried again. What is read and written through a connection, others say.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from video import buckets, ssh
from video.errors import FetchError, NotThere, RangesRefused, SourceError

log = logging.getLogger(__name__)

TRIES = 5
BACK_OFF_S = 1.0  # before the second try; doubled before each one after it
STALL_S = 60.0  # without a byte, after which a connection counts as dead
SSH = frozenset({"sftp", "ssh"})
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
        if scheme in SSH:
            return ssh.session(url, STALL_S)
        options = buckets.options(scheme, STALL_S)
        if scheme in ("http", "https"):
            import aiohttp

            wait = aiohttp.ClientTimeout(total=None, sock_connect=STALL_S, sock_read=STALL_S)
            options = {"client_kwargs": {"timeout": wait}, "use_listings_cache": False}
        fs, path = fsspec.core.url_to_fs(url, **options)
        return buckets.prepared(fs, scheme), str(path)
    except ImportError as error:
        package = getattr(_chain(error)[-1], "name", None)
        raise _missing(url, extra, package or str(error)) from error


def _missing(url: str, extra: str, package: str) -> SourceError:
    return SourceError(
        f"{shown(url)}: reading it needs {package}, which is not installed: make setup EXTRAS={extra} "
        f"(or pip install '.[{extra}]')"
    )


def disconnect(url: str) -> None:
    """Forget a connection that has failed, so that the next try makes a new one."""
    if urlsplit(url).scheme in SSH:
        ssh.end(url)


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
    status = next((s for e in chain if (s := _status(e)) is not None), None)
    name = shown(url)
    if any("support range requests" in str(e) for e in chain):
        return RangesRefused(f"{name}: its server gives whole files only")
    if isinstance(chain[-1], NotImplementedError):
        return FetchError(f"{name}: {urlsplit(url).scheme}:// can do no such thing ({_in_words(chain[-1])})")
    if status in (404, 410) or (status is None and isinstance(chain[-1], FileNotFoundError)):
        return NotThere(f"{name}: the server has no such file" + (f" ({status})" if status else ""))
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


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of aiohttp, gcsfs, botocore or huggingface_hub carries."""
    if type(error) is OSError and str(error).startswith("Forbidden:"):  # gcsfs says this one in words
        return 403
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        own = (
            "code" if type(error).__module__.startswith("gcsfs") else "status"
        )  # of aiohttp, a code is its own verdict
        found = getattr(response, "status_code", None) or getattr(error, own, None)
    return found if isinstance(found, int) and found >= 300 else None


def _in_words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer for {STALL_S:g} s"
    return str(error).strip() or type(error).__name__
