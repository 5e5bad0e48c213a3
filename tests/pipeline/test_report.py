"""The report page: what it counts, that it stands alone, and that it is the same every time."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DatasetError
from pipeline.index import SAMPLES
from pipeline.layout import Layout
from pipeline.report.contact import contact_sheet, spread_frames
from pipeline.report.distributions import SHOWN as SHOWN_FIGURES
from pipeline.report.distributions import extremes
from pipeline.report.histogram import histogram
from pipeline.report.render import SHOWN, write_report
from pipeline.report.splits import split_table
from pipeline.report.stats import Statistics, pick, read_statistics
from tests.pipeline.dataset_fixture import PROMPTS, SETTINGS, VIDEOS, make_dataset, write_crop, write_tables


class Page(HTMLParser):
    """Addresses, tags and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.words: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.addresses += [v for k, v in attrs if k in ("href", "src", "poster") and v is not None]

    def handle_data(self, data: str) -> None:
        self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(word for word in self.words if word)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "my <cows>"
    make_dataset(root)
    return root


def report(root: Path, settings: Mapping[str, Any] = SETTINGS, **options: Any) -> Page:
    options = {"timings": {"track": 75.0, "crop": 2.5}, "score": None} | options
    write_report(root, root / "report" / "index.html", settings=settings, **options)
    return Page(root / "report" / "index.html")


def statistics(root: Path) -> Statistics:
    return read_statistics(root, SETTINGS, SHOWN)


def test_counts_equal_the_tables(root: Path) -> None:
    page, samples = report(root), pq.read_table(root / "samples.parquet")
    rejected = pq.read_table(root / "rejected.parquet")
    objects = rejected["object_id"].to_pylist()
    facts = statistics(root)
    assert (facts.kept, facts.failed) == (len(samples), 1)
    assert (facts.refused, facts.left_out) == (len(objects) - objects.count(None), objects.count(None))
    assert f"Crops kept {len(samples)} Objects refused {facts.refused} Failures 1 Source videos 4" in page.text
    for table in facts.tables:
        assert sum(row.kept for row in table.rows) == len(samples)
        for row in table.rows:
            assert f"{row.name} {row.kept}" in page.text
    assert {r.name: r.count for r in facts.reasons} == {"size": 4, "visible": 2}
    assert "size 4 32 20" in page.text
    assert "short 5 20" in page.text


def test_every_address_exists_and_none_is_remote(root: Path) -> None:
    page = report(root)
    local = [a for a in page.addresses if a != "data:,"]
    assert len(local) >= 4 * 16
    for address in local:
        assert (root / "report" / unquote(address)).is_file(), address
    assert any(a.startswith("../crops/") for a in local)
    assert not re.search(r"https?://|@import|url\(", page.html)
    assert len(list((root / "report" / "sheets").glob("*.jpg"))) == 2 * 16


def test_balance_by_split_prompt_label_camera_video_and_hour(root: Path) -> None:
    """The fixture's clips were recorded at six, but for those of val."""
    tables = {table.title: table for table in statistics(root).tables}
    assert {"Prompts", "Cameras", "Hours", "Videos"} == set(tables), "labels as soon as there are any"
    assert [(row.name, row.kept) for row in tables["Hours"].rows] == [("06:00", 12), ("unknown", 4)]


def test_the_splits_say_what_a_model_would_be_trained_and_judged_on() -> None:
    def sample(split: str, who: str | None, label: str | None) -> dict[str, str | None]:
        return {"split": split, "individual_id": who, "label": label, "clip_id": f"c{who}", "video": "a.mp4"}

    schema = pa.schema([(name, pa.string()) for name in sample("", "", "")])
    rows = [sample("train", "ann", "lying"), sample("train", "ann", "lying"), sample("train", "bea", "eating")]
    made = split_table(pa.Table.from_pylist([*rows, sample("test", "cat", None)], schema))
    assert made.labels == ("eating", "lying") and made.more == 0
    said = [(row.name, row.crops, row.individuals, row.clips, row.videos, row.labels) for row in made.rows]
    assert said == [("train", 3, 2, 2, 1, (1, 2)), ("val", 0, 0, 0, 0, (0, 0)), ("test", 1, 1, 1, 1, (0, 0))]
    alone = split_table(pa.Table.from_pylist([sample("train", None, str(n)) for n in range(10)], schema))
    assert alone.rows[0].individuals is None, "nothing was linked"
    assert len(alone.labels) == 8 and alone.more == 2


def test_a_threshold_that_is_set_can_be_chosen_exactly() -> None:
    values = np.array([10.0, 30, 31, 33, 60])
    drawn = histogram("Size", "px", "", values, np.array([]), (0.0, 80.0), {"limit": 32.0}, bins=4, least=True)
    assert drawn is not None and drawn.choices[drawn.chosen].label == "at least 32 px"
    assert drawn.choices[drawn.chosen].kept == 2


def test_every_threshold_says_what_it_would_keep() -> None:
    kept, refused = np.array([40.0, 50, 60, 80]), np.array([10.0, 20, 40])
    drawn = histogram("Size", "px", "", kept, refused, (0.0, 80.0), {"at least 40 px": 40.0}, bins=4, least=True)
    assert drawn is not None
    assert [(c.label, c.kept, c.refused) for c in drawn.choices] == [
        ("at least 0 px", 4, 3),
        ("at least 20 px", 4, 2),
        ("at least 40 px", 4, 1),
        ("at least 60 px", 2, 0),
        ("at least 80 px", 1, 0),
    ]
    assert drawn.chosen == 2, "the slider begins at the threshold"
    most = histogram("Cut off", "%", "", kept, refused, (0.0, 80.0), {}, bins=2, least=False)
    assert most is not None and [(c.kept, c.refused) for c in most.choices] == [(0, 0), (1, 3), (4, 3)]
    assert most.chosen == 2


def test_refused_objects_show_their_thumbnails_by_reason(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "d")
    layout = Layout(tmp_path / "d", tmp_path / "d" / "tracks")
    by_reason = {row["sample_id"]: row["reason"] for row in pq.read_table(layout.rejected).to_pylist()}
    names = sorted(name for name, reason in by_reason.items() if reason == "size")
    for name in names:
        layout.thumbnail(name).parent.mkdir(parents=True, exist_ok=True)
        layout.thumbnail(name).write_bytes(name.encode())
    page = report(tmp_path / "d")
    shown = [unquote(a) for a in page.addresses if "refused-" in a]
    assert shown == [f"sheets/refused-{name}.jpg" for name in names] and len(shown) == 4
    assert (tmp_path / "d" / "report" / shown[0]).read_bytes() == names[0].encode()


def test_look_alikes_across_splits_are_shown_in_pairs(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "d")
    rows = pq.read_table(root / "samples.parquet").to_pylist()
    for row in rows:
        row["phash"] = "00ff00ff00ff00f0" if row["split"] in ("train", "test") else "ff00ff00ff00ff00"
    pq.write_table(pa.Table.from_pylist(rows, schema=SAMPLES), tmp_path / "d" / "samples.parquet")
    page = report(tmp_path / "d")
    assert "4 of 4 crops of test look like a crop of train" in page.text
    ((each, pairs),) = statistics(tmp_path / "d").look_alikes
    assert (each.split, each.other, each.crops) == ("test", "train", 4) and len(pairs) == 3
    assert all((a.split, b.split) == ("test", "train") for a, b in pairs)


def test_text_is_escaped(root: Path) -> None:
    page = report(root, settings={"prompt": "<script>alert(1)</script>"})
    assert "<b>moov" not in page.html
    assert "<b>moov atom</b> not found & so on" in page.text
    assert "alert(1)</script>" not in page.html
    assert ("title", {}) in page.tags
    assert re.search("my <cows> . dataset report", page.text)


def test_pictures_have_words_and_tables_have_heads(root: Path) -> None:
    page = report(root)
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    videos = [attributes for tag, attributes in page.tags if tag == "video"]
    assert videos
    assert all(v["preload"] == "none" and "muted" in v and "loop" in v for v in videos)


def test_thresholds_are_drawn_where_enabled(root: Path) -> None:
    assert "at least 32 px" in report(root).text
    off = {"filters": {"size": {"enabled": False, "min_side": 32}, "visible": {"min_share": 0.5}}}
    page = report(root, settings=off)
    assert "at least 32 px" not in page.text
    assert "at least 50 %" in page.text


def test_settings_timings_and_score_are_shown(root: Path) -> None:
    page = report(root, settings=SETTINGS | {"out": Path("/data/ü")}, score={"HOTA": 0.8125})
    assert "min_side: 32" in page.text
    assert "out: /data/ü" in page.text
    assert "track 1 min 15 s" in page.text
    assert "HOTA 0.812" in page.text
    assert "Time spent" not in report(root, timings=None).text


def test_the_report_is_deterministic(root: Path, tmp_path: Path) -> None:
    first = report(root).html
    pictures = {p.name: p.read_bytes() for p in (root / "report" / "sheets").iterdir()}
    copied = tmp_path / root.name
    shutil.copytree(root, copied, ignore=shutil.ignore_patterns("report"))
    assert report(copied).html == first
    assert {p.name: p.read_bytes() for p in (copied / "report" / "sheets").iterdir()} == pictures


def test_an_empty_dataset_still_gives_a_page(tmp_path: Path) -> None:
    write_tables(tmp_path, [], [], [])
    page = report(tmp_path, settings={}, timings=None)
    assert "No crops: nothing was found." in page.text
    assert "No crops to show." in page.text


def test_an_unreadable_crop_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    samples = make_dataset(tmp_path, videos={"a.mp4": "train"}, objects=2)
    lost, damaged = (tmp_path / path for path in samples["path"].to_pylist()[:2])
    lost.unlink()
    damaged.write_bytes(b"not a video")
    page = report(tmp_path)
    assert "Crops that could not be read" in page.text
    assert lost.name in page.text
    assert damaged.name in page.text
    assert len([tag for tag, _ in page.tags if tag == "video"]) == 2


def test_a_missing_index_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"samples\.parquet is missing: build the dataset first"):
        write_report(tmp_path, tmp_path / "report" / "index.html", settings={}, timings=None)


def test_key_value_folders_above_are_no_columns(tmp_path: Path) -> None:
    make_dataset(tmp_path / "size=112" / "prompt=cow", videos={"a.mp4": "train"}, objects=1)
    assert statistics(tmp_path / "size=112" / "prompt=cow").prompts == tuple(sorted(PROMPTS))


def test_long_tables_are_cut_and_say_so(tmp_path: Path) -> None:
    [row] = make_dataset(tmp_path, videos={"a.mp4": "train"}, prompts=("cow",), objects=1).to_pylist()
    rows = [row | {"video": f"cam{k % 40}/{k:04}.mp4", "sample_id": f"{k:05}"} for k in range(400)]
    write_tables(tmp_path, rows, [], [])
    facts = statistics(tmp_path)
    tables = {table.title: table for table in facts.tables}
    assert (len(tables["Videos"].rows), tables["Videos"].more) == (25, 375)
    assert (len(tables["Cameras"].rows), tables["Cameras"].more) == (25, 15)
    assert len(facts.picks) == SHOWN == len({p.video for p in facts.picks})


def test_picks_are_spread_over_prompts_and_videos(root: Path) -> None:
    samples = pq.read_table(root / "samples.parquet")
    picks = pick(samples, 8)
    assert {(p.prompt, p.video) for p in picks} == {(p, v) for p in PROMPTS for v in VIDEOS}
    shuffled = samples.take(pa.array(np.random.default_rng(1).permutation(len(samples))))
    assert pick(shuffled, 8) == picks
    assert len(pick(samples, 100)) == len(samples)


def test_spread_frames(tmp_path: Path) -> None:
    write_crop(tmp_path / "short.mp4", 32, 4, seed=1)
    assert len(spread_frames(tmp_path / "short.mp4", 5)) == 5
    write_crop(tmp_path / "long.mp4", 32, 700, seed=1)
    pictures = spread_frames(tmp_path / "long.mp4", 5)
    assert len(pictures) == 5
    assert float(np.abs(pictures[0].astype(int) - pictures[4]).mean()) > 3
    with pytest.raises(ValueError, match="count = 0"):
        spread_frames(tmp_path / "long.mp4", 0)


def test_contact_sheet(root: Path, tmp_path: Path) -> None:
    paths = [root / path for path in pq.read_table(root / "samples.parquet")["path"].to_pylist()[:5]]
    contact_sheet(paths, tmp_path / "sheet.png", columns=2, frames=4, side=64)
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert picture is not None
    assert picture.shape[:2] == (3 * (64 + 10) + 10, 2 * (4 * 66 - 2 + 10) + 10)
    with pytest.raises(ValueError, match="at least one crop"):
        contact_sheet([], tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"\.jpg or \.png"):
        contact_sheet(paths, tmp_path / "sheet.gif")


def test_histogram_places_bars_and_thresholds() -> None:
    made = histogram("t", "px", "", np.array([10.0, 30.0, 30.0]), np.array([5.0]), None, {"limit": 8.0}, bins=4)
    assert made is not None
    assert made.ticks[-1].label == "32"
    assert [(b.kept, b.refused) for b in made.bars] == [(0.0, 95.0), (95.0, 0.0), (190.0, 0.0)]
    assert made.thresholds[0].at == pytest.approx(160.0)
    assert histogram("t", "px", "", np.array([]), np.array([np.nan]), None, {}) is None


def test_the_worst_are_those_a_filter_would_refuse_first() -> None:
    values = {"sharpness": [5.0, 1.0, 9.0, 7.0], "jitter": [0.1, 0.4, 0.0, 0.2], "luma": [0.5] * 4}
    rest = {shown.figure: [1.0] * 4 for shown in SHOWN_FIGURES}
    table = pa.table({"sample_id": list("abcd")} | rest | values)
    found = {each.title: each for each in extremes(table, 3)}
    assert set(found) == {"Sharpness", "Jitter"}, "what is the same everywhere has no ends"
    assert [n for n, _ in found["Sharpness"].worst] == [1, 0] and [n for n, _ in found["Sharpness"].best] == [2, 3]
    assert found["Jitter"].worst == ((1, "0.4 sides"), (3, "0.2 sides")) and found["Jitter"].best[0] == (2, "0 sides")
    assert extremes(table.slice(0, 1), 3) == ()


def test_the_page_shows_both_ends_of_a_figure(root: Path) -> None:
    page = report(root)
    assert "The worst and the best crops by figure" in page.text and "worst · " in page.text
