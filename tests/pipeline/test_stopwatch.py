"""Seconds by stage: what is counted, what is not, and from several threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import stopwatch
from pipeline.layout import Layout
from pipeline.stopwatch import STAGES, Stopwatch
from pipeline.worker import Worker
from tests.pipeline.test_overlap import hooked


class Clock:
    """A clock that stands still unless it is told otherwise."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stopwatch, "time", made)
    return made


def test_blocks_add_up_also_where_they_fail(clock: Clock) -> None:
    watch = Stopwatch()
    for seconds in (2.0, 3.0):
        with watch.timed("track"):
            clock.now += seconds
        clock.now += 100
    with pytest.raises(ValueError), watch.timed("track"):
        clock.now += 1
        raise ValueError
    assert watch.seconds == {"track": 6.0}


def test_making_items_counts_and_using_them_does_not(clock: Clock) -> None:
    def slow() -> Iterator[int]:
        for item in range(3):
            clock.now += 2
            yield item
        clock.now += 1

    watch = Stopwatch()
    for _ in watch.each("decode", slow()):
        clock.now += 10
    assert watch.seconds == {"decode": 7.0}


def test_two_threads_take_more_seconds_than_go_by(clock: Clock) -> None:
    watch, both = Stopwatch(), threading.Barrier(2)

    def crop() -> None:
        with watch.timed("crop"):
            both.wait()
            if both.wait() == 0:
                clock.now += 5
            both.wait()

    threads = [threading.Thread(target=crop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.seconds == {"crop": 10.0} and clock.now == 5


def test_stages_have_their_order() -> None:
    watch = Stopwatch()
    for stage in reversed(STAGES):
        watch.add(stage, 1.0)
    assert tuple(watch.seconds) == STAGES


def test_a_worker_times_every_stage(footage: Path, tmp_path: Path) -> None:
    from pipeline.build import Build
    from pipeline.footage import survey

    settings = hooked(footage / "farm2", tmp_path)
    build = Build(settings)
    with Worker(settings, threads=2) as worker:
        (outcome,) = worker.run(build.jobs(survey(settings, build.ledger)))
    assert tuple(outcome.seconds) == STAGES and all(seconds >= 0 for seconds in outcome.seconds.values())
    worked = ("decode", "track", "measure", "crop", "commit")
    assert all(outcome.seconds[stage] > 0 for stage in worked)
    assert Layout(settings.out, settings.tracks).record_files()
