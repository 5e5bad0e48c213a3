"""Proof that no split leaks into another, from the index alone: what two splits share is named, pair by pair.

Two crops leak when they show the same moment of the same video, or when their files have the same bytes (the same
footage under two names). One individual in two splits is counted and said, and stops nothing: within one video
(`split.by=time`) it cannot be avoided. It knows nothing of how the splits were made.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from pipeline.errors import DatasetError

log = logging.getLogger(__name__)

COLUMNS = ("sample_id", "path", "split", "individual_id", "video", "video_fingerprint", "frame_indices", "sha256")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Leak:
    """Two crops in different splits, and what they share: "frames" or "bytes"."""

    shared: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.first} and {self.second} share {self.shared}"


def leaks(samples: pa.Table) -> Iterator[Leak]:
    """At least one leak per group of samples that leaks; none if there is none. samples: the index's `COLUMNS`."""
    rows = samples.select(list(COLUMNS)).to_pydict()
    names = [f"{path} ({split})" for path, split in zip(rows["path"], rows["split"], strict=True)]
    yield from _same_frames(rows["video_fingerprint"], rows["frame_indices"], rows["split"], names)
    first: dict[str, int] = {}
    for n, digest in enumerate(rows["sha256"]):
        m = first.setdefault(digest, n)
        if rows["split"][m] != rows["split"][n]:
            yield Leak("bytes", names[m], names[n])


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


def check(samples: pa.Table) -> None:
    """Raise DatasetError, with the first pairs, if a split leaks into another."""
    found = list(islice(leaks(samples), 1000))
    if found:
        many = f"{len(found)}{' or more' if len(found) == 1000 else ''}"
        shown = "; ".join(map(str, found[:SHOWN]))
        raise DatasetError(
            f"the splits leak, so nothing is exported: {many} pairs of crops share what they must not: {shown}. "
            "Put what belongs together into one group (split.by, split.assign), or remove the second copy"
        )
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
