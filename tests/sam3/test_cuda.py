"""What only a GPU can show: half precision that finds things, memory that runs out for real, what the driver says.

Skipped where there is none; with FAIL_WITHOUT_CUDA=1 that is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sam.backends import device
from sam.errors import TrackingFailed
from sam.session import SAMSession
from sam.types import Prompt
from tests.sam3.conformance import run
from tests.sam3.footage import COLOURS, HEIGHT, WIDTH, Footage, blobs
from tests.sam3.test_hf_tracking import GOOD, find, masks
from tests.sam3.test_speed import alike

if TYPE_CHECKING:
    from sam.backends.sam3_hf import Sam3HfTracker


@pytest.fixture(scope="module")
def on_gpu(cuda: str, checkpoint: Path) -> Iterator[Sam3HfTracker]:
    from sam.backends.sam3_hf import Sam3HfConfig

    with Sam3HfConfig(device=cuda, weights=str(checkpoint)).build() as tracker:
        yield tracker


def test_bfloat16_finds_and_tracks(on_gpu: Sam3HfTracker, footage: Footage) -> None:
    assert on_gpu.identity()["dtype"] == "bfloat16"
    tracks = find(on_gpu, footage.session(), "cow")
    assert len(tracks) == len(COLOURS)
    for track, colour in zip(tracks, COLOURS, strict=True):
        assert min(footage.likeness(track, colour)) > GOOD
    run(on_gpu, footage.session(), "cow", "dog", "blue")


def test_state_in_main_memory_changes_nothing(on_gpu: Sam3HfTracker, checkpoint: Path, cuda: str) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    frames = blobs(8).session()
    with Sam3HfConfig(device=cuda, weights=str(checkpoint), state_on_cpu=True).build() as tracker:
        assert masks(find(tracker, frames, "cow")) == masks(find(on_gpu, frames, "cow"))


@pytest.mark.parametrize(
    "options",
    [
        {"encode_batch": 4},
        {"object_batch": 8},
        {"clean_on_device": True},
        pytest.param({"compile": True, "encode_batch": 4}, marks=pytest.mark.slow),
    ],
    ids=lambda options: ",".join(options),
)
def test_what_is_to_be_faster_leaves_the_masks_as_they_are(
    on_gpu: Sam3HfTracker, checkpoint: Path, cuda: str, footage: Footage, options: dict[str, Any]
) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    with Sam3HfConfig(device=cuda, weights=str(checkpoint), **options).build() as tracker:
        found = find(tracker, footage.session(), "cow")
    assert alike(found, find(on_gpu, footage.session(), "cow")) >= 0.99


def test_regions_are_measured_on_the_gpu_as_on_the_processor(cuda: str) -> None:
    import torch

    from sam.backends.hf_kernel import Local, OnDevice

    masks = (torch.rand(8, 1, 288, 288, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    expected = Local.cc_2d(masks)[1]
    measured = OnDevice(16).cc_2d(masks.to(cuda))[1]
    assert measured.is_cuda
    assert torch.equal(measured.cpu(), torch.where(expected > 16, 288 * 288, expected))


def test_memory_that_runs_out_is_noticed_and_comes_back(on_gpu: Sam3HfTracker) -> None:
    """The process may have 4 MiB more than it holds: the window does not fit, and the one after it is whole again.

    A picture of 1920 x 1344 in float32 is 31 MB: more than torch's allocator may have left over in the blocks it holds.
    """
    import torch

    frames = blobs(3, scale=12).session(12 * WIDTH, 12 * HEIGHT)
    whole = masks(find(on_gpu, frames, "cow"))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 4 * 2**20) / total)
    try:
        with SAMSession(on_gpu, frames) as session, pytest.raises(TrackingFailed, match="out of memory") as raised:
            session.add_prompt(Prompt(text="cow"))
            session.tracks()
        assert "tracker.max_objects" in str(raised.value)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert masks(find(on_gpu, frames, "cow")) == whole


def test_the_driver_names_its_gpus_as_torch_does(cuda: str) -> None:
    import torch

    known = device.gpus()
    assert len(known) >= torch.cuda.device_count() > 0
    names = [gpu.name for gpu in known]
    assert torch.cuda.get_device_name(0) in names
    assert all(0 < gpu.free <= gpu.total for gpu in known)
    assert torch.cuda.get_device_name(0) in device.usable("sam3", "auto", "cuda", "bfloat16")
