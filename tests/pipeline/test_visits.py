"""Splits by individual: what shows one animal, or nearly one moment, stays together; the rest may part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audit import COLUMNS, check
from pipeline.index import SAMPLES, Index
from pipeline.layout import Layout
from pipeline.linking.individuals import LINKS, Individuals
from pipeline.settings import SplitConfig
from pipeline.split import settled_groups
from pipeline.tables import read_table
from pipeline.visits import split_by_individual, visits
from tests.pipeline.dataset_fixture import make_dataset

BY = SplitConfig(by="individual", fractions=[0.5, 0.25, 0.25], embargo=10)


@pytest.fixture(scope="module")
def one_row(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("rows")
    make_dataset(root, {"a.mp4": "train"}, ("cow",), 1)
    return dict(read_table(root / "samples.parquet").to_pylist()[0])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "tracks")


def table(row: dict[str, Any], *seen: tuple[str, str, float], video: str = "a.mp4") -> pa.Table:
    """Crops of 4 s: (clip, individual, first second), 10 frames a second."""
    rows = []
    for n, (clip, who, first) in enumerate(seen):
        times = [first, first + 4]
        frames = [round(t * 10) for t in times]
        more = {"sample_id": f"{video}{n}", "path": f"crops/{clip}/{n}.mp4", "sha256": f"{video}{n}"}
        rows.append(
            row
            | more
            | {"clip_id": clip, "individual_id": who, "video": video, "video_fingerprint": video}
            | {"timestamps_s": times, "frame_indices": frames, "split": "train"}
        )
    return pa.Table.from_pylist(rows, schema=SAMPLES)


def links(*pairs: tuple[str, str, str]) -> pa.Table:
    rows = [
        {"video": "a.mp4", "first_sample": a, "second_sample": b, "first_s": 0.0, "second_s": 1.0, "by": "gap"}
        | {"gap_s": 1.0, "score": 0.5, "margin": 0.1, "state": state}
        for a, b, state in pairs
    ]
    return pa.Table.from_pylist(rows, schema=LINKS)


def split(samples: pa.Table, layout: Layout, config: SplitConfig = BY, final: bool = True) -> dict[str, str]:
    names = dict(zip(samples["sample_id"].to_pylist(), samples["individual_id"].to_pylist(), strict=True))
    index = Index(samples, pa.table({}), pa.table({}))
    made = split_by_individual(index, Individuals(names, {}, links()), config, layout, final).samples
    check(made.select(list(COLUMNS)), by_individual=True)
    return dict(zip(made["clip_id"].to_pylist(), made["split"].to_pylist(), strict=True))


def test_an_individual_joins_its_clips_and_time_joins_neighbours(one_row: dict[str, Any]) -> None:
    seen = table(
        one_row, ("c1", "ann", 0), ("c2", "ann", 100), ("c3", "bea", 111), ("c4", "eve", 130), ("c5", "x", 500)
    )
    assert visits(seen, {}, links(), 10) == {"c1": "c1", "c2": "c1", "c3": "c1", "c4": "c4", "c5": "c5"}
    assert visits(seen, {}, links(), 5)["c3"] == "c3", "7 s lie between them"
    assert len(set(visits(seen, {}, links(), 1000).values())) == 1


def test_clips_that_overlap_are_never_parted(one_row: dict[str, Any]) -> None:
    long = table(one_row, ("c1", "a", 0), ("c2", "b", 2), ("c3", "d", 4), ("c4", "e", 8.5))
    assert visits(long, {}, links(), 0) == {"c1": "c1", "c2": "c1", "c3": "c1", "c4": "c4"}


def test_a_doubtful_link_joins_too(one_row: dict[str, Any]) -> None:
    seen = table(one_row, ("c1", "ann", 0), ("c2", "bea", 100), ("c3", "eve", 200))
    same = {"a.mp40": "ann", "a.mp41": "bea", "a.mp42": "eve"}
    open_one = links(("a.mp40", "a.mp42", "open"))
    assert visits(seen, same, open_one, 10) == {"c1": "c1", "c2": "c2", "c3": "c1"}


def test_other_videos_are_other_individuals(one_row: dict[str, Any]) -> None:
    both = pa.concat_tables(
        [table(one_row, ("c1", "ann", 0)), table(one_row, ("d1", "bob", 0), ("d2", "bob", 90), video="b.mp4")]
    )
    assert visits(both, {}, links(), 10) == {"c1": "c1", "d1": "d1", "d2": "d1"}


def test_one_video_may_fill_all_splits_and_stays_so(one_row: dict[str, Any], layout: Layout) -> None:
    seen = [(f"c{n}", f"visitor{n // 2}", 100.0 * n) for n in range(8)]
    first = split(table(one_row, *seen), layout)
    assert set(first.values()) == {"train", "val", "test"}
    assert all(first[f"c{n}"] == first[f"c{n + 1}"] for n in range(0, 8, 2))
    assert settled_groups(BY, layout) == first
    more = split(table(one_row, *seen, *[(f"e{n}", f"late{n}", 5000 + 100.0 * n) for n in range(20)]), layout)
    assert {clip: more[clip] for clip in first} == first


def test_nothing_is_kept_before_everything_is_done(one_row: dict[str, Any], layout: Layout) -> None:
    split(table(one_row, ("c1", "a", 0), ("c2", "b", 100)), layout, final=False)
    assert not layout.splits.exists()


def test_a_new_link_between_two_splits_is_said(
    one_row: dict[str, Any], layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    before = [("c1", "a", 0.0), ("c2", "b", 100.0), ("c3", "d", 200.0)]
    split(table(one_row, *before), layout)
    after = split(table(one_row, ("c1", "a", 0.0), ("c2", "a", 100.0), ("c3", "d", 200.0)), layout)
    assert after["c1"] == after["c2"] and "1 clips change their split" in caplog.text


def test_a_herd_in_one_group_is_said(one_row: dict[str, Any], layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    split(table(one_row, *[(f"c{n}", "ann", 100.0 * n) for n in range(4)]), layout)
    assert "all clips join into one group" in caplog.text and "nothing goes to val and test" in caplog.text
    assert layout.splits.exists()


@given(
    seen=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8), st.integers(0, 900)), min_size=1, max_size=30),
    embargo=st.integers(0, 60),
)
def test_two_groups_share_nobody_and_keep_their_distance(seen: list[tuple[int, int, int]], embargo: int) -> None:
    row = {name: None for name in SAMPLES.names}
    start = {clip: float(first) for clip, _, first in seen}
    rows = [
        row
        | {
            "clip_id": f"c{clip}",
            "individual_id": f"i{who}",
            "video": "a",
            "timestamps_s": [start[clip], start[clip] + 4],
        }
        for clip, who, _ in seen
    ]
    loose = pa.schema([SAMPLES.field(name).with_nullable(True) for name in SAMPLES.names])
    found = visits(pa.Table.from_pylist(rows, schema=loose), {}, links(), embargo)
    for one in rows:
        for two in rows:
            if found[one["clip_id"]] != found[two["clip_id"]]:
                assert one["individual_id"] != two["individual_id"]
                early, late = sorted((one["timestamps_s"], two["timestamps_s"]))
                assert late[0] - early[1] >= embargo and late[0] > early[1]
