"""The filter protocol and registry. A filter is one file here: a decorated dataclass whose fields are its options.

    @quality_filter("visible")
    @dataclass
    class Visible:
        \"\"\"Refuse objects that are seen in too few of the clip's frames.\"\"\"

        enabled: bool = True
        min_share: float = 0.5

        def refuse(self, figures: Figures, in_roi: float) -> Refusal | None: ...

Every registered filter is always in the config as `filters.<name>`; `enabled` turns it on and off.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pipeline.filters
from pipeline.records import Figures


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an object was refused: the reason, the figure's value, and the threshold it missed."""

    reason: str
    value: float | None
    threshold: float | None


class Filter(Protocol):
    """Judges an object by its figures, and by `in_roi`: the share of its boxes whose centre lies in `select.roi`."""

    enabled: bool

    def refuse(self, figures: Figures, in_roi: float) -> Refusal | None:
        """A reason to refuse, or None to keep."""
        ...


Options = TypeVar("Options")
REGISTRY: dict[str, type[Any]] = {}


def quality_filter(name: str) -> Callable[[type[Options]], type[Options]]:
    """Register a filter's dataclass under `filters.<name>`."""

    def register(options: type[Options]) -> type[Options]:
        if name in REGISTRY:
            raise ValueError(f"filter {name!r} is registered twice")
        REGISTRY[name] = options
        return options

    return register


def filters() -> dict[str, type[Any]]:
    """Every filter by name, in alphabetical order."""
    for module in pkgutil.iter_modules(pipeline.filters.__path__):
        importlib.import_module(f"pipeline.filters.{module.name}")
    return dict(sorted(REGISTRY.items()))
