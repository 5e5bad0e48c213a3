"""Crops that look alike: a perceptual hash of every crop, repetitions within a video, and look-alikes across splits.

The hash is the pHash of the middle visible frame of the main crop: grey, 32 x 32, discrete cosine transform, and of the
lowest 8 x 8 frequencies without the constant one bit each, whether it lies above their median (C. Zauner,
Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). Two hashes are compared by how many of their
63 bits differ. All pairs that matter are compared, by XOR and a count of bits over whole arrays: exact, in memory that
grows with the number of crops, and fast enough for hundreds of thousands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.judge import Judge
from pipeline.records import ChunkRecord

SIDE, LOW = 32, 8  # of the grey picture, and of the frequencies that count
NEAR = 4  # differing bits up to which two crops of different splits are counted as look-alikes
Hashes = NDArray[np.uint64]


def phash(picture: NDArray[np.uint8]) -> str:
    """16 hexadecimal digits of (S, S, 3) uint8 RGB."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    shrinks = cv2.INTER_AREA if len(grey) > SIDE else cv2.INTER_LINEAR
    low = cv2.dct(cv2.resize(grey, (SIDE, SIDE), interpolation=shrinks))[:LOW, :LOW].ravel()[1:]
    return np.packbits(np.append(low > np.median(low), False)).tobytes().hex()


def hashes(texts: Sequence[str]) -> Hashes:
    """(n,) of n hashes written by `phash`."""
    return np.frombuffer(bytes.fromhex("".join(texts)), np.uint64)


def repetitions(records: Iterable[ChunkRecord], judge: Judge, max_bits: int) -> dict[str, int]:
    """The crops that repeat an earlier kept one of their video: sample id -> differing bits.

    Of the objects that `judge` keeps and whose crop has been rendered; in order of time, then of prompt and number, so
    the order of the records does not matter.
    """
    by_video: dict[str, list[tuple[tuple[float, str, str, int], str, str]]] = {}
    for record in records:
        for sample in record.samples:
            if sample.phash is not None and judge.refusal(sample) is None:
                order = sample.timestamps_s[0], sample.clip_id, sample.prompt, sample.object_id
                by_video.setdefault(sample.video_fingerprint, []).append((order, sample.sample_id, sample.phash))
    found: dict[str, int] = {}
    for rows in by_video.values():
        rows.sort()
        every = hashes([text for _, _, text in rows])
        kept, count = np.zeros_like(every), 0
        for (_, sample_id, _), own in zip(rows, every, strict=True):
            nearest = int(_bits(kept[:count], own).min(initial=64))
            if nearest <= max_bits:
                found[sample_id] = nearest
            else:
                kept[count], count = own, count + 1
    return found


@dataclass(frozen=True, slots=True)
class LookAlikes:
    """Crops of one split that look like some crop of another. pairs: (row, row in the other split, differing bits),
    the most alike first."""

    split: str
    other: str
    crops: int
    of: int
    pairs: tuple[tuple[int, int, int], ...]


def look_alikes(samples: pa.Table, shown: int = 3) -> list[LookAlikes]:
    """For every split how many of its crops have a look-alike in each other split. samples: the columns split and
    phash. shown: pairs that are named."""
    splits = np.array(samples["split"].to_pylist(), object)
    every = hashes(samples["phash"].to_pylist())
    rows = {split: np.flatnonzero(splits == split) for split in sorted(set(splits.tolist()))}
    found = []
    for a, b in permutations(rows, 2):
        if len(rows[a]) > len(rows[b]) or (len(rows[a]) == len(rows[b]) and a > b):
            continue  # each pair of splits once, seen from the smaller one: the crops it is judged by
        nearest, bits = _nearest(every[rows[a]], every[rows[b]])
        alike = np.flatnonzero(bits <= NEAR)
        best = alike[np.argsort(bits[alike], kind="stable")][:shown]
        pairs = tuple((int(rows[a][n]), int(rows[b][nearest[n]]), int(bits[n])) for n in best)
        if len(alike):
            found.append(LookAlikes(a, b, len(alike), len(rows[a]), pairs))
    return found


def _nearest(ones: Hashes, others: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each of `ones` the place of the first nearest of `others`, and how many bits differ. Equal hashes are looked
    at once."""
    unique, back = np.unique(ones, return_inverse=True)
    theirs, first = np.unique(others, return_index=True)
    place, bits = np.zeros(len(unique), np.int64), np.zeros(len(unique), np.int64)
    for n, own in enumerate(unique):
        off = _bits(theirs, own)
        place[n] = first[off.argmin()]
        bits[n] = off.min()
    return place[back], bits[back]


def _bits(many: Hashes, one: np.uint64) -> NDArray[np.uint8]:
    """How many bits of each differ from one."""
    return np.asarray(np.bitwise_count(many ^ one), np.uint8)


def described(found: Sequence[LookAlikes], samples: pa.Table) -> str:
    """All of them in one line, with one pair. samples: as above, with the column path."""
    near = f" (phash differs in {NEAR} bits or fewer)"
    first, *others = found
    counts = f"{first.crops} of {first.of} crops of {first.split} look like a crop of {first.other}{near}"
    more = "".join(f", {a.crops} of {a.of} of {a.split} like one of {a.other}" for a in others)
    pair = " and ".join(samples["path"][row].as_py() for row in first.pairs[0][:2])
    return (
        f"{counts}{more}, such as {pair}. The report shows pairs: the same pose does no harm, the same scene twice "
        "should be one group (split.by, split.assign)"
    )
