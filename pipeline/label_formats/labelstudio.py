"""Label Studio: its JSON and JSON-MIN exports of tasks that carry a sample_id, and a choice or a time line label each.

A task is one crop. The first finished annotation counts; several that differ contradict one another, and the import
says so. What was skipped (`was_cancelled`) says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from pipeline.errors import ConfigError
from pipeline.label_formats.said import Said
from pipeline.span_table import Line


def understands(path: Path, head: bytes) -> bool:
    return path.suffix.lower() == ".json" and head.lstrip().startswith(b"[")


def read(path: Path) -> Said:
    """A line for every annotation. Raises ConfigError for a file that holds no such tasks."""
    try:
        tasks = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"labels={path} is not whole JSON ({error}): export it again") from error
    if not all(isinstance(task, dict) for task in tasks):
        raise ConfigError(f"labels={path} is no list of tasks: export it from Label Studio as JSON or JSON-MIN")
    lines = [line for n, task in enumerate(tasks, start=1) for line in _lines(path, n, task)]
    if not lines:
        raise ConfigError(f"labels={path}: none of its {len(tasks)} tasks is annotated")
    return Said("task", tuple(lines))


def _lines(path: Path, number: int, task: dict[str, Any]) -> Iterator[Line]:
    data = task.get("data", task)
    sample = data.get("sample_id") or _name(data.get("video"))
    if not sample:
        raise ConfigError(
            f"labels={path}: task {number} has neither sample_id nor video, so nobody knows which crop it is: make the "
            "tasks with exports=[labelstudio]"
        )
    if "annotations" not in task:  # JSON-MIN: the answer lies beside the data
        label = task.get("label", task.get("choice"))
        if label:
            yield number, _values(sample, label, task.get("annotator"), task.get("updated_at"))
        return
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result", ()):
            value = result.get("value", {})
            label = value.get("choices") or value.get("videolabels") or value.get("timelinelabels")
            if label:
                when = annotation.get("updated_at") or annotation.get("created_at")
                yield number, _values(sample, label, annotation.get("completed_by"), when)


def _values(sample: str, label: Any, author: Any, time: Any) -> dict[str, str]:
    if isinstance(label, dict):  # JSON-MIN of several choices
        label = label.get("choices", [])
    if isinstance(label, list):
        label = label[0] if len(label) == 1 else ", ".join(map(str, label))
    if isinstance(author, dict):
        author = author.get("email") or author.get("id")
    found = {"sample_id": str(sample), "label": str(label), "author": "" if author is None else str(author)}
    return found | ({"time": str(time)} if time else {})


def _name(video: Any) -> str:
    return str(video or "").split("?d=")[-1].replace("\\", "/").rsplit("/", 1)[-1].split(".")[0]
