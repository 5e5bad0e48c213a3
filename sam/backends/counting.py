"""How many bytes of tensors a piece of a model's own code has alive at once, counted while it runs.

Every tensor that torch makes is seen by a dispatch mode; its storage counts from then until it is freed. On torch's
meta device tensors have shapes and no content, so a model of any size is counted in a moment, on any machine, without
weights and without computing anything. What a kernel takes inside itself is not seen: fused attention makes no matrix
of scores, a convolution's workspace is the GPU library's own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Counted:
    """peak: most bytes alive at once that the run itself made. left: bytes alive at its end, of what it returned."""

    peak: int
    left: int


def counted(run: Callable[[], Any]) -> Counted:
    """Run it and count; tensors that were there before do not count. Imports torch."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_iter

    alive: dict[int, weakref.ref[Any]] = {}
    now = peak = 0

    def see(tensor: Any) -> None:
        nonlocal now, peak
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in alive:
            return

        def freed(_: object) -> None:
            nonlocal now
            now -= size
            alive.pop(key, None)

        alive[key] = weakref.ref(storage, freed)
        now += size
        peak = max(peak, now)

    class Seeing(TorchDispatchMode):  # type: ignore[misc]  # torch gives it no type
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            given = {t.untyped_storage()._cdata for t in tree_iter((args, kwargs)) if isinstance(t, torch.Tensor)}
            made = func(*args, **(kwargs or {}))
            for tensor in tree_iter(made):
                if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in given - set(alive):
                    see(tensor)
            return made

    with torch.inference_mode(), Seeing():
        result = run()
        left = now
        del result
    return Counted(peak, left)


def parameter_bytes(model: Any) -> int:
    """Bytes of a model's parameters and buffers, each storage once."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_meta for tensor in tensors):
        return sum({id(tensor): tensor.nbytes for tensor in tensors}.values())
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())
