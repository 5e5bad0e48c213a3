"""tracker=sam3 with the official package itself on a pretend GPU; apart from the tests that move it to the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from sam.backends import official
from sam.backends.sam3 import Sam3Config
from tests.sam3.conformance import run
from tests.sam3.conftest import require
from tests.sam3.footage import blobs


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_runs_on_a_pretend_gpu_and_frees_it(tmp_path: Path) -> None:
    """As on a GPU, with the package's two kernels by our own, and its autocast to float32, since many processors take
    minutes for bfloat16. What it keeps after the first window, encodings and tables, does not grow; after the tracker
    is left nothing of the model is there, though the tracker is."""
    require("sam3", "torch", "torchvision", "open_clip", "psutil", "triton", "skimage", "PIL")
    import torch

    official.find().load()
    import sam3.perflib.connected_components as regions
    import sam3.perflib.nms as double

    from sam.backends.hf_kernel import Local
    from tests.sam3 import shim
    from tests.sam3.pretend_cuda import pretend

    file = shim.checkpoint(tmp_path, official.vocabulary(None, official.find()))
    frames, levels = blobs(1).session(), []
    with shim.small(device="cuda"), pretend() as gpu, pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "HAS_CC_TORCH", True)
        patch.setattr(regions, "get_connected_components", Local.cc_2d, raising=False)
        patch.setattr(double, "GENERIC_NMS_AVAILABLE", True)
        patch.setattr(double, "generic_nms_cuda", Local.generic_nms, raising=False)
        with Sam3Config(device="cuda", weights=str(file)).build() as tracker:
            model = tracker._predictor.model
            shim.fire(model)
            assert {each.device for each in model.parameters()} == {torch.device("cuda", 0)}
            assert torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") == torch.bfloat16
            torch.set_autocast_dtype("cuda", torch.float32)
            del model
            for _ in range(2):
                assert run(tracker, frames, "cow")[0].object_ids
                levels.append(gpu.cards[0].allocated)
        assert levels[0] == levels[1]
        assert gpu.cards[0].allocated < levels[0] / 4
        assert not torch.is_autocast_enabled("cuda")
