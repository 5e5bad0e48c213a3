"""task=plan: what a build would do and need. Reads headers and the ledger; writes nothing but a trial's estimate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

from pipeline.build import Build
from pipeline.corrections import CLICKS
from pipeline.footage import Footage, survey
from pipeline.job import Job
from pipeline.layout_of import layout_of
from pipeline.ledger import Ledger
from pipeline.settings import SPLITS, Settings
from pipeline.split import Splits
from pipeline.status import clock
from pipeline.tasks.trial import trial
from pipeline.track_store import degraded_key
from video.spread import Spread
from video.types import Chunk

SHOWN = 20  # videos whose prompts are listed
LOOKED_AT = 200  # records that an estimate is made from


def plan(settings: Settings) -> tuple[int, str]:
    """The exit status of a build that stopped here, and the plan as text."""
    layout = layout_of(settings)
    build = Build(replace(settings, task="build"))
    ledger = Ledger(layout)
    footage = survey(settings, ledger, remember=False)
    jobs = build.jobs(footage)
    on_disk = layout.record_files()
    done = [job for job in jobs if job.record_id in on_disk]
    keys = {key: len(job.chunk.starts) for job in jobs for key in job.track_keys}
    there = layout.track_keys()
    stored = {key for key in keys if key in there or degraded_key(key) in there}
    again = _tracked_again(jobs, stored, there)
    frames = sum(job.chunk.frames for job in jobs)
    length = clock(sum(video.duration for video in footage.videos))
    rows = [
        ("videos", f"{len(footage.videos)} ({length} in all)"),
        ("cannot be used", str(len(footage.failures))),
        ("duplicates", str(len(footage.duplicates))),
        ("clips", f"{footage.clips} of {settings.clip.num_frames} frames"),
        *([("spread", _spread(footage.spread))] if footage.spread else []),
        ("prompts", _prompts(settings, footage)),
        ("to track", f"{sum(again.get(k, n) for k, n in keys.items() if k not in stored)} windows"),
        ("frames", f"{frames} to decode"),
        ("tracks reused", f"{sum(keys[k] for k in stored) + sum(keys[k] - n for k, n in again.items())} windows"),
        ("chunks done", f"{len(done)} of {len(jobs)}"),
        ("splits", _splits(settings, build, footage)),
        ("exports", ", ".join(settings.exports) or "none"),
        ("out", settings.place),
    ]
    to_track = sum(again.get(k, n) for k, n in keys.items() if k not in stored)
    if settings.plan.trial and jobs:
        found = trial(settings, jobs, to_track, settings.plan.trial)
        found.write(layout.plan)
        rows += found.rows()
    else:
        rows += _measured(done, ledger, footage.clips)
    lines = [f"{name + ':':<16} {value}" for name, value in rows]
    lines += [f"unusable: {f.error if f.video in f.error else f'{f.video}: {f.error}'}" for f in footage.failures]
    if settings.prompts_file is not None:
        asked = [f"{video.name}: {'; '.join(footage.prompts[video.name])}" for video in footage.videos]
        lines += ["", *asked[:SHOWN], *([f"... and {len(asked) - SHOWN} more videos"] if len(asked) > SHOWN else [])]
    return (0 if footage.videos else 2), "\n".join(lines)


def _tracked_again(jobs: Sequence[Job], stored: Set[str], there: Set[str]) -> dict[str, int]:
    """Of chunks whose tracks are stored without the corrections asked for: how many windows clicks track once more.
    there: all track files."""
    again = {}
    for job in jobs:
        for p, (key, base) in enumerate(zip(job.track_keys, job.base_keys, strict=True)):
            if key not in stored and base != key and (base in there or degraded_key(base) in there):
                entries = job.corrector.entries[p].values()
                again[key] = sum(any(entry.do in CLICKS for _, entry in each) for each in entries)
    return again


def _prompts(settings: Settings, footage: Footage) -> str:
    if settings.prompts_file is None:
        return ", ".join(settings.prompts)
    different = {prompt for prompts in footage.prompts.values() for prompt in prompts}
    return f"{len(different)} different ones, by video below, from {settings.prompts_file.path}"


def _spread(spread: Spread) -> str:
    """The budget by camera, hour and activity."""
    named = []
    for place, many in enumerate(("cameras", "hours", "levels of activity")):
        found = {cell[place] for cell, taken in spread.taken.items() if taken}
        named.append(f"{len(found)} of {len({cell[place] for cell in spread.available})} {many}")
    clips = f"{sum(spread.taken.values())} of {sum(spread.available.values())} clips"
    return f"{clips}: {', '.join(named)}"


def _splits(settings: Settings, build: Build, footage: Footage) -> str:
    """Planned clips by split, by the times that the headers promise."""
    if settings.split.by == "individual":
        return "by individual, once these are known"
    splits = build.splits(footage)
    counts: dict[str | None, int] = dict.fromkeys(SPLITS, 0)
    for chunk in footage.chunks:
        for split, clips in _clips_by_split(chunk, splits):
            counts[split] = counts.get(split, 0) + clips
    return ", ".join(f"{split or 'embargo'} {count} clips" for split, count in counts.items())


def _clips_by_split(chunk: Chunk, splits: Splits) -> Iterator[tuple[str | None, int]]:
    """How many clips of a chunk go where; clip by clip only where it lies across a border or near to one."""

    def split(first: int, last: int) -> str | None:
        return splits.of(chunk.video.name, *(chunk.grid.seconds(p, chunk.video) for p in (first, last)))

    length = chunk.num_frames - 1
    whole = split(chunk.starts[0][0], chunk.starts[-1][-1] + length)
    if whole is not None:
        yield whole, chunk.clips
    else:
        yield from ((split(start, start + length), 1) for starts in chunk.starts for start in starts)


def _measured(done: Sequence[Job], ledger: Ledger, clips: int) -> list[tuple[str, str]]:
    """What the chunks that are done promise for the whole; of many, some that lie evenly among them."""
    some = [done[n * len(done) // LOOKED_AT] for n in range(LOOKED_AT)] if len(done) > LOOKED_AT else done
    records = [record for job in some if (record := ledger.read(job.record_id)) is not None]
    seen = sum(len(record.clips) for record in records)
    if not seen:
        return [("crops, disk", "unknown until a first chunk is done: add plan.trial=6 to try six windows")]
    files = [f for record in records for sample in record.samples for f in sample.files]
    crops = sum(bool(sample.files) for record in records for sample in record.samples)
    per_clip = crops / seen
    size = sum(f.size for f in files) / seen * clips
    return [
        ("crops", f"about {per_clip * clips:.0f} ({per_clip:.1f} a clip so far)"),
        ("disk", f"about {size / 2**30:.2f} GiB"),
    ]
