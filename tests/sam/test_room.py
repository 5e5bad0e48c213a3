"""A budget of memory: what fits is chosen before a window is tracked, and what ran out is remembered."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from sam.backends.need import GIB, Memory, Need, Step, Window
from sam.backends.room import ENOUGH, PATIENCE, Fit, Room, TooMany, check_memory
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.memory import OutOfMemory

MIB = 2**20
WINDOW = Window(frames=20, pixels=1000)
NEED = Need(
    weights=1000 * MIB,
    steps=(Step("image", 200 * MIB), Step("objects", 100 * MIB, each=20 * MIB, each_pixel=1.0)),
    memory=Memory(near=6, seeds=4, every=16, spare=2),
    moment=10 * MIB,
)
REMEMBERED = 90 * MIB  # 8 of the latest frames, and the first


def room(gb: float | None = None, device: str = "cpu", **options: Any) -> Room:
    made = Room("double", gb, device, **options)
    made.admit(lambda careful: NEED)
    return made


def with_gpu(monkeypatch: pytest.MonkeyPatch, free: float, total: float = 8.0) -> list[Any]:
    """A torch with a GPU of so many GiB; returns what it is told."""
    told: list[Any] = []
    cuda = SimpleNamespace(
        mem_get_info=lambda device: (int(free * GIB), int(total * GIB)),
        is_initialized=lambda: True,
        memory_reserved=lambda device: 0,
        get_device_properties=lambda device: SimpleNamespace(total_memory=int(total * GIB)),
        set_per_process_memory_fraction=lambda fraction, device: told.append((fraction, device)),
    )
    monkeypatch.setitem(__import__("sys").modules, "torch", SimpleNamespace(cuda=cuda))
    return told


# -- what adds up ------------------------------------------------------------------------------------------------------


def test_the_largest_step_decides() -> None:
    assert NEED.total(WINDOW, 0, False) == 1200 * MIB
    assert NEED.total(WINDOW, 10, False) == 1100 * MIB + 10 * (20 * MIB + 1000 + REMEMBERED)
    assert NEED.total(WINDOW, 10, True) == 1100 * MIB + 10 * (20 * MIB + 1000)


def test_a_step_takes_more_the_more_it_looks_back_at() -> None:
    looking = replace(NEED, steps=(Step("memory", 50 * MIB, past=30 * MIB),))
    assert looking.total(WINDOW, 0, False) == (1000 + 50 + 7 * 30) * MIB
    assert looking.most(WINDOW, 1259 * MIB, True) == 0 < looking.most(WINDOW, 1260 * MIB, True)


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("budget", [1150, 1199, 1200, 1400, 3000, 20000])
def test_as_many_objects_fit_as_the_sum_says(budget: int, on_cpu: bool) -> None:
    most = NEED.most(WINDOW, budget * MIB, on_cpu)
    assert NEED.total(WINDOW, most + 1, on_cpu) > budget * MIB
    assert most == 0 or NEED.total(WINDOW, most, on_cpu) <= budget * MIB


@pytest.mark.parametrize(("frames", "kept", "read"), [(1, 1, 0), (4, 4, 3), (8, 8, 7), (20, 9, 7), (40, 10, 9)])
def test_what_is_remembered_does_not_grow_with_a_window(frames: int, kept: int, read: int) -> None:
    assert (NEED.memory.kept(frames), NEED.memory.read(frames)) == (kept, read)


def test_a_model_that_forgets_nothing() -> None:
    assert (Memory().kept(300), Memory().read(300)) == (300, 299)


# -- what is chosen ----------------------------------------------------------------------------------------------------


def test_without_a_budget_nothing_is_limited() -> None:
    assert room().fit(WINDOW, "a.mp4") == Fit()
    assert room(state_on_cpu=True).fit(WINDOW, "a.mp4") == Fit(state_on_cpu=True)


def test_on_the_cpu_moving_state_gains_nothing() -> None:
    fit = room(3.0).fit(WINDOW, "a.mp4")
    assert (fit.state_on_cpu, fit.most, fit.last) == (False, NEED.most(WINDOW, 3 * GIB, False), True)


def test_on_a_gpu_state_moves_before_objects_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, free=8)
    ample, tight = (room(gb, "cuda").fit(WINDOW, "a.mp4") for gb in (3.0, 1.5))
    assert (ample.state_on_cpu, ample.most, ample.last) == (False, NEED.most(WINDOW, 3 * GIB, False), False)
    assert (tight.state_on_cpu, tight.most, tight.last) == (True, NEED.most(WINDOW, int(1.5 * GIB), True), True)
    assert tight.most is not None and tight.most >= ENOUGH > NEED.most(WINDOW, int(1.5 * GIB), False)


def test_more_objects_than_fit_are_tried_in_the_roomiest_way(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, free=8)
    tracker = room(3.0, "cuda")
    fit = tracker.fit(WINDOW, "a.mp4")
    assert fit.most is not None
    tracker.check(fit, fit.most - 1, "a.mp4")
    with pytest.raises(TooMany, match=f"a.mp4: {fit.most} or more objects at once need more memory") as raised:
        tracker.check(fit, fit.most, "a.mp4")
    tracker.failed(fit.most, raised.value)
    again = tracker.smaller(WINDOW, "a.mp4")
    assert again.state_on_cpu and again.last
    assert again.most == NEED.most(WINDOW, 3 * GIB, True) > fit.most
    tracker.check(again, again.most, "a.mp4")
    assert tracker.done(again, again.most), "only now something may be missing"
    assert not tracker.done(again, again.most - 1)
    assert tracker.fit(WINDOW, "b.mp4").state_on_cpu, "so many are expected from now on"


def test_what_is_kept_for_speed_gives_way_to_objects() -> None:
    tracker = room(3.0)
    fit = tracker.fit(WINDOW, "a.mp4", keeps=500 * MIB)
    assert (fit.kept, fit.last) == (500 * MIB, False)
    assert fit.most == NEED.most(WINDOW, 3 * GIB - 500 * MIB, False)
    tracker.done(fit, 10)
    scarce = tracker.fit(WINDOW, "a.mp4", keeps=500 * MIB)
    assert scarce.kept is not None and scarce.kept < 500 * MIB


def test_what_the_gpu_has_bounds_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, free=2)
    assert room(None, "cuda").budget() == room(6.0, "cuda").budget() == 2 * GIB
    assert room(1.5, "cuda").budget() == int(1.5 * GIB)


def test_a_busy_gpu_is_tried_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch, free=0.2)
    assert room(None, "cuda").fit(WINDOW, "a.mp4") == Fit(True, 1, kept=0, careful=True)


def test_named_objects_are_never_left_out() -> None:
    tracker = room(3.0, caps=False)
    fit = tracker.fit(WINDOW, "a.mp4")
    holds = NEED.most(WINDOW, 3 * GIB, False)
    assert (fit.most, fit.holds) == (None, holds)
    tracker.check(fit, holds, "a.mp4")
    with pytest.raises(TrackingFailed, match=rf"a.mp4: {holds + 1} objects are more than the {holds} .*memory_gb=3"):
        tracker.check(fit, holds + 1, "a.mp4")


def test_the_options_limit_is_none_of_the_budgets() -> None:
    fit = room(3.0, limit=5).fit(WINDOW, "a.mp4")
    assert fit.most is None, "five fit"
    assert room(1.27, limit=5).fit(WINDOW, "a.mp4").most == 1


def test_the_choice_is_said_once_with_its_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    tracker = room(3.0)
    for _ in range(3):
        tracker.fit(WINDOW, "a.mp4")
    (line,) = [r.message for r in caplog.records]
    assert line == (
        "tracker=double has 3.00 GiB: 0.98 GiB of weights, a window of 20 frames 0.20 GiB and 0.09 GiB for each "
        f"object, at most {NEED.most(WINDOW, 3 * GIB, False)} objects at once"
    )


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_budget_below_the_model_is_refused_when_it_loads() -> None:
    match = r"tracker\.memory_gb=1 is too little: tracker=double takes 1\.\d+ GiB .* tracker\.memory_gb=1\.2"
    with pytest.raises(TrackerUnavailable, match=match):
        room(1.0)


def test_a_window_too_long_for_the_budget_names_what_to_lower() -> None:
    tracker = Room("double", 2.0, "cpu")
    tracker.admit(lambda careful: Need(weights=GIB, steps=(), frame=100 * MIB, memory=Memory()))
    match = (
        r"a.mp4: tracker=double takes 2\.95 GiB for a window of 20 frames .* leaves it 2\.00 GiB: give it 3, or .*clip"
    )
    with pytest.raises(TrackingFailed, match=match):
        tracker.fit(WINDOW, "a.mp4")


@pytest.mark.parametrize("gb", [0, -1, float("nan"), float("inf")])
def test_budgets_that_are_none(gb: float) -> None:
    with pytest.raises(ValueError, match=r"tracker\.memory_gb is a number of GiB above 0, or null"):
        check_memory(gb)


def test_torch_is_held_to_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    told = with_gpu(monkeypatch, free=8)
    import torch

    tracker = room(2.0, "cuda:0")
    tracker.reserve(torch)
    tracker.release(torch)
    assert told == [(0.25, "cuda:0"), (1.0, "cuda:0")]
    with pytest.raises(TrackerUnavailable, match=r"memory_gb=9 is more than cuda:0 has \(8\.00 GiB\)"):
        room(9.0, "cuda:0").reserve(torch)
    told.clear()
    for other in (room(None, "cuda:0"), room(2.0, "cpu")):
        other.reserve(torch)
    assert told == []


# -- what is learned ---------------------------------------------------------------------------------------------------


def run_out(tracker: Room, objects: int) -> Fit:
    """Memory runs out; returns how the window is tracked once more."""
    tracker.failed(objects, OutOfMemory("a.mp4: out of memory"))
    return tracker.smaller(WINDOW, "a.mp4")


def test_after_running_out_the_next_windows_are_tracked_carefully() -> None:
    tracker = room()
    tracker.fit(WINDOW, "a.mp4")
    again = run_out(tracker, 12)
    assert again == Fit(True, 6, kept=0, careful=True)
    assert tracker.done(again, 6)
    assert tracker.fit(WINDOW, "b.mp4") == Fit(True, kept=0, careful=True), "no object is left out yet"


def scarce() -> Room:
    """Memory ran out with 12 objects, and carefully with 12 again."""
    tracker = room()
    tracker.done(run_out(tracker, 12), 6)
    tracker.fit(WINDOW, "b.mp4")
    tracker.done(run_out(tracker, 12), 6)
    return tracker


def test_if_care_was_not_enough_the_next_windows_begin_with_what_fitted() -> None:
    assert scarce().fit(WINDOW, "c.mp4").most == 6


def test_more_is_tried_again_after_windows_that_went_well() -> None:
    tracker = scarce()
    limits = []
    for _ in range(4 * PATIENCE):
        fit = tracker.fit(WINDOW, "c.mp4")
        limits.append((fit.most, fit.careful))
        tracker.done(fit, 3)
    usual = [(6, True)] * (PATIENCE - 1) + [(9, True)] * PATIENCE + [(None, True)] * PATIENCE + [(None, False)] * 4
    assert limits == usual[: len(limits)]


def test_running_out_again_lowers_it_further() -> None:
    tracker = scarce()
    tracker.fit(WINDOW, "c.mp4")
    assert run_out(tracker, 6).most == 3
    assert tracker.fit(WINDOW, "d.mp4").most == 3


def test_running_out_without_objects_says_nothing_about_them() -> None:
    tracker = room()
    assert run_out(tracker, 0).most == 1, "that window alone is tried with one"
    assert tracker.fit(WINDOW, "b.mp4") == Fit(True, kept=0, careful=True)
