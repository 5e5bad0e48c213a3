"""Prompts compared without labels: every figure by hand, on objects whose places are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.prompt_scores import Seen, agreements, compare, overlaps, read, rows
from tests.pipeline.dataset_fixture import write_tables
from tests.pipeline.making import a_record, a_sample

HERE, NEARLY, THERE = (0, 0, 10, 10), (2, 0, 12, 10), (50, 0, 60, 10)


def seen(name: str, *boxes: tuple[int, int, int, int] | None, clip: str = "c1", reason: str | None = None) -> Seen:
    places = np.array([box or (math.nan,) * 4 for box in boxes], np.float32)
    return Seen(name, clip, places, 0.75 if name == "cow" else 0.5, reason)


def test_every_figure_by_hand() -> None:
    objects = [
        seen("cow", HERE, HERE),
        seen("cow", NEARLY, NEARLY, reason="size"),
        seen("cow", THERE, None, clip="c2"),
        seen("cattle", HERE, HERE, reason="duplicate_of_prompt"),
        seen("cattle", THERE, THERE, clip="c3", reason="size"),
    ]
    found = compare(objects, {"cow": 4, "cattle": 4, "calf": 4})
    cow, cattle, calf = found.scores
    assert (cow.objects, cow.crops, cow.coverage, cow.per_clip) == (3, 2, 0.5, 0.75)
    assert (cow.visible, cow.first_score, cow.refused, cow.reason) == (1.0, 0.75, pytest.approx(1 / 3), "size")
    assert cow.doubles == pytest.approx(2 / 3), "two cows lie on one another"
    assert (cattle.objects, cattle.crops, cattle.doubles, cattle.refused) == (2, 0, 0.0, 0.5)
    assert (calf.objects, calf.coverage, calf.reason) == (0, 0.0, ""), "a prompt that finds nothing is in the table"
    assert found.agreement == {("cow", "cattle"): 2 * 1 / 5, ("cow", "calf"): 0.0, ("cattle", "calf"): 0.0}
    assert agreements(found)[0] == ("cow", "cattle", "0.40")
    assert rows(found)[0] == ("cow", "3", "2", "0.75", "50%", "100%", "67%", "0.75", "33%", "size")
    assert compare([], {"cow": 4, "calf": 4}).agreement == {("cow", "calf"): None}


def test_a_frame_that_shows_only_one_counts_nothing() -> None:
    one, half = seen("a", HERE, HERE).boxes, seen("b", HERE, None).boxes
    assert overlaps(one[None], half[None]).tolist() == [[0.5]]
    assert overlaps(one[None], seen("b", NEARLY, NEARLY).boxes[None])[0, 0] == pytest.approx(8 / 12)
    assert overlaps(half[None], seen("b", None, HERE).boxes[None]).tolist() == [[0.0]]


def test_pairs_are_one_to_one() -> None:
    """Two of one prompt on one thing of the other: one of them is common."""
    objects = [seen("cow", HERE), seen("cow", NEARLY), seen("cattle", HERE)]
    assert compare(objects, {"cow": 1, "cattle": 1}).agreement["cow", "cattle"] == pytest.approx(2 / 3)


boxes = st.tuples(*(st.integers(0, 20),) * 2, *(st.integers(1, 20),) * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(st.tuples(st.sampled_from("abc"), boxes, st.sampled_from(["c1", "c2"])), max_size=20))
def test_shares_are_shares_and_a_prompt_agrees_with_its_copy(found: list[tuple[str, tuple[int, ...], str]]) -> None:
    objects = [seen(name, box, clip=clip) for name, box, clip in found]  # type: ignore[arg-type]
    copies = [seen(f"{x.name}2", tuple(x.boxes[0].astype(int)), clip=x.clip_id) for x in objects]  # type: ignore[arg-type]
    names = {name: 2 for letter in "abc" for name in (letter, f"{letter}2")}
    made = compare([*objects, *copies], names)
    for score in made.scores:
        assert all(0 <= share <= 1 for share in (score.coverage, score.visible, score.doubles, score.refused))
    for letter in "abc":
        assert made.agreement[letter, f"{letter}2"] == (1.0 if any(x.name == letter for x in objects) else None)


def dataset(root: Path, *prompts: str) -> None:
    """One clip with a thing per prompt, all in one place."""
    write_tables(root, [], [], [])
    samples = [a_sample(f"{prompt}{n}", prompt=prompt) for n, prompt in enumerate(prompts)]
    Ledger(Layout(root, root / "tracks")).write(a_record(*samples, clips=("c1", "c2")))


def test_datasets_of_a_sweep_are_compared_clip_by_clip(tmp_path: Path) -> None:
    dataset(tmp_path / "a", "cow")
    dataset(tmp_path / "b", "cattle")
    found = read({"prompt=cow": (tmp_path / "a", ["cow"]), "prompt=cattle": (tmp_path / "b", ["cattle"])})
    assert found is not None and found.agreement == {("cow", "cattle"): 1.0}
    assert [(s.name, s.coverage) for s in found.scores] == [("cow", 0.5), ("cattle", 0.5)]
    both = read({"x=1": (tmp_path / "a", ["cow", "calf"]), "x=2": (tmp_path / "a", ["cow"])})
    assert both is not None and [s.name for s in both.scores] == ["cow (x=1)", "calf", "cow (x=2)"]
    assert read({"": (tmp_path / "a", ["cow"])}) is None
