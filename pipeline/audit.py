"""Proof that no split leaks into another, from the index alone: what two splits share is named, pair by pair.

Two crops leak when they show the same moment of the same video, when their files have the same bytes (the same footage
under two names), or when they show one individual although the splits were made by individual. With other splits
(`split.by=time`) one individual in two of them is counted and said, and stops nothing; nor do crops that merely look
alike, as resting animals on black do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from pipeline.errors import DatasetError
from pipeline.near_duplicates import described, look_alikes

log = logging.getLogger(__name__)

COLUMNS = (
    "sample_id",
    "path",
    "split",
    "label",
    "individual_id",
    "video",
    "video_fingerprint",
    "frame_indices",
    "sha256",
    "phash",
)
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Leak:
    """Two crops in different splits, and what they share: "frames", "bytes" or "an individual"."""

    shared: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.first} and {self.second} share {self.shared}"


def leaks(samples: pa.Table, by_individual: bool = False) -> Iterator[Leak]:
    """At least one leak per group of samples that leaks; none if there is none. samples: the index's `COLUMNS`.
    by_individual: whether an individual must not have crops in two splits."""
    rows = samples.select(list(COLUMNS)).to_pydict()
    names = [f"{path} ({split})" for path, split in zip(rows["path"], rows["split"], strict=True)]
    yield from _same_frames(rows["video_fingerprint"], rows["frame_indices"], rows["split"], names)
    yield from _same_value("bytes", rows["sha256"], rows["split"], names)
    if by_individual:
        yield from _same_value("an individual", rows["individual_id"], rows["split"], names)


def _same_value(shared: str, values: list[str | None], splits: list[str], names: list[str]) -> Iterator[Leak]:
    """Every sample with the first of another split that has the same value."""
    first: dict[str, int] = {}
    for n, value in enumerate(values):
        if value is not None:
            m = first.setdefault(value, n)
            if splits[m] != splits[n]:
                yield Leak(shared, names[m], names[n])


def _same_frames(videos: list[str], frames: list[list[int]], splits: list[str], names: list[str]) -> Iterator[Leak]:
    """Samples of one video whose spans of source frames meet, swept by their beginnings."""
    latest: dict[tuple[str, str], tuple[int, int]] = {}  # by video and split: the last frame so far, and whose
    for n in sorted(range(len(videos)), key=lambda n: (videos[n], frames[n][0])):
        for (video, split), (last, m) in latest.items():
            if video == videos[n] and split != splits[n] and frames[n][0] <= last:
                yield Leak("frames", names[m], names[n])
        key = videos[n], splits[n]
        if frames[n][-1] >= latest.get(key, (-1, 0))[0]:
            latest[key] = (frames[n][-1], n)


def check(samples: pa.Table, by_individual: bool = False) -> None:
    """Raise DatasetError, with the first pairs, if a split leaks into another."""
    found = list(islice(leaks(samples, by_individual), 1000))
    if found:
        many = f"{len(found)}{' or more' if len(found) == 1000 else ''}"
        shown = "; ".join(map(str, found[:SHOWN]))
        raise DatasetError(
            f"the splits leak, so nothing is exported: {many} pairs of crops share what they must not: {shown}. "
            "Put what belongs together into one group (split.by, split.assign), or remove the second copy"
        )
    for split, labels in labels_missing(samples).items():
        log.warning(
            "%s has no crop with the label %s: what is said of it there cannot be judged", split, ", ".join(labels)
        )
    alike = look_alikes(samples)
    if alike:
        log.warning("%s", described(alike, samples))
    divided = divided_individuals(samples)
    if divided:
        log.warning(
            "%d of %d individuals have crops in more than one split (split.by=time cuts videos): a model may know them "
            "by sight, so judge it on other videos as well",
            len(divided),
            len(set(samples["individual_id"].to_pylist()) - {None}),
        )


def divided_individuals(samples: pa.Table) -> list[str]:
    """The individuals with crops in more than one split, sorted; none where nothing was linked."""
    splits: dict[str, set[str]] = {}
    for who, split in zip(samples["individual_id"].to_pylist(), samples["split"].to_pylist(), strict=True):
        if who is not None:
            splits.setdefault(who, set()).add(split)
    return sorted(who for who, found in splits.items() if len(found) > 1)


def labels_missing(samples: pa.Table) -> dict[str, list[str]]:
    """By split, the labels that have crops in others and none in it; only splits with labelled crops. samples: the
    columns split and label."""
    found: dict[str, set[str]] = {}
    for split, label in zip(samples["split"].to_pylist(), samples["label"].to_pylist(), strict=True):
        if label is not None:
            found.setdefault(split, set()).add(label)
    every = set().union(*found.values())
    return {split: sorted(every - held) for split, held in sorted(found.items()) if every - held}
