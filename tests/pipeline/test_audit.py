"""The audit: every kind of leak that is planted is found, and named."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit import check, divided_individuals, labels_missing, leaks
from pipeline.errors import DatasetError
from pipeline.index import SAMPLES

Row = tuple[str, str, int, int, str]  # split, fingerprint, first frame, last frame, digest


def table(
    *rows: Row,
    individuals: list[str | None] | None = None,
    labels: list[str | None] | None = None,
    phashes: list[str] | None = None,
) -> pa.Table:
    columns = {
        "sample_id": [f"s{n}" for n in range(len(rows))],
        "path": [f"crops/c/s{n}.mp4" for n in range(len(rows))],
        "split": [row[0] for row in rows],
        "label": labels or [None] * len(rows),
        "individual_id": individuals or [None] * len(rows),
        "video": [f"{row[1]}.mp4" for row in rows],
        "video_fingerprint": [row[1] for row in rows],
        "frame_indices": [list(range(row[2], row[3] + 1)) for row in rows],
        "sha256": [row[4] for row in rows],
        "phash": phashes or [f"{pow(37, 9 * (n + 1), 2**64):016x}" for n in range(len(rows))],
    }
    schema = pa.schema([SAMPLES.field(name) for name in columns])
    return pa.table(columns, schema=schema)


def found(*rows: Row) -> list[tuple[str, str, str]]:
    return [(leak.shared, leak.first, leak.second) for leak in leaks(table(*rows))]


def test_splits_that_share_nothing_pass() -> None:
    check(
        table(("train", "a", 0, 9, "x"), ("train", "a", 5, 14, "y"), ("val", "a", 15, 20, "z"), ("val", "b", 0, 9, "w"))
    )
    check(table())


def test_overlapping_clips_in_two_splits() -> None:
    assert found(("train", "a", 0, 9, "x"), ("val", "a", 9, 14, "y")) == [
        ("frames", "crops/c/s0.mp4 (train)", "crops/c/s1.mp4 (val)")
    ]


def test_two_objects_of_one_clip_in_two_splits() -> None:
    assert len(found(("train", "a", 0, 9, "x"), ("test", "a", 0, 9, "y"))) == 1


def test_a_long_clip_around_a_short_one() -> None:
    rows: list[Row] = [("train", "a", 0, 90, "x"), ("train", "a", 5, 9, "y"), ("test", "a", 50, 60, "z")]
    assert found(*rows) == [("frames", "crops/c/s0.mp4 (train)", "crops/c/s2.mp4 (test)")]


def test_equal_bytes_under_two_names() -> None:
    assert found(("train", "a", 0, 9, "x"), ("train", "b", 0, 9, "x"), ("val", "c", 0, 9, "x")) == [
        ("bytes", "crops/c/s0.mp4 (train)", "crops/c/s2.mp4 (val)")
    ]


def test_an_individual_in_two_splits_is_said_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[Row] = [("train", "a", 0, 9, "x"), ("train", "a", 20, 29, "y"), ("val", "a", 90, 99, "z")]
    divided = table(*rows, individuals=["cow", "calf", "cow"])
    assert divided_individuals(divided) == ["cow"]
    check(divided)
    assert "1 of 2 individuals have crops in more than one split" in caplog.text
    caplog.clear()
    check(table(*rows, individuals=["cow", "cow", "calf"]))
    check(table(*rows))
    assert not caplog.records, "nor is anything said where nobody is divided, or nobody linked"


def test_an_individual_in_two_splits_made_by_individual_stops_the_export() -> None:
    rows: list[Row] = [("train", "a", 0, 9, "x"), ("train", "a", 20, 29, "y"), ("val", "a", 900, 999, "z")]
    with pytest.raises(DatasetError, match=r"s0\.mp4 .train. and crops/c/s2\.mp4 .val. share an individual"):
        check(table(*rows, individuals=["cow", "calf", "cow"]), by_individual=True)
    check(table(*rows, individuals=["cow", "cow", None]), by_individual=True)


def test_crops_that_look_alike_are_counted_and_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[Row] = [("train", "a", 0, 9, "x"), ("test", "b", 0, 9, "y"), ("test", "c", 0, 9, "z")]
    check(table(*rows, phashes=["00000000000000f0", "0000000000000070", "ffffffffffffff00"]))
    assert "1 of 2 crops of test look like a crop of train" not in caplog.text, "seen from the smaller split"
    assert "1 of 1 crops of train look like a crop of test (phash differs in 4 bits or fewer)" in caplog.text
    assert "crops/c/s0.mp4 and crops/c/s1.mp4" in caplog.text


def test_look_alikes_of_all_splits_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[Row] = [(split, split, 0, 9, split) for split in ("train", "val", "test")]
    check(table(*rows, phashes=["00000000000000f0"] * 3))
    (said,) = [record.getMessage() for record in caplog.records]
    for pair in ("test look like a crop of train", "of test like one of val", "of train like one of val"):
        assert pair in said


def test_labels_that_a_split_lacks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    rows: list[Row] = [(split, f"v{n}", 0, 9, f"b{n}") for n, split in enumerate(("train", "train", "val", "test"))]
    labelled = table(*rows, labels=["lying", "walking", "lying", None])
    assert labels_missing(labelled) == {"val": ["walking"]}
    check(labelled)
    assert "val has no crop with the label walking" in caplog.text


def test_a_leak_stops_the_export_and_names_the_pairs() -> None:
    rows: list[Row] = [("train", "a", 10 * n, 10 * n + 9, f"t{n}") for n in range(20)]
    rows += [("val", "a", 10 * n + 3, 10 * n + 5, f"v{n}") for n in range(20)]
    with pytest.raises(DatasetError, match=r"20 pairs of crops.*s0\.mp4 .train. and crops/c/s20\.mp4 .val. share") as e:
        check(table(*rows))
    assert str(e.value).count("share frames") == 5 and "split.assign" in str(e.value)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["train", "val", "test"]), st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 9)
        ),
        max_size=12,
    )
)
def test_a_leak_is_found_exactly_when_there_is_one(spans: list[tuple[str, str, int, int]]) -> None:
    rows: list[Row] = [(s, v, first, first + more, f"{n}") for n, (s, v, first, more) in enumerate(spans)]
    there = any(
        a[0] != b[0] and a[1] == b[1] and a[2] <= b[3] and b[2] <= a[3] for n, a in enumerate(rows) for b in rows[:n]
    )
    assert bool(found(*rows)) == there
