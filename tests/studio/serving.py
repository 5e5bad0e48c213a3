"""A studio on a port of its own, and videos to put into it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import requests
import uvicorn

from pipeline.layout import Layout
from pipeline.studio_config import StudioConfig
from sam.backends.grabcut import GrabcutConfig
from sam.tracker import Tracker
from studio.app import create_app
from studio.dataset import Dataset
from studio.rooms import Rooms
from video.encoder import EncodeConfig, encode

Pair = tuple[int, int]
RED, BLUE, GROUND = (210, 50, 40), (40, 60, 200), (95, 110, 90)


@dataclass
class Served:
    """A running studio. ask: a request whose answer must have the status that is expected."""

    address: str
    rooms: Rooms
    headers: dict[str, str]

    def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        headers = {**self.headers, **more.pop("headers", {})}
        answer = requests.request(method, self.address + path, headers=headers, timeout=120, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        assert "Traceback" not in answer.text[:10_000]
        if answer.headers["content-type"].startswith("application/json"):
            return answer.json()
        return answer

    def upload(self, video: Path) -> str:
        with video.open("rb") as file:
            made = self.ask("POST", "/upload-video", files={"file": (video.name, file)})
        return str(made["session_id"])


@contextmanager
def serving(
    folder: Path, tracker: Tracker | None = None, dataset: Path | None = None, **options: Any
) -> Iterator[Served]:
    """A studio that works in a folder, on loopback; with a dataset or without."""
    made = StudioConfig(folder=str(folder), port=0, **options)
    opened = None if dataset is None else Dataset(Layout(dataset, dataset / "tracks"), made)
    app = create_app(made, tracker or GrabcutConfig().build(), encode=EncodeConfig(preset="ultrafast"), dataset=opened)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", lifespan="on", timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"authorization": f"Bearer {made.token}"} if made.token else {}
    try:
        yield Served(f"http://127.0.0.1:{port}", app.state.rooms, headers)
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def film(
    path: Path, count: int, size: Pair, discs: Sequence[tuple[Pair, Pair]], radii: Sequence[int] | None = None
) -> Path:
    """A video of discs (the first red, the second blue) that start somewhere and move by so much in each frame."""
    radii = radii or [radius(size)] * len(discs)

    def pictures() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(1)
        noise = rng.integers(-12, 13, (size[1] // 8 + 1, size[0] // 8 + 1, 3)).astype(np.float32)
        floor = GROUND + cv2.resize(noise, size, interpolation=cv2.INTER_LINEAR)
        for t in range(count):
            image = np.clip(floor, 0, 255).astype(np.uint8)
            for ((x, y), (dx, dy)), colour, r in zip(discs, (RED, BLUE), radii, strict=False):
                cv2.circle(image, (x + dx * t, y + dy * t), r, colour, -1, cv2.LINE_AA)
            yield image

    encode(path, pictures(), Fraction(25), EncodeConfig(preset="ultrafast", crf=12), size=size)
    return path


def radius(size: tuple[int, int]) -> int:
    return size[0] // 20
