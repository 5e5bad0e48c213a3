"""The cache of fetched videos: whole or not there, never too large, shared, and nothing removed that is in use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cache import Cache
from pipeline.errors import DiskError
from pipeline.settings import CacheConfig
from tests.pipeline.making import a_video
from tests.running import ROOT
from tests.serving import Served, serving_http
from video import connection
from video.errors import FetchError
from video.probe import fingerprint
from video.types import Video

SIZE = 200_000
NAMES = ("a.mp4", "b.mp4", "c.mp4")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACK_OFF_S", 0.001)
    monkeypatch.setattr("pipeline.cache.POLL_S", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    for name in NAMES:
        (tmp_path / "served" / name).write_bytes(os.urandom(SIZE))
    return tmp_path / "served"


@pytest.fixture
def web(folder: Path) -> Iterator[Served]:
    with serving_http(folder) as server:
        yield server


@pytest.fixture
def videos(web: Served, folder: Path) -> tuple[Video, ...]:
    files = [(f"{web.url}/{name}", str(folder / name), name) for name in NAMES]
    return tuple(
        replace(a_video(), path=url, name=name, fingerprint=fingerprint(file), size_bytes=SIZE)
        for url, file, name in files
    )


def a_cache(tmp_path: Path, files: float) -> Cache:
    """One with room for so many of the files."""
    return Cache(CacheConfig(str(tmp_path / "cache"), files * SIZE / 1e9))


def there(tmp_path: Path) -> set[str]:
    """The fingerprints of the whole files."""
    return {path.stem for path in (tmp_path / "cache").glob("*.mp4")}


def test_a_video_is_fetched_once_and_is_the_same(tmp_path: Path, videos: tuple[Video, ...], folder: Path) -> None:
    for _ in range(2):
        with a_cache(tmp_path, 2) as cache, cache.hold(videos[0]) as here:
            assert Path(here.path).read_bytes() == (folder / "a.mp4").read_bytes()
            assert (here.url, here.origin) == (videos[0].path, videos[0].path)
    assert not list((tmp_path / "cache").glob("*.using")) and not list((tmp_path / "cache").glob("*.part"))


def test_one_fetch_serves_all_who_ask_at_once(tmp_path: Path, videos: tuple[Video, ...], web: Served) -> None:
    web.faults.kb_s = 2000

    def use() -> None:
        with a_cache(tmp_path, 2) as cache, cache.hold(videos[0]) as here:
            assert os.path.getsize(here.path) == SIZE

    users = [threading.Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert web.sent["a.mp4"] == SIZE


def test_what_was_used_longest_ago_goes_first(tmp_path: Path, videos: tuple[Video, ...]) -> None:
    a, b, c = videos
    with a_cache(tmp_path, 2.5) as cache:
        for video in (a, b, a, c):
            with cache.hold(video):
                assert len(there(tmp_path)) <= 2
            time.sleep(0.02)
    assert there(tmp_path) == {a.fingerprint, c.fingerprint}


def test_what_is_in_use_stays_and_the_others_wait(tmp_path: Path, videos: tuple[Video, ...]) -> None:
    a, b, _ = videos
    got = threading.Event()

    def use() -> None:
        with a_cache(tmp_path, 1.5) as cache, cache.hold(b):
            assert there(tmp_path) == {b.fingerprint}
            got.set()

    with a_cache(tmp_path, 1.5) as cache:
        with cache.hold(a) as here:
            other = threading.Thread(target=use)
            other.start()
            assert not got.wait(0.3)
            assert os.path.getsize(here.path) == SIZE
        assert got.wait(5)
        other.join()


def test_what_a_killed_process_used_is_free_again(tmp_path: Path, videos: tuple[Video, ...]) -> None:
    a, b, _ = videos
    code = (
        "import sys, time; from pipeline.cache import Cache; from pipeline.settings import CacheConfig\n"
        "from tests.pipeline.making import a_video; from dataclasses import replace\n"
        f"video = replace(a_video(), path={a.path!r}, fingerprint={a.fingerprint!r}, size_bytes={SIZE})\n"
        f"with Cache(CacheConfig({str(tmp_path / 'cache')!r}, {1.5 * SIZE / 1e9})) as cache, cache.hold(video):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGKILL)
    assert list((tmp_path / "cache").glob("*.using"))
    with a_cache(tmp_path, 1.5) as cache, cache.hold(b):
        assert there(tmp_path) == {b.fingerprint}


def test_the_beginning_of_a_file_takes_its_room_and_is_gone_on_from(
    tmp_path: Path, videos: tuple[Video, ...], web: Served
) -> None:
    a, b, _ = videos
    (tmp_path / "cache").mkdir()
    part = tmp_path / "cache" / f"{a.fingerprint}.{SIZE}.part"
    part.write_bytes((tmp_path / "served" / "a.mp4").read_bytes()[:150_000])
    with a_cache(tmp_path, 1.5) as cache:
        with cache.hold(a):
            assert web.sent["a.mp4"] == SIZE - 150_000
        part.write_bytes(b"begun again, and left")
        with cache.hold(b):
            assert not part.exists() and there(tmp_path) == {b.fingerprint}


def test_ahead_of_need_nothing_is_given_up_that_is_wanted(tmp_path: Path, videos: tuple[Video, ...]) -> None:
    a, b, c = videos
    with a_cache(tmp_path, 2.5) as cache, cache.hold(a):
        cache.ahead(b)
        wait_for(tmp_path, b)
        cache.ahead(c)
        time.sleep(0.2)
        assert there(tmp_path) == {a.fingerprint, b.fingerprint}, "a is in use, and b is for later"
    with a_cache(tmp_path, 2.5) as cache:
        cache.ahead(c)
        wait_for(tmp_path, c)
        assert there(tmp_path) == {b.fingerprint, c.fingerprint}, "a was used"


def wait_for(tmp_path: Path, video: Video) -> None:
    end = time.monotonic() + 10
    while video.fingerprint not in there(tmp_path):
        assert time.monotonic() < end, f"{video.name} did not come"
        time.sleep(0.01)


def test_a_video_that_cannot_be_had_is_not_waited_for_twice(
    tmp_path: Path, videos: tuple[Video, ...], web: Served
) -> None:
    web.faults.status["a.mp4"] = 503
    with a_cache(tmp_path, 2) as cache:
        for _ in range(2):
            with pytest.raises(FetchError, match=r"given up after"), cache.hold(videos[0]):
                pass
    assert len(web.asked) == 2 * connection.TRIES
    web.faults.status.clear()
    with a_cache(tmp_path, 2) as cache, cache.hold(videos[0]):
        assert there(tmp_path) == {videos[0].fingerprint}, "another run tries again"


def test_a_file_larger_than_the_cache_is_an_error(tmp_path: Path, videos: tuple[Video, ...]) -> None:
    with (
        a_cache(tmp_path, 0.9) as cache,
        pytest.raises(FetchError, match=r"a\.mp4: it has 0\.0002 GB, and cache\.max_gb=0\.00018: give"),
        cache.hold(videos[0]),
    ):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, videos: tuple[Video, ...]) -> None:
    (tmp_path / "file").write_text("")
    with (
        Cache(CacheConfig(str(tmp_path / "file" / "cache"))) as cache,
        pytest.raises(DiskError, match=r"cache\.path=.*file/cache: Not a directory: .*another folder"),
        cache.hold(videos[0]),
    ):
        pass


def test_a_file_of_this_machine_is_left_alone(tmp_path: Path) -> None:
    with a_cache(tmp_path, 1) as cache, cache.hold(a_video()) as here:
        assert here == a_video()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("room", [0, -1, float("inf")])
def test_a_room_of_nothing_is_refused(room: float) -> None:
    with pytest.raises(ValueError, match=r"cache\.max_gb must be more than 0"):
        CacheConfig(max_gb=room)
