"""A session's results as files: MP4 with overlays, mask pictures, a video with transparency, COCO.

Each is written under a temporary name and renamed, and made again only when masks have changed since.
"""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.stages.source_frames import full_frames
from pipeline.task_options import OutputsConfig
from pipeline.tasks.mask_files import MaskFiles
from pipeline.tasks.output_files import Item, OutputFiles, Shown, write
from pipeline.writing import disk_errors, write_bytes
from sam.types import FrameMasks
from studio.errors import Cancelled, StudioError
from studio.masks import Masks
from studio.session import Session, plain_prompt
from video.encoder import EncodeConfig
from video.types import Frame


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of export: its file's name, and how a browser is told what it is."""

    file: str
    media: str


FORMATS = {
    "mp4": Format("output_video.mp4", "video/mp4"),
    "masks": Format("masks.zip", "application/zip"),
    "alpha": Format("alpha.webm", "video/webm"),
    "coco": Format("masks.json", "application/json"),
}


class Exports:
    """Makes exports one at a time, in a thread of its own. tracker: its name, for COCO."""

    def __init__(self, reader: str, encode: EncodeConfig, tracker: str) -> None:
        self._reader = reader
        self._encode = encode
        self._tracker = tracker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._ended = threading.Event()

    def make(self, session: Session, kind: str) -> Future[Path]:
        """The file of an export, made as soon as its turn comes unless it is up to date."""
        return self._thread.submit(self._make, session, kind)

    def stop(self) -> None:
        """Give up what is being made and what waits."""
        self._ended.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _make(self, session: Session, kind: str) -> Path:
        place = session.folder / FORMATS[kind].file
        state = session.stamp.encode()
        stamp = place.with_name(f"{place.name}.of")
        if place.is_file() and stamp.is_file() and stamp.read_bytes() == state:
            return place
        if session.closed or not any(session.found().values()):
            raise StudioError(409, "there is no mask to export yet: annotate a frame and propagate first")
        try:
            with disk_errors(place):
                stamp.unlink(missing_ok=True)
                self._write(session, kind, place)
            with session.lock:
                if not session.closed:
                    write_bytes(stamp, state)
                    return place
        except OSError:
            if not session.closed:
                raise
        raise Cancelled("the session has ended")

    def _write(self, session: Session, kind: str, place: Path) -> None:
        with TemporaryDirectory(dir=session.folder, prefix=".export-") as temporary:
            folder = Path(temporary)
            made = folder / place.name
            if kind == "coco":
                self._coco(session, folder)
            elif kind == "mp4":
                self._films(session, {"overlay": made})
            elif kind == "alpha":
                self._films(session, {"alpha": folder})
                made = folder / "all.webm"
            else:
                self._films(session, {"masks": folder / "masks"})
                with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
                    for path in sorted((folder / "masks").rglob("*.png")):
                        archive.write(path, path.relative_to(folder).as_posix())
            made.replace(place)

    def _films(self, session: Session, places: dict[str, Path]) -> None:
        items = {number: Item(number, str(number), str(number)) for number in session.found()}
        options = OutputsConfig(alpha="webm" if "alpha" in places else None, per_object="masks" in places)
        video = session.video
        files = OutputFiles(places, [*items.values()], options, self._encode, video.fps, (video.width, video.height))

        def shown() -> Iterator[Shown]:
            for frame, masks in self._frames(session):
                at = {items[n]: mask for n, (mask, _) in masks.items() if n in items}
                said = tuple(p for p in session.prompts if p.frame == frame.index and p.text is None)
                yield Shown(frame.index, frame.rgb, at, said)

        for group in files.rounds():
            write(group, shown(), 1)

    def _coco(self, session: Session, folder: Path) -> None:
        about = {
            "tracker": self._tracker,
            "video": session.video.name,
            "prompts": [plain_prompt(prompt) for prompt in session.prompts],
        }
        with MaskFiles(folder, session.video, about) as tracks:
            for frame, masks in self._frames(session):
                ids = tuple(masks)
                pairs = [masks[n] for n in ids]
                tracks.write(
                    frame, FrameMasks(frame.index, ids, tuple(m for m, _ in pairs), tuple(s for _, s in pairs))
                )

    def _frames(self, session: Session) -> Iterator[tuple[Frame, Masks]]:
        for frame in full_frames(session.video, self._reader, 0, session.frames - 1):
            if self._ended.is_set() or session.closed:
                raise Cancelled("the session or the studio has ended")
            yield frame, session.masks(frame.index)
