"""One session: a video, what was said of it, and the masks so far; all of it on disk, so that a restart finds it again.

`session.json` is the state: prompts, versions of the mask blocks, and the states before the last actions. Replacing it
is what commits an action. It knows no tracker and no HTTP.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from pipeline.writing import write_bytes
from sam.types import Mask, Prompt
from studio.errors import Cancelled
from studio.masks import MaskBlocks, Masks
from video.source import Found, probe
from video.types import Video

log = logging.getLogger(__name__)

FORMAT = 1
UNDO = 20  # actions that can be taken back


class Session:
    """See the module docstring. Every method may be called from any thread.

    id: 32 hexadecimal digits. folder: its own under outputs/. video: the uploaded file, under the user's name. frames:
    how many can be decoded. prompts: in the order given; source frames and pixels.
    """

    def __init__(self, identity: str, folder: Path, video: Video, frames: int, created: float) -> None:
        self.id = identity
        self.folder = folder
        self.video = video
        self.frames = frames
        self.created = created
        self.used = time.time()
        self.prompts: tuple[Prompt, ...] = ()
        self.lock = threading.RLock()
        self.closed = False
        self.version = 0  # grows with every change of what is seen
        self._epoch = secrets.token_hex(4)  # versions that were not committed are given again after a restart
        self._history: list[dict[str, Any]] = []
        for name in ("frames", "masks", "overlays"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._masks = MaskBlocks(folder / "masks")

    @classmethod
    def load(cls, folder: Path) -> Session:
        """The session that lies in a folder. Raises OSError, ValueError or KeyError when none can be read."""
        state = orjson.loads((folder / "session.json").read_bytes())
        if state["format"] != FORMAT or state["id"] != folder.name:
            raise ValueError(f"{folder / 'session.json'} is of another version or another session")
        upload = folder.parent.parent / "uploads" / Path(state["file"]).name
        video = replace(probe(Found(str(upload), upload.name)), name=state["name"])
        session = cls(state["id"], folder, video, state["frames"], state["created"])
        session.used = (folder / "session.json").stat().st_mtime
        session.version = state["version"]
        session._history = state["history"]
        session._go_to(state["now"])
        return session

    @property
    def objects(self) -> tuple[int, ...]:
        """The ids of objects that prompts named, ascending."""
        return tuple(sorted({p.object_id for p in self.prompts if p.object_id is not None}))

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts to look for."""
        return tuple(p.text for p in self.prompts if p.text is not None)

    @property
    def stamp(self) -> str:
        """Names what is seen now; another text after every change."""
        return f"{self._epoch}-{self.version}"

    @property
    def undoable(self) -> int:
        """How many actions can be taken back."""
        return len(self._history)

    def touch(self) -> None:
        """Someone uses it."""
        self.used = time.time()

    def masks(self, frame: int) -> Masks:
        """The masks of a frame."""
        with self.lock:
            return dict(self._masks[frame])

    def found(self) -> dict[int, int]:
        """Object id -> in how many frames it has a mask."""
        with self.lock:
            counts = self._masks.counts()
        return dict(sorted({**dict.fromkeys(self.objects, 0), **counts}.items()))

    def begin(self) -> None:
        """An action begins: what is now can be gone back to."""
        with self.lock:
            self._history = [*self._history, self._now()][-UNDO:]

    def abandon(self) -> None:
        """The action that began has failed before it changed anything for good: back to what was."""
        with self.lock:
            self._go_to(self._history.pop())
            self.version += 1

    def show(self, frame: int, changes: Mapping[int, tuple[Mask, float] | None]) -> None:
        """Change the masks of a frame; see `MaskBlocks.update`."""
        with self.lock:
            if self.closed:
                raise Cancelled("the session has ended")
            self._masks.update(frame, changes)
            self.version += 1

    def say(self, prompts: Sequence[Prompt]) -> None:
        """Replace what was said."""
        with self.lock:
            self.prompts = tuple(prompts)
            self.version += 1

    def forget_object(self, number: int) -> None:
        """Take an object's prompts and masks away."""
        with self.lock:
            self.say([p for p in self.prompts if p.object_id != number])
            for frame, masks in list(self._masks.frames()):
                if number in masks:
                    self._masks.update(frame, {number: None})

    def undo(self) -> bool:
        """Go back to before the last action; False when there is none."""
        with self.lock:
            if not self._history:
                return False
            self._go_to(self._history.pop())
            self.version += 1
            self.commit()
            return True

    def commit(self) -> None:
        """Make what is now last. Raises DiskError; what was committed before then stays."""
        with self.lock:
            if self.closed:
                return
            self._masks.flush()
            now = self._now()
            state = {
                "format": FORMAT, "id": self.id, "name": self.video.name, "file": Path(self.video.path).name,
                "frames": self.frames, "created": self.created, "version": self.version,
                "now": now, "history": self._history,
            }  # fmt: skip
            write_bytes(self.folder / "session.json", orjson.dumps(state))
            states = [*self._history, now]
            self._masks.keep_only([{int(n): v for n, v in each["blocks"].items()} for each in states])

    def delete(self) -> None:
        """Remove every file of it, the upload too."""
        with self.lock:
            self.closed = True
            (self.folder / "session.json").unlink(missing_ok=True)  # first: what is half deleted is no session
            shutil.rmtree(self.folder, ignore_errors=True)
            with suppress(OSError):
                Path(self.video.path).unlink(missing_ok=True)

    def _now(self) -> dict[str, Any]:
        return {
            "prompts": [plain_prompt(p) for p in self.prompts],
            "blocks": {str(number): version for number, version in self._masks.versions.items()},
        }

    def _go_to(self, state: Mapping[str, Any]) -> None:
        self.prompts = tuple(_prompt(each, self.video) for each in state["prompts"])
        self._masks.go_to({int(number): version for number, version in state["blocks"].items()})


def plain_prompt(prompt: Prompt) -> dict[str, Any]:
    """A prompt as JSON keeps it: a mask as run-length code of its box."""
    mask = None if prompt.mask is None else Mask.encode(prompt.mask)
    return {
        "text": prompt.text, "frame": prompt.frame, "object": prompt.object_id, "points": prompt.points,
        "labels": prompt.labels, "box": prompt.box,
        "mask": None if mask is None else {"box": mask.box, "counts": mask.counts.decode()},
    }  # fmt: skip


def _prompt(given: Mapping[str, Any], video: Video) -> Prompt:
    mask = None
    if given["mask"] is not None:
        x0, y0, x1, y1 = given["mask"]["box"]
        mask = Mask((x0, y0, x1, y1), given["mask"]["counts"].encode()).full(video.width, video.height).astype(np.bool_)
    return Prompt(
        text=given["text"],
        frame=given["frame"],
        object_id=given["object"],
        points=tuple((float(x), float(y)) for x, y in given["points"]),
        labels=tuple(given["labels"]),
        box=None if given["box"] is None else tuple(given["box"]),
        mask=mask,
    )
