"""Files written to servers: whole or not at all, over connections that break, crawl and lose what they are given."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving import Served
from tests.serving_sftp import serving_sftp
from video import connection, ssh, store
from video.errors import FetchError, NotThere

SIZE = 300_007
NAME = "a b.mp4"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BACK_OFF_S", 0.001)
    monkeypatch.setattr(store, "PIECE_BYTES", 100_000)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """What the server serves."""
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


@pytest.fixture
def server(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(store, "_folders", set())
    with serving_sftp(shelf, tmp_path / "home") as served:
        yield served


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.mp4"
    path.write_bytes(os.urandom(SIZE))
    return path


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_file_is_put_brought_back_listed_and_removed(server: Served, shelf: Path, file: Path, tmp_path: Path) -> None:
    url = f"{server.url}/cows/crops/{NAME}"
    said = store.put(url, file)
    assert (shelf / "cows" / "crops" / NAME).read_bytes() == file.read_bytes()
    assert store.get(url, tmp_path / "back") == said
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    (shelf / "cows" / "empty").touch()
    with ThreadPoolExecutor(2) as pool:
        found = store.tree(f"{server.url}/cows", pool)
        assert {name: stat.size for name, stat in found.items()} == {f"crops/{NAME}": SIZE, "empty": 0}
        assert found[f"crops/{NAME}"] == said
        assert store.tree(f"{server.url}/sheep", pool) == {}
    store.remove(url)
    store.remove(url)
    assert everything(shelf) == ["cows/empty"]
    with pytest.raises(NotThere, match=r"a b\.mp4: the server has no such file"):
        store.get(url, tmp_path / "back")


@pytest.mark.parametrize("plain", [False, True])
def test_a_file_takes_the_place_of_another(server: Served, shelf: Path, file: Path, plain: bool) -> None:
    server.faults.plain_rename = plain
    for data in (b"first", b"second, and longer"):
        file.write_bytes(data)
        store.put(f"{server.url}/{NAME}", file)
        assert (shelf / NAME).read_bytes() == data
    assert everything(shelf) == [NAME]


def test_a_connection_that_is_cut_is_made_again(server: Served, shelf: Path, file: Path) -> None:
    server.faults.cut_in[NAME] = connection.TRIES - 1
    store.put(f"{server.url}/{NAME}", file)
    assert not server.faults.cut_in[NAME], "the fault was there"
    assert (shelf / NAME).read_bytes() == file.read_bytes()


def test_what_is_lost_on_the_way_is_sent_again(server: Served, shelf: Path, file: Path) -> None:
    server.faults.lost_in[NAME] = 10**6
    (shelf / NAME).write_bytes(b"what was there")
    with pytest.raises(FetchError, match=rf"given up after {connection.TRIES} tries: {SIZE - 1} of {SIZE} bytes"):
        store.put(f"{server.url}/{NAME}", file)
    assert everything(shelf) == [NAME] and (shelf / NAME).read_bytes() == b"what was there"
    server.faults.lost_in[NAME] = SIZE // 32768 + 1  # all pieces of the first try
    store.put(f"{server.url}/{NAME}", file)
    assert (shelf / NAME).read_bytes() == file.read_bytes()


def test_a_slow_link_is_waited_for(server: Served, shelf: Path, file: Path) -> None:
    server.faults.kb_s = 1500
    store.put(f"{server.url}/{NAME}", file)
    assert (shelf / NAME).read_bytes() == file.read_bytes()


def test_a_server_that_takes_nothing_says_so_at_once(server: Served, file: Path) -> None:
    server.faults.read_only = True
    with pytest.raises(FetchError, match=r"a b\.mp4: access is denied"):
        store.put(f"{server.url}/{NAME}", file)


def test_a_server_that_dies_is_given_up(server: Served, shelf: Path, file: Path) -> None:
    server.faults.dies_after = SIZE // 2
    with pytest.raises(FetchError, match=rf"given up after {connection.TRIES} tries"):
        store.put(f"{server.url}/{NAME}", file)
    assert not (shelf / NAME).exists()


def test_folders_are_made_once_and_again_when_they_are_removed(server: Served, shelf: Path, file: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.put(f"{server.url}/a/b/{n}", file), range(8)))
    assert everything(shelf) == [f"a/b/{n}" for n in range(8)]
    for path in (shelf / "a" / "b").iterdir():
        path.unlink()
    (shelf / "a" / "b").rmdir()
    store.put(f"{server.url}/a/b/9", file)
    assert everything(shelf) == ["a/b/9"]


def test_threads_share_connections(server: Served, shelf: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session each, three of a connection; where the server gives fewer, there are more connections."""
    monkeypatch.setattr(ssh, "SESSIONS", 3)
    together = threading.Barrier(7)
    for most in (9, 1):
        server.faults.sessions = most
        monkeypatch.setattr(ssh, "_hosts", {})
        server.logins = 0

        def send(n: int) -> None:
            connection.connect(server.url)
            together.wait(20)
            store.put(f"{server.url}/a/{n}", file)

        with ThreadPoolExecutor(7) as pool:
            list(pool.map(send, range(7)))
        assert server.logins == (3 if most == 9 else 7)
        assert all((shelf / "a" / f"{n}").read_bytes() == file.read_bytes() for n in range(7))


def test_what_a_killed_run_left_is_known_by_its_name_and_age(server: Served, shelf: Path) -> None:
    for name, hours in ((".a.mp4.0123abcd.part", 2), (".b.mp4.0123abcd.part", 0), ("c.part", 2), (".d", 2)):
        (shelf / name).touch()
        os.utime(shelf / name, (time.time() - hours * 3600,) * 2)
    with ThreadPoolExecutor(1) as pool:
        found = store.tree(server.url, pool)
    assert len(found) == 4
    assert [name for name, stat in found.items() if store.is_stale_part(name, stat)] == [".a.mp4.0123abcd.part"]


def test_object_stores_take_a_file_as_a_whole(file: Path, tmp_path: Path) -> None:
    """fsspec's own store stands for those that need an account."""
    url = f"memory://{tmp_path.name}/a/{NAME}"
    store.put(url, file)
    with ThreadPoolExecutor(1) as pool:
        assert {name: stat.size for name, stat in store.tree(f"memory://{tmp_path.name}", pool).items()} == {
            f"a/{NAME}": SIZE
        }
    store.get(url, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    store.remove(url)
    with pytest.raises(NotThere):
        store.get(url, tmp_path / "back")
