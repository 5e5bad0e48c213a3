"""Bringing a whole file from a server: resumed where it was cut off, tried again, and checked before it counts.

What was written of an earlier try is gone on from. It never decides what is fetched or where it is kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from video import connection
from video.connection import disconnect, shown, verdict
from video.errors import FetchError, RangesRefused
from video.probe import fingerprint
from video.remote import open_remote, read_at, remote_stat

log = logging.getLogger(__name__)

FIRST_BYTES, MOST_BYTES = 1 << 20, 32 << 20
PACE_S = 0.5  # reads grow until one takes so long: on a slow link, little is lost when it is cut


class Stopped(Exception):
    """Nobody waits for the file any more."""


def fetch(
    url: str, part: Path, size: int, expected: str | None = None, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Bring a file of `size` bytes to `part`, which may hold the beginning of it.

    expected: its fingerprint, see `video.probe`. Verifies size, fingerprint and the checksum that the server gives; a
    file that fails this is removed. A try that brings anything new does not count as failed. Raises FetchError,
    Stopped, and OSError where the disk gives out.
    """
    said = remote_stat(url)
    if said.size != size:
        raise FetchError(f"{shown(url)}: it has {said.size} bytes now and had {size} when it was looked at; run again")
    wrong = 0
    while True:
        _all_bytes(url, part, size, stopped)
        reason = _differs(part, expected, said.checksum)
        if reason is None:
            return
        part.unlink()
        wrong += 1
        if wrong == 2:  # once, it may have been the way here
            raise FetchError(f"{shown(url)}: {reason}, twice")
        log.warning("%s: %s: fetched again", shown(url), reason)


def _all_bytes(url: str, part: Path, size: int, stopped: Callable[[], bool]) -> None:
    failed, whole = 0, False
    while (had := part.stat().st_size if part.exists() else 0) != size:
        if whole or had > size:
            part.unlink(missing_ok=True)
            had = 0
        try:
            with open(part, "ab") as into:
                _go_on(url, into, had, size, whole, stopped)
        except (FetchError, Stopped, _Disk):
            raise
        except Exception as error:  # every library behind fsspec has its own
            more = not whole and part.stat().st_size > had
            failed = 0 if more else failed + 1
            given_up = verdict(url, error, last=failed >= connection.TRIES)
            disconnect(url)
            if isinstance(given_up, RangesRefused) and not whole:
                whole = True
            elif given_up is not None:
                raise given_up from error
            else:
                _wait(connection.BACK_OFF_S * 2 ** max(0, failed - 1), stopped)


class _Disk(OSError):
    """The disk's error and not the connection's."""


def _go_on(url: str, into: Any, at: int, size: int, whole: bool, stopped: Callable[[], bool]) -> None:
    """Append what is missing. Raises ConnectionError when the server ends too early."""
    file = open_remote(url, size, whole)
    count = FIRST_BYTES
    try:
        while at < size or whole:
            if stopped():
                raise Stopped(url)
            began = time.monotonic()
            asked = count if whole else min(count, size - at)
            data = bytes(file.read(asked)) if whole else read_at(file, at, asked)
            try:
                into.write(data)
                into.flush()
            except OSError as error:
                raise _Disk(error.errno, error.strerror) from error
            at += len(data)
            if at > size:
                raise ConnectionError(f"the server sent more than the {size} bytes it said")
            if not data and at == size:
                return
            if not data or (len(data) < asked and not whole):
                raise ConnectionError(f"the server stopped after {at} of {size} bytes")
            took = time.monotonic() - began
            count = min(2 * count, MOST_BYTES) if took < PACE_S else max(count // 2, FIRST_BYTES // 4)
    finally:
        with suppress(Exception):  # the connection is gone, perhaps
            file.close()


def _wait(seconds: float, stopped: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if stopped():
            raise Stopped
        time.sleep(min(0.2, max(0.0, end - time.monotonic())))


def _differs(part: Path, expected: str | None, checksum: tuple[str, str] | None) -> str | None:
    """In which way a file is another one than was expected; None if it is not."""
    if expected is not None and (found := fingerprint(str(part))) != expected:
        return f"its fingerprint is {found} and was {expected} when it was looked at"
    if checksum is not None:
        kind, digits = checksum
        with open(part, "rb") as file:
            if (got := hashlib.file_digest(file, kind).hexdigest()) != digits:
                return f"its {kind} is {got}, and the server says {digits}"
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    return None
