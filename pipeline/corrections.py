"""Corrections of what was tracked: the file, what may be in it, and which windows it touches.

One JSON file per video, `<folder>/<video name>.json` (barn/cam1.mp4.json), or a single file that names its video:

    {"video": "barn/cam1.mp4", "fingerprint": "...",          the fingerprint may be missing
     "corrections": [{"do": "swap", "frame": 120, "object": 3, "with": 4, "author": "ann", "time": "2026-11-21T10:00"}]}

Frames are source frames, places source pixels. Masks lie beside the file (`pipeline.drawings`). To undo a correction,
remove its entry. What an entry does to tracks is in `pipeline.correcting`; this module opens no video and no tracks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from pipeline.drawings import Drawing, folder_of, keep_only, read_drawing
from pipeline.errors import ConfigError
from pipeline.writing import write_bytes
from sam.types import Prompt

CLICKS = ("refine", "add")  # those that need a tracker that takes points and boxes
DRAWN = ("redraw", "draw")  # those that say every mask: of an object that is there, of a new one
SAID = ("same", "different")  # of two objects in two windows: for `pipeline.linking.link`; changes no track
OTHER = {"merge": "into", "swap": "with", "split": "as"} | dict.fromkeys(SAID, "with")  # the key of the second object
KINDS = ("remove", *OTHER, *CLICKS, *DRAWN)
PLACES = ("points", "labels", "box")
THERE = ("at", "at_window")  # where the second object of `SAID` is
COMMON = ("do", "frame", "object", "prompt", "window", "id", "author", "time", "note")
TEXTS = ("prompt", "window", "at_window", "id", "author", "time", "note")


@dataclass(frozen=True, slots=True)
class Correction:
    """One entry.

    do: one of `KINDS`. frame: source frame, which also says in which window the object is. object_id, other: ids in
    that window. prompt: which one found it; needed with several. window: the id of a window or clip; needed where
    several hold the frame. at, at_window: frame and window of `other` where it is in another one, as with `SAID`.
    points: (x, y) source pixels, labels: 1 or 0 each; box: x0, y0, x1, y1. drawing: of `DRAWN`, how the object looks.
    id, author, time, note: for people and the programs they use; they change no track.
    """

    do: str
    frame: int
    object_id: int
    other: int | None = None
    prompt: str | None = None
    window: str | None = None
    at: int | None = None
    at_window: str | None = None
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, float, float, float] | None = None
    drawing: Drawing | None = None
    id: str | None = None
    author: str | None = None
    time: str | None = None
    note: str | None = None

    @property
    def deciding(self) -> tuple[object, ...]:
        """All of it that decides the tracks."""
        drawn = () if self.drawing is None else (self.drawing.name,)
        return self.do, self.frame, self.object_id, self.other, self.points, self.labels, self.box, *drawn

    @property
    def there(self) -> Correction:
        """The same word seen from the other object, of `SAID`."""
        assert self.other is not None and self.at is not None
        return replace(
            self, frame=self.at, object_id=self.other, window=self.at_window,
            at=self.frame, other=self.object_id, at_window=self.window,
        )  # fmt: skip

    def prompt_on(self, session_frame: int) -> Prompt:
        """A click correction as its window's session takes it."""
        return Prompt(
            frame=session_frame, object_id=self.object_id, points=self.points, labels=self.labels, box=self.box
        )


@dataclass(frozen=True, slots=True)
class Corrections:
    """The corrections of one video, in the order in which they are applied. source: the file, for messages."""

    video: str
    entries: tuple[Correction, ...]
    fingerprint: str | None = None
    source: str = field(default="", compare=False)

    def where(self, entry: Correction) -> str:
        """The entry as messages name it."""
        return f"{self.source}: corrections[{self.entries.index(entry)}] ({entry.do})"

    def save(self, path: Path) -> None:
        """Write the file atomically, its drawings first; `load` gives the same back. Drawings without an entry go."""
        folder = folder_of(path)
        drawings = {entry.drawing.name: entry.drawing for entry in self.entries if entry.drawing is not None}
        for drawing in drawings.values():
            drawing.save(folder)
        head = {"video": self.video} | ({"fingerprint": self.fingerprint} if self.fingerprint else {})
        document = head | {"corrections": [written(entry) for entry in self.entries]}
        write_bytes(path, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        keep_only(folder, drawings)

    @classmethod
    def load(cls, path: Path) -> Corrections:
        """Read a file; raises ConfigError that names the entry, its value and what is right."""
        while True:
            try:
                data = path.read_bytes()
            except OSError as error:
                raise ConfigError(f"{path} is no readable JSON: {error}") from error
            try:
                return cls._read(path, data)
            except ConfigError:  # where another program replaces it just now, drawings of before may be gone
                if not path.is_file() or path.read_bytes() == data:
                    raise

    @classmethod
    def _read(cls, path: Path, data: bytes) -> Corrections:
        try:
            raw = orjson.loads(data)
        except ValueError as error:
            raise ConfigError(f"{path} is no readable JSON: {error}") from error
        if not isinstance(raw, dict) or not isinstance(raw.get("corrections"), list):
            raise ConfigError(f'{path} must hold {{"video": NAME, "corrections": [...]}}')
        strange = [key for key in raw if key not in ("video", "fingerprint", "corrections")]
        if strange:
            raise ConfigError(f"{path} has the key {strange[0]!r}; it may have video, fingerprint and corrections")
        for key in ("video", "fingerprint"):
            if not isinstance(raw.get(key), str | None):
                raise ConfigError(f"{path}: {key} must be a text, got {raw[key]!r}")
        drawn = partial(read_drawing, folder_of(path))
        given = enumerate(raw["corrections"])
        entries = tuple(read_entry(entry, f"{path}: corrections[{n}]", drawn) for n, entry in given)
        return cls(raw.get("video") or path.name.removesuffix(".json"), entries, raw.get("fingerprint"), str(path))


def written(entry: Correction) -> dict[str, Any]:
    """An entry as it stands in a file."""
    own = ("do", "frame", "object_id", "other", "drawing")
    given = {each.name: getattr(entry, each.name) for each in fields(entry) if each.name not in own}
    raw = {"do": entry.do, "frame": entry.frame, "object": entry.object_id}
    raw |= {key: value for key, value in given.items() if value not in (None, ())}
    raw |= {} if entry.drawing is None else {"masks": entry.drawing.name}
    return raw | ({OTHER[entry.do]: entry.other} if entry.do in OTHER else {})


def read_entry(raw: Any, where: str, drawn: Callable[[str], Drawing]) -> Correction:
    """An entry from a file. where: what messages call it. drawn: a drawing by its name. Raises ConfigError."""
    if not isinstance(raw, Mapping):
        raise ConfigError(
            f'{where} must be an object such as {{"do": "remove", "frame": 120, "object": 3}}, got {raw!r}'
        )
    do = raw.get("do")
    if do not in KINDS:
        raise ConfigError(f"{where}: do must be one of {', '.join(KINDS)}, got {do!r}")
    where = f"{where} ({do})"
    second = OTHER.get(do)
    allowed = COMMON + ((second,) if second else ())
    allowed += (PLACES if do in CLICKS else ()) + (THERE if do in SAID else ()) + (("masks",) if do in DRAWN else ())
    for key in raw:
        if key not in allowed:
            raise ConfigError(f"{where} has the key {key!r}; it may have {', '.join(allowed)}")
    for key in TEXTS:
        if not isinstance(raw.get(key), str | None):
            raise ConfigError(f"{where}: {key} must be a text, got {raw[key]!r}")
    frame, number = (_whole(raw.get(key), f"{where}: {key}") for key in ("frame", "object"))
    other = _whole(raw.get(second), f"{where}: {second}") if second else None
    at = _whole(raw.get("at"), f"{where}: at") if do in SAID else None
    if other == number and do not in SAID:
        raise ConfigError(f"{where}: object and {second} are both {number}; they must be two objects")
    more: dict[str, Any] = {key: raw.get(key) for key in TEXTS} | (_places(raw, where) if do in CLICKS else {})
    if do in DRAWN:
        more["drawing"] = _drawing(raw.get("masks"), frame, where, drawn)
    return Correction(do, frame, number, other, at=at, **more)


def _drawing(name: Any, frame: int, where: str, drawn: Callable[[str], Drawing]) -> Drawing:
    if not isinstance(name, str):
        raise ConfigError(f"{where}: masks must be the name of its drawing, a text, got {name!r}")
    try:
        found = drawn(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if frame not in found.frames:
        span = f"{found.frames[0]} to {found.frames[-1]}"
        raise ConfigError(f"{where}: frame must be one that its masks are about, within {span}, got {frame}")
    return found


def _places(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """points, labels and box, as `Prompt` wants them."""
    points = tuple(_numbers(p, 2, f"{where}: each of points", "x, y") for p in _list(raw.get("points", []), where))
    labels = tuple(_list(raw.get("labels", [1] * len(points)), where))
    box = raw.get("box")
    placed = None if box is None else _numbers(box, 4, f"{where}: box", "x0, y0, x1, y1")
    try:
        Prompt(points=points, labels=labels, box=placed)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return {"points": points, "labels": labels, "box": placed}


def _list(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: points and labels must be lists, got {value!r}")
    return value


def _numbers(value: Any, count: int, what: str, names: str) -> tuple[float, ...]:
    numbers = value if isinstance(value, list | tuple) else []
    right = all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers)
    if len(numbers) != count or not right:
        raise ConfigError(f"{what} must be [{names}] in source pixels, got {value!r}")
    return tuple(float(n) for n in numbers)


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{what} must be a whole number from 0, got {value!r}")
    return value
