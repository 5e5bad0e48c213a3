"""A GPU that is none: its memory is counted, its copies take their time, its waiting is written down.

`Gpu` stands for the driver and for torch's allocator. Bytes are those of the storages alive on it, so a reference that
is not let go shows, and asking for more than there is raises what CUDA raises. A copy that was asked for without
waiting is done only when somebody waits for it; until then its target holds garbage. What is counted is what a GPU's
queue of work would be stopped for, and what would go over the bus, by the line of code that asked for it.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, Self
from unittest import mock

OWN = Path(__file__).parents[2]
_UNSEEN = (f"{Path('torch')}/", f"{Path('torchvision')}/", "contextlib.py", "/pretend_gpu.py", "/pretend_cuda.py")


@dataclass
class Counts:
    """What happened. waits: times that the thread of the model waited for the GPU, by why and where. to_gpu, from_gpu:
    bytes copied, by where. late: waits in other threads, which stop nothing. pageable: copies to the GPU from memory
    that is not pinned, though nobody wanted to wait for them."""

    waits: Counter[tuple[str, str]] = field(default_factory=Counter)
    to_gpu: Counter[str] = field(default_factory=Counter)
    from_gpu: Counter[str] = field(default_factory=Counter)
    late: int = 0
    pageable: int = 0

    def own(self) -> Counter[tuple[str, str]]:
        """The waits that this repository's lines asked for, not those of the libraries below it."""
        return Counter({key: n for key, n in self.waits.items() if not key[1].startswith("<")})


@dataclass
class Card:
    """One GPU. Bytes. peak, reserved: as torch's allocator has them."""

    total: int
    alive: dict[int, tuple[weakref.ref[Any], int]] = field(default_factory=dict)
    allocated: int = 0
    reserved: int = 0
    peak: int = 0
    fraction: float = 1.0


class Gpu:
    """The GPUs of a machine. total: bytes of each. capability: as NVIDIA counts it."""

    def __init__(self, count: int = 1, total: int = 16 * 2**30, capability: tuple[int, int] = (9, 0)) -> None:
        self.cards = [Card(total) for _ in range(count)]
        self.capability = capability
        self.current = 0
        self.counts = Counts()
        self.emptied = 0  # times the cache was given back
        self.pinned: dict[int, weakref.ref[Any]] = {}
        self._asked = 0
        self._pending: list[tuple[int, Any, Any]] = []
        self._lock = threading.RLock()
        self._thread = threading.get_ident()

    # -- memory -------------------------------------------------------------------------------------------------------

    def hold(self, inner: Any, index: int) -> None:
        """Count the storage of a tensor; raises torch's OutOfMemoryError where there is no room for it."""
        import torch

        card, storage = self.cards[index], inner.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in card.alive:
            return
        if card.allocated + size > card.total * card.fraction:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. GPU {index} has a total capacity of "
                f"{card.total / 2**30:.2f} GiB of which {(card.total - card.allocated) / 2**20:.2f} MiB is free."
            )

        def freed(_: object) -> None:
            card.alive.pop(key, None)
            card.allocated -= size

        card.alive[key] = weakref.ref(storage, freed), size
        card.allocated += size
        card.reserved = max(card.reserved, card.allocated)
        card.peak = max(card.peak, card.allocated)

    def pin(self, tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        key = storage._cdata
        self.pinned[key] = weakref.ref(storage, lambda _: self.pinned.pop(key, None))
        return tensor

    def is_pinned(self, tensor: Any) -> bool:
        return tensor.untyped_storage()._cdata in self.pinned

    # -- copies and waiting -------------------------------------------------------------------------------------------

    def wait(self, why: str, until: int | None = None) -> None:
        """Somebody waits until the GPU is done, or has done the copies up to a number."""
        with self._lock:
            if threading.get_ident() == self._thread:
                self.counts.waits[why, _where()] += 1
            else:
                self.counts.late += 1
            last = self._asked if until is None else until
            for _, target, source in [each for each in self._pending if each[0] <= last]:
                target.copy_(source)
            self._pending = [each for each in self._pending if each[0] > last]

    def to_gpu(self, source: Any, without_waiting: bool) -> None:
        """Bytes of main memory go to a GPU, after what was to be copied into them before."""
        with self._lock:
            for _, target, values in self._pending:
                if target.untyped_storage()._cdata == source.untyped_storage()._cdata:
                    target.copy_(values)
        self.counts.to_gpu[_where()] += source.nbytes
        if not without_waiting:
            self.wait("copy to the GPU")
        elif not self.is_pinned(source):
            self.counts.pageable += 1

    def from_gpu(self, source: Any, target: Any, without_waiting: bool) -> None:
        """Fill `target`, in main memory, with `source`; later, if nobody waits for it and `target` is pinned."""
        self.counts.from_gpu[_where()] += source.nbytes
        if not without_waiting or not self.is_pinned(target):
            target.copy_(source)
            self.wait("copy from the GPU")
            return
        with self._lock:
            self._asked += 1
            self._pending.append((self._asked, target, source.clone()))
        target.view(-1).view(dtype=_bytes()).fill_(1)

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """What happens while this is entered."""
        before, self.counts = self.counts, Counts()
        try:
            yield self.counts
        finally:
            self.counts = before

    # -- what torch.cuda says -----------------------------------------------------------------------------------------

    @contextmanager
    def installed(self) -> Iterator[Self]:
        """While entered, `torch.cuda` speaks of these GPUs."""
        import torch

        with mock.patch.multiple(torch.cuda, **self._answers()):  # type: ignore[call-overload]
            yield self

    def index(self, device: Any = None) -> int:
        import torch

        if device is None:
            return self.current
        number = device if isinstance(device, int) else torch.device(device).index
        number = self.current if number is None else int(number)
        if number >= len(self.cards):
            raise torch.AcceleratorError("CUDA error: invalid device ordinal")
        return number

    def _answers(self) -> dict[str, Callable[..., Any] | type]:
        def card(device: Any = None) -> Card:
            return self.cards[self.index(device)]

        def of(name: str) -> Callable[..., int]:
            return lambda device=None: getattr(card(device), name)

        def properties(device: Any = None) -> Any:
            major, minor = self.capability
            return SimpleNamespace(name="Pretend", total_memory=card(device).total, major=major, minor=minor)

        def empty() -> None:
            self.emptied += 1
            for each in self.cards:
                each.reserved = each.allocated
            self.wait("the cache given back")

        def choose(device: Any) -> None:
            self.current = self.index(device)

        def fraction(share: float, device: Any = None) -> None:
            card(device).fraction = share

        def reset(device: Any = None) -> None:
            card(device).peak = card(device).allocated

        @contextmanager
        def chosen(device: Any) -> Iterator[None]:
            before, self.current = self.current, self.index(device)
            yield
            self.current = before

        gpu = self

        class Stream:
            def synchronize(self) -> None:
                gpu.wait("a stream")

        class Event:
            def __init__(self, **options: Any) -> None:
                self._until = 0

            def record(self, stream: Any = None) -> None:
                self._until = gpu._asked

            def synchronize(self) -> None:
                gpu.wait("an event", self._until)

        return {
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "_lazy_init": lambda: None,
            "device_count": lambda: len(self.cards),
            "current_device": lambda: self.current,
            "set_device": choose,
            "device": chosen,
            "get_device_name": lambda device=None: "Pretend",
            "get_device_capability": lambda device=None: self.capability,
            "get_device_properties": properties,
            "is_bf16_supported": lambda *given: self.capability[0] >= 8,
            "manual_seed_all": lambda seed: None,
            "mem_get_info": lambda device=None: (card(device).total - card(device).reserved, card(device).total),
            "memory_allocated": of("allocated"),
            "memory_reserved": of("reserved"),
            "max_memory_allocated": of("peak"),
            "max_memory_reserved": of("reserved"),
            "get_arch_list": lambda: ["sm_90"],
            "reset_peak_memory_stats": reset,
            "set_per_process_memory_fraction": fraction,
            "empty_cache": empty,
            "ipc_collect": lambda: None,
            "synchronize": lambda device=None: self.wait("synchronize"),
            "current_stream": lambda device=None: Stream(),
            "Stream": Stream,
            "Event": Event,
        }


def _bytes() -> Any:
    import torch

    return torch.uint8


def _where() -> str:
    """The line that is the reason: the innermost one that is not torch's. `<library> file:line` for a library's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and any(part in frame.f_code.co_filename for part in _UNSEEN):
        frame = frame.f_back
    if frame is None:
        return "<unknown>"
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(OWN) and "site-packages" not in path.parts:  # an environment may lie in the checkout
        return f"{path.relative_to(OWN).as_posix()}:{frame.f_lineno}"
    library = path.parts[path.parts.index("site-packages") + 1] if "site-packages" in path.parts else path.parts[-2]
    return f"<{library}> {path.name}:{frame.f_lineno}"
