"""The trackers on a pretend GPU: what a GPU would refuse, hold on to, run out of, or wait for too often.

Masks are those of the processor; half precision, speed and CUDA's own kernels are not shown by this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from sam.backends.counting import parameter_bytes
from sam.backends.grounded_sam2 import GroundedSam2Config
from sam.backends.sam2 import Sam2Config
from sam.backends.sam2_auto import Sam2AutoConfig
from sam.backends.sam3_hf import Sam3HfConfig, Sam3HfTracker
from sam.backends.sam3_tracker import Sam3TrackerConfig
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.session import SAMSession
from sam.types import FrameMasks, Prompt, SessionFrames, iou
from tests.sam3.conformance import run
from tests.sam3.conftest import HF, require
from tests.sam3.footage import LATE, blobs
from tests.sam3.prompting import follow, prompts

require(*HF)

from tests.sam3.pretend_cuda import pretend  # noqa: E402
from tests.sam3.pretend_gpu import Gpu  # noqa: E402

COUNT = LATE + 3  # frames; red and green from the start, blue in the last three
OPTIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "encode_batch": {"encode_batch": 4},
    "object_batch": {"object_batch": 8},
    "clean_on_device": {"clean_on_device": True},
    "state_on_cpu": {"state_on_cpu": True},
}


@pytest.fixture
def gpu() -> Iterator[Gpu]:
    with pretend() as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def resized_alike() -> Iterator[None]:
    """On the processor torchvision scales pictures in 8 bits, on a GPU in float32; here it does what it does there."""
    where = "torchvision.transforms.v2.functional._geometry._do_native_uint8_resize_on_cpu"
    with mock.patch(where, lambda *given: False):
        yield


@pytest.fixture(scope="module")
def expected(checkpoint: Path, resized_alike: None) -> list[FrameMasks]:
    with Sam3HfConfig(device="cpu", weights=str(checkpoint)).build() as tracker:
        return run(tracker, blobs(COUNT).session(), "cow", "dog", "red")


def on_gpu(checkpoint: Path, **options: Any) -> Sam3HfTracker:
    return Sam3HfConfig(**{"device": "cuda", "dtype": "float32", "weights": str(checkpoint), **options}).build()


def alike(one: list[FrameMasks], other: list[FrameMasks]) -> float:
    """The least IoU of masks with the same id and frame; 0 where ids differ."""
    if [each.object_ids for each in one] != [each.object_ids for each in other]:
        return 0.0
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a.masks, b.masks, strict=True)]
    return min((iou(*pair) for pair in pairs), default=1.0)


@pytest.mark.parametrize("name", OPTIONS)
def test_sam3_hf_finds_the_same_on_it(gpu: Gpu, checkpoint: Path, expected: list[FrameMasks], name: str) -> None:
    with on_gpu(checkpoint, **OPTIONS[name]) as tracker:
        found = run(tracker, blobs(COUNT).session(), "cow", "dog", "red")
    assert alike(found, expected) >= (0.99 if name == "object_batch" else 1)
    assert len(found[-1].object_ids) == 4


def test_it_runs_in_bfloat16_where_nothing_else_is_asked_for(gpu: Gpu, checkpoint: Path) -> None:
    """In real bfloat16, of the processor."""
    import torch

    with Sam3HfConfig(device="cuda", weights=str(checkpoint)).build() as tracker:
        assert tracker.identity()["dtype"] == "bfloat16"
        assert {each.dtype for each in tracker._engine.model.parameters()} == {torch.bfloat16}  # type: ignore[union-attr]
        found = run(tracker, blobs(4).session(), "cow")
    assert [each.object_ids for each in found] == [(0, 1)] * 4


def test_windows_that_overlap_and_several_words(gpu: Gpu, checkpoint: Path) -> None:
    from tests.sam3.test_speed import find, windows

    first, second = windows()
    with Sam3HfConfig(device="cpu", weights=str(checkpoint)).build() as tracker:
        apart = [find(tracker, each, "cow", "red") for each in (first, second)]
    with on_gpu(checkpoint) as tracker:
        assert [find(tracker, each, "cow", "red") for each in (first, second)] == apart
        assert tracker._features is not None and len(tracker._features) == 0


def test_memory_is_back_at_its_level_after_every_window(gpu: Gpu, checkpoint: Path) -> None:
    """Also after one that is left early, and one that fails. When the tracker is left, the library keeps position
    encodings for the life of the process, and the detector's decoder, which made some of them, until another does."""
    frames, levels = blobs(3).session(), []
    with on_gpu(checkpoint) as tracker:
        for _ in range(4):
            run(tracker, frames, "cow")
            levels.append(gpu.cards[0].allocated)
        with SAMSession(tracker, blobs(18).session()) as session:
            session.add_prompt(Prompt(text="cow"))
            next(session.propagate())
        assert tracker._engine is not None
        with (
            mock.patch.object(tracker._engine.processor, "postprocess_outputs", side_effect=ValueError("no")),
            pytest.raises(TrackingFailed),
        ):
            run(tracker, frames, "cow")
        run(tracker, frames, "cow")
        levels.append(gpu.cards[0].allocated)
        assert gpu.cards[0].reserved == gpu.cards[0].allocated
        model = tracker._engine.model
        weights, decoder = map(parameter_bytes, (model, model.detector_model.detr_decoder))
        del model
    assert len(set(levels)) == 1
    assert gpu.cards[0].allocated <= levels[-1] - weights + decoder  # though the tracker itself is still there


def peak(gpu: Gpu, tracker: Sam3HfTracker, frames: SessionFrames) -> tuple[int, int]:
    """Bytes before a window, and the most while it is tracked."""
    import torch

    run(tracker, frames, "cow")
    before = gpu.cards[0].allocated
    torch.cuda.reset_peak_memory_stats()
    run(tracker, frames, "cow")
    return before, gpu.cards[0].peak


def test_memory_that_runs_out_is_noticed_and_comes_back(gpu: Gpu, checkpoint: Path) -> None:
    """A little less than the window takes: its second try gets by with less, and the tracker remembers."""
    import torch

    frames = blobs(8).session()
    with on_gpu(checkpoint, object_batch=4, encode_batch=8) as tracker:
        whole = run(tracker, frames, "cow")
        before, most = peak(gpu, tracker, frames)
        torch.cuda.set_per_process_memory_fraction((before + 0.8 * (most - before)) / gpu.cards[0].total)
        with SAMSession(tracker, frames) as session:
            session.add_prompt(Prompt(text="cow"))
            session.tracks()
        assert tracker._room._learned.careful
        assert gpu.cards[0].allocated <= before  # less where the library's last batch was smaller
        torch.cuda.set_per_process_memory_fraction((before + 2**16) / gpu.cards[0].total)
        with (
            pytest.raises(TrackingFailed, match=r"out of memory.*tracker\.max_objects"),
            SAMSession(tracker, frames) as session,
        ):
            session.add_prompt(Prompt(text="cow"))
            session.tracks()
        assert gpu.cards[0].allocated <= before  # less where the library's last batch was smaller
        torch.cuda.set_per_process_memory_fraction(1.0)
        assert alike(run(tracker, frames, "cow"), whole) >= 0.99


def test_the_budget_is_given_to_torchs_allocator_and_taken_back(gpu: Gpu, checkpoint: Path) -> None:
    with on_gpu(checkpoint, memory_gb=2) as tracker:
        assert gpu.cards[0].fraction == 2 * 2**30 / gpu.cards[0].total
        assert tracker._room.budget() == 2 * 2**30
        run(tracker, blobs(2).session(), "cow")
    assert gpu.cards[0].fraction == 1
    with (
        pytest.raises(TrackerUnavailable, match=r"memory_gb=17 is more than cuda has \(16\.00 GiB\)"),
        on_gpu(checkpoint, memory_gb=17),
    ):
        pass


def test_what_the_need_says_is_what_the_gpu_holds_at_most(gpu: Gpu, checkpoint: Path) -> None:
    """Of everything that torch gives out, the weights included; scratch space inside one operation is in neither."""
    frames = blobs(COUNT).session()
    with on_gpu(checkpoint) as tracker:
        _, most = peak(gpu, tracker, frames)
        said = tracker._need(False).total(tracker._room.window(frames), 3, state_on_cpu=False)
    assert 0.85 < said / most < 1.25


def test_another_gpu_than_the_first(checkpoint: Path, expected: list[FrameMasks]) -> None:
    from pipeline.stages.peak_memory import peak_memory

    with pretend(count=2) as gpu, on_gpu(checkpoint, device="cuda:1", state_on_cpu=True) as tracker:
        assert run(tracker, blobs(COUNT).session(), "cow", "dog", "red") == expected
        assert gpu.cards[0].peak == 0
        assert peak_memory().gpu and peak_memory().size == gpu.cards[1].peak > 0
    with (
        pretend(count=1),
        pytest.raises(TrackerUnavailable, match="device=cuda:1 does not exist: this machine shows 1 GPUs"),
        on_gpu(checkpoint, device="cuda:1"),
    ):
        pass


@pytest.mark.parametrize("name", ["sam2", "edgetam", "sam3_tracker"])
def test_points_boxes_and_masks_are_followed_on_it(prompted: dict[str, Path], name: str) -> None:
    """The weights of the first two are random: their masks are noise, which rounding moves a little."""
    made: Callable[..., Any] = Sam3TrackerConfig if name == "sam3_tracker" else Sam2Config
    footage = blobs(4)
    weights, frames, given = str(prompted[name]), footage.session(), prompts(footage)
    with made(device="cpu", weights=weights).build() as tracker:
        whole = follow(tracker, frames, given)
    for options in ({}, {"state_on_cpu": True}):
        with pretend() as gpu, made(device="cuda", dtype="float32", weights=weights, **options).build() as tracker:
            assert alike(follow(tracker, frames, given), whole) >= 0.99
            level = gpu.cards[0].allocated
            follow(tracker, frames, given)
            assert gpu.cards[0].allocated == level


@pytest.mark.parametrize("kind", ["box", "point", "mask"])
def test_grounded_sam2_on_it(gpu: Gpu, prompted: dict[str, Path], grounding: Path, kind: str) -> None:
    options = {"weights": str(prompted["sam2"]), "grounding": str(grounding), "prompt_type": kind, "max_objects": 2}
    config = GroundedSam2Config(device="cuda", dtype="float32", box_threshold=0.1, text_threshold=0.05, **options)  # type: ignore[arg-type]
    with config.build() as tracker:
        found = run(tracker, blobs(2).session(), "cow", disjoint=False)
        assert [len(each.object_ids) for each in found] == [2, 2]


def test_sam2_auto_on_it(gpu: Gpu, prompted: dict[str, Path]) -> None:
    asking = {"points_per_side": 4, "pred_iou": 0.0, "stability": 0.0, "min_area": 20, "propose_every": 2}
    config = Sam2AutoConfig(device="cuda", dtype="float32", weights=str(prompted["sam2"]), **asking)  # type: ignore[arg-type]
    with config.build() as tracker, SAMSession(tracker, blobs(3).session()) as session:
        session.add_prompt(Prompt(text="everything"))
        assert all(each.object_ids for each in session.propagate())


@pytest.mark.parametrize(("clean", "most"), [(False, 4), (True, 2)])
def test_our_lines_hardly_wait_for_the_gpu(gpu: Gpu, checkpoint: Path, clean: bool, most: int) -> None:
    """For a frame, however many objects are in it: double detections, holes, specks, boxes. The libraries wait more."""
    frames, word = blobs(COUNT).session(), "cow"
    with on_gpu(checkpoint, clean_on_device=clean) as tracker:
        run(tracker, frames, word)
        with gpu.counting() as counts:
            run(tracker, frames, word)
    allowed = (
        most * len(frames) + 1 + (0 if clean else 2)
    )  # what is given back at the end; the first frame is cleaned twice
    assert sum(counts.own().values()) <= allowed, counts.own()
    assert not [where for kind, where in counts.own() if kind == "copy to the GPU"]


def test_state_in_main_memory_takes_nothing_else_along(gpu: Gpu, checkpoint: Path) -> None:
    """Only the objects' memory is on the way: 64 KiB of one object in one frame, written once, and read by the frames
    that look back at it. The library would take each frame's image features along, for every object anew."""
    frames, moment = blobs(3).session(), 16 * 16 * 64 * 4
    with on_gpu(checkpoint, state_on_cpu=True, clean_on_device=True) as tracker:
        run(tracker, frames, "cow")
        with gpu.counting() as counts:
            run(tracker, frames, "cow")
    pictures = sum(image.nbytes for image in frames.images)
    written, read = 2 * 3, 2 * (1 + 2)  # by two objects, of one frame, then of two
    assert sum(counts.from_gpu.values()) < written * moment + 2**15
    assert sum(counts.to_gpu.values()) < pictures + read * moment + 2**15
