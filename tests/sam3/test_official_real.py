"""tracker=sam3 with the official package itself: small and untrained on the CPU, at full size on a GPU.

Untrained weights find nothing in particular, so this shows that requests, answers and release are as the tests with a
stand-in assume, not that a text finds what it names.
"""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sam.backends import official
from sam.backends.sam3 import Sam3Config, Sam3Tracker
from sam.session import SAMSession
from sam.types import Prompt
from tests.sam3.conformance import run
from tests.sam3.conftest import require
from tests.sam3.footage import blobs


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sam3Tracker]:
    """The real package on the CPU: everything but the device check is as on a GPU."""
    require("sam3", "torch", "torchvision", "open_clip", "psutil", "triton", "skimage", "PIL")
    import torch

    from tests.sam3 import shim

    torch.set_num_threads(1)
    official.find().load()
    words = official.vocabulary(None, official.find())
    file = shim.checkpoint(tmp_path_factory.mktemp("official"), words)
    with pytest.MonkeyPatch.context() as patch, shim.on_cpu(), shim.small():
        patch.setattr("sam.backends.device.check", lambda *given: None)
        tracker = Sam3Config(weights=str(file)).build()
        with tracker:
            from sam3.model.sam3_video_predictor import Sam3VideoPredictor

            patch.setattr(Sam3VideoPredictor, "_get_torch_and_gpu_properties", lambda self: "cpu")
            shim.fire(tracker._predictor.model)
            yield tracker


@pytest.mark.slow
class TestRealPackage:
    def test_it_answers_as_expected(self, real: Sam3Tracker) -> None:
        seen = run(real, blobs(3).session(), "cow")
        assert seen[0].object_ids
        assert real._predictor._ALL_INFERENCE_STATES == {}

    def test_objects_can_be_forced_on_it_for_measuring(self, real: Sam3Tracker) -> None:
        """As `benchmarks/sam3_gpu.py` does, which runs this package on a GPU only."""
        from benchmarks.sam3_forced import forced

        with forced(real._predictor.model, 2):
            seen = run(real, blobs(3).session(), "cow")
        assert [len(each.object_ids) for each in seen] == [2, 2, 2]
        assert real._most == 2

    def test_state_can_be_kept_in_main_memory(self, real: Sam3Tracker) -> None:
        """The package then stores what it remembers of the objects where it is told to; the tracks are the same."""
        frames, model = blobs(2).session(), real._predictor.model
        asked: list[bool] = []
        start = type(model.tracker).init_state

        def watched(tracker: Any, *given: Any, **options: Any) -> Any:
            state = start(tracker, *given, **options)
            asked.append(state["offload_state_to_cpu"])
            return state

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(model.tracker), "init_state", functools.wraps(start)(watched))
            usual = run(real, frames, "cow")
            patch.setattr(real._config, "state_on_cpu", True)
            assert run(real, frames, "cow") == usual
        assert usual[0].object_ids
        assert asked == sorted(asked) and set(asked) == {False, True}
        assert "init_state" not in vars(model.tracker)

    def test_a_window_left_early_leaves_nothing(self, real: Sam3Tracker) -> None:
        with SAMSession(real, blobs(3).session()) as opened:
            opened.add_prompt(Prompt(text="cow"))
            results = opened.propagate()
            next(results)
            (state,) = real._predictor._ALL_INFERENCE_STATES.values()
            pictures = weakref.ref(state["state"]["input_batch"].img_batch)
            del state
        gc.collect()
        assert pictures() is None
        assert real._predictor._ALL_INFERENCE_STATES == {}

    def test_what_it_keeps_is_what_its_need_says(self, real: Sam3Tracker) -> None:
        """Counted in values, since the shim makes all of them float32."""
        from sam.backends import official_need

        frames, model = blobs(3).session(), real._predictor.model
        need = official_need.official_need(model)
        with SAMSession(real, frames) as opened:
            opened.add_prompt(Prompt(text="cow"))
            results = opened.propagate()
            next(results)
            (state,) = [each["state"] for each in real._predictor._ALL_INFERENCE_STATES.values()]
            assert state["input_batch"].img_batch.numel() * official_need.FRAME == 3 * need.frame
            shown = [mask for frame in state["cached_frame_outputs"].values() for mask in frame.values()]
            assert shown and {mask.nbytes for mask in shown} == {need.shown * frames.width * frames.height}
            moments = 0
            for tracked in state["tracker_inference_states"]:
                for kind in tracked["output_dict"].values():
                    for kept in kind.values():
                        objects = len(kept["obj_ptr"])
                        moments += objects
                        size = kept["maskmem_features"].numel() * official_need.MEMORY
                        size += kept["pred_masks"].numel() * official_need.LOGITS
                        size += kept["obj_ptr"].numel() * official_need.POINTER
                        assert size == objects * need.moment
            assert moments
            del state, tracked, kept, kind, shown


def test_it_runs_unshimmed_on_cuda(cuda: str, tmp_path: Path) -> None:
    """The package itself at full size with untrained weights: it loads, tracks a window and frees it."""
    require("sam3", "open_clip")
    import torch

    package = official.find()
    package.load()
    import sam3.model_builder as builder

    model = builder.build_sam3_video_model(bpe_path=str(official.vocabulary(None, package)), load_from_HF=False)
    torch.save({"model": model.state_dict()}, tmp_path / "sam3.pt")
    del model
    levels = []
    with Sam3Config(weights=str(tmp_path / "sam3.pt")).build() as tracker:
        for _ in range(5):
            with SAMSession(tracker, blobs(4).session()) as opened:
                opened.add_prompt(Prompt(text="cow"))
                assert len(list(opened.propagate())) == 4
            levels.append(torch.cuda.memory_reserved())
    assert max(levels) - levels[0] <= 32 * 2**20
    assert not torch.is_autocast_enabled("cuda")
