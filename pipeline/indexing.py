"""From records to the index on disk: what was found in every chunk, judged, linked and split.

It knows the order in which `index`, `individuals`, `visits` and `split` do this, and what is said of it in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import orjson
import pyarrow as pa

from pipeline import index
from pipeline.corrected_windows import said_of
from pipeline.filters.filter import Refusal
from pipeline.footage import Footage
from pipeline.job import Job
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.linking.embeddings import Embeddings
from pipeline.linking.individuals import individuals, joined
from pipeline.linking.tracklets import Tracklets
from pipeline.near_duplicates import repetitions
from pipeline.records import ChunkRecord
from pipeline.settings import SPLITS, Settings, SplitConfig
from pipeline.split import Splits, settle, unused_patterns
from pipeline.tables import write_table
from pipeline.track_store import TrackStore
from pipeline.visits import split_by_individual
from pipeline.writing import write_bytes
from video.spread import Spread

log = logging.getLogger(__name__)


def write_index(settings: Settings, layout: Layout, footage: Footage, jobs: Sequence[Job], splits: Splits) -> set[str]:
    """Rebuild the parquet files; returns the ids of the records that leave something to do."""
    ledger, config = Ledger(layout), settings.split
    settle(splits, footage.videos, config, layout)
    _say_what_is_empty(splits, footage, config)
    _keep_spread(footage.spread, layout)
    judge = judge_of(settings, splits, ledger, jobs)
    admits = replace(judge, repeats={})  # who repeats an earlier crop still lends its colours to the links
    left: set[str] = set()
    tracklets = Tracklets()

    def records() -> Iterator[ChunkRecord]:
        for job in jobs:
            record = ledger.read(job.record_id)
            if record is not None:
                if record.incomplete or any(not s.files and judge.refusal(s) is None for s in record.samples):
                    left.add(record.id)
                if settings.linking.enabled:
                    tracklets.add(record, lambda sample: admits.refusal(sample) is None)
                yield record

    refused = footage.duplicates + footage.refused
    made = index.build(records(), judge, settings.crop.size, refused, footage.failures)
    layout.remove(layout.links)
    final = {job.record_id for job in jobs} <= set(layout.record_files())
    if settings.linking.enabled:
        chunks = [(job.chunk, dict(zip(job.prompts, job.track_keys, strict=True))) for job in jobs]
        embeddings = Embeddings.of(settings.linking, layout)
        if embeddings is not None:
            made_records = partial(_records, jobs, ledger)
            embeddings.update(made_records, lambda sample: judge.refusal(sample) is None)
        said = said_of(settings, footage)
        found = individuals(tracklets, chunks, TrackStore(layout), settings.linking, said, embeddings)
        write_table(layout.links, found.links)
        made = joined(made, found)
        if config.by == "individual":
            made = split_by_individual(made, found, config, layout, final)
    if final:
        _say_what_stayed_empty(made.samples, splits, config)
    made.write(layout)
    return left


def _records(jobs: Sequence[Job], ledger: Ledger) -> Iterator[ChunkRecord]:
    return (record for job in jobs if (record := ledger.read(job.record_id)) is not None)


def _keep_spread(spread: Spread | None, layout: Layout) -> None:
    """For the report: clips taken and available by camera, hour and activity."""
    if spread is None:
        layout.remove(layout.spread)
        return
    cells = sorted(spread.available.items())
    write_bytes(layout.spread, orjson.dumps([[*place, spread.taken[place], many] for place, many in cells]))


def judge_of(settings: Settings, splits: Splits, ledger: Ledger, jobs: Sequence[Job]) -> Judge:
    """The judge of everything at once, who also knows what repeats an earlier crop of its video."""
    judge, options = Judge.of(settings, splits), settings.filters["near_duplicate"]
    if not options.enabled:
        return judge
    found = repetitions(_records(jobs, ledger), judge, options.max_bits)
    return replace(
        judge, repeats={name: Refusal("near_duplicate", bits, options.max_bits) for name, bits in found.items()}
    )


def _say_what_is_empty(splits: Splits, footage: Footage, config: SplitConfig) -> None:
    empty = splits.without_videos(config.fractions) if config.by != "individual" else []
    if empty:
        hint = {"time": "", "video": "; split.by=time cuts long videos in time"}.get(
            config.by, "; split.by=video makes more"
        )
        log.warning("nothing goes to %s: split.by=%s makes too few groups%s", " and ".join(empty), config.by, hint)
    unused = unused_patterns(footage.videos, config)
    if unused:
        log.warning("split.assign: no video fits %s", ", ".join(map(repr, unused)))


def _say_what_stayed_empty(samples: pa.Table, splits: Splits, config: SplitConfig) -> None:
    """Splits for which clips were planned, and of which no crop was kept. Nothing where no split has any."""
    kept = set(samples["split"].to_pylist())
    planned = {span.split for spans in splits.spans.values() for span in spans}
    empty = [split for split in SPLITS if split in planned - kept]
    if kept and empty and config.by != "individual":
        near = "; clips near a border are refused (split.embargo)" if config.by == "time" else ""
        log.warning(
            "no crop was kept for %s: no clip was taken there, nothing was found, or it was refused%s",
            " and ".join(empty),
            near,
        )
