"""Nothing of a window outlives it, and a window that does not fit into memory is tried once more, smaller."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sam.session
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.memory import OutOfMemory
from sam.session import SAMSession
from sam.types import Prompt
from tests.sam3.footage import blobs
from tests.sam3.leaks import Watch, alive_bytes

if TYPE_CHECKING:
    from sam.backends.sam3_hf import Sam3HfTracker

WINDOWS = 50
CACHED = 2**17  # the library keeps the position encoding of the last batch, as large as that batch had objects


@pytest.fixture(scope="module", autouse=True)
def frozen(loaded: Sam3HfTracker) -> Iterator[None]:
    """Set all that was loaded before aside, so that looking through the rest is quick."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def watch(loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watches every session of the library and every output of the model."""
    engine, watch = loaded._engine, Watch()
    assert engine is not None
    init, forward = engine.processor.init_video_session, engine.model.forward

    def watched(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **options: Any) -> Any:
            thing = make(*args, **options)
            watch.add(thing)
            return thing

        return made

    monkeypatch.setattr(engine.processor, "init_video_session", watched(init))
    monkeypatch.setattr(engine.model, "forward", watched(forward))
    return watch


@contextmanager
def session(tracker: Sam3HfTracker, count: int = 2, text: str = "cow") -> Iterator[SAMSession]:
    with SAMSession(tracker, blobs(count).session()) as opened:
        opened.add_prompt(Prompt(text=text))
        yield opened


def test_nothing_survives_fifty_windows(loaded: Sam3HfTracker, watch: Watch) -> None:
    levels = []
    for _ in range(WINDOWS):
        with session(loaded) as opened:
            assert len(opened.tracks()) == 2
        assert watch.alive() == 0
        levels.append(alive_bytes())
    assert len(watch) == 3 * WINDOWS
    assert levels[1:] == levels[:1] * (WINDOWS - 1)


def test_nothing_survives_a_window_that_is_left_early(loaded: Sam3HfTracker, watch: Watch) -> None:
    before = alive_bytes()
    with session(loaded, 18) as opened:  # longer than the delay, so that a frame comes before the last one is done
        results = opened.propagate()
        assert next(results).object_ids == (0, 1)
    assert watch.alive() == 0
    assert len(watch) == 1 + 16  # the first frame is encoded while the model is at the one after its delay
    assert list(results) == []
    assert alive_bytes() <= before + CACHED


@pytest.mark.parametrize("error", [ValueError, KeyError, KeyboardInterrupt])
def test_nothing_survives_an_error(
    loaded: Sam3HfTracker, watch: Watch, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    before = alive_bytes()
    fail(loaded, monkeypatch, [2], error)
    expected = error if error is KeyboardInterrupt else TrackingFailed
    with pytest.raises(expected) as raised, session(loaded, 4) as opened:
        opened.tracks()
    if expected is TrackingFailed:
        assert watch.alive() == 0  # also while the error is still being handled
        assert str(raised.value) == f"blobs.mp4: tracker=sam3_hf failed: {error.__name__}"
    del raised
    assert watch.alive() == 0
    assert alive_bytes() <= before + CACHED


def fail(
    tracker: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch, calls: list[int], error: Callable[[], BaseException]
) -> None:
    """Let the n-th step of the model raise, for each n in `calls`."""
    assert tracker._engine is not None
    model, count = tracker._engine.model, iter(range(10**6))
    forward = model.forward

    def failing(*args: Any, **options: Any) -> Any:
        if next(count) in calls:
            raise error()
        return forward(*args, **options)

    monkeypatch.setattr(model, "forward", failing)


def no_memory() -> Any:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_a_window_out_of_memory_is_tracked_again_with_fewer_objects(
    loaded: Sam3HfTracker, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(loaded, monkeypatch, [2], no_memory)
    with session(loaded, 4) as opened:
        tracks = opened.tracks()
        assert [t.frames.tolist() for t in tracks] == [[0, 1, 2, 3]]  # one of two
        assert opened.degraded
    assert watch.alive() == 0
    assert loaded._engine is not None
    assert loaded._engine.model.max_num_objects == 10000
    with session(loaded) as opened:  # the next window is whole again
        assert len(opened.tracks()) == 2
        assert not opened.degraded


def test_a_second_attempt_that_lost_nothing_is_not_degraded(
    loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(loaded, monkeypatch, [2], no_memory)
    monkeypatch.setattr("sam.backends.room.fewer", lambda tracked, limit: 3)
    with session(loaded, 4) as opened:
        assert len(opened.tracks()) == 2
        assert not opened.degraded


def test_a_second_failure_fails_that_window_alone(loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(loaded, monkeypatch, [1, 3], no_memory)
    match = r"half the objects: lower tracker\.max_objects"
    with pytest.raises(TrackingFailed, match=match) as raised, session(loaded, 4) as opened:
        opened.tracks()
    assert not isinstance(raised.value, OutOfMemory)
    with session(loaded) as opened:
        assert len(opened.tracks()) == 2


def test_a_gpu_that_stopped_ends_the_run(loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(loaded, monkeypatch, [0], lambda: RuntimeError("CUDA error: an illegal memory access"))
    with pytest.raises(TrackerUnavailable, match="Run the same command again"), session(loaded) as opened:
        opened.tracks()


def test_a_machine_without_a_compiler_ends_the_run(loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every window would fail alike."""
    says = "Failed to find C compiler. Please specify via CC environment variable"
    fail(loaded, monkeypatch, [0], lambda: RuntimeError(says))
    with pytest.raises(TrackerUnavailable, match="install gcc and Python's headers, or set CC"), session(loaded) as one:
        one.tracks()


@pytest.mark.parametrize(("release", "times"), [("window", 1), ("never", 0)])
def test_release_is_an_option(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, release: str, times: int) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    released: list[None] = []
    monkeypatch.setattr(sam.session, "release_cuda", lambda: released.append(None))
    tracker = Sam3HfConfig(device="cpu", weights=str(checkpoint), release=release).build()
    with SAMSession(tracker, blobs(1).session()):
        pass
    assert len(released) == times


def test_leaving_the_tracker_frees_the_model(checkpoint: Path) -> None:
    from transformers.models.sam3_video import modeling_sam3_video as library

    from sam.backends.sam3_hf import Sam3HfConfig

    kernel, before, watch = library.cv_utils_kernel, alive_bytes(), Watch()
    with Sam3HfConfig(device="cpu", weights=str(checkpoint)).build() as tracker:
        assert tracker._engine is not None
        watch.add(tracker._engine.model)
        assert alive_bytes() > before + 10 * 2**20
    assert watch.alive() == 0
    assert alive_bytes() <= before + CACHED
    assert library.cv_utils_kernel is kernel
    with pytest.raises(RuntimeError, match="enter the tracker"):
        next(tracker.track(blobs(1).session(), [Prompt(text="cow")]))


def test_cuda_memory_returns_to_its_level(cuda: str, checkpoint: Path) -> None:
    """Reserved memory after each of 100 windows is within 32 MB of its level after the first, and a second model that
    was loaded and left holds no more than the first: what CUDA's libraries keep (cuBLAS 32 MB) is there by then."""
    import torch

    from sam.backends.sam3_hf import Sam3HfConfig

    left = []
    for windows in (100, 1):
        with Sam3HfConfig(device=cuda, weights=str(checkpoint)).build() as tracker:
            levels = []
            for _ in range(windows):
                with session(tracker) as opened:
                    assert len(opened.tracks()) == 2
                levels.append(torch.cuda.memory_reserved())
        assert max(levels) - levels[0] <= 32 * 2**20
        left.append(torch.cuda.memory_allocated())
    assert left[1] <= left[0] + 2**20
