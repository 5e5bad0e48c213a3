"""A small Hugging Face hub on this machine, for tests: it serves one repository or refuses it in the hub's own ways.

Status codes and headers are the ones that huggingface_hub tells its errors apart by (`utils/_http.py`).
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Refusal:
    """An answer instead of a file."""

    status: int
    code: str = ""
    message: str = ""


NO_TOKEN = Refusal(401, "GatedRepo", "Access to model owner/sam3 is restricted. You must be authenticated.")
NOT_ASKED = Refusal(
    403, "GatedRepo", "Access to model owner/sam3 is restricted and you are not in the authorized list."
)
WAITING = Refusal(403, "GatedRepo", "Your request to access model owner/sam3 is awaiting a review from its authors.")
REJECTED = Refusal(403, "GatedRepo", "Your request to access model owner/sam3 has been rejected by its authors.")
BAD_TOKEN = Refusal(401, "", "Invalid credentials in Authorization header")
WEAK_TOKEN = Refusal(403, "", "Please enable access to public gated repositories in your fine-grained token settings")
NO_REPOSITORY = Refusal(404, "RepoNotFound", "Repository not found")
BROKEN = Refusal(500, "", "Internal Server Error")


@dataclass
class Hub:
    """Serves the files of `folder` as `owner/sam3`.

    info, files: what to answer instead of the repository's description and of its files. cut: break the connection off
    in the middle of every file larger than a megabyte. silent: close every connection without an answer. asked: the
    paths requested so far.
    """

    folder: Path
    info: Refusal | None = None
    files: Refusal | None = None
    cut: bool = False
    silent: bool = False
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def questions(self) -> int:
        """Requests about the repository; the library may ask for other things by itself."""
        return sum("owner/sam3" in path for path in self.asked)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"


def pretend(hub: Hub, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub ask this hub, with an empty cache in `folder` and no token."""
    from huggingface_hub import constants

    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    patch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.delenv("HF_TOKEN", raising=False)
    patch.delenv("HF_HUB_OFFLINE", raising=False)
    patch.setenv("HF_HUB_DISABLE_XET", "1")


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(path)
            if hub.silent:
                self.close_connection = True
                return
            if path.startswith("/api/models/owner/sam3"):
                self._refuse(hub.info) if hub.info else self._describe(path)
            elif path.startswith((f"/owner/sam3/resolve/{COMMIT}/", "/owner/sam3/resolve/main/")):
                file = hub.folder / path.rpartition("/")[2]
                self._refuse(hub.files) if hub.files else self._file(file)
            else:
                self._refuse(NO_REPOSITORY)

        def _refuse(self, refusal: Refusal) -> None:
            self.send_response(refusal.status)
            if refusal.code:
                self.send_header("X-Error-Code", refusal.code)
            if refusal.message:
                self.send_header("X-Error-Message", refusal.message)
            self._body(b"")

        def _describe(self, path: str) -> None:
            names = sorted(p.name for p in hub.folder.iterdir())
            entries = [
                {"type": "file", "path": n, "size": (hub.folder / n).stat().st_size, "oid": _digest(hub.folder / n)}
                for n in names
            ]
            whole = {
                "id": "owner/sam3",
                "sha": COMMIT,
                "siblings": [{"rfilename": n} for n in names],
                "gated": "manual",
            }
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self._body(json.dumps(entries if "/tree/" in path else whole).encode())

        def _file(self, file: Path) -> None:
            if not file.is_file():
                self._refuse(Refusal(404, "EntryNotFound", "Entry not found"))
                return
            content = file.read_bytes()
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("ETag", f'"{_digest(file)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self._body(content[start:], cut=hub.cut and len(content) > 2**20)

        def _body(self, content: bytes, cut: bool = False) -> None:
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.close_connection = True

    return Handler


def _digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
