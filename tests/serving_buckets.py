"""Servers on this machine's loopback that keep objects in buckets, as Amazon S3 and Google Cloud Storage do, and fail
on request. S3 is moto's; what gcsfs asks of Google's JSON API is answered here."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from werkzeug.serving import make_server

from tests.serving import Faults, Served
from video.connection import connect

Environment = dict[str, Any]
Start = Callable[..., Any]
App = Callable[[Environment, Start], Iterable[bytes]]


class Google:
    """Objects of one server: {"BUCKET/KEY": (bytes, what is said of it)}."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, dict[str, Any]]] = {}
        self._uploads: dict[str, tuple[str, bytearray]] = {}
        self._lock = threading.Lock()
        self._count = 0

    def __call__(self, environ: Environment, start: Start) -> Iterable[bytes]:
        path = environ["RAW_URI"].partition("?")[0]
        query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        found = re.fullmatch(r"/(upload/|download/)?storage/v1/b/([^/]+)(?:/o(?:/([^/]+))?)?", path)
        assert found is not None, path
        way, bucket, key = found[1] or "", found[2], unquote(found[3] or "")
        with self._lock:
            status, headers, answer = self._answer(environ, way, bucket, key, query, body)
        headers |= {"Content-Length": str(len(answer))}
        start(f"{status} -", list(headers.items()))
        return [answer]

    def _answer(
        self, environ: Environment, way: str, bucket: str, key: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        method = environ["REQUEST_METHOD"]
        if way == "upload/":
            return self._take(environ, bucket, query, body)
        if key:
            if f"{bucket}/{key}" not in self._objects:
                return 404, {}, b'{"error": {"message": "No such object", "code": 404}}'
            data, said = self._objects[f"{bucket}/{key}"]
            if method == "DELETE":
                del self._objects[f"{bucket}/{key}"]
                return 204, {}, b""
            if query.get("alt") != "media":
                return 200, {}, json.dumps(said).encode()
            headers = {"X-Goog-Hash": f"md5={said['md5Hash']}", "Last-Modified": format_datetime(datetime.now(UTC))}
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", environ.get("HTTP_RANGE", ""))
            if asked is None:
                return 200, headers, data
            part = data[int(asked[1]) : int(asked[2]) + 1]
            headers["Content-Range"] = f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}"
            return 206, headers, part
        return self._list(bucket, query)

    def _list(self, bucket: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        prefix, delimiter, most = query.get("prefix", ""), query.get("delimiter"), int(query.get("maxResults", 1000))
        items, folders = [], set()
        for place in sorted(self._objects):
            key = place.removeprefix(f"{bucket}/")
            if not place.startswith(f"{bucket}/{prefix}"):
                continue
            inside, found, _ = key[len(prefix) :].partition(delimiter or "\0")
            if found:
                folders.add(prefix + inside + found)
            else:
                items.append(self._objects[place][1])
        first = int(query.get("pageToken", 0))
        page: dict[str, Any] = {"items": items[first : first + most], "prefixes": sorted(folders)}
        if first + most < len(items):
            page["nextPageToken"] = str(first + most)
        return 200, {}, json.dumps(page).encode()

    def _take(
        self, environ: Environment, bucket: str, query: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if "upload_id" in query:
            place, parts = self._uploads[query["upload_id"]]
            parts += body
            last, _, total = environ["HTTP_CONTENT_RANGE"].rpartition("-")[2].partition("/")
            if len(parts) != int(last) + 1:
                return 400, {}, b'{"error": {"message": "not what was announced", "code": 400}}'
            if len(parts) < int(total):
                return 308, {"Range": f"bytes=0-{last}"}, b""
            return 200, {}, json.dumps(self._keep(place, bytes(parts))).encode()
        if query["uploadType"] == "resumable":
            self._count += 1
            self._uploads[str(self._count)] = (f"{bucket}/{query['name']}", bytearray())
            here = f"http://{environ['HTTP_HOST']}{environ['PATH_INFO']}?uploadType=resumable&upload_id={self._count}"
            return 200, {"Location": here}, b"{}"
        head, _, rest = body.partition(b"\n--==0==\n")
        name = json.loads(head.partition(b"\n\n")[2])["name"]
        data = rest.partition(b"\n\n")[2].removesuffix(b"\n--==0==--")
        return 200, {}, json.dumps(self._keep(f"{bucket}/{name}", data)).encode()

    def _keep(self, place: str, data: bytes) -> dict[str, Any]:
        bucket, _, key = place.partition("/")
        self._count += 1
        said = {
            "kind": "storage#object",
            "name": key,
            "bucket": bucket,
            "size": str(len(data)),
            "md5Hash": base64.b64encode(hashlib.md5(data).digest()).decode(),
            "generation": str(self._count),
            "updated": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        self._objects[place] = (data, said)
        return said


def _failing(app: App, served: Served) -> App:
    """The same server on a bad day: `served.faults` by the last part of an object's name."""

    def call(environ: Environment, start: Start) -> Iterable[bytes]:
        faults, method = served.faults, environ["REQUEST_METHOD"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        name = _name(environ, body)
        sends = method in ("PUT", "POST") and bool(name)
        served.asked.append((method, name, 0))

        def refused(status: int, said: bytes) -> Iterable[bytes]:
            start(f"{status} -", [("Content-Type", "text/plain"), ("Content-Length", str(len(said)))])
            return [said]

        if name in faults.status:
            return refused(faults.status[name], b"")
        if _once(faults.busy, name):
            xml = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            return refused(503, xml)
        if sends and _once(faults.cut_in, name):
            return _cut(environ, [])
        if sends and faults.kb_s is not None:
            time.sleep(len(body) / 1000 / faults.kb_s)
        if sends and _once(faults.lost_in, name):
            body = _shorter(body)
        if sends:
            served.taken[name] += len(body)
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        answer = app(environ, start)
        if method == "GET" and name:
            data = b"".join(answer)
            if len(data) > faults.cut_from and _once(faults.cut, name):
                return _cut(environ, [data[: len(data) // 2]])
            if len(data) > faults.cut_from and _once(faults.stalled, name):
                return _cut(environ, [data[: len(data) // 2]], after=1.0)
            served.sent[name] += len(data)
            return [data]
        return answer

    return call


def _name(environ: Environment, body: bytes) -> str:
    """The last part of the name of the object that a request is about; none for a bucket."""
    query = parse_qs(environ["QUERY_STRING"])
    if "/upload/" in environ["PATH_INFO"]:
        said = re.search(rb'"name": "([^"]+)"', body[:2000])
        return str((query.get("name") or [said[1].decode() if said else ""])[0]).rpartition("/")[2]
    parts = str(environ["PATH_INFO"]).split("/")
    return parts[-1] if len(parts) > 2 and parts[-1] != "o" and "prefix" not in query else ""


def _once(fault: Any, name: str) -> bool:
    if fault[name] <= 0:
        return False
    fault[name] -= 1
    return True


def _shorter(body: bytes) -> bytes:
    end = b"\n--==0==--"
    return body.removesuffix(end)[:-1] + end if body.endswith(end) else body[:-1]


def _cut(environ: Environment, parts: list[bytes], after: float = 0.0) -> Iterator[bytes]:
    yield from parts
    time.sleep(after)
    with suppress(OSError):
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def _amazon() -> App:
    from moto.server import create_backend_app

    app: App = create_backend_app("s3")
    return app


@contextmanager
def serving_buckets(kind: str, faults: Faults | None = None) -> Iterator[Served]:
    """Serve buckets as `s3` or `gs` does; the url is that of the server."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    served = Served("", faults or Faults())
    server = make_server("127.0.0.1", 0, _failing(_amazon() if kind == "s3" else Google(), served), threaded=True)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Bucket:
    """One bucket of a server, as this process sees it."""

    def __init__(self, kind: str, server: Served, name: str) -> None:
        self.server = server
        self.url = f"{kind}://{name}"
        self.fs, _ = connect(self.url)
        if kind == "s3":
            self.fs.mkdir(name)

    def write(self, name: str, data: bytes) -> None:
        self.fs.pipe_file(f"{self.url}/{name}", data)

    def remove(self, name: str) -> None:
        self.fs.rm_file(f"{self.url}/{name}")

    def contents(self, folder: str, *names: str) -> dict[str, bytes]:
        """Bytes of every file under these names of a folder."""
        self.fs.invalidate_cache()
        top = f"{self.url.partition('://')[2]}/{folder}/"
        files = [path.removeprefix(top) for path in self.fs.find(top)]
        return {path: bytes(self.fs.cat_file(top + path)) for path in files if path.startswith(names)}
