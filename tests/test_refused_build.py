"""What is refused, from the command line: repetitions within a video, and thumbnails of what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.running import Done, contents, rows, run
from tests.test_link_build import write_mot
from tests.video.footage import write

Run = Callable[..., Done]


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: run(capfd, monkeypatch, *arguments)


@pytest.fixture
def common(footage: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    tracks = write_mot(footage, tmp_path_factory.mktemp("mot"), 0)
    small = (
        "clip.num_frames=10",
        "crop.size=32",
        "filters.size.min_side=1",
        "filters.visible.min_share=0",
        "exports=[]",
    )
    return (
        f"videos={footage}/farm1",
        f"out={tmp_path}",
        "tracker=file",
        "prompt=cow",
        f"tracker.path={tracks}",
        *small,
    )


def crops(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.glob("crops/*/*.mp4")}


def thumbnails(root: Path) -> dict[str, Path]:
    return {path.stem: path for path in root.glob("records/thumbnails/*/*.jpg")}


def test_repetitions_are_refused_once_and_come_back(common: tuple[str, ...], tmp_path: Path, go: Run) -> None:
    only_one = "filters.near_duplicate.max_bits=63"
    done = go(*common, "filters.near_duplicate.enabled=true", only_one)
    assert done.status == 0, done.text
    samples, rejected = rows(tmp_path / "samples.parquet"), rows(tmp_path / "rejected.parquet")
    assert Counter(s["video"] for s in samples) == {s["video"]: 1 for s in samples} and len(samples) == 2
    repeated = [r["sample_id"] for r in rejected if r["reason"] == "near_duplicate"]
    assert len(repeated) > 10 and all(
        r["value"] <= 63 == r["threshold"] for r in rejected if r["reason"] == "near_duplicate"
    )
    firsts = {s["video"]: s["start_frame"] for s in samples}
    assert set(firsts.values()) == {0}, "the first is the one that stays"
    assert crops(tmp_path) == {s["path"] for s in samples}
    assert 0 < len(thumbnails(tmp_path)) <= 4 and set(thumbnails(tmp_path)) <= set(repeated)

    before = contents(tmp_path, "samples.parquet", "rejected.parquet", "crops")
    (tmp_path / "records" / "index.json").unlink()
    again = go(*common, "filters.near_duplicate.enabled=true", only_one)
    assert again.status == 0 and "2 of 2 chunks are done already" in again.text, again.text
    assert contents(tmp_path, "samples.parquet", "rejected.parquet", "crops") == before

    back = go(*common)
    assert back.status == 0, back.text
    samples = rows(tmp_path / "samples.parquet")
    assert {s["sample_id"] for s in samples} >= set(repeated) and crops(tmp_path) == {s["path"] for s in samples}
    assert not thumbnails(tmp_path)


def test_refused_objects_get_a_few_thumbnails_that_go_when_they_are_kept(
    common: tuple[str, ...], tmp_path: Path, go: Run
) -> None:
    done = go(*common, "filters.size.min_side=60", "filters.blur.enabled=true", "filters.blur.min_sharpness=1000")
    assert done.status == 0, done.text
    rejected = {r["sample_id"]: r["reason"] for r in rows(tmp_path / "rejected.parquet")}
    counted = Counter(rejected[name] for name in thumbnails(tmp_path))
    assert Counter(rejected.values())["size"] > 8 and counted["size"] == 8, "four of each chunk"
    assert 0 < counted["blur"] <= 8
    for path in thumbnails(tmp_path).values():
        with av.open(str(path)) as picture:
            (shown,) = picture.decode(video=0)
            assert (shown.width, shown.height) == (96, 96)
            assert shown.to_ndarray(format="rgb24").std() > 5
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count("sheets/refused-") == 6 + min(6, counted["blur"])
    assert "thumbnails" not in (tmp_path / "checksums.sha256").read_text()

    assert go(*common).status == 0
    assert not thumbnails(tmp_path), "everything is kept"
    done = go(*common, "filters.size.min_side=60")
    assert done.status == 0 and "2 of 2 chunks are done already" in done.text, done.text
    names = set(thumbnails(tmp_path))
    assert 0 < len(names) <= 4, "made from the crops that are no longer wanted"
    assert names <= {r["sample_id"] for r in rows(tmp_path / "rejected.parquet")}


def test_a_budget_is_taken_and_shown(common: tuple[str, ...], tmp_path: Path, go: Run) -> None:
    budget = (*common, "clip.sampling=spread", "clip.total=2")
    planned = go(*budget, "task=plan")
    assert planned.status == 0 and "2 of 10 clips: 1 of 1 cameras" in planned.text, planned.text
    done = go(*budget)
    assert done.status == 0, done.text
    assert len({s["clip_id"] for s in rows(tmp_path / "samples.parquet")}) == 2
    page = (tmp_path / "report" / "index.html").read_text()
    assert (
        "The budget of clips" in page
        and '<th scope="row">(top folder)</th><td class="n">2</td><td class="n">10</td>' in page
    )
    before = contents(tmp_path, "samples.parquet", "crops")
    assert go(*budget).status == 0
    assert contents(tmp_path, "samples.parquet", "crops") == before
    alone = go(*common, "clip.sampling=spread")
    assert alone.status == 2 and "clip.sampling=spread needs a budget: clip.total" in alone.text
    assert go(*common).status == 0
    assert "The budget of clips" not in (tmp_path / "report" / "index.html").read_text()


def test_prompts_are_compared_in_a_sweep_and_in_one_build(common: tuple[str, ...], tmp_path: Path, go: Run) -> None:
    """The file's tracks are the same whatever they are called, so the prompts agree in everything."""
    rest = [word for word in common if not word.startswith("prompt=")]
    done = go("-m", *rest, "prompt=cow,cattle")
    assert done.status == 0, done.text
    table = [line.split() for line in done.text.splitlines()]
    assert ["cow", "cattle", "1.00"] in table, done.text
    made = [row for row in table if row[:1] in (["cow"], ["cattle"]) and len(row) == 10]
    objects = len(rows(tmp_path / "prompt=cow" / "samples.parquet"))
    assert [row[:3] for row in made] == [[name, str(objects), str(objects)] for name in ("cow", "cattle")]
    both = go(*rest, "prompt=[cow,cattle]", f"out={tmp_path}/both")
    assert both.status == 0, both.text
    page = (tmp_path / "both" / "report" / "index.html").read_text()
    assert "The prompts compared" in page and '<td>cattle</td><td class="n">1.00</td>' in page


def test_a_clip_across_a_hole_in_time_is_refused(tmp_path: Path, go: Run) -> None:
    """A recorder that stopped for an hour: the clip that holds frames of before and after is no clip of anything."""
    times = [Fraction(n, 25) + (3600 if n >= 20 else 0) for n in range(40)]
    write(tmp_path / "joined.mp4", range(40), times=times)
    lines = (f"{n + 1},1,40,40,60,50,1,-1,-1,-1" for n in range(40))
    (tmp_path / "joined.txt").write_text("\n".join(lines))
    what = (
        f"videos={tmp_path}/joined.mp4",
        f"out={tmp_path}/out",
        "tracker=file",
        f"tracker.path={tmp_path}/joined.txt",
    )
    clips = ("prompt=cow", "clip.num_frames=4", "clip.stride=2", "crop.size=32", "exports=[]")
    done = go(*what, *clips)
    assert done.status == 0, done.text
    kept = rows(tmp_path / "out/samples.parquet")
    assert [s["start_frame"] for s in kept] == [0, 8, 24, 32]
    (refused,) = rows(tmp_path / "out/rejected.parquet")
    assert (refused["reason"], refused["threshold"]) == ("gap", 4.0)
    assert refused["value"] == pytest.approx(3600.08 / 0.08)
    done = go(*what, *clips, "filters.gap.enabled=false")
    assert [s["start_frame"] for s in rows(tmp_path / "out/samples.parquet")] == [0, 8, 16, 24, 32], done.text
