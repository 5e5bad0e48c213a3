"""Which chunks a run still has to do: those without a finished record, or whose record no longer serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline.done import Done, TracksSeen, judged_by
from pipeline.layout import Layout
from pipeline.ledger import Ledger, unfinished

if TYPE_CHECKING:
    from pipeline.job import Job
    from pipeline.settings import Settings
    from pipeline.split import Splits

ASKED_AT_ONCE, TOGETHER = 8, 64


def still_to_do(
    settings: Settings, layout: Layout, share: Sequence[Job], jobs: Sequence[Job], splits: Callable[[], Splits]
) -> list[Job]:
    """The jobs of this run's share that have something left to do. jobs: of all shards. splits: of all videos.

    Looks into a record, and for its crops, only where it changed since it was last found finished; with task=track into
    a track file only where it changed since it was last looked into.
    """
    again = settings.retry_failed
    if settings.task == "clip":
        return list(share)
    if settings.task == "track":
        seen = TracksSeen.read(layout)
        pending = _all_but(lambda job: all([seen.has(key, complete=again) for key in job.track_keys]), share)
        seen.write()
        return pending
    files = layout.record_files()
    done = Done.read(layout, judged_by(settings, layout))
    unknown = _all_but(lambda job: job.record_id in files and done.has(job, files[job.record_id]), share)
    if not any(job.record_id in files for job in unknown):
        return unknown
    from pipeline.indexing import judge_of

    ledger = Ledger(layout)
    judge = judge_of(settings, splits(), ledger, jobs)

    def finished(job: Job) -> bool:
        if unfinished(ledger.read(job.record_id), judge, layout.crop_sizes(job.chunk.clip_ids), again):
            return False
        done.add(job, files[job.record_id])
        return True

    pending = _all_but(finished, unknown)
    done.write()
    return pending


def _all_but(done: Callable[[Job], bool], jobs: Sequence[Job]) -> list[Job]:
    """The jobs that are not done. Many are asked about at a time: a file system on a network takes its time."""
    parts = [jobs[n : n + TOGETHER] for n in range(0, len(jobs), TOGETHER)]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = pool.map(lambda part: [job for job in part if not done(job)], parts)
        return [job for left in found for job in left]


def note_done(settings: Settings, layout: Layout, jobs: Sequence[Job], left: Set[str]) -> None:
    """Note which chunks of this run's share are finished, now that they were done and all records were read.

    left: records that leave something to do.
    """
    files = layout.record_files()
    done = Done.read(layout, judged_by(settings, layout))
    for job in jobs:
        if job.record_id in files and job.record_id not in left and settings.shard.takes(job.chunk.id):
            done.add(job, files[job.record_id])
    done.write()
