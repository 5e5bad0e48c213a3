"""The clicks of task=segment -> prompts. What is written wrong is refused with its key, its value and what is right."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.click_strings import from_strings
from pipeline.errors import ConfigError
from pipeline.task_options import SegmentConfig
from sam.types import Prompt

FIRST = 1  # the id of the only object
KEYS = ("frame", "object", "points", "labels", "box")
RIGHT = '[{"frame": 0, "object": 1, "points": [[920, 470]], "labels": [1]}, {"object": 2, "box": [300, 0, 500, 400]}]'


def read_prompts(options: SegmentConfig) -> tuple[Prompt, ...]:
    """The prompts in the order given: those of `points` and `box`, then those of `clicks`; raises ConfigError."""
    prompts = []
    if options.points is not None or options.box is not None or options.labels is not None:
        given = {"frame": options.frame, "points": options.points, "labels": options.labels, "box": options.box}
        prompts.append(_prompt({k: v for k, v in given.items() if v is not None}, "segment."))
    for n, entry in enumerate(_entries(options.clicks)):
        where = f"segment.clicks[{n}]"
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{where} must be an object such as those in {RIGHT}, got {entry!r}")
        unknown = [str(key) for key in entry if key not in KEYS]
        if unknown:
            raise ConfigError(f"{where} has the key {unknown[0]!r}; it may have {', '.join(KEYS)}")
        prompts.append(_prompt({str(k): v for k, v in entry.items() if v is not None}, f"{where}."))
    return tuple(prompts)


def _entries(given: Any) -> list[Any]:
    """The list that `segment.clicks` holds: itself, JSON text, or a JSON file; also of click strings."""
    clicks = given
    if clicks is None:
        return []
    if isinstance(clicks, str):
        source, text = "segment.clicks", clicks
        if not clicks.lstrip().startswith(("[", "{")):
            path = Path(clicks).expanduser()
            if not path.is_file():
                raise ConfigError(f"segment.clicks={clicks} is no file; it is a JSON file, or a list such as {RIGHT}")
            source, text = str(path), path.read_text(encoding="utf-8-sig")
        try:
            clicks = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{source} is no JSON ({error}): it must be a list such as {RIGHT}") from error
    if isinstance(clicks, Mapping) and "click_coordinates" in clicks:
        return list(from_strings(clicks, "segment.clicks" if isinstance(given, Mapping) else str(given)))
    if not isinstance(clicks, list | tuple) or not clicks:
        raise ConfigError(f"segment.clicks must be a list such as {RIGHT}, got {clicks!r}")
    return list(clicks)


def _prompt(given: Mapping[str, Any], where: str) -> Prompt:
    points = tuple(_numbers(p, 2, f"{where}points", "x, y") for p in _list(given.get("points", []), f"{where}points"))
    labels = given.get("labels", [1] * len(points))
    box = given.get("box")
    try:
        return Prompt(
            frame=_whole(given.get("frame", 0), f"{where}frame"),
            object_id=_whole(given.get("object", FIRST), f"{where}object"),
            points=points,  # type: ignore[arg-type]
            labels=tuple(_list(labels, f"{where}labels")),
            box=None if box is None else _numbers(box, 4, f"{where}box", "x0, y0, x1, y1"),  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise ConfigError(f"{where.rstrip('.')}: {error}") from error


def _list(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{key} must be a list, got {value!r}")
    return list(value)


def _numbers(value: Any, count: int, key: str, names: str) -> tuple[float, ...]:
    numbers = list(value) if isinstance(value, list | tuple) else []
    if len(numbers) != count or not all(_is_number(n) for n in numbers):
        flat = "; one point is a list too: [[x,y]]" if count == 2 and _is_number(value) else ""
        raise ConfigError(f"{key}: [{names}] are {count} numbers in source pixels, got {value!r}{flat}")
    return tuple(float(n) for n in numbers)


def _whole(value: Any, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"{key} must be a whole number from 0, got {value!r}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
