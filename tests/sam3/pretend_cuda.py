"""torch with a pretend GPU: tensors on "cuda" that say so, and hold their values in main memory.

    with pretend() as gpu:
        with Sam3HfConfig(device="cuda", ...).build() as tracker: ...

Every operation on them is the processor's own, so results are those of `device="cpu"`. What CUDA refuses is refused: to
mix a GPU's tensors with others, to make an array of one, to run what has no kernel there. Which operations take a
number from main memory (torch's TensorIterator) and which take none is read from torch's own list of functions, which
its package brings. `Gpu` counts memory, copies and waiting. It works in the thread that entered it, and compiles
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

from tests.sam3.pretend_gpu import Gpu

aten = torch.ops.aten
_gpu: Gpu | None = None  # the one that is entered: tensors outlive a mode, and other threads see them too

INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index")
WAITS = {"aten::item", "aten::is_nonzero", "aten::allclose", "aten::argwhere", "aten::nonzero_numpy", "aten::where"}


class OnGpu(torch.Tensor):  # type: ignore[misc]  # torch gives it no type
    """A tensor that says it is on a GPU. held: its values, an ordinary tensor."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, index: int) -> OnGpu:
        assert _gpu is not None and not isinstance(held, OnGpu)
        _gpu.hold(held, index)
        with torch.inference_mode(False):  # else it could not be a view of one that was made before
            made: OnGpu = torch.Tensor._make_wrapper_subclass(
                cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
                device=torch.device("cuda", index),
            )  # fmt: skip
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def numpy(self, **options: Any) -> Any:
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )

    def __array__(self, *given: Any, **options: Any) -> Any:
        return self.numpy()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def untyped_storage(self) -> Any:
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        return int(self.held.data_ptr())

    def __deepcopy__(self, memo: Any) -> Any:
        if id(self) not in memo:
            memo[id(self)] = made = OnGpu(self.held.detach().clone(), self.device.index)
            made.requires_grad_(self.requires_grad)
            made._is_param = getattr(self, "_is_param", False)  # what makes it a Parameter
        return memo[id(self)]

    def __repr__(self, **options: Any) -> str:
        return f"OnGpu({self.held}, {self.device})"


class _Requests(TorchFunctionMode):  # type: ignore[misc]
    """ "cuda" becomes the GPU that is current, as in torch's own C++, which would ask the driver."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def numbered(value: Any) -> Any:
            if isinstance(value, (str, torch.device)) and str(value) == "cuda":
                assert _gpu is not None
                return torch.device("cuda", _gpu.current)
            return value

        if func is torch.device:
            return func(*args, **(kwargs or {}))
        if func is torch.Tensor.cuda:
            device = args[1] if len(args) > 1 else (kwargs or {}).get("device")
            index = device if isinstance(device, int) else torch.device(device or "cuda")
            return args[0].to(numbered(torch.device("cuda", index) if isinstance(index, int) else index))
        return func(*map(numbered, args), **{name: numbered(value) for name, value in (kwargs or {}).items()})


class _Dispatch(TorchDispatchMode):  # type: ignore[misc]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def pretend(count: int = 1, total: int = 16 * 2**30, capability: tuple[int, int] = (9, 0)) -> Iterator[Gpu]:
    """While entered, this thread has so many GPUs, of so many bytes each."""
    global _gpu
    before, lift = _gpu, torch._C._only_lift_cpu_tensors()
    with ExitStack() as stack:
        _gpu = stack.enter_context(Gpu(count, total, capability).installed())
        stack.callback(torch._C._set_only_lift_cpu_tensors, lift)
        torch._C._ensureCUDADeviceGuardSet()  # without a driver, torch need not ask one which GPU is current
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") copies what it made
        overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter cannot turn into another class
        stack.enter_context(mock.patch("sam.backends.device._torch_is_built_for_cuda", lambda: True))
        stack.enter_context(_Dispatch())
        stack.enter_context(_Requests())
        try:
            yield _gpu
        finally:
            _gpu = before


# -- one operation ----------------------------------------------------------------------------------------------------


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    assert _gpu is not None, f"{func} on a tensor of a pretend GPU that is gone"
    tensors = [each for each in tree_iter((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, OnGpu)]
    name = func._schema.name
    if name in ("aten::is_pinned", "aten::_pin_memory", "aten::pin_memory") and not there:
        pinned = _gpu.is_pinned(args[0])
        return pinned if name == "aten::is_pinned" else args[0] if pinned else _gpu.pin(args[0].clone())
    target = _asked_for(func, args, kwargs)
    if not there and (target is None or target.type != "cuda"):
        pin = bool(kwargs.get("pin_memory"))
        made = func(*args, **{**kwargs, "pin_memory": False}) if pin else func(*args, **kwargs)
        return _gpu.pin(made) if pin else made
    if name == "aten::copy_":
        return _copied(args[0], args[1], bool(args[2] if len(args) > 2 else kwargs.get("non_blocking")))
    if target is not None and tensors and name in ("aten::_to_copy", "aten::to"):
        return _moved(func, args, kwargs, target)
    index = _device(func, name, tensors, there, target)
    if index is None:
        return func.decompose(*args, **kwargs)
    if index == -1:
        return func(*args, **kwargs)
    _wait(func, name, args, kwargs)
    if name == "aten::_fused_sdp_choice":
        return torch._C._SDPBackend.OVERRIDEABLE.value if hasattr(torch._C._SDPBackend, "OVERRIDEABLE") else 0
    return _computed(func, args, kwargs, target, index)


def _computed(func: Any, args: Any, kwargs: dict[str, Any], target: Any, index: int) -> Any:
    """Run it on the values."""
    known = {id(each.held): each for each in tree_iter((args, kwargs)) if isinstance(each, OnGpu)}
    here = torch.device("cpu")

    def plain(value: Any) -> Any:
        if isinstance(value, OnGpu):
            assert value.dtype == value.held.dtype and value.shape == value.held.shape, f"{func}: {value.shape}"
            return value.held
        return here if isinstance(value, torch.device) else value

    def wrapped(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in known:
            return known[id(value)]
        return OnGpu(value, index) if target is None or target.type == "cuda" else value

    inputs, options = tree_map(plain, args), tree_map(plain, kwargs)
    options.pop("pin_memory", None)
    if func._schema.name == "aten::_scaled_dot_product_fused_attention_overrideable":
        return _attention(inputs, options, index)
    return tree_map(wrapped, func(*inputs, **options))


def _attention(inputs: Any, options: Any, index: int) -> Any:
    """What attention gives; the other results are for gradients."""
    query, key, value, mask, dropout, causal = [*inputs, *[None, 0.0, False][len(inputs) - 3 :]][:6]
    made = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, mask, dropout, causal, scale=options.get("scale")
    )
    return (OnGpu(made, index), *([None] * 8))


def _asked_for(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The device that an operation is told to put its result on, if it is told one."""
    if func is aten.to.other:
        return args[1].device
    for number, argument in enumerate(func._schema.arguments):
        if argument.name == "device":
            return args[number] if number < len(args) else kwargs.get("device")
    return None


def _device(func: Any, name: str, tensors: list[Any], there: list[OnGpu], target: Any) -> int | None:
    """The GPU that computes it; None: it is made of others; -1: none. Raises what CUDA raises."""
    if not there:
        return int(target.index)
    indices = {each.device.index for each in there}
    others = [each for each in tensors if not isinstance(each, OnGpu)]
    if name in INDEXED and len(indices) == 1:
        others = [each for each in others if each is tensors[0] or each.dtype not in INDICES]
        if not isinstance(tensors[0], OnGpu):
            raise RuntimeError(f"indices should be either on cpu or on the same device as the indexed tensor ({name})")
    if len(indices) > 1 or others:
        if _is_made_of_others(func.name()):
            return None
        numbers = func.name() in _taking_numbers() and all(each.dim() == 0 for each in others)
        if len(indices) > 1 or not numbers:
            found = " and ".join(sorted({str(each.device) for each in tensors}))
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {found}! ({name})"
            )
    if not _runs_on_cuda(func.name()):
        raise NotImplementedError(f"Could not run '{func.name()}' with arguments from the 'CUDA' backend.")
    return int(indices.pop())


INDICES = (torch.int64, torch.int32, torch.bool, torch.uint8)


def _wait(func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> None:
    """Count it, if CUDA has to wait for a value before it can go on."""
    assert _gpu is not None
    if name in INDEXED:
        for each in args[1]:
            if each is not None and not isinstance(each, OnGpu):
                _gpu.to_gpu(each, without_waiting=False)
        if any(each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1]):
            _gpu.wait("a mask as index")
        return
    if name == "aten::repeat_interleave" and kwargs.get("output_size") is not None:
        return
    tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags)
    if tags or (name in WAITS and (name != "aten::where" or len(args) == 1)):
        _gpu.wait(name.partition("::")[2])


def _copied(target: Any, source: Any, without_waiting: bool) -> Any:
    assert _gpu is not None
    if isinstance(target, OnGpu) and isinstance(source, OnGpu):
        target.held.copy_(source.held)
    elif isinstance(target, OnGpu):
        _gpu.to_gpu(source, without_waiting)
        target.held.copy_(source)
    else:
        _gpu.from_gpu(source.held, target, without_waiting)
    return target


def _moved(func: Any, args: Any, kwargs: dict[str, Any], target: torch.device) -> Any:
    """A copy on another device, or of another format on the same one."""
    assert _gpu is not None
    source = args[0]
    if source.device == target:
        return _computed(func, args, kwargs, None, target.index)
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    options = {"dtype": given.get("dtype") or source.dtype, "copy": True}
    if given.get("memory_format") is not None:
        options["memory_format"] = given["memory_format"]
    without_waiting = bool(given.get("non_blocking"))
    if isinstance(source, OnGpu) and target.type == "cpu":
        values = source.held.to(**options)
        place = torch.empty_like(values)
        _gpu.from_gpu(values, _gpu.pin(place) if without_waiting else place, without_waiting)
        return place
    values = source.held if isinstance(source, OnGpu) else source
    if not isinstance(source, OnGpu):
        _gpu.to_gpu(source, without_waiting)
    return OnGpu(values.to(**options), _gpu.index(target))


# -- what torch says of its functions ---------------------------------------------------------------------------------


@cache
def _taking_numbers() -> frozenset[str]:
    """The functions whose tensors CUDA does not compare first: they take numbers from main memory."""
    file = Path(torch.__file__).parents[1] / "torchgen/packaged/ATen/native/native_functions.yaml"
    entries = re.split(r"^- func: ", file.read_text(), flags=re.MULTILINE)[1:]
    return frozenset(f"aten::{each.partition('(')[0]}" for each in entries if "device_check: NoCheck" in each)


@cache
def _is_made_of_others(name: str) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd"))


@cache
def _runs_on_cuda(name: str) -> bool:
    keys = ("CUDA", "CompositeImplicitAutograd", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional")
    return any(torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for key in keys)
