"""A Hugging Face Hub on this machine that takes uploads: one dataset repository, files by commit, large ones by LFS."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

REPO = "owner/cows"
TOKEN = "hf_secret0secret0secret0secret0secret0"


@dataclass
class Hub:
    """files: what was committed, by path. blobs: what LFS holds, by sha256. sent: bytes received for LFS so far.
    exists, private: of the repository. refuse: a status to answer everything with. fail_after: LFS uploads that work
    before all others break with 500."""

    files: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    exists: bool = False
    private: bool = True
    refuse: int = 0
    fail_after: int = 10**9
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self._answer(b"")

        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def do_PUT(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, body: bytes) -> None:
            path = self.path.partition("?")[0]
            with hub.lock:
                hub.asked.append(f"{self.command} {path}")
                if hub.refuse:
                    self._reply({"error": "no"}, hub.refuse)
                elif path.startswith("/lfs/"):
                    self._put(path.rpartition("/")[2], body)
                elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self._reply({"error": "Invalid credentials"}, 401)
                else:
                    self._route(path, body)

        def _route(self, path: str, body: bytes) -> None:
            api = f"/api/datasets/{REPO}"
            if path == "/api/repos/create":
                wish = json.loads(body)  # huggingface_hub 1 says private, 2 says visibility
                asked = wish.get("private", False) or wish.get("visibility") == "private"
                hub.private = hub.private if hub.exists else asked
                status, hub.exists = (409 if hub.exists else 200), True
                self._reply({"url": f"{hub.url}/datasets/{REPO}", "name": REPO, "id": REPO}, status)
            elif path == "/api/validate-yaml":
                self._reply({"errors": [], "warnings": []})
            elif path in (api, f"{api}/revision/main"):
                siblings = [{"rfilename": name} for name in hub.files]
                self._reply({"id": REPO, "private": hub.private, "sha": "0" * 40, "siblings": siblings, "tags": []})
            elif path.startswith(f"{api}/tree/"):
                self._reply([self._entry(name, data) for name, data in sorted(hub.files.items())])
            elif path == f"{api}/paths-info/main":
                paths = json.loads(body).get("paths", []) if body[:1] == b"{" else []
                self._reply([self._entry(name, hub.files[name]) for name in paths if name in hub.files])
            elif path == f"{api}/preupload/main":
                names = [each["path"] for each in json.loads(body)["files"]]
                modes = {True: "lfs", False: "regular"}
                self._reply({"files": [self._mode(name, modes[name.endswith(".mp4")]) for name in names]})
            elif path == f"/datasets/{REPO}.git/info/lfs/objects/batch":
                self._reply({"transfer": "basic", "objects": [self._object(o) for o in json.loads(body)["objects"]]})
            elif path == f"{api}/commit/main":
                self._commit(body)
                self._reply(
                    {
                        "commitOid": "1" * 40,
                        "commitUrl": f"{hub.url}/datasets/{REPO}/commit/{40 * chr(49)}",
                        "success": True,
                    }
                )
            else:
                self._reply({"error": f"no {path}"}, 404)

        def _mode(self, name: str, mode: str) -> dict[str, Any]:
            known = hub.files.get(name)
            oid = (
                None if known is None or mode == "lfs" else hashlib.sha1(b"blob %d\0" % len(known) + known).hexdigest()
            )
            return {"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

        def _entry(self, name: str, data: bytes) -> dict[str, Any]:
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data)}
            entry["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            if name.endswith(".mp4"):
                entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            return entry

        def _object(self, asked: dict[str, Any]) -> dict[str, Any]:
            found: dict[str, Any] = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in hub.blobs:
                found["actions"] = {"upload": {"href": f"{hub.url}/lfs/{asked['oid']}", "header": {}}}
            return found

        def _put(self, oid: str, body: bytes) -> None:
            if len(hub.uploads) >= hub.fail_after or hashlib.sha256(body).hexdigest() != oid:
                self._reply({"error": "broken"}, 403)
                return
            hub.uploads.append(oid)
            hub.blobs[oid] = body
            self._reply({})

        def _commit(self, body: bytes) -> None:
            for line in filter(None, body.split(b"\n")):
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.blobs[value["oid"]]

        def _reply(self, value: Any, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler
