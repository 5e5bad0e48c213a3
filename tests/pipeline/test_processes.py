"""executor=processes: the same dataset as one process, whoever dies on the way."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.build import Build
from pipeline.crew.drive import Jobs, WorkerDied, drive
from pipeline.crew.process import STOP_S, ProcessMember, stop, wait_for
from pipeline.executors.processes import Processes, devices_of
from pipeline.job import Job, Outcome
from pipeline.settings import Settings
from pipeline.split import Splits
from sam.backends import device
from sam.errors import TrackerUnavailable
from tests.pipeline.composing import loaded
from tests.pipeline.making import a_chunk, a_clip, a_video
from tests.pipeline.mortal import Missing, Mortal, made
from tests.running import ROOT, rows, run_process
from video.types import Window

SMALL = ("prompt=cow", "tracker=motion", "crop.size=64", "filters.size.min_side=8", "clip.num_frames=5")
TWO = ("executor=processes", "executor.workers=2")


@pytest.fixture(scope="module")
def alone(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes of the footage."""
    out = tmp_path_factory.mktemp("alone")
    assert Build(loaded(f"videos={footage}", f"out={out}", *SMALL)).run().status == 0
    return made(out)


@pytest.fixture
def chosen(footage: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Settings with two processes and a tracker of the tests."""

    def choose(tracker: type[Mortal | Missing], **options: object) -> Settings:
        settings = loaded(f"videos={footage}", f"out={tmp_path}/out", *SMALL, *TWO)
        return replace(settings, tracker=tracker(**asdict(settings.tracker), **options))  # type: ignore[call-overload]

    return choose


def test_two_processes_make_the_same_bytes(footage: Path, tmp_path: Path, alone: dict[str, bytes]) -> None:
    done = run_process(f"videos={footage}", f"out={tmp_path}", *SMALL, *TWO)
    assert done.status == 0, done.text
    assert made(tmp_path) == alone


def test_a_killed_worker_is_replaced_and_its_chunk_done_again(
    chosen: Callable[..., Settings], alone: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    settings = chosen(Mortal, folder=str(_folder(chosen)), victim="farm1/cam2_20260601_1215.mp4")
    assert Build(settings).run().status == 0
    assert "farm1/cam2_20260601_1215.mp4: a worker was ended by SIGKILL" in caplog.text
    said = {record.getMessage() for record in caplog.records if record.name == "tests.pipeline.mortal"}
    assert "farm1/cam2_20260601_1215.mp4 is tracked" in said  # by another process, and heard as it was said
    assert made(settings.out) == alone


def test_a_chunk_that_kills_two_workers_is_recorded_and_the_others_are_done(
    chosen: Callable[..., Settings], alone: dict[str, bytes]
) -> None:
    victim = "farm1/cam2_20260601_1215.mp4"
    settings = chosen(Mortal, folder=str(_folder(chosen)), victim=victim, times=2)
    assert Build(settings).run().status == 3
    failures = rows(settings.out / "failures.parquet")
    assert {(f["video"], f["stage"]) for f in failures} == {(victim, "worker")}
    assert len(failures) == 10 and "SIGKILL" in failures[0]["error"], "every clip of the chunk"
    assert {s["video"] for s in rows(settings.out / "samples.parquet")} == {
        "farm1/cam1_20260601_0900.mp4",
        "farm2/cam1_20260601_1530.mp4",
    }
    assert Build(settings).run().status == 0, "a rerun tries the chunk again"
    assert made(settings.out) == alone


def test_what_is_missing_in_a_worker_is_said_where_the_run_was_started(chosen: Callable[..., Settings]) -> None:
    with pytest.raises(TrackerUnavailable, match="fetch them"):
        Build(chosen(Missing)).run()
    assert not _children(os.getpid())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_run_and_a_rerun_finishes(
    footage: Path, tmp_path: Path, number: signal.Signals, alone: dict[str, bytes]
) -> None:
    command = [sys.executable, str(ROOT / "main.py"), f"videos={footage}", f"out={tmp_path}", *SMALL, *TWO]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert _until(lambda: any((tmp_path / "crops").rglob("*.part")) or any((tmp_path / "tracks").rglob("*.parquet")))
    workers = _children(process.pid)
    assert len(workers) >= 2
    process.send_signal(number)
    text, _ = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130, text
        assert "Run the same command again to continue" in text and "Traceback" not in text
        assert not list(tmp_path.rglob("*.part"))
    assert _until(lambda: not any(map(_runs, workers))), "a worker outlived the run"
    done = run_process(*command[2:])
    assert done.status == 0, done.text
    assert made(tmp_path) == alone


@pytest.mark.slow
def test_ctrl_c_while_workers_start_is_the_runs_alone(footage: Path, tmp_path: Path) -> None:
    """It reaches every process of the terminal; a worker would end with a traceback while it imports."""
    command = [sys.executable, str(ROOT / "main.py"), f"videos={footage}", f"out={tmp_path}", *SMALL, *TWO]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert _until(lambda: len(_children(process.pid)) == 2)
    os.killpg(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in text, text


def test_workers_are_told_to_end_before_any_is_waited_for() -> None:
    """Each may need seconds to leave its window: eight of them in turn would need a minute."""
    said: list[str] = []

    class Ending:
        def stop(self) -> None:
            said.append("stop")

        def join(self, seconds: float) -> None:
            said.append("join" if 0 < seconds <= STOP_S else f"join {seconds}")

    stop([Ending(), Ending()])  # type: ignore[list-item]
    assert said == ["stop", "stop", "join", "join"]


def test_a_worker_that_was_killed_while_it_had_nothing_to_do(chosen: Callable[..., Settings]) -> None:
    member = ProcessMember(chosen(Missing), 1, None)
    try:
        (worker,) = _children(os.getpid())
        os.kill(worker, signal.SIGKILL)
        assert _until(lambda: not _runs(worker))
        member.give(_job("a", 0))
        assert wait_for([member]) == [member]
        with pytest.raises(WorkerDied, match="SIGKILL") as death:
            member.result()
        assert death.value.idle, "no chunk is to blame"
        member.replace()
        member.give(_job("a", 0))
        (worker,) = _children(os.getpid())
        os.kill(worker, signal.SIGKILL)
        assert wait_for([member]) == [member]
        with pytest.raises(WorkerDied, match="SIGKILL") as death:
            member.result()
        assert not death.value.idle
    finally:
        stop([member])


def test_a_worker_stays_with_its_video() -> None:
    jobs = [_job(video, chunk) for video in "abc" for chunk in range(3)]
    waiting = Jobs(jobs)
    first = waiting.take(None, [])
    assert first is jobs[0]
    second = waiting.take(None, [first])
    assert second is not None and second.chunk.video.name == "b", "another video for the second worker"
    assert waiting.take(first, [second]) is jobs[1]
    waiting.put_back(jobs[1])
    assert waiting.take(first, [second]) is jobs[1]


def test_each_worker_is_told_another_video_to_fetch_meanwhile() -> None:
    jobs = [_job(video, chunk) for video in "abcd" for chunk in range(2)]
    waiting = Jobs(jobs)
    at: list[Job] = []
    for _ in range(2):
        job = waiting.take(None, at)
        assert job is not None
        at.append(job)
    at[0] = replace(at[0], following=waiting.following(at[0], at[1:]))
    at[1] = replace(at[1], following=waiting.following(at[1], at[:1]))
    told = [job.following and job.following.name for job in at]
    assert [job.chunk.video.name for job in at] == ["a", "b"]
    assert told == ["c", "d"], "neither of those that are being done, and not the same"
    last = Jobs(jobs[:1]).take(None, [])
    assert last is not None and Jobs([]).following(last, []) is None


class FakeMember:
    """Does its jobs in their order, and dies at some of them as often as they say. had: its jobs at each outcome."""

    ready = True

    def __init__(self, deadly: Counter[str]) -> None:
        self.deadly, self.jobs, self.had = deadly, list[Job](), list[list[str]]()

    def give(self, job: Job) -> None:
        self.jobs.append(job)

    def result(self) -> Outcome:
        self.had.append([job.record_id for job in self.jobs])
        job = self.jobs.pop(0)
        if self.deadly[job.record_id]:
            self.deadly[job.record_id] -= 1
            raise WorkerDied("a worker was ended by SIGKILL")
        return Outcome(job.record_id, 1, 0, (), 1, 0, {})

    def replace(self) -> None:
        self.jobs = []


def _driven(
    settings: Settings, jobs: list[Job], workers: int, **deadly: int
) -> tuple[list[Outcome], list[list[list[str]]]]:
    """The outcomes, and by worker what it had at each of its own."""
    members = [FakeMember(Counter(deadly)) for _ in range(workers)]
    turn = itertools.count()
    one: Callable[[Sequence[FakeMember]], list[FakeMember]] = lambda busy: [busy[next(turn) % len(busy)]]  # noqa: E731
    return list(drive(settings, jobs, members, one)), [member.had for member in members]


def test_every_worker_has_its_next_job_while_it_is_at_one(tmp_path: Path) -> None:
    settings = loaded("videos=/data/barn", f"out={tmp_path}", *SMALL)
    outcomes, had = _driven(settings, [_job(video, n) for video in "ab" for n in range(4)], 2)
    assert had[0] == [["a0", "a1"], ["a1", "a2"], ["a2", "a3"], ["a3"]]
    assert had[1] == [["b0", "b1"], ["b1", "b2"], ["b2"], ["b3"]], "the last one is for whoever is done first"
    assert [(o.record_id, o.worker) for o in outcomes][:4] == [("a0", 0), ("b0", 1), ("a1", 0), ("b1", 1)]
    _, had = _driven(settings, [_job("a", n) for n in range(3)], 2)
    assert [each[0] for each in had] == [["a0"], ["a1"]], "nobody gets a second before everybody has a first"


class Timed(FakeMember):
    """Takes a random time for each job, on a clock that all share. clock: the time, and when each is done."""

    def __init__(self, clock: dict[object, float], chance: random.Random) -> None:
        super().__init__(Counter())
        self.clock, self.chance = clock, chance

    def give(self, job: Job) -> None:
        super().give(job)
        if len(self.jobs) == 1:
            self._begin()

    def result(self) -> Outcome:
        self.clock["now"] = self.clock[self]
        outcome = super().result()
        if self.jobs:
            self._begin()
        return outcome

    def _begin(self) -> None:
        self.clock[self] = self.clock["now"] + self.chance.uniform(1, 2)


@given(st.integers(1, 40), st.integers(1, 8), st.randoms(use_true_random=False))
def test_no_worker_holds_two_chunks_while_another_has_none(chunks: int, workers: int, chance: random.Random) -> None:
    """As long as none takes more than twice as long as another."""
    clock: dict[object, float] = {"now": 0.0}
    members = [Timed(clock, chance) for _ in range(min(workers, chunks))]

    def wait(busy: Sequence[Timed]) -> list[Timed]:
        at = [len(member.jobs) for member in members]
        assert not (min(at) == 0 and max(at) > 1), at
        return [min(busy, key=clock.__getitem__)]

    settings = loaded("videos=/data/barn", "prompt=cow", "tracker=motion")
    outcomes = list(drive(settings, [_job("abc"[n % 3], n) for n in range(chunks)], members, wait))
    assert len({outcome.record_id for outcome in outcomes}) == chunks


class Late(FakeMember):
    """Is ready when it is first waited for. idle: it ends before it was given anything."""

    ready = False
    idle = False

    def result(self) -> Outcome | None:  # type: ignore[override]
        if not self.ready:
            self.ready = True
            return None
        if self.idle:
            self.idle = False
            raise WorkerDied("a worker was lost", idle=True)
        return super().result()

    def replace(self) -> None:
        super().replace()
        self.ready = False


def test_a_worker_that_has_not_started_gets_no_job(tmp_path: Path) -> None:
    settings = loaded("videos=/data/barn", f"out={tmp_path}", *SMALL)
    early, late, never = (Late(Counter()) for _ in range(3))
    waited = []

    def wait(members: Sequence[Late]) -> list[Late]:
        waited.append(list(members))
        assert not never.jobs and (late.ready or not late.jobs)
        return [late if early.ready and not late.ready else next(m for m in members if m is not never)]

    jobs = [_job("a", n) for n in range(5)]
    outcomes = list(drive(settings, jobs, [early, late, never], wait))
    assert sorted(o.record_id for o in outcomes) == [job.record_id for job in jobs], "none waits for it"
    assert waited[0] == [early, late, never] and late.had and not never.had


def test_a_worker_that_ended_before_it_got_a_chunk_is_not_held_against_it(tmp_path: Path) -> None:
    """A node goes with two workers; the chunk of the one is given to the other before anybody knows."""
    settings = loaded("videos=/data/barn", f"out={tmp_path}", *SMALL)
    first, second = Late(Counter(a0=1)), Late(Counter())
    second.idle = True
    turns = iter([first, second, first, second, second, second])
    outcomes = list(drive(settings, [_job("a", 0)], [first, second], lambda members: [next(turns)]))
    assert [(o.record_id, o.failures) for o in outcomes] == [("a0", 0)]
    assert (first.had, second.had, next(turns, None)) == ([["a0"]], [["a0"]], None)


def test_only_the_chunk_that_takes_its_worker_down_alone_is_blamed(tmp_path: Path) -> None:
    settings = loaded("videos=/data/barn", f"out={tmp_path}", *SMALL)
    outcomes, had = _driven(settings, [_job("a", n) for n in range(4)], 1, a0=2)
    assert had == [[["a0", "a1"], ["a0"], ["a1"], ["a2", "a3"], ["a3"]]]
    assert sorted(o.record_id for o in outcomes) == ["a0", "a1", "a2", "a3"]
    (lost,) = [o for o in outcomes if o.failed]
    assert lost.record_id == "a0" and {f.stage for f in lost.failed} == {"worker"}
    once, _ = _driven(settings, [_job("a", n) for n in range(4)], 1, a1=1, a2=1)
    assert len(once) == 4 and not any(o.failed for o in once)


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_chunk_is_taken_once(videos: list[str], workers: int, random: object) -> None:
    jobs = [_job(video, n) for n, video in enumerate(videos)]
    waiting, taken, last = Jobs(jobs), [], dict[int, Job]()
    while True:
        number = random.randrange(workers)  # type: ignore[attr-defined]
        job = waiting.take(last.get(number), [j for n, j in last.items() if n != number])
        if job is None:
            break
        taken.append(job)
        last[number] = job
    assert sorted(job.record_id for job in taken) == sorted(job.record_id for job in jobs)


def test_gpus_are_shared_out_unless_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded("videos=/data/barn", "prompt=cow", "tracker=sam3_hf", *TWO)
    chosen = loaded("videos=/data/barn", "prompt=cow", "tracker=sam3_hf", "tracker.device=cuda:1", *TWO)
    motion = loaded("videos=/data/barn", "prompt=cow", "tracker=motion", *TWO)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices_of(settings) == [], "none here"
    monkeypatch.setattr(device, "has_cuda", lambda: True)
    monkeypatch.setattr(device, "gpus", lambda: [device.Gpu("H", 1, 1)] * 3)
    assert devices_of(settings) == ["0", "1", "2"]
    assert devices_of(chosen) == devices_of(motion) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, 2")
    assert devices_of(settings) == ["GPU-a", "2"]


def test_no_workers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"executor\.workers must be at least 1.*got 0"):
        Processes(workers=0)
    with pytest.raises(ValueError, match=r"executor\.per_gpu must be at least 1 process on each GPU, got 0"):
        Processes(per_gpu=0)


def test_processes_share_the_gpus_round_robin() -> None:
    assert Processes().places(["0", "1"], 10) == ["0", "1"]
    assert Processes(per_gpu=2).places(["0", "1"], 10) == ["0", "1", "0", "1"]
    assert Processes(per_gpu=2).places(["0"], 1) == ["0"], "no more processes than chunks"
    assert Processes(workers=3, per_gpu=2).places(["0", "1"], 10) == ["0", "1", "0"]
    assert Processes(workers=2, per_gpu=4).places([], 10) == [None, None]
    assert Processes(per_gpu=4).places([], 1) == [None], "a machine without a GPU counts cores"


def _job(video: str, number: int) -> Job:
    clip = a_clip(number * 4, video=a_video(name=video, fingerprint=video * 16))
    return Job(a_chunk(Window((clip,))), ("cow",), ("key",), f"{video}{number}", Splits({}))


def _folder(chosen: Callable[..., Settings]) -> Path:
    folder = chosen(Missing).out.parent / "deaths"
    folder.mkdir(exist_ok=True)
    return folder


def _until(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def _children(parent: int) -> list[int]:
    """The worker processes that a process has started."""
    return [pid for pid, above, command in _processes() if above == parent and "spawn_main" in command]


def _runs(pid: int) -> bool:
    return any(known == pid for known, _, command in _processes() if command)


def _processes() -> Iterator[tuple[int, int, str]]:
    listing = subprocess.run(["ps", "-ww", "-eo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        pid, parent, state, command = line.split(maxsplit=3)
        if not state.startswith("Z"):
            yield int(pid), int(parent), command
