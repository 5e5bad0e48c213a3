"""Videos on servers: listed, looked at by ranges and fetched, over connections that break, crawl and lie."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fsspec.registry import _registry

from tests.serving import Faults, Served, serving_http
from tests.serving_sftp import serving_sftp
from tests.video.cases import CASES
from video import connection, remote
from video import fetch as fetching
from video.activity import activity
from video.errors import FetchError, SourceError
from video.fetch import fetch
from video.probe import fingerprint, probe
from video.remote import located, remote_stat
from video.source import Found, find

SIZE = 1_000_003
NAME = "cam 1.mp4"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pieces and short waits: a megabyte goes through what a gigabyte goes through."""
    monkeypatch.setattr(connection, "BACK_OFF_S", 0.001)
    monkeypatch.setattr(remote, "BLOCK_BYTES", 16 << 10)
    monkeypatch.setattr(fetching, "FIRST_BYTES", 64 << 10)
    monkeypatch.setattr(fetching, "MOST_BYTES", 256 << 10)


@pytest.fixture
def barn(tmp_path: Path) -> Path:
    """A folder of two cameras, with what is no video."""
    folder = tmp_path / "barn"
    for name in (NAME, "farm 1/cam%201.mkv", "farm 1/b/cam2.MP4", "farm2/[x] 100%.mp4", ".trash/old.mp4", "read.me"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / NAME).write_bytes(os.urandom(SIZE))
    (folder / "list.txt").write_text("# all\nfarm 1/b/cam2.MP4\n./cam 1.mp4\n")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(params=["http", "sftp"])
def served(request: pytest.FixtureRequest, barn: Path, home: Path) -> Iterator[Served]:
    with serving_http(barn) if request.param == "http" else serving_sftp(barn, home) as server:
        yield server


@pytest.fixture
def web(barn: Path) -> Iterator[Served]:
    with serving_http(barn) as server:
        yield server


def at(served: Served, name: str = NAME) -> str:
    return f"{served.url}/{name.replace(' ', '%20')}" if served.url.startswith("http") else f"{served.url}/{name}"


def brought(served: Served, tmp_path: Path, **more: str) -> bytes:
    part = tmp_path / "a.part"
    fetch(at(served), part, SIZE, **more)
    return part.read_bytes()


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["", "/farm 1", "/**/*.mp4", "/*/cam*", "/farm 1/**", "/list.txt"])
def test_a_url_names_what_its_folder_would(served: Served, barn: Path, tail: str) -> None:
    here = find([f"{barn}{tail}"])
    there = find([at(served, tail.lstrip("/"))])
    assert [each.name for each in there] == [each.name for each in here]
    for far, near in zip(there, here, strict=True):
        assert remote_stat(far.path).size == os.path.getsize(near.path), far.path


def test_a_list_here_may_name_urls(web: Served, tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text(f"{at(web)}\n{web.url}/farm%201/b/cam2.MP4\n")
    assert [each.name for each in find([str(tmp_path / "all.txt")])] == ["cam 1.mp4", "cam2.MP4"]


def test_files_of_one_name_get_different_ones_without_secrets() -> None:
    urls = [f"http://me:secret@{host}/a.mp4?key={key}" for host, key in (("one", 1), ("two", 1), ("two", 2))]
    names = [each.name for each in find(urls)]
    assert len(set(names)) == 3 and not any("secret" in name or "key" in name for name in names), names


def test_a_file_named_in_full_costs_no_request(web: Served) -> None:
    assert [each.name for each in find([at(web)])] == [NAME]
    assert not web.asked


def test_what_is_not_selected_is_not_asked_for(web: Served) -> None:
    (only,) = find([web.url], include=["farm 1/*"], exclude=["*.mkv"])
    assert only.name == "farm 1/b/cam2.MP4"
    assert not web.asked, "the listing was enough"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{web}/gone/", r"gone/: the server has no such file"),
        ("{web}/farm2/*.mkv", r"nothing found: the glob matches no file"),
        ("{web}/gone.txt", r"gone\.txt: the server has no such file"),
        ("gopher://host/a.mp4", r"gopher://host/a\.mp4: gopher:// is none of the kinds of URL"),
    ],
)
def test_a_wrong_url_is_named_with_the_reason(web: Served, url: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        find([url.format(web=web.url)])


@pytest.mark.parametrize(("url", "extra"), [("gs://bucket/a.mp4", "gcs"), ("s3://bucket/a.mp4", "s3")])
def test_a_missing_package_is_named_with_its_extra(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package, scheme in (("gcsfs", "gs"), ("s3fs", "s3")):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        monkeypatch.delitem(_registry, scheme, raising=False)  # another test had it
    with pytest.raises(SourceError, match=rf"a\.mp4: reading it needs {extra}fs.*make setup EXTRAS={extra} "):
        find([url])


# -- probing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b-frames", "edit-list", "fragmented", "mkv", "ts", "vp9", "mpeg4-avi"])
def test_probing_by_ranges_sees_what_probing_the_file_sees(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    case.make(tmp_path / f"a{case.suffix}")
    here = probe(Found(str(tmp_path / f"a{case.suffix}"), "a"))
    with serving_http(tmp_path) as web:
        there = probe(Found(f"{web.url}/a{case.suffix}", "a"))
        assert replace(there, path=here.path) == here
        assert (activity(located(there.path), 2.0) == activity(here.path, 2.0)).all()


def test_probing_takes_little_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    CASES["plain"].make(path)
    with open(path, "ab") as file:  # a box that players leave out
        file.write((8 << 20).to_bytes(4, "big") + b"free" + bytes((8 << 20) - 8))
    with serving_http(tmp_path) as web:
        assert probe(Found(f"{web.url}/a.mp4", "a")).fingerprint == fingerprint(str(path))
        assert web.sent["a.mp4"] < 2 << 20


# -- fetching ---------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # paramiko asks ahead
def test_a_cut_connection_is_gone_on_from(served: Served, barn: Path, tmp_path: Path) -> None:
    served.faults.cut_after = 60_000
    served.faults.cut[NAME] = connection.TRIES - 1
    assert brought(served, tmp_path) == (barn / NAME).read_bytes()
    assert not served.faults.cut[NAME], "the fault was there"
    assert served.sent[NAME] < 2 * SIZE, "it did not begin again"


def test_a_connection_that_is_always_cut_is_given_up_and_gone_on_from_later(
    served: Served, barn: Path, tmp_path: Path
) -> None:
    served.faults.cut_after = 400_000
    served.faults.cut[NAME] = 10**6
    with pytest.raises(FetchError, match=rf"{NAME.replace(' ', '.*')}: given up after {connection.TRIES} tries"):
        brought(served, tmp_path)
    had = (tmp_path / "a.part").stat().st_size
    assert 0 < had < SIZE
    served.faults.cut.clear()
    served.sent.clear()
    assert brought(served, tmp_path) == (barn / NAME).read_bytes()
    assert served.sent[NAME] == SIZE - had


def test_a_slow_link_is_waited_for(served: Served, barn: Path, tmp_path: Path) -> None:
    served.faults.kb_s = 2000
    assert brought(served, tmp_path) == (barn / NAME).read_bytes()


def test_a_connection_that_falls_silent_is_tried_again(
    web: Served, barn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STALL_S", 0.2)
    web.faults.stalled[NAME] = 2
    assert brought(web, tmp_path) == (barn / NAME).read_bytes()


def test_a_server_that_promises_more_than_it_has_is_given_up(served: Served, tmp_path: Path) -> None:
    served.faults.missing[NAME] = 1000
    with pytest.raises(FetchError, match=rf"given up after {connection.TRIES} tries"):
        fetch(at(served), tmp_path / "a.part", SIZE + 1000)


def test_another_size_than_before_is_said_at_once(served: Served, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=rf"it has {SIZE} bytes now and had 7 when it was looked at; run again"):
        fetch(at(served), tmp_path / "a.part", 7)


def test_other_bytes_than_before_are_refused(served: Served, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"fingerprint is [0-9a-f]{16} and was 0000000000000000.*, twice"):
        brought(served, tmp_path, expected="0" * 16)
    assert not (tmp_path / "a.part").exists()


@pytest.mark.parametrize("header", ["Content-MD5", "Digest"])
def test_a_checksum_of_the_server_is_held_to(web: Served, barn: Path, tmp_path: Path, header: str) -> None:
    data = (barn / NAME).read_bytes()
    md5, sha = (base64.b64encode(kind(data).digest()).decode() for kind in (hashlib.md5, hashlib.sha256))
    web.faults.headers[header] = md5 if header == "Content-MD5" else f"sha-256={sha}"
    web.faults.garbled[NAME] = 1
    assert brought(web, tmp_path) == data
    (tmp_path / "a.part").unlink()
    web.faults.garbled[NAME] = 10**6
    with pytest.raises(FetchError, match=r"its (md5|sha256) is [0-9a-f]+, and the server says [0-9a-f]+, twice"):
        brought(web, tmp_path)


@pytest.mark.parametrize(
    ("status", "said", "asked"),
    [(404, r"has no such file \(404\)", 2), (403, r"access is denied \(403\)", 2), (503, r"given up after", 2)],
)
def test_what_does_not_pass_is_not_tried_again(web: Served, tmp_path: Path, status: int, said: str, asked: int) -> None:
    web.faults.status[NAME] = status
    with pytest.raises(FetchError, match=said):
        brought(web, tmp_path)
    tries = connection.TRIES if status == 503 else 1
    assert len(web.asked) == asked * tries, "HEAD, and GET where HEAD fails"


def test_a_server_without_ranges_gives_the_file_from_the_start(web: Served, barn: Path, tmp_path: Path) -> None:
    web.faults.ranges = False
    web.faults.cut_from = SIZE
    (tmp_path / "a.part").write_bytes((barn / NAME).read_bytes()[: SIZE // 2])
    web.faults.cut[NAME] = 1
    assert brought(web, tmp_path) == (barn / NAME).read_bytes()


def test_an_unknown_server_key_and_a_wrong_password_are_said(barn: Path, home: Path, tmp_path: Path) -> None:
    with serving_sftp(barn, home) as server:
        with pytest.raises(FetchError, match=r"access is denied.*sftp://USER@HOST"):
            remote_stat(at(server).replace("hay", "straw"))
        (home / ".ssh" / "known_hosts").unlink()
        with pytest.raises(
            FetchError, match=r"ecdsa-sha2-nistp256 key of \[127\.0\.0\.1\]:\d+ is not in .*: ssh-keyscan -p \d+ "
        ):
            remote_stat(at(server))


def test_a_folder_without_permission_is_an_error_and_not_an_empty_one(barn: Path, home: Path) -> None:
    with serving_sftp(barn, home, Faults(status={"farm2": 403})) as server, pytest.raises(SourceError, match=r"denied"):
        find([server.url])


def test_urls_are_shown_without_secrets() -> None:
    assert connection.shown("https://me:pw@host:80/a/b.mp4?X-Signature=1#x") == "https://host:80/a/b.mp4"
    assert connection.shown("/data/what?.mp4") == "/data/what?.mp4"
