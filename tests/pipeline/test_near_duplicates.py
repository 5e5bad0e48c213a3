"""Look-alikes: the hash, what repeats within a video, what is alike across splits, and that all pairs are compared."""

from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.filters.filter import Refusal
from pipeline.filters.size import Size
from pipeline.judge import Judge
from pipeline.near_duplicates import NEAR, hashes, look_alikes, phash, repetitions
from pipeline.roi import Regions
from pipeline.split import Span, Splits
from tests.pipeline.making import FIGURES, a_record, a_sample

EVERYTHING = Splits({"farm/cam1.mp4": (Span(0.0, float("inf"), "train"),)})


def picture(seed: int, size: int = 224) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)


def differing(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_the_hash_stays_through_brightness_size_and_noise_and_tells_pictures_apart() -> None:
    own = [phash(picture(seed)) for seed in range(12)]
    assert all(len(text) == 16 for text in own)
    for seed, text in enumerate(own):
        shown = picture(seed).astype(np.int16)
        noise = np.random.default_rng(9).integers(-6, 7, shown.shape)
        dim = np.clip(shown * 0.9 + noise, 0, 255).astype(np.uint8)
        assert differing(text, phash(dim)) <= NEAR
        assert differing(text, phash(np.asarray(cv2.resize(picture(seed), (112, 112)), np.uint8))) <= NEAR
    apart = [differing(a, b) for n, a in enumerate(own) for b in own[:n]]
    assert min(apart) > 2 * NEAR


def test_the_hash_is_that_of_the_definition() -> None:
    """The transform written out: its lowest 8 x 8 frequencies, row by row, against the median of all but the first."""
    grey = picture(3, 32)
    plane = cv2.cvtColor(grey, cv2.COLOR_RGB2GRAY).astype(np.float64)
    k, x = np.arange(8)[:, None], np.arange(32)[None]
    basis = np.cos(np.pi * (2 * x + 1) * k / 64) * np.where(k == 0, np.sqrt(1 / 32), np.sqrt(2 / 32))
    low = (basis @ plane @ basis.T).ravel()[1:]
    bits = "".join("1" if value > np.median(low) else "0" for value in low) + "0"
    assert phash(grey) == f"{int(bits, 2):016x}"


def kept_by(*, min_side: float = 10) -> Judge:
    return Judge([Size(min_side=min_side)], Regions(), EVERYTHING)


def test_what_repeats_an_earlier_kept_crop_is_found_in_order_of_time() -> None:
    """c differs from a by 4 bits and from b by 2; b repeats a and is not kept, so only a counts."""
    hashed = {"a": "f0", "b": "fc", "c": "ff", "d": "0f"}
    samples = [
        a_sample(name, phash=f"{hashed[name]:0>16}", timestamps_s=(float(n), n + 0.1, n + 0.2, n + 0.3))
        for n, name in enumerate(hashed)
    ]
    records = [a_record(samples[3], samples[1]), a_record(samples[2], samples[0])]
    assert repetitions(records, kept_by(), 2) == {"b": 2}
    assert repetitions(records, kept_by(), 3) == {"b": 2}
    assert repetitions(records, kept_by(), 4) == {"b": 2, "c": 4}
    assert repetitions(records[::-1], kept_by(), 4) == {"b": 2, "c": 4}
    assert repetitions(records, kept_by(), 0) == {}


def test_refused_unrendered_and_other_videos_repeat_nothing() -> None:
    same = dict.fromkeys("abcd", "00000000000000ff")
    small = a_sample("a", phash=same["a"], figures=FIGURES.__class__(**{**as_dict(FIGURES), "side": 5.0}))
    unseen = a_sample("b", phash=None)
    elsewhere = a_sample("c", phash=same["c"], video_fingerprint="f" * 16)
    later = a_sample("d", phash=same["d"], timestamps_s=(9.0, 9.1, 9.2, 9.3))
    assert repetitions([a_record(small, unseen, elsewhere, later)], kept_by(), 4) == {}


def as_dict(figures: object) -> dict[str, float]:
    return {name: getattr(figures, name) for name in figures.__slots__}  # type: ignore[attr-defined]


def test_the_judge_refuses_what_repeats() -> None:
    refusal = Refusal("near_duplicate", 3, 4)
    judge = Judge([], Regions(), EVERYTHING, {"a": refusal})
    assert judge.refusal(a_sample("a")) == refusal
    assert judge.refusal(a_sample("b")) is None


words = st.integers(0, 2**12 - 1).map(lambda n: f"{n * 0x0008_0040_0200_1003 % 2**64:016x}")


@given(st.lists(st.tuples(st.sampled_from(["train", "val", "test"]), words), max_size=40))
def test_every_pair_across_splits_is_compared(rows: list[tuple[str, str]]) -> None:
    samples = pa.table(
        {"split": pa.array([s for s, _ in rows], pa.string()), "phash": pa.array([h for _, h in rows], pa.string())}
    )
    found = {frozenset((each.split, each.other)): each for each in look_alikes(samples)}
    for one in ("train", "val", "test"):
        for two in ("train", "val", "test"):
            mine = [h for s, h in rows if s == one]
            theirs = [h for s, h in rows if s == two]
            alike = sum(any(differing(a, b) <= NEAR for b in theirs) for a in mine)
            if one < two and alike:
                each = found[frozenset((one, two))]
                assert len([s for s, _ in rows if s == each.split]) <= len([s for s, _ in rows if s == each.other])
                if each.split == one:
                    assert each.crops == alike and each.of == len(mine)
                for a, b, bits in each.pairs:
                    assert (rows[a][0], rows[b][0]) == (each.split, each.other)
                    assert differing(rows[a][1], rows[b][1]) == bits <= NEAR
            elif one < two:
                assert frozenset((one, two)) not in found


def test_damaged_hashes_are_no_hashes() -> None:
    with pytest.raises(ValueError):
        hashes(["xyz"])
