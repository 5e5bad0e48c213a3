"""The GPU benchmark runs on the CPU with the tests' model, and makes the full-size one without memory."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import sam3_forced, sam3_gpu, sam3_setup
from tests.sam3.conftest import HF, require

PLAN = sam3_setup.Plan(
    device="cpu",
    dtype="float32",
    tiny=True,
    objects=(1, 2),
    frames=2,
    size=(160, 112),
    rounds=1,
    windows=2,
    peak=100.0,
    cases=("sam3_hf", "object_batch=8"),
)


def test_it_measures_every_case_with_the_same_masks() -> None:
    require(*HF)
    result = sam3_gpu.run(PLAN, "a processor", "2")
    assert [row[0] for row in result.rows] == [*PLAN.cases, sam3_gpu.LIBRARY]
    assert all(len(row) == len(result.head) for row in result.rows)
    for name in PLAN.cases:
        assert result.values[f"{name}: least_iou"] >= 0.99
        assert result.values[f"{name}: share_of_peak"] > 0
        assert result.values[f"{name}: peak_mib"] > 0
    assert result.values["memory_mib_at_the_end"] > 0
    assert result.values["a window that shares half its frames, of one that shares none"] > 0


def test_it_measures_on_a_gpu_that_is_none() -> None:
    """The lines that only a GPU has: where the model is made, peaks, levels; with the tests' model."""
    require(*HF)
    from tests.sam3.pretend_cuda import pretend

    with pretend():
        result = sam3_gpu.run(replace(PLAN, device="cuda", cases=("sam3_hf",), objects=(1,), frames=2), "none", "2")
    assert "failed" not in result.note and "No time" not in result.note
    assert result.values["sam3_hf: same_masks"] == 1
    assert 16 < result.values["memory_mib_at_the_end"] < result.values["sam3_hf: peak_mib"] < 64


def test_waits_are_counted_per_frame_and_object(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    require(*HF)
    from benchmarks import sam3_waits

    monkeypatch.setattr(sam3_waits, "CASES", {"sam3_hf": {}})
    result = sam3_waits.run(tmp_path / "sam3", 3)
    assert result.values["sam3_hf: own waits per frame"] == pytest.approx(4)
    assert result.values["sam3_hf: own waits per object"] == 0
    assert result.values["sam3_hf: waits per object"] > 0
    assert [len(row) for row in result.rows] == [len(result.head)]


def test_what_was_measured_is_written_before_the_rest_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case that fails and a time that runs out are said, and lose nothing."""
    require(*HF)
    written: list[sam3_gpu.Result] = []

    def fails(*given: Any) -> None:
        raise RuntimeError("no C compiler\nand more")

    clock = iter(range(0, 10**6, 1))
    monkeypatch.setattr(sam3_gpu, "overlap", fails)
    monkeypatch.setattr("benchmarks.sam3_report.time.monotonic", lambda: float(next(clock)))
    plan = replace(PLAN, cases=("sam3_hf",), objects=(1,), frames=1, windows=10**6, minutes=1.0)
    result = sam3_gpu.run(plan, "a processor", "2", written.append)
    assert "shared frames failed: no C compiler." in result.note
    assert "No time was left to finish many windows." in result.note
    assert result.values["memory_mib_at_the_end"] > 0
    assert [row[0] for row in written[1].rows] == ["sam3_hf", sam3_gpu.LIBRARY]
    assert written[-1] == result and "many windows" not in written[1].note


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    require(*HF)
    return sam3_setup.small_model(tmp_path_factory.mktemp("small"), PLAN)


def test_each_case_cleans_masks_in_its_own_way(monkeypatch: pytest.MonkeyPatch, small: tuple[Any, Any]) -> None:
    """All trackers are entered at once, and the library has one place for what cleans masks."""
    from sam.backends.hf_kernel import OnDevice

    calls, real = list[int](), OnDevice.cc_2d
    monkeypatch.setattr(OnDevice, "cc_2d", lambda *given, **options: calls.append(1) or real(*given, **options))  # type: ignore[func-returns-value]
    with sam3_gpu.cases(PLAN, small, ("clean_on_device", "sam3_hf")) as each:
        each["sam3_hf"](1)
        assert not calls
        each["clean_on_device"](1)
        assert calls


def test_so_many_objects_as_are_asked_for_are_found_followed_and_shown(
    monkeypatch: pytest.MonkeyPatch, small: tuple[Any, Any]
) -> None:
    import torch

    with sam3_setup.entered(PLAN, small, {}) as tracker:
        sam3_gpu.window(PLAN, tracker, sam3_gpu.shown(PLAN), small[0], 5)
        assert tracker._most == 5
        monkeypatch.setattr(sam3_forced, "ellipses", lambda like, count: torch.full((count, *like.shape[-2:]), -10.0))
        with pytest.raises(SystemExit, match="were forced on every frame, sam3_hf gave"):
            sam3_gpu.window(PLAN, tracker, sam3_gpu.shown(PLAN), small[0], 2)
    assert not {"run_detection", "run_tracker_propagation", "_run_single_frame_inference"} & vars(small[0]).keys()


def test_ellipses_do_not_overlap() -> None:
    require("torch")
    import torch

    for count in (1, 2, 5, 20):
        planes = sam3_forced.ellipses(torch.zeros(0, 288, 288), count) > 0
        assert planes.shape == (count, 288, 288)
        assert planes.sum(0).max() == 1
        assert planes.flatten(1).any(1).all()


def test_the_share_is_of_the_devices_peak() -> None:
    assert sam3_forced.peak_of("NVIDIA H100 80GB HBM3") == 989
    assert sam3_forced.peak_of("NVIDIA H100 PCIe") == 756
    assert sam3_forced.peak_of("NVIDIA A10G") == 70
    assert sam3_forced.peak_of("NVIDIA L40S") == 362
    assert sam3_forced.peak_of("a toaster") is None
    assert sam3_forced.share(1000 * (6.25 + 5 * 0.97) / 989, 5, 989) == pytest.approx(1)


def test_the_full_size_model_can_be_made_without_memory() -> None:
    require(*HF)
    made = sam3_setup.meta()
    assert made["million_parameters"] == pytest.approx(860, rel=0.01)
    assert made["image_encoder_tflop"] == pytest.approx(5.40, rel=0.01)


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    require(*HF)
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["sam3_gpu"])
    with pytest.raises(SystemExit, match=r"needs an NVIDIA GPU that torch can use, and there is none\. --tiny runs"):
        sam3_gpu.main()


def test_the_command_writes_a_table_and_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """All but the measuring, which the first test does."""
    require(*HF)
    made = sam3_gpu.Result("title", ("a", "b"), (("1", "2"),), {"value": 3.0}, "note")
    plans: list[sam3_setup.Plan] = []
    monkeypatch.setattr(sam3_gpu, "run", lambda plan, *rest: plans.append(plan) or rest[-1](made) or made)  # type: ignore[func-returns-value]
    files = ["--markdown", str(tmp_path / "a.md"), "--json", str(tmp_path / "a.json")]
    monkeypatch.setattr(sys, "argv", ["sam3_gpu", "--tiny", *files])
    sam3_gpu.main()
    assert plans[0].minutes == 8
    assert "| 1 | 2 |" in (tmp_path / "a.md").read_text()
    assert '"value": 3.0' in (tmp_path / "a.json").read_text()
    assert plans[0].tiny and plans[0].peak is None and not plans[0].official
