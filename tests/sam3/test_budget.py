"""A budget on the real architecture: what it refuses, what it leaves out, and what is learned when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sam.backends.need import GIB, Window
from sam.backends.room import PATIENCE, Experience
from sam.errors import TrackerUnavailable
from sam.session import SAMSession
from sam.types import Mask, Prompt
from tests.sam3.footage import HEIGHT, WIDTH, blobs

if TYPE_CHECKING:
    from sam.backends.sam3_hf import Sam3HfTracker

WINDOW = Window(4, WIDTH * HEIGHT)


@contextmanager
def budget(tracker: Any, gib: float | None) -> Iterator[None]:
    """While entered, the tracker has so many GiB; what it learned before does not count."""
    room = tracker._room
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_gb", gib)
        patch.setattr(room, "_learned", Experience())
        patch.setattr(room, "_most_seen", 0)
        room.admit(tracker._need)
        yield


def track(tracker: Any) -> tuple[list[tuple[Mask, ...]], bool]:
    """Two cows in four frames, by their masks; whether the window counts as degraded."""
    with SAMSession(tracker, blobs(4).session()) as session:
        session.add_prompt(Prompt(text="cow"))
        return [found.masks for found in session.tracks()], session.degraded


def test_a_budget_that_is_ample_changes_nothing(loaded: Sam3HfTracker) -> None:
    with budget(loaded, None):
        usual = track(loaded)
    with budget(loaded, 1.0):
        assert track(loaded) == usual
    assert len(usual[0]) == 2 and not usual[1]


def test_more_objects_than_fit_are_left_out_and_said(loaded: Sam3HfTracker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    need = loaded._need(careful=True)
    with budget(loaded, (need.total(WINDOW, 2, False) - 1) / GIB):
        tracks, degraded = track(loaded)
    assert len(tracks) == 1 and degraded
    assert "at most 1 objects at once" in caplog.text
    with budget(loaded, (need.total(WINDOW, 3, False) + 1) / GIB):
        assert (len(track(loaded)[0]), track(loaded)[1]) == (2, False), "room for one more than there are"


def test_what_is_kept_for_other_passes_gives_way_before_objects_do(
    loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Room for three objects, or for one and what two passes share: the two that are there are found all the same."""
    monkeypatch.setattr("sam.backends.room.ENOUGH", 1)
    with (
        budget(loaded, (loaded._need(careful=False).total(WINDOW, 3, False) + 1) / GIB),
        SAMSession(loaded, blobs(4).session(), passes=2) as session,
    ):
        session.add_prompt(Prompt(text="cow"))
        assert (len(session.tracks()), session.degraded) == (2, False)
    assert "blobs.mp4: 1 or more objects at once need more memory" in caplog.text


def test_a_budget_below_the_model_is_refused(checkpoint: Path) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    with pytest.raises(TrackerUnavailable, match=r"memory_gb=0\.02 is too little: tracker=sam3_hf takes 0\.03"):
        Sam3HfConfig(device="cpu", weights=str(checkpoint), memory_gb=0.02).build().__enter__()


def test_the_budget_is_no_part_of_the_tracks(checkpoint: Path) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    one, other = (Sam3HfConfig(device="cpu", weights=str(checkpoint), memory_gb=gb) for gb in (None, 3.0))
    assert one.build().identity() == other.build().identity()


# -- running out -------------------------------------------------------------------------------------------------------


class Scarce:
    """Stands before a model whose memory runs out with `most` objects at once or more. failures: so far."""

    def __init__(self, model: Any, most: int) -> None:
        self._forward, self.most, self.failures = model.forward, most, 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        import torch

        done = self._forward(*args, **options)
        if len(options["inference_session"].obj_ids) >= self.most:
            self.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return done


def test_running_out_is_remembered_and_more_is_tried_again(
    loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loaded._engine is not None
    scarce = Scarce(loaded._engine.model, 2)
    monkeypatch.setattr(loaded._engine.model, "forward", scarce)
    with budget(loaded, None):
        assert [track(loaded)[1] for _ in range(2)] == [True, True]
        assert scarce.failures == 2, "once as usual, once carefully"
        assert [track(loaded)[1] for _ in range(PATIENCE - 1)] == [True] * (PATIENCE - 1)
        assert scarce.failures == 2, "not tried again at once"
        scarce.most = 10
        assert [track(loaded)[1] for _ in range(2)] == [False, False], "what fits again is found again"
        assert scarce.failures == 2


# -- the trackers that follow prompts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sam2", "edgetam", "sam3_tracker"])
def test_promptable_models_take_what_was_said(prompted: dict[str, Path], name: str) -> None:
    from sam.backends.counting import counted
    from tests.sam3.prompting import MODELS

    with MODELS[name](str(prompted[name])).build() as tracker:
        for objects in (1, 3):
            need = tracker._need(careful=False)  # its twin takes the place of the position encodings: made again
            took = counted(lambda objects=objects: follow(tracker, 12, objects))
            said = need.total(Window(12, WIDTH * HEIGHT), objects, False) - need.weights
            assert said == pytest.approx(took.peak, rel=0.15), objects


def follow(tracker: Any, count: int, objects: int) -> None:
    with SAMSession(tracker, blobs(count).session()) as session:
        for n in range(objects):
            session.add_prompt(Prompt(frame=0, object_id=n, box=(6.0 + 30 * n, 10.0, 46.0 + 30 * n, 46.0)))
        assert len(session.tracks()) <= objects


# -- task=doctor -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gb", "state", "said"), [
    (None, "ok", "tracker.memory_gb sets a limit, there is none on the CPU"),
    (0.05, "ok", "with 0.05 GiB: at most "),
    (0.02, "NO", "tracker.memory_gb=0.02 is too little"),
])  # fmt: skip
def test_the_doctor_says_what_a_window_takes(checkpoint: Path, gb: float | None, state: str, said: str) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    (check,) = Sam3HfConfig(device="cpu", weights=str(checkpoint), memory_gb=gb).memory(20)
    assert (check.name, check.state) == ("memory", state)
    assert said in check.detail
    assert state == "NO" or check.detail.startswith("0.02 GiB of weights; a window of 20 frames takes about 0.0")


@pytest.mark.parametrize("name", ["sam2", "edgetam", "sam3_tracker"])
def test_the_doctor_knows_the_trackers_of_prompts(prompted: dict[str, Path], name: str) -> None:
    from tests.sam3.prompting import MODELS

    (check,) = MODELS[name](str(prompted[name])).memory(20)
    assert check.state == "ok" and "for each object at once" in check.detail


def test_the_doctor_counts_the_gpu_that_would_be_used(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sam.backends import device
    from sam.backends.sam3_hf import Sam3HfConfig

    gpus = [device.Gpu("a", 8 * GIB, GIB // 32), device.Gpu("b", 24 * GIB, 20 * GIB)]
    monkeypatch.setattr(device, "gpus", lambda: gpus)
    small, large = (Sam3HfConfig(device=f"cuda:{n}", weights=str(checkpoint)) for n in (0, 1))
    (tight,), (ample,) = small.memory(20), large.memory(20)
    assert "cuda:0 has 0.03 GiB of 8.00 GiB free; with 0.03 GiB: " in tight.detail
    assert "cuda:1 has 20.00 GiB of 24.00 GiB free; with 20.00 GiB: at most " in ample.detail


def test_without_weights_the_doctor_waits_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sam.backends import weights
    from sam.backends.sam3_hf import Sam3HfConfig

    monkeypatch.setattr(weights, "cached", lambda repo: None)
    (check,) = Sam3HfConfig(device="cpu", weights="owner/name").memory(20)
    assert (check.state, check.detail) == ("note", "what a window takes is known once the weights are here")
