"""Records turn into JSON and back without loss, and equal work gives equal bytes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import FORMAT, ChunkRecord, CropFile, Failure, Figures, PixelFigures, Rejection
from tests.pipeline.making import FIGURES, a_record, a_sample, crop_file

texts = st.text(st.characters(codec="utf-8"), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
wholes = st.integers(-(2**53), 2**53)
squares = st.tuples(*[st.integers(-(10**6), 10**6)] * 4)
figures = st.builds(Figures, *[numbers] * 4, wholes, wholes, *[numbers] * 4)
pixels = st.none() | st.builds(PixelFigures, *[numbers] * 4)
files = st.builds(CropFile, texts, texts, texts, wholes)
samples = st.builds(
    lambda name, boxes, windows, times, figures, pixels, files, stride, twin, recorded: a_sample(
        name,
        boxes=tuple(boxes),
        crop_windows=tuple(windows),
        timestamps_s=tuple(times),
        figures=figures,
        pixels=pixels,
        files=tuple(files),
        stride=stride,
        duplicate_of=twin,
        recorded_at=recorded,
    ),
    texts,
    st.lists(st.none() | squares, max_size=4),
    st.lists(squares, max_size=4),
    st.lists(numbers, max_size=4),
    figures,
    pixels,
    st.lists(files, max_size=2),
    st.none() | wholes,
    st.none() | wholes,
    st.none() | texts,
)
rejections = st.builds(
    Rejection,
    texts,
    st.none() | texts,
    st.none() | texts,
    st.none() | wholes,
    st.none() | texts,
    texts,
    st.none() | numbers,
    st.none() | numbers,
)
failures = st.builds(Failure, texts, st.none() | texts, texts, texts)


@given(st.lists(samples, max_size=3), st.lists(rejections, max_size=2), st.lists(failures, max_size=2), texts)
def test_a_record_survives_the_way_to_json_and_back(
    samples: list, short: list[Rejection], failures: list[Failure], name: str
) -> None:
    record = a_record(*samples, short=tuple(short), failures=tuple(failures), video=name)
    data = record.to_json()
    assert ChunkRecord.from_json(data) == record
    assert ChunkRecord.from_json(data).to_json() == data


def test_a_record_of_nothing_is_a_record() -> None:
    record = a_record(clips=())
    assert ChunkRecord.from_json(record.to_json()) == record


def test_equal_records_give_equal_bytes_and_others_do_not() -> None:
    one, same = a_record(a_sample("a"), a_sample("b")), a_record(a_sample("a"), a_sample("b"))
    assert one is not same and one.to_json() == same.to_json()
    nudged = replace(FIGURES, side=FIGURES.side + 1e-9)
    assert one.to_json() != a_record(a_sample("a"), a_sample("b", figures=nudged)).to_json()


def test_a_record_is_one_line_of_plain_json() -> None:
    """There may be millions of them: indented they would be two and a half times as large."""
    text = a_record(a_sample("a")).to_json().decode()
    assert text.endswith("}\n") and text.count("\n") == 1
    assert json.loads(text)["samples"][0]["sample_id"] == "a"


@pytest.mark.parametrize("data", [b"[]", b"null", b'"record"', b"{}", b'{"format": 0}', b'{"format": "1"}'])
def test_another_format_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ValueError, match=f"not a record of format {FORMAT}: found ="):
        ChunkRecord.from_json(data)


@pytest.mark.parametrize("cut", [0, 1, 40, -3])
def test_a_cut_file_is_refused(cut: int) -> None:
    with pytest.raises(ValueError):
        ChunkRecord.from_json(a_record(a_sample()).to_json()[:cut])


def test_a_sample_is_visible_where_it_has_a_box() -> None:
    assert a_sample().visible == (True, True, False, True)


def test_what_an_object_had_no_crop_for_comes_back_without_one() -> None:
    (sample,) = ChunkRecord.from_json(a_record(a_sample(files=())).to_json()).samples
    assert sample.files == ()
    (sample,) = ChunkRecord.from_json(
        a_record(a_sample(files=(crop_file("a"), crop_file("a", "mask")))).to_json()
    ).samples
    assert [f.background for f in sample.files] == ["black", "mask"]
