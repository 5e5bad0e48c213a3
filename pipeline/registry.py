"""Registries: a folder of files, each with decorated dataclasses whose fields are their options.

_registry = Registry("pipeline.filters", "filter")
quality_filter = _registry.register  # @quality_filter("visible")
filters = _registry.entries
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

Options = TypeVar("Options")


class Registry:
    """The options of one kind of thing, by name. package: where its files lie, imported when the names are asked for.
    kind: what to call it."""

    def __init__(self, package: str, kind: str) -> None:
        self._package = package
        self._kind = kind
        self._found: dict[str, type[Any]] = {}

    def register(self, name: str) -> Callable[[type[Options]], type[Options]]:
        """Register a dataclass under a name; raises ValueError if another one has it."""

        def remember(options: type[Options]) -> type[Options]:
            if name in self._found:
                raise ValueError(f"{self._kind} {name!r} is registered twice")
            self._found[name] = options
            return options

        return remember

    def entries(self) -> dict[str, type[Any]]:
        """Every entry by name, in alphabetical order."""
        for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        return dict(sorted(self._found.items()))
