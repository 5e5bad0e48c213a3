"""Twenty sessions at once: each gets its own masks, none starves, and memory stays bounded."""

from __future__ import annotations

import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from studio.client import Studio
from tests.studio.serving import film, radius
from tests.studio.test_faults import started

SIZE = (320, 180)
COUNT = 24
SESSIONS = 20
GROWTH = 450  # MiB above the idle server that 20 sessions may take


def peak(process: int) -> float:
    """The most memory a process has had, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def start_of(number: int) -> tuple[int, int]:
    return 40 + 12 * number, 30 + (number * 37) % 100


def way_of(number: int) -> int:
    """Down from the upper half, up from the lower."""
    return 1 if start_of(number)[1] < SIZE[1] // 2 else -1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the server's memory from /proc")
def test_twenty_sessions_at_once_do_not_meet(tmp_path: Path) -> None:
    videos = [film(tmp_path / f"{n}.mp4", COUNT + n, SIZE, [(start_of(n), (0, way_of(n)))]) for n in range(SESSIONS)]
    process, address = started(tmp_path / "studio", "studio.max_sessions=20")
    idle = peak(process.pid)

    def one(number: int) -> tuple[float, float]:
        """A person's work on one video; returns when their first click was answered, and when all was done."""
        x, y = start_of(number)
        with Studio(address) as studio:
            session = studio.upload(videos[number])
            assert studio.inspect(session)["frames"] == COUNT + number
            shown = studio.annotate(session, 0, points=[(x, y)], object_id=number)
            assert shown["box"] is not None and shown["box"][0] <= x <= shown["box"][2]
            clicked = time.monotonic()
            done = studio.propagate(session)
            assert done["objects"] == {str(number): COUNT + number}
            for t in (0, COUNT + number - 1):
                studio.overlay(session, t)
            end = COUNT + number - 1
            expected = y + way_of(number) * end
            last = studio.refine(session, end, points=[(x, expected)], object_id=number)
            middle = (last["box"][0] + last["box"][2]) / 2, (last["box"][1] + last["box"][3]) / 2
            assert abs(middle[0] - x) < radius(SIZE) and abs(middle[1] - expected) < radius(SIZE)
            assert sorted(studio.inspect(session)["objects"]) == [str(number)]
            return clicked, time.monotonic()

    try:
        began = time.monotonic()
        with ThreadPoolExecutor(SESSIONS) as people:
            times = list(people.map(one, range(SESSIONS)))
        grown = peak(process.pid) - idle
        first, last = max(clicked for clicked, _ in times) - began, max(done for _, done in times) - began
        print(f"last first click {first:.1f} s, all done {last:.1f} s, memory {idle:.0f} + {grown:.0f} MiB")
        assert grown < GROWTH, f"{grown:.0f} MiB more than idle"
        with Studio(address) as studio:
            assert len(studio.sessions()) == SESSIONS
            for session in studio.sessions():
                studio.delete(session["session_id"])
            assert studio.sessions() == []
        assert not any((tmp_path / "studio" / "uploads").iterdir())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
