"""What the trackers of points, boxes and masks refuse, and what each of their options does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sam.backends.promptable import PromptableTracker
from sam.backends.promptable_window import without_holes
from sam.backends.sam2 import Sam2Config
from sam.errors import TrackerUnavailable, UnknownPrompt
from sam.image import segment_image
from sam.session import SAMSession
from sam.types import Prompt, iou
from tests.sam3.conftest import require
from tests.sam3.footage import blobs
from tests.sam3.prompting import BOX, CLICK, MODELS, by_object, follow, prompts


@pytest.fixture(scope="module", params=sorted(MODELS))
def tracker(request: pytest.FixtureRequest, prompted: dict[str, Path]) -> Iterator[PromptableTracker]:
    with MODELS[request.param](str(prompted[request.param])).build() as loaded:
        yield loaded


def test_texts_are_refused(tracker: PromptableTracker) -> None:
    message = f"tracker={tracker.name} does not understand text prompts; it takes box, mask, points"
    with SAMSession(tracker, blobs(1).session()) as session, pytest.raises(UnknownPrompt, match=message):
        session.add_prompt(Prompt(text="cow"))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_options_that_decide_nothing_are_not_in_the_identity(name: str, prompted: dict[str, Path]) -> None:
    config = MODELS[name](str(prompted[name]))
    before = config.build().identity()
    assert before["tracker"] == ("sam2" if name == "edgetam" else name) and str(prompted[name]) not in str(before)
    config.state_on_cpu, config.release, config.max_side = True, "never", 640
    assert config.build().identity() == before
    for key, value in (("dtype", "bfloat16"), ("fill_holes", 3)):
        other = MODELS[name](str(prompted[name]))
        setattr(other, key, value)
        assert other.build().identity() != before


def test_state_on_the_cpu_changes_nothing(tracker: PromptableTracker) -> None:
    footage = blobs(4)
    with SAMSession(tracker, footage.session()) as session:
        for prompt in prompts(footage):
            session.add_prompt(prompt)
        seen = list(tracker.track_smaller(footage.session(), prompts(footage)))
        assert seen == list(session.propagate())


def test_small_holes_are_filled_and_nothing_else() -> None:
    require("torch")
    import torch

    logits = torch.full((1, 1, 32, 32), -5.0)
    logits[..., 4:28, 4:28] = 5.0
    logits[..., 6:8, 6:10] = -3.0  # 8 cells
    logits[..., 12:15, 12:15] = -3.0  # 9 cells
    logits[..., 1, 1] = 5.0  # a speck
    filled = without_holes(logits, 8)
    assert (filled > 0)[..., 6:8, 6:10].all() and not (filled > 0)[..., 12:15, 12:15].any()
    changed = filled != logits
    assert int(changed.sum()) == 8
    assert without_holes(logits, 0) is logits and int((logits > 0).sum()) == 24 * 24 - 17 + 1


@pytest.mark.slow  # a CPU without bfloat16 instructions takes its time
@pytest.mark.parametrize("name", sorted(MODELS))
def test_bfloat16_follows_on_the_cpu(name: str, prompted: dict[str, Path]) -> None:
    config = MODELS[name](str(prompted[name]))
    config.dtype = "bfloat16"
    footage = blobs(2)
    with config.build() as tracker:
        assert all(4 in one.object_ids for one in follow(tracker, footage.session(), prompts(footage)))
        assert len(segment_image(tracker, footage.images[0], [Prompt(box=BOX), Prompt(points=CLICK, labels=(1,))])) == 2


def test_other_models_and_missing_weights_say_so(prompted: dict[str, Path], tmp_path: Path) -> None:
    for name, other in (("sam2", "sam3_tracker"), ("sam3_tracker", "sam2")):
        wrong = {prompted[other]: r"holds a 'sam\d_video' model, not SAM", tmp_path / "no": "does not exist"}
        for weights, message in wrong.items():
            with pytest.raises(TrackerUnavailable, match=message), MODELS[name](str(weights)).build():
                pass
    with pytest.raises(ValueError, match=r"sam2.1_hiera_large.pt is of the original SAM2 package; .* facebook/sam2.1"):
        Sam2Config(weights="checkpoints/sam2.1_hiera_large.pt")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_gpu_follows_alike_and_gets_its_memory_back(cuda: str, name: str, prompted: dict[str, Path]) -> None:
    import torch

    footage = blobs(4)
    with MODELS[name](str(prompted[name])).build() as on_cpu:
        expected = by_object(follow(on_cpu, footage.session(), prompts(footage)))
    config = MODELS[name](str(prompted[name]))
    config.device, config.dtype = cuda, "float32"
    with config.build() as tracker:
        before = torch.cuda.memory_allocated()
        found = by_object(follow(tracker, footage.session(), prompts(footage)))
        assert len(segment_image(tracker, footage.images[0], [Prompt(box=BOX)])) == 1
        assert torch.cuda.memory_allocated() == before
    assert found.keys() == expected.keys()
    for number, frames in expected.items():
        for frame, (mask, score) in frames.items():
            assert iou(found[number][frame][0], mask) > 0.95
            assert found[number][frame][1] == pytest.approx(score, abs=0.01)
