"""Counting what is held: bytes of tensors behind an object, and tensors alive in the process."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from typing import Any


def tensor_bytes(thing: object) -> int:
    """Bytes of every tensor reachable through attributes, mappings and sequences, each storage once."""
    import torch

    storages: dict[int, int] = {}
    seen: set[int] = set()
    todo: list[object] = [thing]
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, str | bytes | int | float | type | torch.nn.Module):
            continue
        seen.add(id(each))
        if torch.is_tensor(each):
            storages[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
        elif isinstance(each, dict):
            todo += each.values()
        elif isinstance(each, list | tuple | set):
            todo += each
        elif not isinstance(each, Mapping) and hasattr(each, "__dict__"):
            todo += vars(each).values()
    return sum(storages.values())


def alive_bytes() -> int:
    """Bytes of all tensors that Python knows in this process; of those that have a shape and no content, none."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    gc.collect()
    storages: dict[int, int] = {}
    for each in gc.get_objects():
        if isinstance(each, torch.Tensor) and not isinstance(each, FakeTensor) and each.device.type != "meta":
            storages[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    return sum(storages.values())


class Watch:
    """Weak references to objects that should be gone later."""

    def __init__(self) -> None:
        self._seen: list[weakref.ref[Any]] = []

    def add(self, thing: Any) -> None:
        self._seen.append(weakref.ref(thing))

    def alive(self) -> int:
        gc.collect()
        return sum(ref() is not None for ref in self._seen)

    def __len__(self) -> int:
        return len(self._seen)
