"""What `--help` and `--version` print."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.exports.export import exports
from pipeline.filters.filter import filters
from pipeline.task_table import TASKS
from sam.tracker import trackers


def help_text() -> str:
    """What `--help` prints: the tasks, the registries and where the keys are listed."""

    def rows(entries: Mapping[str, str]) -> str:
        width = max(map(len, entries))
        return "\n".join(f"  {name:<{width}}  {text}" for name, text in entries.items())

    def first_paragraph(options: type[Any]) -> str:
        return " ".join((options.__doc__ or "").strip().split("\n\n")[0].split())

    conf = Path(__file__).parents[1] / "conf"
    presets = sorted(f"{p.parent.name}={p.stem}" for p in conf.glob("*/*.yaml") if p.parent.name != "local")
    return f"""Turn long videos into per-object video datasets.

  python main.py videos=/data/barn prompt=cow out=/data/cows tracker=NAME
  python main.py -m videos=/data/barn prompt=cow,calf crop.size=112,224 out=/data/cows tracker=NAME
  python main.py experiment=demo

task=
{rows({name: task.help for name, task in TASKS.items()})}
tracker=
{rows({name: entry.help for name, entry in trackers().items()})}
filters.NAME.enabled=true|false, filters.NAME.KEY=
{rows({name: first_paragraph(options) for name, options in filters().items()})}
exports=[NAME,...], export.NAME.KEY=
{rows({name: first_paragraph(options) for name, options in exports().items()})}

Every key with its value:   python main.py --cfg job
Presets:                    {", ".join(presets)}
Shell completion:           eval "$(python main.py -sc install=bash)"
"""


def version_text() -> str:
    """The version of this project and of what it runs on."""
    versions = (f"{name} {metadata.version(name)}" for name in ("clipcrop", "hydra-core", "av", "numpy"))
    return f"{', '.join(versions)}, Python {platform.python_version()}"
