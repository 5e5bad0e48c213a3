"""task=plan plan.trial=N: what a few windows promise for all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.settings import PlanConfig
from pipeline.trial import Estimate, Trial
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
    assert said["price"].endswith("at 2.5 an hour") and said["memory"].endswith("GiB at most, of the process")
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["plan.json"], "nothing else is left"
    promised = Trial.read(tmp_path / "out" / "runs" / "plan.json")
    assert promised is not None and promised.hours.mean > 0 and promised.failed == 0
    assert go(*command).status == 0
    made = len(rows(tmp_path / "out" / "samples.parquet"))
    assert promised.crops.mean == pytest.approx(made, rel=0.1), "all windows but the first were counted"
    crops = sum(path.stat().st_size for path in (tmp_path / "out" / "crops").rglob("*.mp4"))
    assert promised.gib.mean * 2**30 == pytest.approx(crops, rel=0.5), "and the tracks"
    told = go("task=status", f"out={tmp_path}/out").text
    assert f"planned: {promised.crops.text()} crops, " in told and f"so far {made} crops, 0:00:" in told


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
