"""Devices, number formats and ranges: decided without torch, refused in one line, never replaced by something else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sam.backends import device
from sam.backends.limits import fewer
from sam.backends.sam3_hf import Sam3HfConfig
from sam.errors import TrackerUnavailable
from sam.tracker import trackers

GPUS = [device.Gpu("NVIDIA H100", 80 * 2**30, 79 * 2**30)]


def torch_with(gpus: int, cuda: str | None = "13.2", capability: int = 9) -> Any:
    """What `check` asks torch on a machine with so many GPUs."""
    return SimpleNamespace(
        __version__="2.15.0",
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: gpus > 0,
            device_count=lambda: gpus,
            get_device_capability=lambda n: (capability, 0),
            get_device_name=lambda n: "Tesla T4",
        ),
    )


@pytest.mark.parametrize(
    ("there", "asked", "resolved"),
    [
        (True, ("auto", "auto"), ("cuda", "bfloat16")),
        (False, ("auto", "auto"), ("cpu", "float32")),
        (True, ("cpu", "auto"), ("cpu", "float32")),
        (False, ("cuda:1", "auto"), ("cuda:1", "bfloat16")),
        (True, ("auto", "float32"), ("cuda", "float32")),
    ],
)
def test_auto_means_the_gpu_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, there: bool, asked: tuple[str, str], resolved: tuple[str, str]
) -> None:
    monkeypatch.setattr(device, "has_cuda", lambda: there)
    assert device.resolve(*asked) == resolved


def test_hidden_gpus_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpus", lambda: GPUS * 2)
    monkeypatch.setattr(device, "_torch_is_built_for_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device.has_cuda()
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not device.has_cuda()


@pytest.mark.parametrize(
    ("line", "built"), [("cuda: Optional[str] = '13.2'", True), ("cuda = '12.1'", True), ("cuda = None", False)]
)
def test_the_build_of_torch_is_read_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, built: bool
) -> None:
    (tmp_path / "version.py").write_text(f"__version__ = '2.15.0'\n{line}\nhip = '6'\n")
    monkeypatch.setattr(device, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    assert device._torch_is_built_for_cuda() is built


@pytest.mark.parametrize(
    ("torch", "asked", "resolved", "dtype", "said"),
    [
        (torch_with(0), "cuda", "cuda", "bfloat16", r"GPU here.* use tracker\.device=cpu.*tracker=motion"),
        (torch_with(0, cuda=None), "cuda", "cuda", "bfloat16", "a build without CUDA; install one"),
        (torch_with(2), "cuda:2", "cuda:2", "bfloat16", "shows 2 GPUs, the first is cuda:0"),
        (torch_with(1, capability=7), "auto", "cuda", "bfloat16", r"Tesla T4 has no bfloat16.*tracker\.dtype=float32"),
        (torch_with(0), "cpu", "cpu", "float16", r"float16 on the CPU: use tracker\.dtype=float32"),
        (torch_with(1), "auto", "cpu", "float32", r"tracker\.device=cuda or tracker\.device=cpu"),
    ],
    ids=["no gpu", "cpu build", "no such gpu", "old gpu", "float16 on cpu", "torch sees more"],
)
def test_what_the_device_cannot_do_names_what_it_can(
    monkeypatch: pytest.MonkeyPatch, torch: Any, asked: str, resolved: str, dtype: str, said: str
) -> None:
    monkeypatch.setattr(device, "gpus", lambda: GPUS * torch.cuda.device_count())
    with pytest.raises(TrackerUnavailable, match=said):
        device.check(torch, "sam3_hf", asked, resolved, dtype)


def test_an_old_driver_and_hidden_gpus_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "gpus", lambda: GPUS)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "too old for torch 2.15.0 with CUDA 13.2" in device.cuda_problem(torch_with(0), "sam3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES hides every GPU" in device.cuda_problem(torch_with(0), "sam3")


@pytest.mark.parametrize("accepted", [("cpu", "float32"), ("cpu", "bfloat16"), ("cuda:1", "float16")])
def test_what_works_is_accepted(accepted: tuple[str, str]) -> None:
    device.check(torch_with(2), "sam3_hf", accepted[0], *accepted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, r"tracker\.device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
        ({"dtype": "half"}, r"tracker\.dtype must be one of auto, float32"),
        ({"max_side": 10}, r"tracker\.max_side is at least 64"),
        ({"max_objects": 0}, r"tracker\.max_objects is at least 1"),
        ({"hotstart_delay": -1}, r"tracker\.hotstart_delay is at least 0"),
        ({"detection_threshold": 1.5}, r"tracker\.detection_threshold is a score between 0 and 1"),
        ({"new_object_threshold": -0.1}, r"tracker\.new_object_threshold is a score"),
        ({"release": "always"}, r"tracker\.release must be one of window, never, got 'always'"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sam3HfConfig(**options)


@pytest.mark.parametrize(("tracked", "limit", "least"), [(9, None, 4), (9, 4, 2), (1, None, 1), (0, None, 1)])
def test_half_the_objects_but_at_least_one(tracked: int, limit: int | None, least: int) -> None:
    assert fewer(tracked, limit) == least


def identity(folder: Path, **options: Any) -> dict[str, Any]:
    return Sam3HfConfig(device="cpu", weights=str(folder), **options).build().identity()


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"release": "never"}, False),
        ({"state_on_cpu": True}, False),
        ({"max_side": 640}, False),  # the caller adds it
        ({"dtype": "bfloat16"}, True),
        ({"max_objects": 5}, True),
        ({"hotstart_delay": 0}, True),
        ({"detection_threshold": 0.4}, True),
        ({"new_object_threshold": 0.4}, True),
    ],
)
def test_the_identity_holds_what_decides_the_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], changes: bool
) -> None:
    monkeypatch.setattr("sam.backends.access.metadata.version", lambda name: "5.23.0")
    (tmp_path / "config.json").write_text("{}")
    assert (identity(tmp_path) != identity(tmp_path, **options)) is changes
    assert str(tmp_path) not in str(identity(tmp_path))


def test_listing_the_trackers_imports_no_model_library() -> None:
    code = (
        "import sys; from sam.tracker import trackers; from sam.backends.sam3_hf import Sam3HfConfig\n"
        "assert {'sam3', 'sam3_hf'} <= set(trackers()); Sam3HfConfig().build()\n"
        "print(sorted({'torch', 'transformers', 'sam3', 'huggingface_hub', 'PIL'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_first_line_of_each_help_says_what_it_needs() -> None:
    assert "NVIDIA GPU" in trackers()["sam3"].help
    assert "CPU" in trackers()["sam3_hf"].help
