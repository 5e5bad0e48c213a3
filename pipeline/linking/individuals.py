"""Individuals in the index: the columns `individual_id` and `link_confidence`, and `links.parquet` for review.

An id is made from the first sample of its individual, so it is the same at every crop setting and in every order of
the records. Individuals end with their video.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.corrected_windows import Said
from pipeline.index import SAMPLES, Index
from pipeline.linking.appearance import Appearance, Embedded, Evidence, curve_of, evidence, vectors_of
from pipeline.linking.embeddings import Embeddings
from pipeline.linking.link import link
from pipeline.linking.shared_frames import Shared, shared_frames
from pipeline.linking.tracklets import Tracklet, Tracklets
from pipeline.linking.whitening import Whitening
from pipeline.records import Failure
from pipeline.settings import LinkConfig
from pipeline.track_store import TrackStore
from video.types import Chunk, digest

log = logging.getLogger(__name__)
CONTRADICTED = "one frame shows both, or something else that was said has them be two"
LINKS = pa.schema(
    [
        pa.field("video", pa.string(), nullable=False),
        pa.field("first_sample", pa.string(), nullable=False),
        pa.field("second_sample", pa.string(), nullable=False),
        pa.field("first_s", pa.float64(), nullable=False),
        pa.field("second_s", pa.float64(), nullable=False),
        pa.field("by", pa.string(), nullable=False),
        pa.field("gap_s", pa.float64(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("margin", pa.float32(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Individuals:
    """Of every tracked object, kept or not. ids, confidence: by sample id; the confidence is None for an individual's
    first tracklet. links: the table of `LINKS`. failures: what a person said of individuals and cannot be."""

    ids: Mapping[str, str]
    confidence: Mapping[str, float | None]
    links: pa.Table
    failures: tuple[Failure, ...] = ()


def individuals(
    tracklets: Tracklets,
    chunks: Sequence[tuple[Chunk, Mapping[str, str]]],
    store: TrackStore,
    config: LinkConfig,
    said: Mapping[str, Sequence[Said]] | None = None,
    embeddings: Embeddings | None = None,
) -> Individuals:
    """Link the tracklets of every video. chunks: all there are, each with the key of its tracks by prompt.

    said: by fingerprint, what a person says of individuals. embeddings: the vectors that tell how the tracklets look;
    None for their colours.
    """
    by_video: dict[str, list[tuple[Chunk, Mapping[str, str]]]] = {}
    for chunk, keys in chunks:
        by_video.setdefault(chunk.video.fingerprint, []).append((chunk, keys))
    ids: dict[str, str] = {}
    confidence: dict[str, float | None] = {}
    links = [LINKS.empty_table()]
    failures: list[Failure] = []
    videos = tracklets.of_videos()
    shared = {name: shared_frames(found, by_video[name], store) for name, found in videos.items()}
    looks = _looks(videos, shared, embeddings)
    for fingerprint, found in videos.items():
        words, unknown = _words(found, (said or {}).get(fingerprint, ()))
        linked = link(found, shared[fingerprint], config, [pair for pair, _ in words], looks(fingerprint))
        wrong = [f"{words[n][1].where}: {CONTRADICTED}" for n in linked.contradicted]
        failures += [Failure(found[0].video, None, "link", error) for error in (*unknown, *wrong)]
        for n, tracklet in enumerate(found):
            individual = digest("individual", found[linked.individual[n]].samples[0])
            for sample in tracklet.samples:
                ids[sample], confidence[sample] = individual, linked.confidence[n]
        known, found_many = config.count(found[0].video), len(set(linked.individual))
        if known is not None and found_many > known:
            log.warning(
                "%s: %d individuals, though link.individuals says %d: the others were seen at the same time, or "
                "nothing speaks for a link",
                found[0].video,
                found_many,
                known,
            )
        rows: list[dict[str, Any]] = []
        for each in linked.links:
            first, second = found[each.first], found[each.second]
            rows.append(
                {
                    "video": first.video,
                    "first_sample": first.samples[-1],
                    "second_sample": second.samples[0],
                    "first_s": float(first.times_s[-1]),
                    "second_s": float(second.times_s[0]),
                    "by": each.by,
                    "gap_s": each.gap_s,
                    "score": each.score,
                    "margin": each.margin,
                    "state": "linked" if each.linked else "open",
                }
            )
        links.append(pa.Table.from_pylist(rows, schema=LINKS))
    order = [(name, "ascending") for name in ("video", "first_s", "second_s", "first_sample", "second_sample")]
    for failure in failures:
        log.warning("%s: %s", failure.video, failure.error)
    return Individuals(ids, confidence, pa.concat_tables(links).sort_by(order), tuple(failures))


def _words(
    tracklets: Sequence[Tracklet], said: Sequence[Said]
) -> tuple[list[tuple[tuple[int, int, bool], Said]], list[str]]:
    """What is said, by the numbers of the tracklets; and what is said of objects that are not there."""
    numbers = {tracklet.key: n for n, tracklet in enumerate(tracklets)}
    words, unknown = [], []
    for each in said:
        missing = [key for key in (each.first, each.second) if key not in numbers]
        if missing:
            window, prompt, number = missing[0]
            there = sorted(n for w, p, n in numbers if (w, p) == (window, prompt))
            shown = ", ".join(map(str, there)) or "none"
            unknown.append(f"{each.where}: there is no object {number} in window {window}; there are {shown}")
        else:
            words.append(((numbers[each.first], numbers[each.second], each.same), each))
    return words, unknown


def _looks(
    videos: Mapping[str, Sequence[Tracklet]], shared: Mapping[str, Sequence[Shared]], embeddings: Embeddings | None
) -> Callable[[str], Appearance | None]:
    """How the tracklets of a video look, by its fingerprint. In memory are the vectors of one video, and of all what is
    left of them when they are whitened."""
    if embeddings is None:
        return lambda fingerprint: None
    whitening = Whitening.of(embeddings.every())
    vectors = {name: vectors_of(found, embeddings.of_video(name), whitening) for name, found in videos.items()}
    known = {name: evidence(found, shared[name], vectors[name]) for name, found in videos.items()}
    none = np.zeros(0)
    every = Evidence(
        np.concatenate([none, *(each.same for each in known.values())]),
        np.concatenate([none, *(each.different for each in known.values())]),
    )
    return lambda name: Embedded(vectors[name], curve_of(videos[name][0].video, known[name], every))


def joined(index: Index, found: Individuals) -> Index:
    """The index with its columns `individual_id` and `link_confidence` filled in."""
    names = index.samples["sample_id"].to_pylist()
    samples = index.samples
    for column, values in (("individual_id", found.ids), ("link_confidence", found.confidence)):
        place = SAMPLES.get_field_index(column)
        filled = pa.array([values[name] for name in names], SAMPLES.field(column).type)
        samples = samples.set_column(place, SAMPLES.field(column), filled)
    failed = pa.Table.from_pylist([asdict(failure) for failure in found.failures], schema=index.failures.schema)
    failures = pa.concat_tables([index.failures, failed])
    still_open = found.links["state"].to_pylist().count("open")
    left = f"; {still_open} links are doubtful and left open: see them in task=studio" if still_open else ""
    log.info("%d crops of %d individuals%s", len(names), len(set(samples["individual_id"].to_pylist())), left)
    return replace(index, samples=samples, failures=failures)
