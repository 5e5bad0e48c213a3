"""Which device and number format a model tracker uses.

`resolve` decides without loading torch, because the answer is part of a tracker's identity and planning never waits for
a model library; `check` confirms it with torch when the model is loaded. It never falls back: where the two disagree,
or a format does not run on a device, the message names the setting that does.
"""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from sam.errors import TrackerUnavailable

DTYPES = ("auto", "float32", "bfloat16", "float16")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that show no GPU


def check_options(device: str, dtype: str) -> None:
    """Refuse a device or number format that no machine has; raises ValueError naming the choices."""
    if not _DEVICE.fullmatch(device):
        raise ValueError(f"tracker.device must be auto, cpu, cuda or cuda:N, got {device!r}")
    if dtype not in DTYPES:
        raise ValueError(f"tracker.dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")


def resolve(device: str, dtype: str) -> tuple[str, str]:
    """The device ("cpu", "cuda", "cuda:N") and format ("float32", ...) that `auto` means on this machine."""
    if device == "auto":
        device = "cuda" if has_cuda() else "cpu"
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    return device, dtype


def has_cuda() -> bool:
    """Whether there is an NVIDIA GPU this process may use and the installed torch is built for it.

    Asks the driver's management library, which opens no CUDA context, so that processes may still be forked.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in _HIDDEN:
        return False
    return _torch_is_built_for_cuda() and len(gpus()) > 0


def _torch_is_built_for_cuda() -> bool:
    found = find_spec("torch")
    if found is None or found.origin is None:
        return False
    version = Path(found.origin).with_name("version.py")
    text = version.read_text() if version.is_file() else ""
    return re.search(r"^cuda\b[^=\n]*=\s*['\"]\d", text, re.MULTILINE) is not None


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU as its driver describes it. Memory in bytes."""

    name: str
    total: int
    free: int


class _Memory(ctypes.Structure):
    """nvmlMemory_t: bytes."""

    _fields_: ClassVar = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def gpus() -> list[Gpu]:
    """The GPUs that the NVIDIA driver knows, also those that CUDA_VISIBLE_DEVICES hides; none without a driver."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1" if os.name == "posix" else "nvml.dll")
    except OSError:
        return []
    count = ctypes.c_uint(0)
    if nvml.nvmlInit_v2() != 0:
        return []
    try:
        known = nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0
        return [_gpu(nvml, number) for number in range(count.value)] if known else []
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Any, number: int) -> Gpu:
    handle, name, memory = ctypes.c_void_p(), ctypes.create_string_buffer(96), _Memory()
    if nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)) != 0:
        return Gpu(f"GPU {number}", 0, 0)
    nvml.nvmlDeviceGetName(handle, name, len(name))
    nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    return Gpu(name.value.decode(errors="replace"), memory.total, memory.free)


def check(torch: Any, tracker: str, asked: str, device: str, dtype: str) -> None:
    """Confirm with torch what `resolve` decided; raises TrackerUnavailable.

    asked: the option as given. device, dtype: what it was resolved to.
    """
    works = bool(torch.cuda.is_available())
    if device == "cpu":
        if asked == "auto" and works:
            raise TrackerUnavailable(
                f"tracker={tracker} took this machine to have no GPU, but torch {torch.__version__} can use one; say "
                "which: tracker.device=cuda or tracker.device=cpu"
            )
        if dtype == "float16":
            raise TrackerUnavailable(
                f"tracker={tracker} cannot run in float16 on the CPU: use tracker.dtype=float32, or bfloat16 for half "
                "the memory"
            )
        return
    if not works:
        raise TrackerUnavailable(f"tracker={tracker} cannot use a GPU here: {cuda_problem(torch, tracker)}")
    number = int(device.partition(":")[2] or 0)
    if number >= torch.cuda.device_count():
        raise TrackerUnavailable(
            f"tracker.device={device} does not exist: this machine shows {torch.cuda.device_count()} GPUs, "
            "the first is cuda:0"
        )
    if dtype == "bfloat16" and torch.cuda.get_device_capability(number)[0] < 8:
        raise TrackerUnavailable(
            f"{torch.cuda.get_device_name(number)} has no bfloat16 (it needs an Ampere GPU or newer): use "
            "tracker.dtype=float32, or float16 for half the memory"
        )


def usable(tracker: str, asked: str, device: str, dtype: str) -> str:
    """The device a tracker would run on, in words; raises TrackerUnavailable as `check` does. Imports torch."""
    if find_spec("torch") is None:
        there = bool(gpus())
        if device.startswith("cuda") and not there:
            raise TrackerUnavailable(f"tracker={tracker} cannot use a GPU here: {_no_gpu(tracker)}")
        return f"{'the GPU' if there and asked != 'cpu' else 'the CPU'}, once torch is installed"
    import torch

    check(torch, tracker, asked, device, dtype)
    if device == "cpu":
        return f"the CPU in {dtype}; a GPU would be far faster"
    properties = torch.cuda.get_device_properties(device)
    return f"{device}, {properties.name}, {properties.total_memory / 2**30:.0f} GiB, in {dtype}"


def _no_gpu(tracker: str) -> str:
    return (
        f"no NVIDIA driver or GPU was found (nvidia-smi shows them); use {_on_cpu(tracker)}, which is slow, or "
        "tracker=motion for fixed cameras"
    )


def _on_cpu(tracker: str) -> str:
    """What to type instead of a GPU; the official package has no CPU path."""
    return "tracker=sam3_hf tracker.device=cpu" if tracker == "sam3" else "tracker.device=cpu"


def cuda_problem(torch: Any, tracker: str) -> str:
    """Why torch cannot use a GPU on this machine and what to do about it."""
    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is a build without CUDA; install one with it "
            f"(https://pytorch.org/get-started/locally), or use {_on_cpu(tracker)}"
        )
    if not gpus():
        return _no_gpu(tracker)
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in _HIDDEN:
        return "CUDA_VISIBLE_DEVICES hides every GPU; unset it"
    return (
        f"the NVIDIA driver is too old for torch {torch.__version__} with CUDA {torch.version.cuda}; update it, or "
        "install a torch built for an older CUDA (https://pytorch.org/get-started/previous-versions)"
    )
