"""task=demo: generate footage with known truth, build a dataset from it, and say how good the tracks are."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.build import Build, Summary
from pipeline.executors.local import cores
from pipeline.footage import survey
from pipeline.quoting import shell_word
from pipeline.report.contact import contact_sheet
from pipeline.settings import Settings
from pipeline.track_store import WindowTracks
from sam.metrics import Score, Truth, TruthMask, evaluate, total
from sam.types import Mask
from video.scenes import SceneTruth, load_truth, make_footage

log = logging.getLogger(__name__)

SHOWN = 12


def demo(settings: Settings) -> Summary:
    """Run the demo; returns the build's summary."""
    options = settings.demo
    footage = Path(settings.videos[0])
    log.info("footage: %d generated videos of %g s in %s", options.videos, options.seconds, footage)
    make_footage(footage, options.videos, options.seconds, options.seed, workers=cores())
    build = Build(replace(settings, task="build"))
    summary = build.run()
    score = total(_scores(build))
    log.info("tracks against the exact truth: mean mask IoU %.3f, IDF1 %.3f", score.iou, score.idf1)
    python = Path(sys.executable)
    python = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    sheet = _contact_sheet(build)
    print(
        f"""
{summary.crops} crops of {summary.clips} clips from {summary.videos} videos ({summary.rejected} refused, with reasons)
  dataset   {settings.place}
  report    {build.layout.report}
  picture   {sheet}
  tracks    mean mask IoU {score.iou:.3f}, IDF1 {score.idf1:.3f} against the generated truth

Next, your own fixed-camera footage:
  {python} main.py videos=/path/to/videos prompt=cow tracker={settings.tracker_name} out=/path/to/dataset
Crop again at another size, without tracking:
  {python} main.py task=crop crop.size=112 out={shell_word(settings.place)}"""
    )
    return summary


def _contact_sheet(build: Build) -> Path:
    """A picture of crops spread evenly over videos and time, of objects that show from first to last frame."""
    columns = ["video", "path", "visible_share", "truncated"]
    rows = pq.read_table(build.layout.samples, columns=columns).to_pylist()
    whole = [row for row in rows if row["visible_share"] == 1 and row["truncated"] == 0] or rows
    chosen = [whole[n * len(whole) // SHOWN] for n in range(SHOWN)] if len(whole) > SHOWN else whole
    sheet = build.layout.root / "contact_sheet.jpg"
    build.layout.bring(build.layout.root / row["path"] for row in chosen)
    contact_sheet([build.layout.root / row["path"] for row in chosen], sheet, columns=2, frames=6)
    return sheet


def _scores(build: Build) -> list[Score]:
    """The score of every window that was tracked."""
    truths: dict[str, SceneTruth] = {}
    scores = []
    for job in build.jobs(survey(build.settings, build.ledger)):
        video = job.chunk.video
        truth = truths.setdefault(video.path, load_truth(video.path))
        for key in job.track_keys:
            for window in build.store.read(key).values():
                size = (video.width, video.height)
                scores.append(evaluate(window.tracks, _truth_of(truth, window), size))
    return scores


def _truth_of(truth: SceneTruth, window: WindowTracks) -> Truth:
    return [
        {
            int(truth.individual[row]): TruthMask(
                Mask(tuple(truth.boxes[row].tolist()), truth.counts[row]), truth.visible(row)
            )
            for row in truth.rows(int(index))
        }
        for index in window.indices
    ]
