"""Servers on this machine's loopback that serve a folder over HTTP or SFTP, and fail on request."""

from __future__ import annotations

import http.server
import os
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

import paramiko


@dataclass
class Faults:
    """What a server does wrong, by the name of a file. cut: how many answers break off half-way. status: the answer to
    whatever is asked. missing: bytes that the size it says has too many. kb_s: the speed of its link, of all files.
    stalled: how many answers stop half-way for a second. garbled: how many come with other bytes. headers: sent with
    all. ranges: False gives whole files only, whatever is asked. cut_from, cut_after: only answers of so many bytes,
    and that begin at that byte or after it, are cut, stalled or garbled; over SFTP the latter alone counts.
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


@dataclass
class Served:
    """A running server. sent: bytes of each file that went out. asked: (method, file, first byte) of every request."""

    url: str
    faults: Faults
    sent: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, str, int]] = field(default_factory=list)


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


# -- SFTP -------------------------------------------------------------------------------------------------------------

USER, PASSWORD = "farmer", "hay"


class _Door(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        known = (username, password) == (USER, PASSWORD)
        return int(paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED)

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class _Handle(paramiko.SFTPHandle):
    def __init__(self, path: Path, served: Served, transport: paramiko.Transport) -> None:
        super().__init__()
        self._data, self._name, self._served, self._transport = path.read_bytes(), path.name, served, transport
        self._mtime = path.stat().st_mtime

    def read(self, offset: int, length: int) -> bytes:
        faults = self._served.faults
        if offset >= max(1, faults.cut_after) and faults.cut[self._name] > 0:
            faults.cut[self._name] -= 1
            self._transport.close()
            return b""
        data = self._data[offset : offset + length]
        if faults.kb_s is not None:
            time.sleep(len(data) / 1000 / faults.kb_s)
        self._served.sent[self._name] += len(data)
        return data

    def stat(self) -> paramiko.SFTPAttributes:
        attributes = paramiko.SFTPAttributes()
        attributes.st_size, attributes.st_mode = len(self._data), 0o100644
        attributes.st_mtime = attributes.st_atime = int(self._mtime)
        return attributes


class _Files(paramiko.SFTPServerInterface):
    def __init__(self, server: paramiko.ServerInterface, root: Path, served: Served, transport: Any) -> None:
        super().__init__(server)
        self._root, self._served, self._transport = root, served, transport

    def _path(self, path: str) -> Path:
        return self._root / self.canonicalize(path).lstrip("/")

    def list_folder(self, path: str) -> Any:
        if self._path(path).name in self._served.faults.status:
            return paramiko.SFTP_PERMISSION_DENIED
        try:
            found = []
            for entry in os.scandir(self._path(path)):
                attributes = paramiko.SFTPAttributes.from_stat(entry.stat())
                attributes.filename = entry.name
                found.append(attributes)
            return found
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def stat(self, path: str) -> Any:
        if self._path(path).name in self._served.faults.status:
            return paramiko.SFTP_PERMISSION_DENIED
        try:
            attributes = paramiko.SFTPAttributes.from_stat(os.stat(self._path(path)))
            attributes.st_size += self._served.faults.missing[self._path(path).name]
            return attributes
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    lstat = stat

    def open(self, path: str, flags: int, attr: Any) -> Any:
        file = self._path(path)
        if not file.is_file():
            return paramiko.SFTP_NO_SUCH_FILE
        self._served.asked.append(("OPEN", file.name, 0))
        return _Handle(file, self._served, self._transport)


@contextmanager
def serving_sftp(folder: Path, home: Path, faults: Faults | None = None) -> Iterator[Served]:
    """Serve a folder; its key is put into the known_hosts of `home`."""
    key = paramiko.RSAKey.generate(2048)
    served = Served("", faults or Faults())
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    served.url = f"sftp://{USER}:{PASSWORD}@127.0.0.1:{port}"
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
    open_ones: list[paramiko.Transport] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transport.set_subsystem_handler(
                "sftp", paramiko.SFTPServer, _Files, root=folder, served=served, transport=transport
            )
            open_ones.append(transport)
            with suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=_Door())

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield served
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for transport in open_ones:
            transport.close()
