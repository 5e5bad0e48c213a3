"""Clicks as four strings, the way hosted SAM2 video models take them:

    click_coordinates  "[x,y],[x,y]"    click_labels      "1,0"
    click_frames       "0,12"           click_object_ids  "obj_1,obj_2"

What was clicked here can be tracked there, and the other way round.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import ConfigError
from sam.types import Prompt

KEYS = ("click_coordinates", "click_labels", "click_frames", "click_object_ids")


def to_strings(prompts: Sequence[Prompt]) -> dict[str, str | int]:
    """The four strings and `num_points`; raises ValueError for prompts that have anything but points."""
    if any(prompt.kinds != {"points"} or prompt.object_id is None for prompt in prompts):
        raise ValueError("only points of numbered objects can be written as click strings")
    clicks = [(p, xy, label) for p in prompts for xy, label in zip(p.points, p.labels, strict=True)]
    columns = (
        [f"[{x:.10g},{y:.10g}]" for _, (x, y), _ in clicks],
        [str(label) for _, _, label in clicks],
        [str(p.frame) for p, _, _ in clicks],
        [f"obj_{p.object_id}" for p, _, _ in clicks],
    )
    return {**{key: ",".join(column) for key, column in zip(KEYS, columns, strict=True)}, "num_points": len(clicks)}


def from_strings(given: Mapping[str, Any], source: str) -> list[dict[str, Any]]:
    """Entries as `segment.clicks` takes them, one for each object and frame; raises ConfigError naming `source`.

    Objects whose names end in a number keep it; otherwise they are numbered from 1 in order of appearance.
    """
    missing = [key for key in KEYS if not isinstance(given.get(key), str)]
    if missing:
        raise ConfigError(f"{source} has no text under {missing[0]}; click strings are {', '.join(KEYS)}")
    try:
        points = json.loads(f"[{given['click_coordinates']}]")
        labels, frames = (json.loads(f"[{given[key]}]") for key in ("click_labels", "click_frames"))
    except ValueError as error:
        raise ConfigError(f"{source}: click strings are lists such as \"[210,350],[82,410]\" and \"1,0\": {error}") from error  # fmt: skip  # noqa: E501
    names = [name.strip() for name in given["click_object_ids"].split(",")] if points else []
    if not len(points) == len(labels) == len(frames) == len(names):
        raise ConfigError(
            f"{source}: every click needs a label, a frame and an object, got {len(points)} coordinates, "
            f"{len(labels)} labels, {len(frames)} frames and {len(names)} objects"
        )
    numbers = _numbers(names)
    entries: dict[tuple[str, int], dict[str, Any]] = {}
    for point, label, frame, name in zip(points, labels, frames, names, strict=True):
        blank = {"object": numbers[name], "frame": frame, "points": [], "labels": []}
        entry = entries.setdefault((name, frame), blank)
        entry["points"].append(point)
        entry["labels"].append(label)
    return list(entries.values())


def _numbers(names: Sequence[str]) -> dict[str, int]:
    distinct = list(dict.fromkeys(names))
    endings = [re.search(r"(\d+)$", name) for name in distinct]
    own = [int(match[1]) for match in endings if match]
    if len(own) == len(distinct) == len(set(own)):
        return dict(zip(distinct, own, strict=True))
    return {name: n for n, name in enumerate(distinct, 1)}
