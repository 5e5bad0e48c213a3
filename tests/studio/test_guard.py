"""Who may ask, and what may be sent: hosts, sites, tokens, sizes, kinds of files, names that try to get out."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pipeline.studio_config import StudioConfig
from studio.guard import MOST_JSON
from studio.uploads import container, plain_name
from tests.running import run
from tests.studio.serving import Served, film, serving


def files_of(studio: Served) -> list[Path]:
    return [p for p in studio.rooms.root.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("LOCALHOST.", 200),
        ("evil.example", 400), ("localhost.evil.example", 400), ("192.168.0.7", 400), ("", 400),
        ("127.0.0.1:x", 400), ("127.0.0.1@evil.example", 400), ("[", 400),
    ],
)  # fmt: skip
def test_only_this_machines_names_are_answered(studio: Served, host: str, status: int) -> None:
    said = studio.ask("GET", "/health", status, headers={"host": host})
    assert status == 200 or "does not answer to the host" in said["detail"]


def test_other_sites_are_refused_unless_they_are_listed(tmp_path: Path, cows: Path) -> None:
    with serving(tmp_path, cors=["http://farm.example:3000"]) as studio:
        video = {"file": ("cows.mp4", cows.read_bytes())}
        for headers in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://farm.example:3001"},
            {"sec-fetch-site": "cross-site"},
        ):
            said = studio.ask("POST", "/upload-video", 403, files=video, headers=headers)
            assert "studio.cors" in said["detail"]
        assert requests.get(studio.address + "/sessions", headers={"origin": "http://evil.example"}).status_code == 403
        assert studio.rooms.all() == [] and list(studio.rooms.uploads.iterdir()) == []
        own = {"origin": studio.address}
        assert "access-control-allow-origin" not in requests.get(studio.address + "/health", headers=own).headers
        listed = {"origin": "http://farm.example:3000"}
        answer = requests.post(studio.address + "/upload-video", files=video, headers=listed)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "http://farm.example:3000"
        asks = {**listed, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        assert requests.options(studio.address + "/propagate/x", headers=asks).status_code == 200


def test_a_token_is_asked_for_and_may_come_three_ways(tmp_path: Path) -> None:
    with serving(tmp_path, token="s3cret-s3cret-s3cret") as studio:
        address = studio.address
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}, {"cookie": "x"}):
            answer = requests.get(address + "/sessions", headers=headers)
            assert answer.status_code == 401 and "Authorization: Bearer" in answer.json()["detail"]
        right = {"authorization": "Bearer s3cret-s3cret-s3cret"}
        assert requests.get(address + "/sessions", headers=right).status_code == 200
        browser = requests.Session()
        opened = browser.get(address + "/sessions", params={"token": "s3cret-s3cret-s3cret"})
        assert opened.status_code == 200 and opened.url == address + "/sessions"  # the secret is out of the address
        (cookie,) = browser.cookies
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert requests.get(address + "/sessions", params={"token": "s3cret"}).status_code == 401
        assert requests.post(address + "/upload-video", params={"token": "s3cret-s3cret-s3cret"}).status_code == 401


def test_other_machines_need_a_token(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    done = run(capfd, monkeypatch, "task=studio", "studio.host=0.0.0.0", f"studio.folder={tmp_path}")
    assert done.status == 2 and "studio.host=0.0.0.0 is reached from other machines, so studio.token" in done.text
    assert StudioConfig(host="0.0.0.0", token="x" * 16).host == "0.0.0.0"
    for host in ("localhost", "127.0.0.1", "::1"):
        assert StudioConfig(host=host).token is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "studio.port must be"), ({"model": "huge"}, "studio.model must be one of tiny, small"),
        ({"model": "tiny", "tracker": "grabcut"}, "is a size of SAM2"), ({"ttl": 0}, "studio.ttl must be more"),
        ({"cors": "farm.example"}, "studio.cors must be origins"), ({"cors": ["*"]}, "studio.cors must be origins"),
        ({"jpeg_quality": 0}, "studio.jpeg_quality"), ({"max_sessions": 0}, "studio.max_sessions"),
        ({"token": "short"}, "studio.token must be 16 or more"), ({"upload_gb": float("nan")}, "studio.upload_gb"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StudioConfig(**options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = {"upload_gb": 200_000 / 2**30, "max_minutes": 2 / 60, "max_pixels": 320 * 180}
    with serving(tmp_path_factory.mktemp("small"), max_sessions=2, **limits) as served:
        yield served


def test_too_much_is_refused_while_it_comes(small: Served) -> None:
    """Without saying how much it will be: the connection ends long before all is sent."""
    host, port = small.address.removeprefix("http://").split(":")
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n\0\0\0\x18ftypmp42'
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        wire.sendall(
            b"POST /upload-video HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n%x\r\n%s\r\n" % (len(head), head)
        )
        sent = 0
        try:
            while sent < 100 * 2**20:
                wire.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass
        answer = http.client.HTTPResponse(wire)
        try:
            answer.begin()
            assert answer.status == 413 and b"studio.upload_gb" in answer.read()
        except ConnectionError:  # the answer was lost when it closed on what was still coming
            pass
    assert sent < 50 * 2**20
    assert list(small.rooms.uploads.iterdir()) == []
    announced = {"content-type": "multipart/form-data; boundary=b", "content-length": str(2**40)}
    small.ask("POST", "/upload-video", 413, data=b"", headers=announced)


def test_long_large_and_foreign_files_are_refused(small: Served, tmp_path: Path) -> None:
    long = film(tmp_path / "long.mp4", 60, (64, 64), [])
    large = film(tmp_path / "large.mp4", 5, (640, 360), [])
    good = film(tmp_path / "good.mp4", 20, (64, 64), [])
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n" + b"#" * 400
    for name, content, status, message in (
        ("long.mp4", long.read_bytes(), 413, "lasts 0.0 minutes, more than studio.max_minutes=0.0333"),
        ("large.mp4", large.read_bytes(), 413, "640x360 pixels, more than studio.max_pixels=57600"),
        ("good.exe", good.read_bytes(), 415, "'good.exe' is no video by its name"),
        ("good", good.read_bytes(), 415, "'good' is no video by its name"),
        ("list.mp4", playlist, 415, "does not begin like a video file"),
        ("list.ts", b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "does not begin like a video file"),
        ("empty.mp4", b"", 415, "does not begin like a video file"),
        ("cut.mp4", good.read_bytes()[:600], 415, "cut.mp4"),
        ("noise.mp4", b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20, 415, "noise.mp4"),
    ):
        said = small.ask("POST", "/upload-video", status, files={"file": (name, content)})
        assert message in said["detail"], said
        assert str(small.rooms.root) not in said["detail"]
    assert small.rooms.all() == [] and [p.name for p in files_of(small)] == []


def test_broken_bodies_are_refused(small: Served) -> None:
    form = {"content-type": "multipart/form-data; boundary=b"}
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n\0\0\0\x18ftypmp42'
    for body, headers, status in (
        (b"hello", {"content-type": "text/plain"}, 415),
        (b"hello", {"content-type": "multipart/form-data"}, 415),
        (b"hello", form, 400),
        (part, form, 400),  # never closed
        (b'--b\r\nContent-Disposition: form-data; name="film"; filename="a.mp4"\r\n\r\nx\r\n--b--\r\n', form, 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n', form, 400),
        (b"--b--\r\n", form, 400),
        (b"".join(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' for _ in range(50)), form, 400),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 100_000 + b"\r\n--b--\r\n", form, 413),
        (b"--b\r\nX: " + b"x" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n", form, 400),
    ):
        small.ask("POST", "/upload-video", status, data=body, headers=headers)
    assert list(small.rooms.uploads.iterdir()) == []
    large = b'{"frame_idx": 0, "points": [' + b" " * MOST_JSON + b"]}"
    said = small.ask("POST", "/annotate-frame/x", 413, data=large, headers={"content-type": "application/json"})
    assert said["detail"] == "the body is larger than 4 MiB"


NAMES = {
    "../../../etc/passwd.mp4": "passwd.mp4",
    "..\\..\\windows\\system.mp4": "system.mp4",
    "/abs/olute.mp4": "olute.mp4",
    "a\u202egpj.mp4": "agpj.mp4",
    "n\0ul\r\n.mp4": "nul.mp4",
    "<script>.mp4": "_script_.mp4",
    "....mp4": "mp4",
    "": "video",
    "..": "video",
    "\ud800x.mp4": "x.mp4",
    "K\u00fche am Zaun.MP4": "K\u00fche am Zaun.MP4",
    "x" * 500 + ".mp4": "x" * 116 + ".mp4",
}


@pytest.mark.parametrize("given", NAMES)
def test_names_are_only_shown(given: str) -> None:
    assert plain_name(given) == NAMES[given]


def test_a_name_never_becomes_a_path(tmp_path: Path, cows: Path) -> None:
    with serving(tmp_path / "inside") as studio:
        for name in ("../../escaped.mp4", "..\\..\\escaped.mp4", "/tmp/escaped.mp4", "a/b/../../escaped.mp4"):
            made = studio.ask("POST", "/upload-video", files={"file": (name, cows.read_bytes())})
            assert made["name"] == "escaped.mp4"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["inside"]
        assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize("identity", ["..%2f..%2f..%2fetc", "%2e%2e", "%00", "a" * 5000, "%F0%9F%90%84", "*", "."])
def test_no_id_leads_anywhere_else(studio: Served, identity: str) -> None:
    host, port = studio.address.removeprefix("http://").split(":")
    for path in (f"/frame/{identity}/0", f"/export/{identity}", f"/sessions/{identity}", f"/overlay/{identity}/0"):
        wire = http.client.HTTPConnection(host, int(port), timeout=20)
        wire.putrequest("GET", path)  # as it is: other clients tidy it up first
        wire.endheaders()
        assert wire.getresponse().status in (404, 405)
        wire.close()


def test_sessions_are_limited_and_places_are_given_back(small: Served, tmp_path: Path) -> None:
    good = film(tmp_path / "good.mp4", 20, (64, 64), []).read_bytes()
    first = [small.ask("POST", "/upload-video", files={"file": ("a.mp4", good)})["session_id"] for _ in range(2)]
    said = small.ask("POST", "/upload-video", 429, files={"file": ("a.mp4", good)})
    assert "studio.max_sessions=2 sessions are open" in said["detail"]
    for session in first:
        small.ask("DELETE", f"/sessions/{session}")
    again = small.ask("POST", "/upload-video", files={"file": ("a.mp4", good)})["session_id"]
    small.ask("DELETE", f"/sessions/{again}")
    assert len({*first, again}) == 3


def test_containers_are_told_by_their_first_bytes() -> None:
    assert container(b"\0\0\0\x20ftypisom") == "mp4" and container(b"\x1aE\xdf\xa3" + b"\0" * 50) == "matroska"
    assert container(b"RIFF\0\0\0\0AVI LIST") == "avi" and container(b"RIFF\0\0\0\0WAVEfmt ") is None
    assert container(b"G" + b"x" * 187 + b"G" + b"x" * 200) == "mpegts" and container(b"Good morning" * 40) is None
    assert container(b"<?xml version") is None and container(b"") is None
