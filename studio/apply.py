"""The build that follows corrections, in a process of its own: crops, filters, splits and exports as ever.

    python -m studio.apply DATASET CORRECTIONS

is `python main.py` with the dataset's own settings and these corrections. The server only starts it, watches it and
stops it, so a build that dies takes no server with it, and one that is stopped continues when it is started again.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pipeline.layout import Layout
from pipeline.writing import disk_errors
from studio.errors import StudioError

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[1]
GRACE_S = 20.0
POLL_S = 0.1
TAIL_BYTES, TAIL_LINES = 8192, 6
MEANING: dict[int | None, str] = {0: "done", 3: "done", 130: "cancelled"}


def main(arguments: Sequence[str]) -> int:
    """Build; returns the exit status, as the command line's."""
    from pipeline.cli import INTERRUPTED, Interrupt, explain
    from pipeline.config import of_dataset
    from pipeline.run import run

    out, corrections = (Path(argument) for argument in arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
    with Interrupt():
        try:
            corrections.mkdir(parents=True, exist_ok=True) if corrections.suffix != ".json" else None
            settings = of_dataset(out, "build", corrections)
            return run(settings, ["task=build", f"out={out}", f"corrections={corrections}"])[0]
        except Exception as error:
            return explain(error)
        except KeyboardInterrupt:
            return INTERRUPTED


@dataclass(frozen=True, slots=True)
class Progress:
    """How a build is. state: idle (none was asked for), running, done, failed or cancelled. done, total: clips.
    says: its last words. waiting: it begins when the studio's model is out of the way."""

    number: int
    state: str
    done: int = 0
    total: int = 0
    status: int | None = None
    says: str = ""
    waiting: bool = False


class Applying:
    """One build at a time.

    folder: where its output is kept. free: asks the studio's model to leave the device's memory to the build. ended:
    called when a build is over, in its own thread.
    """

    def __init__(self, out: Path, folder: Path, free: Callable[[], Future[None]], ended: Callable[[], None]) -> None:
        self._layout = Layout(out, out / "tracks")
        self._log = folder / "apply.log"
        self._free = free
        self._ended = ended
        self._lock = threading.Lock()
        self._running = False
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = threading.Event()
        self._number = 0
        self._last = Progress(0, "idle")

    def start(self, corrections: Path) -> Progress:
        """Begin; raises StudioError (409) while one runs, DiskError where its output cannot be kept."""
        with self._lock:
            if self._running:
                raise StudioError(409, "a build is running: wait for it, or cancel it")
            with disk_errors(self._log):
                self._log.write_bytes(b"")
            self._running = True
            self._number += 1
            self._cancelled.clear()
            self._last = Progress(self._number, "running", waiting=True)
            threading.Thread(target=self._run, args=(corrections,), name="apply", daemon=True).start()
            return self._last

    def cancel(self) -> Progress:
        """Stop it; what it has made stays. Raises StudioError (409) when none runs."""
        with self._lock:
            if not self._running:
                raise StudioError(409, "no build is running")
            self._cancelled.set()
            if self._process is not None:
                self._process.terminate()
            return self._last

    def stop(self) -> None:
        """End with the server: stop what runs, and wait for it."""
        with self._lock:
            process = self._process
            self._cancelled.set()
        if process is not None:
            process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def progress(self) -> Progress:
        """How it is now."""
        with self._lock:
            process, last = self._process, self._last
        if process is None:
            return last  # also while the model is still in the way
        said = self._status(process.pid)
        return Progress(last.number, "running", said.get("clips_done", 0), said.get("clips", 0), None, self._tail())

    def _status(self, pid: int) -> dict[str, Any]:
        for path in self._layout.runs.glob(f"*-{pid}/status.json"):
            with suppress(OSError, ValueError):
                said = orjson.loads(path.read_bytes())
                return said if isinstance(said, dict) else {}
        return {}

    def _tail(self) -> str:
        with suppress(OSError):
            text = self._log.read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace")
            return "\n".join(text.strip().splitlines()[-TAIL_LINES:])
        return ""

    def _run(self, corrections: Path) -> None:
        """One build from its start to its end, in a thread of its own."""
        state, status, said = "failed", None, ""
        clips = 0, 0
        try:
            process = self._begin(corrections)
            if process is not None:
                status = process.wait()
                found = self._status(process.pid)
                clips = found.get("clips_done", 0), found.get("clips", 0)
            state = MEANING.get(status, "failed")
            if self._cancelled.is_set() and state != "done":
                state = "cancelled"
            said = self._tail()
            self._ended()
        except Exception as error:
            log.exception("the build could not be run")
            said = f"the build could not be run: {error}"
        finally:
            with self._lock:
                self._last = Progress(self._number, state, *clips, status, said)
                self._process, self._running = None, False

    def _begin(self, corrections: Path) -> subprocess.Popen[bytes] | None:
        """Its process, once the studio's model is out of the way; None when it was cancelled before."""
        freed = self._free()
        while not freed.done():
            if self._cancelled.wait(POLL_S):
                return None
        with self._lock:
            if self._cancelled.is_set():
                return None
            with self._log.open("wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "studio.apply", str(self._layout.root), str(corrections)],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            return self._process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
