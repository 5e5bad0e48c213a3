"""A server on this machine's loopback that serves a folder over HTTP, and fails on request."""

from __future__ import annotations

import http.server
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Faults:
    """What a server does wrong, by the name of a file. cut: how many answers break off half-way. status: the answer to
    whatever is asked. missing: bytes that the size it says has too many. kb_s: the speed of its link, of all files.
    stalled: how many answers stop half-way for a second. garbled: how many come with other bytes. headers: sent with
    all. ranges: False gives whole files only, whatever is asked. cut_from, cut_after: only answers of so many bytes,
    and that begin at that byte or after it, are cut, stalled or garbled; over SFTP the latter alone counts.

    Of what is sent to it: cut_in: how often the connection breaks off half-way. lost_in: how often bytes are lost
    without a word. busy: how often the answer is 503, to whatever is asked of the file. dies_after: bytes after which
    it is gone for good. sessions: as many of a connection, where it is SSH. read_only: it takes nothing. plain_rename:
    it renames onto nothing that exists, as servers without OpenSSH's extension do.
    """

    cut: Counter[str] = field(default_factory=Counter)
    status: dict[str, int] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)
    garbled: Counter[str] = field(default_factory=Counter)
    stalled: Counter[str] = field(default_factory=Counter)
    headers: dict[str, str] = field(default_factory=dict)
    kb_s: float | None = None
    ranges: bool = True
    cut_from: int = 0
    cut_after: int = 0
    busy: Counter[str] = field(default_factory=Counter)
    cut_in: Counter[str] = field(default_factory=Counter)
    lost_in: Counter[str] = field(default_factory=Counter)
    dies_after: int | None = None
    read_only: bool = False
    plain_rename: bool = False
    sessions: int = 10


@dataclass
class Served:
    """A running server. sent, taken: bytes of each file that went out, that came in. asked: (method, file, first byte)
    of every request. logins: connections that were let in."""

    url: str
    faults: Faults
    sent: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)
    logins: int = 0


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, served: Served, **kwargs: Any) -> None:
        self.served = served
        super().__init__(*args, **kwargs)

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        faults, name = self.served.faults, unquote(urlsplit(self.path).path).rpartition("/")[2]
        path = Path(self.translate_path(self.path))
        if path.is_dir():
            super().do_HEAD() if self.command == "HEAD" else super().do_GET()
            return
        if name in faults.status or not path.is_file():
            self.served.asked.append((self.command, name, 0))
            self.send_error(faults.status.get(name, 404))
            return
        data = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if faults.ranges else None
        start, stop = (int(asked[1]), min(int(asked[2]) + 1, len(data))) if asked else (0, len(data))
        self.served.asked.append((self.command, name, start))
        body = data[start:stop]
        harmed = len(body) >= faults.cut_from and start >= faults.cut_after
        if harmed and faults.garbled[name] > 0 and self.command == "GET":
            faults.garbled[name] -= 1
            body = body[: len(body) // 2] + bytes(len(body) - len(body) // 2)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body) + (faults.missing[name] if not asked else 0)))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data) + faults.missing[name]}")
        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
        self.send_header("ETag", f'"{path.stat().st_mtime_ns:x}"')
        for key, value in faults.headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if harmed and faults.cut[name] > 0:
            faults.cut[name] -= 1
            self._send(name, body[: len(body) // 2])
            self._break()
            return
        if harmed and faults.stalled[name] > 0:
            faults.stalled[name] -= 1
            self._send(name, body[: len(body) // 2])
            time.sleep(1)
            self._break()
            return
        self._send(name, body)
        if faults.missing[name] and not asked:
            self._break()

    def _send(self, name: str, body: bytes) -> None:
        piece = 16 << 10
        with suppress(ConnectionError):
            for at in range(0, len(body), piece):
                self.wfile.write(body[at : at + piece])
                self.served.sent[name] += len(body[at : at + piece])
                if self.served.faults.kb_s is not None:
                    time.sleep(len(body[at : at + piece]) / 1000 / self.served.faults.kb_s)
            self.wfile.flush()

    def _break(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving_http(folder: Path, faults: Faults | None = None) -> Iterator[Served]:
    """Serve a folder, with listings and ranges."""
    served = Served("", faults or Faults())
    handler = partial(_Handler, served=served, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
