"""What the model thread does for one session: it shows what clicks mean, tracks, and writes the masks down.

Every method that is a generator is a job of `studio.jobs`: it yields after each frame. The tracker's own state is made
from the session's prompts when it is needed, so it may be dropped at any time: after an error, an undo, a restart.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from pipeline.errors import DiskError
from pipeline.stages.source_frames import SourceFrames, session_frames
from sam.errors import UnknownPrompt
from sam.session import SAMSession
from sam.tracker import DialogueTracker, Tracker
from sam.types import FrameMasks, Prompt, SessionFrames
from studio.errors import StudioError
from studio.jobs import Job
from studio.session import Session
from video.reader import open_reader

CONTEXT_SIDE = 1280
COMMIT_EVERY = 512  # frames after which a long propagation is made last


class Tracking:
    """See the module docstring; for the model thread alone."""

    def __init__(self, tracker: Tracker, session: Session, reader: str) -> None:
        self._tracker = tracker
        self._session = session
        self._reader = reader
        self._stack = ExitStack()
        self._live: SAMSession | None = None
        self._frames: SessionFrames | None = None

    def close(self) -> None:
        """Drop the tracker's state and the decoded frames."""
        self._live = self._frames = None
        self._stack.close()

    def rest(self) -> None:
        """Keep the tracker's state, and drop the decoded frames until they are asked for."""
        if self._frames is not None and isinstance(self._frames.images, SourceFrames):
            self._frames.images.rest()

    def point(self, job: Job, prompt: Prompt) -> Generator[None, None, FrameMasks]:
        """Take a prompt in; returns what its object looks like on its frame now."""
        yield
        live = self._dialogue()
        with self._action():
            seen = live.refine(prompt)
            masks = {n: (m, s) for n, m, s in zip(seen.object_ids, seen.masks, seen.scores, strict=True)}
            assert prompt.object_id is not None
            self._session.say([*self._session.prompts, prompt])
            self._session.show(prompt.frame, {prompt.object_id: masks.get(prompt.object_id)})
        job.done = 1
        return seen

    def text(self, job: Job, prompt: Prompt) -> Generator[None, None, None]:
        """Remember a text to look for."""
        yield
        refused = prompt.kinds - self._tracker.understands
        if refused:
            raise UnknownPrompt(
                f"tracker={self._tracker.name} does not understand text; it takes "
                f"{', '.join(sorted(self._tracker.understands))}: start the studio with studio.tracker=sam3_hf"
            )
        with self._action():
            self._session.say([*self._session.prompts, prompt])
        job.done = 1

    def remove(self, job: Job, number: int) -> Generator[None, None, None]:
        """Forget an object."""
        yield
        with self._action():
            self._session.forget_object(number)
        self.close()
        job.done = 1

    def undo(self, job: Job) -> Generator[None, None, None]:
        """Go back to before the last action."""
        yield
        if not self._session.undo():
            raise StudioError(409, "there is nothing to undo")
        self.close()
        job.done = 1

    def propagate(self, job: Job, direction: str, start: int, end: int) -> Generator[None, None, dict[int, int]]:
        """Track from `start` to `end`, inclusive; returns in how many of the frames each object is seen."""
        yield
        if not self._session.prompts:
            raise StudioError(409, "annotate a frame first: there is nothing to propagate yet")
        visible = dict.fromkeys(self._session.objects, 0)
        with self._action():
            seen_in = self._by_text(start, end) if self._session.texts else self._by_prompts(direction, start, end)
            for count, (frame, changes) in enumerate(seen_in, start=1):
                self._session.show(frame, changes)
                for number in [n for n, change in changes.items() if change is not None]:
                    visible[number] = visible.get(number, 0) + 1
                job.done = min(count, job.total)
                if count % COMMIT_EVERY == 0:
                    self._session.commit()
                yield
        return visible

    def _by_prompts(self, direction: str, start: int, end: int) -> Iterator[tuple[int, dict[int, Any]]]:
        """(frame, what changes there) of named objects."""
        live = self._dialogue()
        first, last = min(start, end), max(start, end)
        prompted: dict[int, list[int]] = {}
        for prompt in self._session.prompts:
            if prompt.object_id is not None:
                prompted.setdefault(prompt.object_id, []).append(prompt.frame)
        begins = {n: min(frames) for n, frames in prompted.items()}
        ends = {n: max(frames) for n, frames in prompted.items()}
        ways = [("forward", start, end)] if direction == "forward" else [("backward", start, end)]
        if direction == "both":
            middle = min(max(max(begins.values()), first), last)
            ways = [("backward", middle, first), ("forward", first, last)]
        for way, begin, stop in ways:
            reached = begins if way == "forward" else ends
            for seen in live.propagate(way, begin, stop):
                masks = {n: (m, s) for n, m, s in zip(seen.object_ids, seen.masks, seen.scores, strict=True)}
                there = [n for n, t in reached.items() if (t <= seen.frame if way == "forward" else t >= seen.frame)]
                if direction == "both" and way == "backward":
                    there = [n for n in there if seen.frame < begins[n]]
                yield seen.frame, {n: masks.get(n) for n in there}

    def _by_text(self, start: int, end: int) -> Iterator[tuple[int, dict[int, Any]]]:
        """(frame, what changes there) of what the texts find in a range: objects with new ids, in place of all before.

        A text's objects are individuals of one run; another run may find others.
        """
        first, last = min(start, end), max(start, end)
        tracker, video = self._tracker, self._session.video
        if tracker.context:
            with open_reader(video, self._reader) as opened:
                tracker.prepare(opened.spread(tracker.context, tracker.max_side or CONTEXT_SIDE))
        self.close()
        base = 1 + max(self._session.found(), default=0)
        with (
            session_frames(video, first, last, tracker.max_side, self._reader) as frames,
            SAMSession(tracker, frames) as live,
        ):
            for text in dict.fromkeys(self._session.texts):
                live.add_prompt(Prompt(text=text))
            for seen in live.propagate():
                masks = zip(seen.object_ids, seen.masks, seen.scores, strict=True)
                before = dict.fromkeys(self._session.masks(first + seen.frame))
                yield first + seen.frame, {**before, **{base + n: (m, s) for n, m, s in masks}}

    def _dialogue(self) -> SAMSession:
        """The tracker's state, made anew from the session's prompts if there is none."""
        if not isinstance(self._tracker, DialogueTracker):
            raise UnknownPrompt(
                f"tracker={self._tracker.name} takes no clicks: start the studio with studio.tracker=grabcut, sam2 or "
                "sam3_tracker, or prompt with a text"
            )
        if self._live is None:
            with ExitStack() as stack:
                video, last = self._session.video, self._session.frames - 1
                self._frames = stack.enter_context(
                    session_frames(video, 0, last, self._tracker.max_side, self._reader, last)
                )
                live = stack.enter_context(SAMSession(self._tracker, self._frames, release="never"))
                for prompt in self._session.prompts:
                    live.add_prompt(prompt)
                self._stack, self._live = stack.pop_all(), live
        assert self._live is not None
        return self._live

    @contextmanager
    def _action(self) -> Iterator[None]:
        """Something that can be undone. Left by an error (or a cancel) after some frames, what was tracked stays."""
        version = self._session.version
        self._session.begin()
        try:
            yield
            self._session.commit()
        except BaseException as error:
            if self._session.version == version or isinstance(error, DiskError):
                self._session.abandon()
            else:
                self._session.commit()
            raise
