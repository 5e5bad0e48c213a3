"""What a trial promised (`task=plan plan.trial=N`), and what then happened, quantity by quantity.

The runs since the trial with its settings count, all shards together; the promise is cut down to as much as they did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pipeline.layout import Layout
from pipeline.tasks.trial import Estimate, Trial, money, room, spent
from pipeline.writing import write_bytes

if TYPE_CHECKING:
    from pipeline.status import Status

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity. planned, took: in words. within: whether it lies in the promised band; None where there was none,
    from a single window."""

    name: str
    planned: str
    took: str
    within: bool | None

    def __str__(self) -> str:
        verdict = {True: " (within)", False: " (outside)", None: ""}[self.within]
        return f"{self.name}: planned {self.planned}, took {self.took}{verdict}"


def compared(layout: Layout, runs: Sequence[Status]) -> list[Compared]:
    """Nothing where no trial was made with these settings, or nothing has been done since. runs: of any time."""
    trial = Trial.read(layout.plan)
    if trial is None or trial.settings != _settings(layout):
        return []
    since = [run for run in runs if run.started >= trial.made and run.clips_done]
    return list(_rows(trial, since)) if since else []


def told(layout: Layout, runs: Sequence[Status], folder: Path | None) -> list[Compared]:
    """The same, also said in the log and kept in a run's folder."""
    found = compared(layout, runs)
    for each in found:
        log.info("%s", each)
    if found and folder is not None:
        write_bytes(folder / "planned.json", orjson.dumps([asdict(each) for each in found], option=orjson.OPT_INDENT_2))
    return found


def _rows(trial: Trial, runs: Sequence[Status]) -> Iterator[Compared]:
    clips, tracked = sum(run.clips_done for run in runs), sum(run.tracked for run in runs)
    made = not any(run.task == "track" for run in runs)
    share = clips / trial.clips
    if made:
        yield _row("objects a clip", trial.objects, sum(run.objects for run in runs) / clips, lambda e: e.text(1))
        yield _row("crops", trial.crops.times(share), sum(run.crops for run in runs), lambda e: e.text())
    if trial.to_track and tracked:
        hours = sum(run.seconds.get("track", 0.0) for run in runs) / 3600
        planned = trial.hours.times(tracked / trial.to_track)
        yield _row("tracking", planned, hours, spent)
        if trial.price is not None:
            yield _row("price", planned.times(trial.price), hours * trial.price, money)
    if made:
        yield _row("disk", trial.gib.times(share), sum(run.size for run in runs) / 2**30, room)
    peak = max(run.memory for run in runs)
    if peak:
        yield _row(f"memory {trial.memory_of}", trial.most, peak / 2**30, room)


def _row(name: str, planned: Estimate, took: float, words: Callable[[Estimate], str]) -> Compared:
    within = abs(took - planned.mean) <= planned.error if planned.error else None
    return Compared(name, words(planned), words(Estimate(took, 0.0)), within)


def _settings(layout: Layout) -> str:
    """The digest of the settings that the dataset was last built with."""
    try:
        return (layout.records / "settings").read_text()
    except OSError:
        return ""
