"""A Python client of the studio: each request of the API as a method.

    from studio.client import Studio

    with Studio("http://127.0.0.1:8000") as studio:
        session = studio.upload("cows.mp4")
        studio.annotate(session, 0, points=[(210, 350)])
        studio.propagate(session, 0, 100)
        studio.export(session, "cows_overlay.mp4")

Files are streamed both ways. A refused request raises `Refused` with the studio's own words.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Pair = tuple[float, float]
Box = tuple[float, float, float, float]


class Refused(Exception):
    """The studio's answer to what it cannot do. status: of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Studio:
    """A studio at an address. token: if it asks for one. timeout: seconds to wait for an answer; None for ever."""

    def __init__(
        self, address: str = "http://127.0.0.1:8000", token: str | None = None, timeout: float | None = None
    ) -> None:
        import httpx2

        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(base_url=address, headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def upload(self, video: str | Path) -> str:
        """Upload a video; returns the session's id."""
        path = Path(video)
        with path.open("rb") as file:
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            made = self._ask("POST", "/upload-video", files={"file": (path.name, file, kind)})
        return str(made["session_id"])

    def sessions(self) -> list[dict[str, Any]]:
        """All sessions."""
        found: list[dict[str, Any]] = self._ask("GET", "/sessions")["sessions"]
        return found

    def inspect(self, session: str) -> dict[str, Any]:
        """What a session holds: size, frames, objects, prompts, jobs."""
        return self._ask("GET", f"/sessions/{session}")

    def delete(self, session: str) -> None:
        """End a session."""
        self._ask("DELETE", f"/sessions/{session}")

    def frame(self, session: str, index: int) -> bytes:
        """A frame as JPEG."""
        return self._bytes(f"/frame/{session}/{index}")

    def overlay(self, session: str, index: int) -> bytes:
        """A frame with masks drawn in, as JPEG."""
        return self._bytes(f"/overlay/{session}/{index}")

    def annotate(
        self,
        session: str,
        frame: int,
        points: Sequence[Pair] = (),
        labels: Sequence[int] | None = None,
        box: Box | None = None,
        object_id: int = 1,
    ) -> dict[str, Any]:
        """Say what an object is on a frame. labels: 1 in the object, 0 not; left out: all 1."""
        return self._ask("POST", f"/annotate-frame/{session}", json=_clicks(frame, points, labels, box, object_id))

    def refine(
        self,
        session: str,
        frame: int,
        points: Sequence[Pair] = (),
        labels: Sequence[int] | None = None,
        box: Box | None = None,
        object_id: int = 1,
    ) -> dict[str, Any]:
        """Correct an object on a frame; as `annotate`."""
        return self._ask("POST", f"/refine-mask/{session}", json=_clicks(frame, points, labels, box, object_id))

    def text(self, session: str, text: str) -> dict[str, Any]:
        """Say what to look for, with a tracker that takes text."""
        return self._ask("POST", f"/prompt-text/{session}", json={"text": text})

    def propagate(
        self,
        session: str,
        start: int | None = None,
        end: int | None = None,
        direction: str = "forward",
        wait: bool = True,
    ) -> dict[str, Any]:
        """Track from `start` to `end`, inclusive. wait=False answers at once; see `progress`."""
        body = {"start_frame": start, "end_frame": end, "direction": direction, "wait": wait}
        return self._ask("POST", f"/propagate/{session}", json={k: v for k, v in body.items() if v is not None})

    def progress(self, session: str) -> Iterator[dict[str, Any]]:
        """The states of what runs and waits, as they change, until nothing is left."""
        with self._http.stream("GET", f"/sessions/{session}/events", params={"follow": "false"}) as answer:
            _check(answer)
            event = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event == "progress":
                    yield json.loads(line.removeprefix("data: "))

    def cancel(self, session: str) -> int:
        """Stop what runs and waits; returns how many jobs."""
        return int(self._ask("POST", f"/sessions/{session}/cancel")["cancelled"])

    def undo(self, session: str) -> dict[str, Any]:
        """Take back the last action."""
        return self._ask("POST", f"/sessions/{session}/undo")

    def remove(self, session: str, object_id: int) -> dict[str, Any]:
        """Forget an object."""
        return self._ask("DELETE", f"/sessions/{session}/objects/{object_id}")

    def export(self, session: str, path: str | Path, format: str = "mp4") -> Path:
        """Save an export (mp4, masks, alpha, coco) as a file."""
        target = Path(path)
        with self._http.stream("GET", f"/export/{session}", params={"format": format}) as answer:
            _check(answer)
            with target.open("wb") as file:
                for part in answer.iter_bytes():
                    file.write(part)
        return target

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = self._http.request(method, path, **more)
        _check(answer)
        made: dict[str, Any] = answer.json()
        return made

    def _bytes(self, path: str) -> bytes:
        answer = self._http.get(path)
        _check(answer)
        return bytes(answer.content)


def _clicks(
    frame: int, points: Sequence[Pair], labels: Sequence[int] | None, box: Box | None, object_id: int
) -> dict[str, Any]:
    given = [1] * len(points) if labels is None else labels
    clicks = [{"x": x, "y": y, "label": label} for (x, y), label in zip(points, given, strict=True)]
    return {"frame_idx": frame, "points": clicks, "object_id": object_id, **({"box": list(box)} if box else {})}


def _check(answer: Any) -> None:
    if answer.status_code >= 400:
        answer.read()
        try:
            message = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            message = f"{answer.status_code} from {answer.url}: is it a studio?"
        raise Refused(answer.status_code, message)
