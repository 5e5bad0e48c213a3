"""A server on this machine's loopback that serves a folder over SFTP, to read and to write, and fails on request."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko

from tests.serving import Faults, Served

USER, PASSWORD = "farmer", "hay"


class _Door(paramiko.ServerInterface):  # type: ignore[misc]  # untyped
    def __init__(self, served: Served) -> None:
        self._served = served
        self._sessions = 0

    def check_auth_password(self, username: str, password: str) -> int:
        known = (username, password) == (USER, PASSWORD)
        self._served.logins += known
        return int(paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED)

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self._sessions += 1
        within = self._sessions <= self._served.faults.sessions
        return int(paramiko.OPEN_SUCCEEDED if within else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)


class _Handle(paramiko.SFTPHandle):  # type: ignore[misc]  # untyped
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


class _Taken(paramiko.SFTPHandle):  # type: ignore[misc]  # untyped
    """A file that is being written."""

    def __init__(self, path: Path, served: Served, transport: paramiko.Transport, die: Any) -> None:
        super().__init__()
        self._file, self._served, self._transport, self._die = path.open("wb"), served, transport, die
        self._name = re.sub(r"^\.(.*)\.[0-9a-f]{8}\.part$", r"\1", path.name)

    def write(self, offset: int, data: bytes) -> int:
        faults, name = self._served.faults, self._name
        if faults.cut_in[name] > 0:
            faults.cut_in[name] -= 1
            self._file.write(data[: len(data) // 2])
            self._transport.close()
            return int(paramiko.SFTP_FAILURE)
        if faults.kb_s is not None:
            time.sleep(len(data) / 1000 / faults.kb_s)
        self._served.taken[name] += len(data)
        if faults.dies_after is not None and self._served.taken.total() > faults.dies_after:
            self._die()
            return int(paramiko.SFTP_FAILURE)
        self._file.seek(offset)
        self._file.write(data if faults.lost_in[name] <= 0 else data[:-1])
        faults.lost_in[name] -= 1
        return int(paramiko.SFTP_OK)

    def close(self) -> None:
        super().close()
        self._file.close()


class _Files(paramiko.SFTPServerInterface):  # type: ignore[misc]  # untyped
    def __init__(self, server: paramiko.ServerInterface, root: Path, served: Served, transport: Any, die: Any) -> None:
        super().__init__(server)
        self._root, self._served, self._transport, self._die = root, served, transport, die

    def _path(self, path: str) -> Path:
        return self._root / str(self.canonicalize(path)).lstrip("/")

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
        if flags & os.O_WRONLY:
            if self._served.faults.read_only:
                return paramiko.SFTP_PERMISSION_DENIED
            try:
                return _Taken(file, self._served, self._transport, self._die)
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno or 0)
        if not file.is_file():
            return paramiko.SFTP_NO_SUCH_FILE
        self._served.asked.append(("OPEN", file.name, 0))
        return _Handle(file, self._served, self._transport)

    def _do(self, change: Any) -> int:
        if self._served.faults.read_only:
            return int(paramiko.SFTP_PERMISSION_DENIED)
        try:
            change()
        except OSError as error:
            return int(paramiko.SFTPServer.convert_errno(error.errno or 0))
        return int(paramiko.SFTP_OK)

    def remove(self, path: str) -> int:
        self._served.asked.append(("REMOVE", self._path(path).name, 0))
        return self._do(self._path(path).unlink)

    def mkdir(self, path: str, attr: Any) -> int:
        return self._do(self._path(path).mkdir)

    def rename(self, oldpath: str, newpath: str) -> int:
        if self._path(newpath).exists():
            return int(paramiko.SFTP_FAILURE)
        return self._do(lambda: os.rename(self._path(oldpath), self._path(newpath)))

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        if self._served.faults.plain_rename:
            return int(paramiko.SFTP_OP_UNSUPPORTED)
        return self._do(lambda: os.replace(self._path(oldpath), self._path(newpath)))


@contextmanager
def serving_sftp(folder: Path, home: Path, faults: Faults | None = None, port: int = 0) -> Iterator[Served]:
    """Serve a folder; its key is put into the known_hosts of `home`. port: that of a server which is gone, or any."""
    key = paramiko.ECDSAKey.generate()
    served = Served("", faults or Faults())
    listener = socket.create_server(("127.0.0.1", port))
    port = listener.getsockname()[1]
    served.url = f"sftp://{USER}:{PASSWORD}@127.0.0.1:{port}"
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
    open_ones: list[paramiko.Transport] = []

    def die() -> None:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for each in open_ones:
            each.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as OpenSSH does
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transport.set_subsystem_handler(
                "sftp", paramiko.SFTPServer, _Files, root=folder, served=served, transport=transport, die=die
            )
            open_ones.append(transport)
            with suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=_Door(served))

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield served
    finally:
        die()
        thread.join()
