"""task=plan plan.trial=N: what a few windows promise for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.layout import Layout
from pipeline.status import Status
from pipeline.task_options import PlanConfig
from pipeline.tasks.promised import compared
from pipeline.tasks.trial import Estimate, Trial
from tests.running import Done, rows, run

SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5")


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    return lambda *words: run(capfd, monkeypatch, *words)


def test_an_estimate_has_two_standard_errors() -> None:
    found = Estimate.of([1.0, 2.0, 3.0, 4.0], 10)
    assert found.mean == pytest.approx(25)
    assert found.error == pytest.approx(10 * 2 * 1.2909944 / 2)
    assert found.text(1) == "25.0 ± 12.9"
    assert Estimate.peak([2.0, 4.0, 3.0]) == Estimate(4.0, 2.0) and Estimate.peak([2.0]) == Estimate(2.0, 0.0)
    assert Estimate.of([2.0], 3) == Estimate(6.0, 0.0) and Estimate(1234.5, 0.0).text() == "1,234"


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.floats(0, 1e4))
def test_alike_windows_leave_no_doubt_and_more_of_them_less(each: list[float], times: float) -> None:
    assert Estimate.of([each[0]] * 5, times).error == pytest.approx(0, abs=1e-3)
    assert Estimate.of(each * 4, times).error <= Estimate.of(each, times).error + 1e-6 or len(each) == 1


def test_a_trial_tells_what_a_build_then_makes(footage: Path, tmp_path: Path, go: Callable[..., Done]) -> None:
    command = (f"videos={footage}", f"out={tmp_path}/out", *SMALL)
    done = go("task=plan", *command, "plan.trial=40", "plan.price=2.5")
    assert done.status == 0, done.text
    said = {line.split(":")[0]: line.partition(":")[2].strip() for line in done.text.splitlines() if ":" in line}
    assert said["tried"].startswith("30 windows of 3 videos; ready after"), "there are no more"
    assert said["price"].endswith("at 2.5 an hour") and said["memory"].endswith(
        "iB at most, of the process that does a window at a time"
    )
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["plan.json"], "nothing else is left"
    promised = Trial.read(tmp_path / "out" / "runs" / "plan.json")
    assert promised is not None and promised.hours.mean > 0 and promised.failed == 0
    built = go(*command)
    assert built.status == 0
    made = len(rows(tmp_path / "out" / "samples.parquet"))
    assert promised.crops.mean == pytest.approx(made, rel=0.1), "all windows but the first were counted"
    crops = sum(path.stat().st_size for path in (tmp_path / "out" / "crops").rglob("*.mp4"))
    assert promised.gib.mean * 2**30 == pytest.approx(crops, rel=0.5), "and the tracks"
    (run_folder,) = [path.parent for path in (tmp_path / "out" / "runs").glob("*/planned.json")]
    rows_ = {each["name"]: each for each in orjson.loads((run_folder / "planned.json").read_bytes())}
    assert list(rows_) == ["objects a clip", "crops", "tracking", "price", "disk", "memory of the process"]
    assert rows_["crops"] == {"name": "crops", "planned": promised.crops.text(), "took": str(made), "within": True}
    line = f"crops: planned {promised.crops.text()}, took {made} (within)"
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert line in built.text and "Planned and taken" in page and promised.crops.text() in page
    assert line in go("task=status", f"out={tmp_path}/out").text


def a_trial(**changes: object) -> Trial:
    each = Estimate(10.0, 2.0)
    made = Trial(
        "same", 1000.0, 40, 40, 6, 2, 0, each, Estimate(100.0, 20.0), each, each, Estimate(2.0, 0.0), 3.0, True
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def a_run(**changes: object) -> Status:
    made = Status(task="build", shard="", chunks=8, clips=40, started=2000.0, clips_done=10, tracked=10, crops=40)
    made = replace(made, objects=105, size=2 * 2**30, memory=3 * 2**30, seconds={"track": 9000.0})
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path, tmp_path / "tracks")
    made.records.mkdir()
    (made.records / "settings").write_text("same")
    return made


def test_the_promise_is_cut_down_to_what_was_done(layout: Layout) -> None:
    a_trial().write(layout.plan)
    assert [str(each) for each in compared(layout, [a_run()])] == [
        "objects a clip: planned 10.0 ± 2.0, took 10.5 (within)",
        "crops: planned 25 ± 5, took 40 (outside)",
        "tracking: planned 2.5 ± 0.5 hours, took 2.5 hours (within)",
        "disk: planned 2.5 ± 0.5 GiB, took 2.0 GiB (within)",
        "memory of the GPU: planned 2.0 GiB, took 3.0 GiB",
    ]
    whole = compared(layout, [a_run(), a_run(clips_done=30, tracked=30, crops=62)])
    assert str(whole[1]) == "crops: planned 100 ± 20, took 102 (within)"


def test_only_runs_of_these_settings_since_the_trial_count(layout: Layout) -> None:
    assert compared(layout, [a_run()]) == [], "no trial"
    a_trial().write(layout.plan)
    assert compared(layout, [a_run(started=999.0), a_run(clips_done=0)]) == []
    (layout.records / "settings").write_text("others")
    assert compared(layout, [a_run()]) == []


def test_tracking_alone_is_compared_by_what_it_made(layout: Layout) -> None:
    a_trial(price=2.0).write(layout.plan)
    names = [each.name for each in compared(layout, [a_run(task="track")])]
    assert names == ["tracking", "price", "memory of the GPU"]


def test_a_process_that_did_a_window_at_a_time_promises_no_peak_and_small_prices_are_told(layout: Layout) -> None:
    small = a_trial(price=0.001, gpu=False, memory=Estimate(2.0, 0.1), hours=Estimate(10.0, 2.0))
    small.write(layout.plan)
    found = {each.name: each for each in compared(layout, [a_run()])}
    assert str(found["price"]) == "price: planned 0.0025 ± 0.0005, took 0.0025 (within)"
    assert str(found["memory of the process"]) == "memory of the process: planned 2.0 GiB, took 3.0 GiB"
    assert dict(small.rows())["price"] == "0.0100 ± 0.0020 at 0.001 an hour"


def test_windows_that_fail_are_said(footage: Path, tmp_path: Path, go: Callable[..., Done]) -> None:
    broken = tmp_path / "broken.mp4"
    whole = next(footage.rglob("*.mp4")).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    done = go("task=plan", f"videos={broken}", f"out={tmp_path}/out", *SMALL, "plan.trial=3")
    assert done.status in (0, 2), done.text
    assert "Traceback" not in done.text


def test_without_a_trial_nothing_is_written(footage: Path, tmp_path: Path, go: Callable[..., Done]) -> None:
    done = go("task=plan", f"videos={footage}", f"out={tmp_path}/out", *SMALL)
    assert done.status == 0 and "add plan.trial=6 to try six windows" in done.text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("options", "message"), [
    ({"trial": -1}, r"plan\.trial must be 0 or more windows, got -1"),
    ({"price": -2.0}, r"plan\.price must be 0 or more an hour, got -2"),
])  # fmt: skip
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlanConfig(**options)  # type: ignore[arg-type]


def test_a_damaged_estimate_is_none(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"windows": 3}')
    assert Trial.read(tmp_path / "plan.json") is None
