"""Footage on servers: the same dataset as from files of this machine, whatever the connection does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import pytest

from pipeline.build import Build
from pipeline.cache import Cache
from pipeline.job import Job, Outcome
from pipeline.worker import Worker
from tests.pipeline.composing import loaded
from tests.running import ROOT, contents, rows, run
from tests.serving import Served, serving_http
from tests.serving_sftp import serving_sftp
from video import remote
from video.scenes import render_scene

STABLE = ("crops", "tracks", "samples.parquet", "rejected.parquet", "failures.parquet", "splits.parquet")
SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5", "exports=[]")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders, three videos of 2 s; one has a space in its name."""
    folder = tmp_path_factory.mktemp("served")
    for seed, name in enumerate(("barn/cam 1_20260601_0900.mp4", "barn/cam2_20260601_1215.mp4", "yard/cam3.mp4")):
        (folder / name).parent.mkdir(exist_ok=True)
        render_scene(folder / name, seed=50 + seed, seconds=2, width=160, height=96, cows=1, people=1)
    return folder


@pytest.fixture(scope="module")
def local(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What files of this machine give."""
    out = tmp_path_factory.mktemp("local")
    assert Build(loaded(f"videos={footage}", f"out={out}", *SMALL)).run().status == 0
    return contents(out, *STABLE)


@pytest.fixture
def web(footage: Path) -> Iterator[Served]:
    with serving_http(footage) as served:
        yield served


def build(tmp_path: Path, *words: str) -> dict[str, bytes]:
    settings = loaded(f"out={tmp_path}/out", f"cache.path={tmp_path}/cache", *SMALL, *words)
    assert Build(settings).run().status == 0
    return contents(tmp_path / "out", *STABLE)


@pytest.fixture
def served(
    request: pytest.FixtureRequest, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with serving_sftp(footage, tmp_path / "home") if request.param == "sftp" else serving_http(footage) as server:
        yield server


@pytest.mark.parametrize("served", ["http", "sftp"], indirect=True)
def test_a_server_gives_the_same_bytes(served: Served, tmp_path: Path, local: dict[str, bytes]) -> None:
    assert any(name.startswith("crops/") for name in local)
    assert build(tmp_path, f"videos={served.url}/") == local


def test_a_server_without_ranges_gives_the_same_bytes(
    web: Served, tmp_path: Path, local: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 4096)
    web.faults.ranges = False
    assert build(tmp_path, f"videos={web.url}/") == local


def test_bad_connections_and_a_small_cache_give_the_same_bytes(
    web: Served, footage: Path, tmp_path: Path, local: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 2048)
    files = list(footage.rglob("*.mp4"))
    web.faults.cut_from = 16 * 2048 + 1
    web.faults.cut.update({file.name: 2 for file in files})
    room = 1.2 * max(file.stat().st_size for file in files) / 1e9
    assert build(tmp_path, f"videos={web.url}/", f"cache.max_gb={room}") == local
    assert not web.faults.cut.total(), "every video was cut twice"
    assert sum(file.stat().st_size for file in (tmp_path / "cache").iterdir() if file.is_file()) <= room * 1e9


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(web: Served, tmp_path: Path, local: dict[str, bytes]) -> None:
    assert build(tmp_path, f"videos={web.url}/", "executor=processes", "executor.workers=2") == local
    assert all(web.sent[name] < 3 * 10**6 for name in web.sent)


@pytest.mark.slow
def test_shards_at_once_share_a_cache(web: Served, footage: Path, tmp_path: Path, local: dict[str, bytes]) -> None:
    room = 1.2 * max(file.stat().st_size for file in footage.rglob("*.mp4")) / 1e9
    words = [
        *SMALL,
        f"videos={web.url}/",
        f"out={tmp_path}/out",
        f"cache.path={tmp_path}/cache",
        f"cache.max_gb={room}",
    ]
    command = [sys.executable, str(ROOT / "main.py"), *words, "shard.count=2", "shard.index=1"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as other:
        while other.poll() is None and not (tmp_path / "cache").exists():  # so that both are at it
            time.sleep(0.01)
        assert Build(loaded(*words, "shard.count=2")).run().status == 0
        _, said = other.communicate(timeout=200)
        assert other.returncode == 0, said.decode()
    assert contents(tmp_path / "out", *STABLE) == local


def test_a_video_that_is_away_is_a_failure_and_tried_again(
    web: Served, tmp_path: Path, local: dict[str, bytes]
) -> None:
    web.faults.status["cam3.mp4"] = 404
    settings = loaded(f"videos={web.url}/", f"out={tmp_path}/out", f"cache.path={tmp_path}/cache", *SMALL)
    assert Build(settings).run().status == 3
    (failure,) = rows(tmp_path / "out" / "failures.parquet")
    assert (failure["video"], failure["stage"]) == ("yard/cam3.mp4", "probe")
    assert "cam3.mp4: the server has no such file (404)" in failure["error"]
    web.faults.status.clear()
    assert Build(settings).run().status == 0
    tracks = {name: data for name, data in local.items() if name.startswith(("crops/", "tracks/"))}
    assert contents(tmp_path / "out", "crops", "tracks") == tracks  # a video that came later may be in another split


def test_a_video_that_cannot_be_fetched_is_a_failure_and_tried_again(
    web: Served, footage: Path, tmp_path: Path, local: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 2048)  # what probing asks for is smaller than what is cut
    web.faults.cut_from = 16 * 2048 + 1
    web.faults.cut["cam3.mp4"] = 10**6
    settings = loaded(f"videos={web.url}/", f"out={tmp_path}/out", f"cache.path={tmp_path}/cache", *SMALL)
    assert Build(settings).run().status == 3
    failures = rows(tmp_path / "out" / "failures.parquet")
    assert {(each["video"], each["stage"]) for each in failures} == {("yard/cam3.mp4", "fetch")}
    assert "given up after" in failures[0]["error"]
    web.faults.cut.clear()
    assert Build(settings).run().status == 0
    assert contents(tmp_path / "out", *STABLE) == local


def test_tracks_of_files_serve_the_same_files_on_a_server(
    web: Served, footage: Path, tmp_path: Path, local: dict[str, bytes]
) -> None:
    words = (f"out={tmp_path}/out", f"cache.path={tmp_path}/cache", *SMALL)
    assert Build(loaded(f"videos={footage}", *words)).run().status == 0
    before = Counter(web.sent)
    summary = Build(loaded(f"videos={web.url}/", *words)).run()
    assert (summary.status, summary.tracked_windows) == (0, 0)
    assert not (tmp_path / "cache").exists(), "nothing had to be fetched"
    assert contents(tmp_path / "out", *STABLE) == local
    first = web.sent - before
    assert Build(loaded(f"videos={web.url}/", *words)).run().status == 0
    assert web.sent - before == first, "and what a video is like is remembered"


def test_hours_and_patterns_are_decided_before_anything_is_fetched(web: Served, tmp_path: Path) -> None:
    build(
        tmp_path, f"videos={web.url}/", "select.include=barn", "select.time_pattern=%Y%m%d_%H%M", "select.hours=[8,10]"
    )
    assert len(list((tmp_path / "cache").glob("*.mp4"))) == 1, "the one of 9:00"
    assert not any(name == "cam3.mp4" for _, name, _ in web.asked)


def test_the_next_video_is_fetched_meanwhile(web: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    run_all = Worker.run

    def noted(self: Worker, jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        listed = list(jobs)
        given.extend((job.chunk.video.name, job.following and job.following.name) for job in listed)
        return run_all(self, listed)

    monkeypatch.setattr(Worker, "run", noted)
    ahead = []
    monkeypatch.setattr(Cache, "ahead", lambda self, video: ahead.append(video and video.name))
    build(tmp_path, f"videos={web.url}/")
    names = list(dict.fromkeys(name for name, _ in given))
    assert [dict(given)[name] for name in names] == [*names[1:], None]
    assert list(dict.fromkeys(ahead)) == [*names[1:], None]


def test_the_other_tasks_fetch_too(
    web: Served, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def go(*words: str) -> str:
        done = run(capfd, monkeypatch, *words, f"cache.path={tmp_path}/cache")
        assert done.status == 0, done.text
        return done.text

    build(tmp_path, f"videos={web.url}/yard/")
    for task in ("outputs", "preview", "segment", "batch"):
        shutil.rmtree(tmp_path / "cache")
        out = f"out={tmp_path}/{'out' if task == 'outputs' else task}"
        if task == "outputs":
            go("task=outputs", out, "outputs.overlay=false", "outputs.clips=*-0000000-*")
            assert list((tmp_path / "out" / "outputs").rglob("*.png"))
        elif task == "preview":
            go("task=preview", f"videos={web.url}/yard/cam3.mp4", out, *SMALL)
            assert (tmp_path / "preview" / "preview" / "index.html").stat().st_size > 1000
        elif task == "segment":
            words = ("task=segment", f"videos={web.url}/yard/cam3.mp4", out, "tracker=grabcut")
            assert f"videos={web.url}/yard/cam3.mp4 tracker=sam2" in go(*words)
            go(*words, "segment.box=[20,20,80,70]", "segment.end=2")
            (masks,) = (tmp_path / "segment").rglob("masks.json")
            assert f"{web.url}/yard/cam3.mp4" in masks.read_text() and "/cache/" not in masks.read_text()
        else:
            go("task=batch", "clip.whole=true", f"videos={web.url}/yard/", out, "prompt=cow", "tracker=motion")
            said = (tmp_path / "batch" / "cam3_metadata.json").read_text()
            assert f"{web.url}/yard/cam3.mp4" in said
        assert len(list((tmp_path / "cache").glob("*.mp4"))) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("videos={web}/gone.mp4",), "gone.mp4: the server has no such file (404)"),
        (("videos={web}/gone/",), "gone/: the server has no such file"),
        (("videos=gopher://barn/a.mp4",), "gopher:// is none of the kinds of URL that can be read"),
        (("videos={web}/", "cache.max_gb=0"), "cache.max_gb must be more than 0, got 0"),
    ],
)
def test_what_is_wrong_is_one_message_and_status_2(
    web: Served,
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = [word.format(web=web.url) for word in words]
    done = run(capfd, monkeypatch, f"out={tmp_path}/out", f"cache.path={tmp_path}/cache", *SMALL, *given)
    assert done.status == 2, done.text
    assert said in done.text and "Traceback" not in done.text
