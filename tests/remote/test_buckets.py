"""Footage and datasets in Amazon S3 and Google Cloud Storage: what is other there than over HTTP and SFTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from tests.remote.making import LEAN, OF_A_FOLDER, SMALL, STABLE, build
from tests.running import ROOT, contents, rows, run
from tests.serving_buckets import Bucket
from video import buckets, connection, store
from video.errors import FetchError, NotThere
from video.fetch import fetch
from video.remote import remote_stat
from video.source import find

NAME = "a b+c%20.mp4"
only_s3 = pytest.mark.parametrize("bucket", ["s3"], indirect=True)


@pytest.fixture
def barn(bucket: Bucket, footage: Path) -> str:
    """Footage in the bucket, beside what is not asked for."""
    for path in footage.glob("*.mp4"):
        bucket.write(f"barn/2026/{path.name}", path.read_bytes())
    bucket.write("barn/old/cam3.mp4", b"no video")
    return f"{bucket.url}/barn"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.mp4"
    path.write_bytes(os.urandom(300_007))
    return path


# -- builds -----------------------------------------------------------------------------------------------------------


def test_buckets_give_and_hold_what_folders_would(
    bucket: Bucket,
    barn: str,
    local: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = (f"videos={barn}/2026", f"out={bucket.url}/cows", *SMALL, "exports=[videofolder,webdataset]")
    build(*words, f"cache.path={tmp_path}/a")
    assert bucket.contents("cows", *STABLE) == contents(local, *STABLE)
    others = ("runs/", "records/videos/", *OF_A_FOLDER)
    names = {path for path in contents(local, ".") if not path.startswith(others)}
    assert {path for path in bucket.contents("cows", "") if not path.startswith(others)} == names
    bucket.server.taken.clear()
    again = build(*words, f"cache.path={tmp_path}/b")
    assert (again.tracked_windows, again.crops) == (0, len(rows(local / "samples.parquet")))
    assert not any(name.endswith(".mp4") for name in bucket.server.taken), "no crop is sent twice"
    done = run(capfd, monkeypatch, "task=verify", f"out={bucket.url}/cows", f"cache.path={tmp_path}/c")
    assert done.status == 0 and f"{bucket.url}/cows: all" in done.text, done.text


@only_s3
def test_bad_days_give_the_same_bytes(bucket: Bucket, barn: str, footage: Path, local: Path, tmp_path: Path) -> None:
    faults, names = bucket.server.faults, [path.name for path in local.rglob("*") if path.suffix in (".mp4", ".json")]
    faults.busy.update({name: 2 for name in names})
    faults.cut_in.update({name: 1 for name in names[::2]})
    faults.lost_in.update({name: 1 for name in names[::3]})
    faults.cut.update({path.name: 2 for path in footage.glob("*.mp4")})
    faults.cut_from = 20_000
    build(f"videos={barn}/2026/cam*.mp4", f"out={bucket.url}/cows", *LEAN, f"cache.path={tmp_path}/a")
    assert not faults.cut.total() and not any(faults.busy[path.name] for path in (local / "crops").rglob("*.mp4"))
    assert bucket.contents("cows", *STABLE) == contents(local, *STABLE)


@only_s3
def test_a_killed_run_goes_on_from_another_machine_in_two_shards(
    bucket: Bucket, barn: str, local: Path, tmp_path: Path
) -> None:
    bucket.server.faults.kb_s = 30
    words = (f"videos={barn}/2026", f"out={bucket.url}/cows", *LEAN)
    command = [sys.executable, str(ROOT / "main.py"), *words, f"cache.path={tmp_path}/a"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 100
        while not (records := _records(bucket)):
            assert time.monotonic() < deadline and killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    bucket.server.faults.kb_s = None
    ((record, data),) = records.items()  # it was killed in the middle
    assert data == (local / record).read_bytes()
    there = bucket.contents("cows", "crops/", "tracks/")
    for sample in orjson.loads(data)["samples"]:
        assert all(file["path"] in there for file in sample["files"]), "the record came last"
    shards = [build(*words, f"cache.path={tmp_path}/{n}", f"shard.index={n}", "shard.count=2") for n in (0, 1)]
    assert sum(each.tracked_windows for each in shards) < 4
    assert bucket.contents("cows", *STABLE) == contents(local, *STABLE)


def _records(bucket: Bucket) -> dict[str, bytes]:
    found = bucket.contents("cows", "records/")
    return {name: data for name, data in found.items() if re.fullmatch(r"records/../[^/]+", name)}


@only_s3
def test_a_bucket_that_is_not_there_is_named(
    bucket: Bucket, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"videos={footage}", "out=s3://nowhere/cows", f"cache.path={tmp_path}/cache", *LEAN)
    done = run(capfd, monkeypatch, *words)
    assert done.status == 2 and "s3://nowhere/cows cannot be written: there is no such bucket" in done.text, done.text


# -- names ------------------------------------------------------------------------------------------------------------


def test_one_listing_names_what_is_selected(bucket: Bucket, barn: str, footage: Path) -> None:
    bucket.server.asked.clear()
    here = [path.name for path in sorted(footage.glob("*.mp4"))]
    assert [each.name for each in find([f"{barn}/2026"])] == here
    assert [each.name for each in find([f"{barn}/*/cam*.mp4"], exclude=["old/*"])] == [f"2026/{name}" for name in here]
    assert [each.name for each in find([barn], include=["old/*"])] == ["old/cam3.mp4"]
    assert {(method, name) for method, name, _ in bucket.server.asked} == {("GET", "")}, "names cost listings alone"
    assert len(bucket.server.asked) == 3


# -- single files -----------------------------------------------------------------------------------------------------


def test_a_file_is_put_brought_back_listed_and_removed(bucket: Bucket, file: Path, tmp_path: Path) -> None:
    url = f"{bucket.url}/cows/crops/{NAME}"
    said = store.put(url, file)
    assert bucket.contents("cows", "") == {f"crops/{NAME}": file.read_bytes()}
    assert store.get(url, tmp_path / "back") == said == remote_stat(url)
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert said.checksum is None or bucket.url.startswith("gs")
    with ThreadPoolExecutor(1) as pool:
        assert store.tree(f"{bucket.url}/cows", pool) == {f"crops/{NAME}": said}
        assert store.tree(f"{bucket.url}/sheep", pool) == {}
    store.remove(url)
    store.remove(url)
    with pytest.raises(NotThere, match=r"\.mp4: the server has no such file"):
        store.get(url, tmp_path / "back")


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's advice to gcsfs
def test_large_files_go_in_parts(bucket: Bucket, tmp_path: Path) -> None:
    own = tmp_path / "own.tar"
    own.write_bytes(os.urandom(2 * buckets.PART_BYTES + 1))
    store.put(f"{bucket.url}/own.tar", own)
    assert len([method for method, name, _ in bucket.server.asked if method in ("PUT", "POST")]) > 1
    store.get(f"{bucket.url}/own.tar", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == own.read_bytes()


@pytest.mark.parametrize("fault", ["busy", "cut_in", "lost_in"])
def test_what_goes_wrong_is_sent_again(bucket: Bucket, file: Path, fault: str) -> None:
    getattr(bucket.server.faults, fault)[NAME] = connection.TRIES - 1
    store.put(f"{bucket.url}/{NAME}", file)
    assert not getattr(bucket.server.faults, fault)[NAME], "the fault was there"
    assert bucket.fs.cat_file(f"{bucket.url}/{NAME}") == file.read_bytes()


@pytest.mark.parametrize("fault", ["busy", "cut"])
def test_what_goes_wrong_is_brought_again(bucket: Bucket, file: Path, tmp_path: Path, fault: str) -> None:
    store.put(f"{bucket.url}/{NAME}", file)
    bucket.server.faults.cut_from = 10_000
    getattr(bucket.server.faults, fault)[NAME] = connection.TRIES - 1
    store.get(f"{bucket.url}/{NAME}", tmp_path / "back")
    assert not getattr(bucket.server.faults, fault)[NAME], "the fault was there"
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    getattr(bucket.server.faults, fault)[NAME] = connection.TRIES - 1
    fetch(f"{bucket.url}/{NAME}", tmp_path / "footage", file.stat().st_size)
    assert (tmp_path / "footage").read_bytes() == file.read_bytes()


def test_a_server_that_falls_silent_is_asked_again(
    bucket: Bucket, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(f"{bucket.url}/{NAME}", file)
    monkeypatch.setattr(connection, "STALL_S", 0.3)
    bucket.server.faults.cut_from = 10_000
    bucket.server.faults.stalled[NAME] = 1
    store.get(f"{bucket.url}/{NAME}", tmp_path / "back")
    assert not bucket.server.faults.stalled[NAME], "the fault was there"
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


@only_s3
def test_a_server_that_is_always_busy_is_asked_as_often_as_we_say(bucket: Bucket, file: Path) -> None:
    bucket.server.faults.busy[NAME] = 10**6
    bucket.server.asked.clear()
    with pytest.raises(FetchError, match=rf"given up after {connection.TRIES} tries: the server answers 503"):
        store.put(f"{bucket.url}/{NAME}", file)
    assert len(bucket.server.asked) == connection.TRIES, "no library tries for itself"


@pytest.mark.parametrize(("status", "said"), [(403, "access is denied"), (401, "access is denied")])
def test_what_does_not_pass_is_said_at_once(bucket: Bucket, file: Path, status: int, said: str) -> None:
    bucket.server.faults.status[NAME] = status
    bucket.server.asked.clear()
    with pytest.raises(FetchError, match=rf"{said}.*; log in with `"):
        store.put(f"{bucket.url}/{NAME}", file)
    assert len(bucket.server.asked) < connection.TRIES
