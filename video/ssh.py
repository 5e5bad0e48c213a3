"""Connections over SSH: a session for each thread, several of them in one connection, as a login takes long."""

from __future__ import annotations

import logging
import socket
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

SESSIONS = 8  # of a connection; OpenSSH gives ten


@dataclass(eq=False)
class _Connection:
    """It ends when no thread has a session of it, and nobody can get one. most: as many as the server gives."""

    client: Any
    sessions: list[weakref.ref[Any]] = field(default_factory=list)
    most: int = 0

    def has_room(self) -> bool:
        self.sessions = [each for each in self.sessions if each() is not None]
        return len(self.sessions) < self.most and self.client.get_transport().is_active()


@dataclass(eq=False)
class _Host:
    """What all threads have of a server. failure: of the last login, with the time of it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: list[_Connection] = field(default_factory=list)
    failure: tuple[float, BaseException] | None = None


_hosts: dict[tuple[str, str], _Host] = {}
_own = threading.local()  # a session answers one thread at a time


def session(url: str, stall_s: float) -> tuple[Any, str]:
    """This thread's file system on the host of the URL, and the path in it. stall_s: seconds without a byte, after
    which a connection counts as dead."""
    parts = urlsplit(url)
    held, key = _own.__dict__.setdefault("sessions", {}), (parts.scheme, parts.netloc)
    if key not in held:
        fs = _begun(url, _hosts.setdefault(key, _Host()), stall_s)
        fs.ftp.get_channel().settimeout(stall_s)
        held[key] = fs
    return held[key], parts.path or "/"


def end(url: str) -> None:
    """Forget this thread's session, which has failed; the connection gets no other one."""
    parts = urlsplit(url)
    key = (parts.scheme, parts.netloc)
    fs = _own.__dict__.get("sessions", {}).pop(key, None)
    if fs is None:
        return
    host = _hosts[key]
    with host.lock:
        host.connections = [each for each in host.connections if each is not fs.connection]
    with suppress(Exception):
        fs.ftp.close()


def _begun(url: str, host: _Host, stall_s: float) -> Any:
    asked = time.monotonic()
    with host.lock:
        host.connections = [each for each in host.connections if each.client.get_transport().is_active()]
        for connection in filter(_Connection.has_room, host.connections):
            fs = _another(connection)
            if fs is not None:
                return fs
        if host.failure is not None and host.failure[0] > asked:  # who waits behind a login shares its end
            raise host.failure[1]
        try:
            fs = _login(url, stall_s)
        except BaseException as error:
            host.failure = time.monotonic(), error
            raise
        connection = _Connection(fs.client, most=SESSIONS)
        weakref.finalize(connection, fs.client.close)
        host.connections.append(connection)
        return _of(connection, fs)


def _of(connection: _Connection, fs: Any) -> Any:
    fs.connection = connection
    connection.sessions.append(weakref.ref(fs))
    return fs


def _another(connection: _Connection) -> Any:
    """One more session of a connection; None where the server gives none."""
    from fsspec.implementations.sftp import SFTPFileSystem
    from paramiko import SSHException

    like = next((fs for each in connection.sessions if (fs := each()) is not None), None)
    if like is None:
        connection.most = 0
        return None
    try:
        ftp = connection.client.open_sftp()
    except (SSHException, EOFError, OSError):
        connection.most = len(connection.sessions)
        return None
    fs = object.__new__(SFTPFileSystem)  # its constructor would log in
    fs.__dict__.update(like.__dict__)
    fs.ftp = ftp
    return _of(connection, fs)


def _login(url: str, stall_s: float) -> Any:
    from fsspec.implementations.sftp import SFTPFileSystem

    from video.known_hosts import KnownHosts

    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # a connection that breaks is said here, once
    options = SFTPFileSystem._get_kwargs_from_urls(url)
    waits = dict.fromkeys(("timeout", "banner_timeout", "auth_timeout"), stall_s)
    fs = SFTPFileSystem(**options, **waits, host_key_policy=KnownHosts(), skip_instance_cache=True)
    # A session's question does not wait until another one's is answered.
    fs.client.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return fs
