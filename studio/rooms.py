"""All sessions: opening, finding, ending them, and bringing them back after a restart."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.studio_config import StudioConfig
from sam.errors import UnknownPrompt, WrongPrompt
from sam.tracker import Tracker
from studio.errors import StudioError
from studio.exports import Exports
from studio.jobs import Job, ModelThread, Steps
from studio.pictures import Pictures
from studio.session import Session
from studio.tracking import Tracking
from studio.uploads import look
from video.encoder import EncodeConfig
from video.errors import VideoError

log = logging.getLogger(__name__)

OURS = re.compile(r"[0-9a-f]{32}")  # names of uploads and of sessions' folders; others are never touched
AWAKE = 2  # sessions whose decoded frames are kept between their jobs
FORESEEN = (StudioError, UnknownPrompt, WrongPrompt)  # the tracker's state is what it was


class Rooms:
    """The sessions of one server, its model thread, and what serves pictures and exports of them."""

    def __init__(self, options: StudioConfig, tracker: Tracker, reader: str, encode: EncodeConfig) -> None:
        self.options = options
        self.reader = reader
        self.root = Path(options.folder)
        self.uploads = self.root / "uploads"
        self.outputs = self.root / "outputs"
        self.model = ModelThread(tracker, self._failed, self._drop_all)
        self.pictures = Pictures(reader, options.jpeg_quality)
        self.exports = Exports(reader, encode, tracker.name)
        self._sessions: dict[str, Session] = {}
        self._tracking: dict[str, Tracking] = {}
        self._awake: list[str] = []
        self._opening = 0
        self._lock = threading.Lock()
        self._started = False
        self._ended = threading.Event()
        self._reaper = threading.Thread(target=self._reap, name="reaper", daemon=True)

    def start(self) -> None:
        """Bring back what is on disk and load the model, once. Raises what loading raises."""
        if self._started:
            return
        for folder in (self.uploads, self.outputs):
            folder.mkdir(parents=True, exist_ok=True)
        self._recover()
        self.model.start()
        self._reaper.start()
        self._started = True

    def stop(self) -> None:
        """Free the model; sessions stay on disk."""
        self._ended.set()
        self.exports.stop()
        self.model.stop()
        self.pictures.close()

    def all(self) -> list[Session]:
        """Every session, the oldest first."""
        with self._lock:
            return sorted(self._sessions.values(), key=lambda session: session.created)

    def find(self, identity: str) -> Session:
        """A session by its id; it counts as used. Raises StudioError (404)."""
        with self._lock:
            session = self._sessions.get(identity)
        if session is None:
            raise StudioError(404, f"there is no session {identity[:64]!r}; it may have ended: upload the video again")
        session.touch()
        return session

    def admit(self) -> Admission:
        """Room for one more session while its video comes in. Raises StudioError (429) when there is none."""
        with self._lock:
            if len(self._sessions) + self._opening >= self.options.max_sessions:
                raise StudioError(
                    429, f"studio.max_sessions={self.options.max_sessions} sessions are open: delete one, or wait"
                )
            self._opening += 1
        return Admission(self)

    def open(self, identity: str, upload: Path, name: str) -> Session:
        """A session of an uploaded file. Raises StudioError for a file that may not be used."""
        video, frames = look(upload, name, self.options, self.reader)
        folder = self.outputs / identity
        try:
            session = Session(identity, folder, video, frames, time.time())
            session.commit()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self._lock:
            self._sessions[identity] = session
        return session

    def end(self, session: Session) -> None:
        """Delete a session: its jobs, the tracker's state, its files."""
        with self._lock:
            self._sessions.pop(session.id, None)
        session.closed = True
        self.model.cancel(session.id)
        self._close_in_thread(session.id)
        self.pictures.forget(session.id)
        session.delete()

    def submit(self, session: Session, name: str, steps: Callable[[Tracking, Job], Steps], total: int = 1) -> Job:
        """Have the model thread do something for a session."""

        def run(job: Job) -> Steps:
            if session.closed:
                raise StudioError(404, f"session {session.id} has ended")
            tracking = self._tracking.get(session.id)
            if tracking is None:
                tracking = self._tracking[session.id] = Tracking(self.model.tracker, session, self.reader)
            try:
                return (yield from steps(tracking, job))
            finally:
                session.touch()
                self._rest_others(session.id)

        return self.model.submit(session.id, name, run, total)

    def _rest_others(self, identity: str) -> None:
        """In the model thread: of all sessions, only the last few keep decoded frames."""
        others = [each for each in self._awake if each != identity]
        self._awake = [*others[-(AWAKE - 1) :], identity]
        for other, tracking in self._tracking.items():
            if other not in self._awake:
                tracking.rest()

    def _failed(self, identity: str, error: BaseException) -> None:
        """In the model thread: whatever the tracker held of a session whose job broke is dropped."""
        if isinstance(error, FORESEEN):
            return
        log.error("a job of session %s failed", identity, exc_info=error)
        self._drop(identity)

    def _close_in_thread(self, identity: str) -> None:
        def run(job: Job) -> Steps:
            self._drop(identity)
            return
            yield

        if self.model.alive:
            closing = self.model.submit(identity, "close", run, needs_model=False)
            closing.future.add_done_callback(lambda _: self.model.forget(identity))

    def _drop(self, identity: str) -> None:
        tracking = self._tracking.pop(identity, None)
        if tracking is not None:
            tracking.close()

    def _drop_all(self) -> None:
        """In the model thread: no session holds anything of the tracker; each makes it anew from its prompts."""
        for identity in list(self._tracking):
            self._drop(identity)

    def _recover(self) -> None:
        """Sessions that an earlier server left; what is left of others is removed."""
        for folder in sorted(path for path in self.outputs.iterdir() if OURS.fullmatch(path.name)):
            try:
                session = Session.load(folder)
            except (OSError, ValueError, KeyError, TypeError, VideoError) as error:
                log.warning("%s is no session that can be continued (%s); it is removed", folder, error)
                shutil.rmtree(folder) if folder.is_dir() and not folder.is_symlink() else folder.unlink()
                continue
            for left in folder.glob(".*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            self._sessions[session.id] = session
        used = {Path(session.video.path).name for session in self._sessions.values()}
        for path in self.uploads.iterdir():
            if OURS.fullmatch(path.name) and path.name not in used:
                path.unlink()
        if self._sessions:
            log.info("%d sessions are back", len(self._sessions))

    def _reap(self) -> None:
        """End sessions that nobody has used for `ttl` seconds."""
        while not self._ended.wait(min(30.0, self.options.ttl / 4)):
            for session in self.all():
                if time.time() - session.used > self.options.ttl and not self.model.jobs(session.id):
                    log.info("session %s (%s) was not used for long and is deleted", session.id, session.video.name)
                    try:
                        self.end(session)
                    except Exception:
                        log.exception("session %s could not be deleted", session.id)


class Admission:
    """A place kept for a session while its video comes in. upload: where the video goes."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self.identity = secrets.token_hex(16)
        self.upload = rooms.uploads / self.identity

    def __enter__(self) -> Admission:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: Any) -> None:
        with self._rooms._lock:
            self._rooms._opening -= 1
        if kind is not None:
            self.upload.unlink(missing_ok=True)
