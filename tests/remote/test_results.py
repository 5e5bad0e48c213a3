"""Datasets on servers: the same as in a folder of this machine, whatever becomes of the connection or of the run."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import orjson
import pytest

from pipeline.build import Build
from pipeline.crew.actor import Served
from pipeline.errors import DatasetError, DiskError
from pipeline.footage import survey
from pipeline.mirror.layout import close
from tests.pipeline.composing import loaded
from tests.remote.making import LEAN, OF_A_FOLDER, SMALL, STABLE, build
from tests.running import ROOT, contents, rows, run
from tests.serving import Served as Server
from tests.serving_sftp import serving_sftp


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """What the server serves."""
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


@pytest.fixture
def server(shelf: Path, tmp_path: Path) -> Iterator[Server]:
    with serving_sftp(shelf, tmp_path / "home") as served:
        yield served


class Memory:
    """A server that is this process, for what is no matter of connections."""

    def __init__(self, name: str) -> None:
        self.url = f"memory://{name}/cows"
        self.fs: Any = fsspec.filesystem("memory")

    def contents(self, *names: str) -> dict[str, bytes]:
        """Bytes of every file under these names."""
        top = f"{self.url.removeprefix('memory:/')}/"
        files = [path.removeprefix(top) for path in self.fs.find(top)]
        return {path: bytes(self.fs.cat_file(top + path)) for path in files if path.startswith(names)}

    def times(self, *names: str) -> dict[str, Any]:
        """When each of these files was written."""
        return {path: self.fs.created(f"{self.url}/{path}") for path in self.contents(*names)}

    def write(self, name: str, data: bytes) -> None:
        self.fs.pipe_file(f"{self.url}/{name}", data)

    def remove(self, name: str) -> None:
        self.fs.rm_file(f"{self.url}/{name}")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    made = Memory(tmp_path.name)
    yield made
    made.fs.rm(f"memory://{tmp_path.name}", recursive=True)


def mirror_in(cache: Path) -> Path:
    """The folder that stands for the one dataset of a cache."""
    (folder,) = (path for path in (cache / "datasets").glob("*/*") if path.is_dir())
    return folder


# -- the same bytes ---------------------------------------------------------------------------------------------------


def test_a_server_holds_what_a_folder_would(
    server: Server, shelf: Path, footage: Path, local: Path, tmp_path: Path
) -> None:
    words = (f"videos={footage}", f"out={server.url}/herds/cows", *SMALL, "exports=[videofolder,webdataset]")
    build(*words, f"cache.path={tmp_path}/a")
    assert contents(shelf / "herds" / "cows", *STABLE) == contents(local, *STABLE)
    names = {path for path in contents(local, ".") if not path.startswith(("runs/", *OF_A_FOLDER))}
    assert {path for path in contents(shelf / "herds" / "cows", ".") if not path.startswith("runs/")} == names
    assert len(list((shelf / "herds" / "cows" / "runs").glob("*/log.txt"))) == 1
    assert not any(b"hay" in data for path, data in contents(shelf, ".").items() if not path.endswith(".mp4"))
    left = shelf / "herds" / "cows" / ".samples.parquet.0123abcd.part"
    left.touch()
    os.utime(left, (time.time() - 7200,) * 2)
    before = set(server.taken)
    again = build(*words, f"cache.path={tmp_path}/b")
    assert (again.tracked_windows, again.crops) == (0, len(rows(local / "samples.parquet")))
    assert contents(shelf / "herds" / "cows", *STABLE) == contents(local, *STABLE)
    assert not any(name.endswith(".mp4") and name not in before for name in server.taken)
    assert not left.exists(), "what a killed run left is removed"


def test_bad_connections_give_the_same_bytes(
    server: Server, shelf: Path, footage: Path, local: Path, tmp_path: Path
) -> None:
    files = [path for path in local.rglob("*") if path.suffix in (".mp4", ".json", ".parquet", ".yaml")]
    server.faults.cut_in.update({path.name: 1 for path in files})
    server.faults.lost_in.update({path.name: 1 for path in files[::2]})
    build(f"videos={footage}", f"out={server.url}/cows", *LEAN, f"cache.path={tmp_path}/a")
    assert sum(server.faults.cut_in[path.name] for path in files if "crops" in path.parts) == 0, "the faults were there"
    assert contents(shelf / "cows", *STABLE) == contents(local, *STABLE)


def test_a_server_that_dies_costs_no_work(shelf: Path, footage: Path, local: Path, tmp_path: Path) -> None:
    with serving_sftp(shelf, tmp_path / "home") as server:
        words = (f"videos={footage}", f"out={server.url}/cows", *LEAN, f"cache.path={tmp_path}/a")
        port = int(server.url.rpartition(":")[2])
        server.faults.dies_after = 30_000
        with pytest.raises(DiskError, match=r"not all of it could be sent .* same command sends it first"):
            build(*words)
    kept = contents(shelf / "cows", *STABLE)
    assert 0 < len(kept) < len(contents(local, *STABLE))
    with serving_sftp(shelf, tmp_path / "home", port=port):
        assert build(*words).tracked_windows == 0
    assert contents(shelf / "cows", *STABLE) == contents(local, *STABLE)


def test_a_killed_run_goes_on_from_another_machine(
    server: Server, shelf: Path, footage: Path, local: Path, tmp_path: Path
) -> None:
    server.faults.kb_s = 40
    words = (f"videos={footage}", f"out={server.url}/cows", *LEAN)
    command = [sys.executable, str(ROOT / "main.py"), *words, f"cache.path={tmp_path}/a"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | {"HOME": f"{tmp_path}/home"}) as killed:
        deadline = time.monotonic() + 100
        while not list((shelf / "cows").glob("records/??/*.json")) and time.monotonic() < deadline:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    done = len(list((shelf / "cows").glob("records/??/*.json")))
    assert 0 < done < 2, "it was killed in the middle"
    for record in (shelf / "cows").glob("records/??/*.json"):
        for sample in orjson.loads(record.read_bytes())["samples"]:
            assert all((shelf / "cows" / file["path"]).is_file() for file in sample["files"]), "it came last"
            assert (shelf / "cows" / "tracks" / sample["track_key"][:2] / f"{sample['track_key']}.parquet").is_file()
        assert record.read_bytes() == (local / record.relative_to(shelf / "cows")).read_bytes()
    server.faults.kb_s = None
    assert build(*words, f"cache.path={tmp_path}/b").tracked_windows < 4
    found = contents(shelf / "cows", *STABLE)  # with what the killed run had half sent: it is removed when it is old
    assert {path: data for path, data in found.items() if not path.endswith(".part")} == contents(local, *STABLE)


# -- several machines -------------------------------------------------------------------------------------------------


def test_machines_share_a_dataset(memory: Memory, footage: Path, local: Path, tmp_path: Path) -> None:
    words = (f"videos={footage}", f"out={memory.url}", *LEAN, "shard.count=2")
    first = build(*words, f"cache.path={tmp_path}/a", "shard.index=0")
    second = build(*words, f"cache.path={tmp_path}/b", "shard.index=1")
    assert first.tracked_windows + second.tracked_windows == 4, "nothing is done twice"
    assert memory.contents(*STABLE) == contents(local, *STABLE)


def test_what_another_machine_finishes_meanwhile_is_taken_in(
    memory: Memory, footage: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"videos={footage}", f"out={memory.url}", *LEAN, "shard.count=2")
    derive, told = Build._derive, []

    def meanwhile(self: Build) -> None:
        if not told:
            told.append("once")
            build(*words, f"cache.path={tmp_path}/b", "shard.index=1")
        derive(self)

    monkeypatch.setattr(Build, "_derive", meanwhile)
    build(*words, f"cache.path={tmp_path}/a", "shard.index=0")
    assert memory.contents(*STABLE) == contents(local, *STABLE)


def test_another_run_with_other_settings_is_noticed(
    memory: Memory, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"videos={footage}", f"out={memory.url}", *LEAN)
    work, told = Build._work, []

    def meanwhile(self: Build, *arguments: Any) -> Any:
        done = work(self, *arguments)
        if not told:
            told.append("once")
            build(*words, f"cache.path={tmp_path}/b", "crop.size=32")
        return done

    monkeypatch.setattr(Build, "_work", meanwhile)
    with pytest.raises(DatasetError, match=r"other settings has taken over memory://"):
        build(*words, f"cache.path={tmp_path}/a")


def test_what_is_superseded_leaves_the_server(memory: Memory, footage: Path, local: Path, tmp_path: Path) -> None:
    words = (f"videos={footage}", f"out={memory.url}", *SMALL, "exports=[videofolder,webdataset]")
    build(*words, f"cache.path={tmp_path}/a", "crop.size=32", "filters.size.min_side=1")
    other = set(memory.contents("crops/", "records/", "exports/"))
    assert build(*words, f"cache.path={tmp_path}/b").tracked_windows == 0
    assert memory.contents(*STABLE) == contents(local, *STABLE)
    assert {p for p in memory.contents("records/", "exports/")} == {
        p for p in contents(local, "records", "exports") if p not in OF_A_FOLDER
    }
    assert other - set(memory.contents("crops/", "records/", "exports/")), "there was something to remove"


def test_footage_and_results_may_share_a_bucket(memory: Memory, footage: Path, tmp_path: Path) -> None:
    top = memory.url.rpartition("/")[0]
    for path in footage.iterdir():
        memory.fs.pipe_file(f"{top}/barn/{path.name}", path.read_bytes())
    words = (f"videos={top}", f"out={memory.url}", *LEAN, f"cache.path={tmp_path}/a")
    assert build(*words).videos == 2
    assert build(*words).videos == 2, "crops are no footage"
    again = build(*words, f"videos={memory.url}/crops", f"out={top}/again", "clip.stride=1")
    assert again.videos == len(memory.contents("crops/")), "unless they are asked for"


def test_tracks_may_be_removed_from_the_server(memory: Memory, footage: Path, tmp_path: Path) -> None:
    build(f"videos={footage}", f"out={memory.url}", *LEAN, f"cache.path={tmp_path}/a", "tracks.keep=false")
    assert memory.contents("crops/") and not any(name.endswith(".parquet") for name in memory.contents("tracks/"))


@pytest.mark.slow
def test_workers_in_other_processes_send_what_they_make(
    server: Server, shelf: Path, footage: Path, local: Path, tmp_path: Path
) -> None:
    words = (f"videos={footage}", f"out={server.url}/cows", *LEAN, f"cache.path={tmp_path}/a")
    build(*words, "executor=processes", "executor.workers=2")
    assert contents(shelf / "cows", *STABLE) == contents(local, *STABLE)


def test_an_actor_answers_when_the_server_has_its_chunk(
    memory: Memory, footage: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    settings = loaded(f"videos={footage}", f"out={memory.url}", *LEAN, f"cache.path={tmp_path}/a")
    job, other = Build(settings).jobs(survey(settings, None))
    actor = Served(settings, 1)
    outcome, _ = actor.process(job)
    record = f"records/{job.record_id[:2]}/{job.record_id}.json"
    assert memory.contents("records/") == {record: (local / record).read_bytes()}
    assert outcome.tracked and memory.contents("crops/").items() < contents(local, "crops").items()
    actor.process(other)
    assert memory.contents("crops/") == contents(local, "crops")
    close(memory.url, settings.out)


# -- room, and the other tasks ----------------------------------------------------------------------------------------


def test_little_stays_here(memory: Memory, footage: Path, local: Path, tmp_path: Path) -> None:
    words = (f"videos={footage}", f"out={memory.url}", *SMALL, f"cache.path={tmp_path}/a", "cache.results_gb=0")
    sides = sorted(row["side"] for row in rows(local / "samples.parquet"))
    build(*words, "exports=[]", f"filters.size.min_side={(sides[0] + sides[-1]) / 2}")
    assert not [path for path in mirror_in(tmp_path / "a").rglob("*") if path.suffix == ".mp4"]
    assert not list(mirror_in(tmp_path / "a").glob("tracks/??/*"))
    sent = memory.times("crops/")
    again = build(*words, "exports=[videofolder,webdataset]")
    assert sent and sent.items() < memory.times("crops/").items(), "others are admitted, those that were there stay"
    assert again.tracked_windows == 0
    assert not [path for path in mirror_in(tmp_path / "a").rglob("*") if path.suffix in (".mp4", ".tar")]
    exported = contents(local, "exports")
    assert {path: data for path, data in memory.contents("exports/").items() if path.endswith((".mp4", ".tar"))} == {
        path: data for path, data in exported.items() if path.endswith((".mp4", ".tar"))
    }
    assert memory.contents(*STABLE) == contents(local, *STABLE)


def test_a_cleared_cache_takes_nothing_from_the_server(memory: Memory, footage: Path, tmp_path: Path) -> None:
    words = (f"videos={footage}", f"out={memory.url}", *LEAN, f"cache.path={tmp_path}/a")
    build(*words)
    before = memory.contents(*STABLE, "records/", "report/")
    folder = mirror_in(tmp_path / "a")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    assert build(*words).tracked_windows == 0
    assert memory.contents(*STABLE) == {path: data for path, data in before.items() if path.startswith(STABLE)}
    assert set(memory.contents("records/", "report/")) == {p for p in before if p.startswith(("records/", "report/"))}


def test_the_other_tasks_work_from_any_machine(
    memory: Memory, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def go(*words: str, status: int = 0) -> str:
        cache = f"cache.path={tmp_path}/{len(list(tmp_path.iterdir()))}"
        (tmp_path / cache.rpartition("/")[2]).mkdir()
        done = run(capfd, monkeypatch, *words, f"out={memory.url}", cache)
        assert done.status == status, done.text
        return done.text

    assert "chunks done:     0 of 2" in go("task=plan", f"videos={footage}", *LEAN)
    go("task=track", f"videos={footage}", *LEAN)
    assert memory.contents("tracks/") and not memory.contents("crops/")
    assert "nothing was tracked" in go(f"videos={footage}", *LEAN)
    assert "chunks done:     2 of 2" in go("task=plan", f"videos={footage}", *LEAN)
    said = go("task=status")
    assert "finished: task=track" in said and "finished: task=build" in said and "chunks done: 2 of 2" in said
    assert f"{memory.url}: all" in go("task=verify")
    before = memory.contents("crops/")
    go("task=crop", "crop.size=32")
    assert len(memory.contents("crops/")) == len(before) and memory.contents("crops/") != before
    go("task=export", "exports=[csv]")
    assert memory.contents("exports/csv/")
    name, data = next(iter(memory.contents("crops/").items()))
    (tmp_path / "labels.csv").write_text(f"sample_id,label\n{Path(name).stem},lying\n")
    go("task=label", f"labels={tmp_path}/labels.csv")
    assert b"lying" in memory.contents("labels.jsonl")["labels.jsonl"]
    go("task=report")
    memory.write(name, data[:-1] + b"x")
    assert f"1 changed: {name}" in go("task=verify", status=3)
    memory.remove(name)
    assert f"1 missing: {name}" in go("task=verify", status=3)


def test_what_people_made_on_two_machines_is_not_overwritten(memory: Memory, footage: Path, tmp_path: Path) -> None:
    words = (f"videos={footage}", f"out={memory.url}", *LEAN, f"cache.path={tmp_path}/a")
    build(*words)
    (mirror_in(tmp_path / "a") / "label_classes.json").write_text("[]")
    memory.write("label_classes.json", b"{}")
    with pytest.raises(DatasetError, match=r"label_classes\.json was changed there, and .* here: put into one"):
        build(*words)
    (mirror_in(tmp_path / "a") / "label_classes.json").unlink()
    build(*words)
    assert memory.contents("label_classes.json") == {"label_classes.json": b"{}"}


# -- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("out=https://farm.org/cows",), "out=https://farm.org/cows: a web server takes no files"),
        (("out=hf://datasets/me/cows",), "out=hf://datasets/me/cows: the Hub takes commits of whole folders"),
        (("out=file:///data/cows",), "named without file://, such as out=/data/cows"),
        (("out=gopher://nas/cows",), "gopher:// is none of the kinds of URL"),
        (("out=memory://x/cows", "task=studio"), "task=studio works on a folder of this machine"),
        (("out=memory://x/cows", "task=outputs"), "task=outputs works on a folder of this machine"),
        (("out=memory://x/cows", "task=crop"), "there is no memory://x/cows/dataset.yaml"),
        (("out=memory://x/cows", "export.videomae.absolute=true"), "export.videomae.absolute=true writes paths"),
        (("tracks.path=s3://b/tracks",), "tracks.path=s3://b/tracks: tracks are kept on a server only"),
        (("-m", "out=memory://x/cows", "crop.margin=0.1,0.2"), "a sweep's datasets share their tracks"),
        (("cache.results_gb=-1",), "cache.results_gb must be 0 or more, got -1"),
    ],
)
def test_what_cannot_be_is_one_message_and_status_2(
    words: tuple[str, ...],
    said: str,
    footage: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags, own = words[: words[0] == "-m"], words[words[0] == "-m" :]
    given = (f"videos={footage}", f"out={tmp_path}/out", f"cache.path={tmp_path}/cache", *LEAN, *own)
    done = run(capfd, monkeypatch, *flags, *given)
    assert done.status == 2, done.text
    assert said in done.text and "Traceback" not in done.text


def test_a_server_that_takes_nothing_ends_the_run_before_it_begins(
    server: Server, footage: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults.read_only = True
    words = (f"videos={footage}", f"out={server.url}/cows", f"cache.path={tmp_path}/cache", *LEAN)
    done = run(capfd, monkeypatch, *words)
    assert done.status == 2 and "cows cannot be written: " in done.text and "access is denied" in done.text, done.text
    assert "hay" not in done.text
