"""Tracks made elsewhere, through the tracker interface: MOT, COCO, YouTube-VIS or YOLO files instead of a model.

It looks at no pixel; frames are picked by their index in the source video, and the prompt's text is only the label.
Masks of one frame may overlap, as the files say. The files are read, never written, and count with their content: their
digest is part of the tracker's identity, the folder they lie in is not.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam.backends.file_formats import Table, read_coco, read_mot, read_yolo
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.tracker import tracker
from sam.types import FrameMasks, Mask, Prompt, SessionFrames

FORMATS = ("auto", "mot", "coco", "yolo")
VERSION = 1  # raise it when the same files give other masks


@tracker("file")
@dataclass
class FileConfig:
    """Tracks made elsewhere: MOT, COCO, YouTube-VIS or YOLO files. No model; the prompt is only the label.

    path: one file, or a folder with files named like the videos: farm1/cam1.mp4 has farm1/cam1.txt, cam1.txt, the same
    with .json, or YOLO's farm1/cam1_<frame>.txt or cam1_<frame>.txt. format: auto, mot, coco or yolo. min_score: leave
    out what scores less. first_frame: the number that COCO image names give the first frame; MOT and YOLO always say 1.
    """

    path: str
    format: str = "auto"
    min_score: float = 0.0
    first_frame: int = 0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"tracker.format is one of {', '.join(FORMATS)}, got {self.format!r}")
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"tracker.min_score is between 0 and 1, got {self.min_score}")

    def build(self) -> FileTracker:
        return FileTracker(self)

    def build_for(self, key: str) -> FileTracker:
        """The same for another key, which its messages then name."""
        return FileTracker(self, key)


class FileTracker:
    """See the module docstring; implements `sam.tracker.Tracker`."""

    name = "file"
    understands = frozenset({"text"})
    context = 0
    max_side: int | None = None

    def __init__(self, config: FileConfig, key: str = "tracker.path") -> None:
        self._config = config
        self._key = key
        self._path = Path(os.path.expanduser(config.path))
        self._digest = ""
        self._coco: dict[Path, dict[str, Table]] = {}
        self._current: tuple[str, Table] | None = None
        self._served: dict[tuple[Path, str], str] = {}

    def identity(self) -> dict[str, Any]:
        """Holds a digest of the content of the files; reads them once. Raises TrackerUnavailable if there are none."""
        if not self._digest:
            total = hashlib.sha256()
            for file in self._files():
                name = file.relative_to(self._path).as_posix() if self._path.is_dir() else ""
                total.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
            self._digest = total.hexdigest()
        options = {"min_score": self._config.min_score, "first_frame": self._config.first_frame}
        return {
            "tracker": self.name,
            "version": VERSION,
            "format": self._config.format,
            **options,
            "digest": self._digest,
        }

    def __enter__(self) -> Self:
        self._files()
        return self

    def __exit__(self, *exc: object) -> None:
        self._coco, self._current, self._served = {}, None, {}

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        """Nothing to learn."""

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The objects that the file of `frames.video` has at each of `frames.indices`; raises TrackingFailed."""
        table = self.table(frames.video)
        for t, index in enumerate(frames.indices.tolist()):
            ids: list[int] = []
            masks: list[Mask] = []
            scores: list[float] = []
            for entry in table.get(index, []):
                if entry.score < self._config.min_score:
                    continue
                if entry.object_id in ids:
                    raise TrackingFailed(
                        f"{self._path} has object {entry.object_id} twice in frame {index} of {frames.video}"
                    )
                mask = entry.draw(frames.width, frames.height)
                if mask is not None:
                    ids.append(entry.object_id)
                    masks.append(mask)
                    scores.append(entry.score)
            yield FrameMasks(t, tuple(ids), tuple(masks), tuple(scores))

    def _files(self) -> list[Path]:
        """All files that may hold tracks."""
        if self._path.is_file():
            return [self._path]
        files = [f for f in sorted(self._path.rglob("*")) if f.suffix in (".txt", ".csv", ".json") and f.is_file()]
        if not files:
            what = "holds no .txt, .csv or .json file" if self._path.is_dir() else "does not exist"
            raise TrackerUnavailable(
                f"{self._key}={self._config.path} {what}; it names one file of tracks or a folder of them"
            )
        return files

    def table(self, video: str) -> Table:
        """What the files have for a video: source frame -> its objects. Raises TrackingFailed."""
        if self._current is None or self._current[0] != video:
            self._current = video, self._read(video)
        return self._current[1]

    def _read(self, video: str) -> Table:
        """Find and read the tracks of one video, the first candidate that exists."""
        name = PurePosixPath(video.replace("\\", "/")).with_suffix("")
        stems = list(dict.fromkeys([name.as_posix().lstrip("/"), name.name]))
        if self._path.is_file():
            return self._read_file(self._path, video, stems)
        wanted = self._config.format
        tried = []
        for stem in stems:
            for suffix, format in ((".txt", "mot"), (".csv", "mot"), (".json", "coco")):
                if wanted in ("auto", format):
                    tried.append(stem + suffix)
                    if (self._path / tried[-1]).is_file():
                        return self._read_file(self._path / tried[-1], video, stems)
            if wanted in ("auto", "yolo"):
                tried.append(f"{stem}_<frame>.txt")
                files = self._yolo_files(self._path / stem)
                if files:
                    self._claim(self._path / stem, video)
                    return read_yolo(files)
        shared = sorted(self._path.glob("*.json")) if wanted in ("auto", "coco") else []
        for file in shared:
            if set(stems) & set(self._tables(file)):
                return self._read_file(file, video, stems)
        raise TrackingFailed(f"no tracks for {video} in {self._path}; expected one of {', '.join(tried)}")

    def _read_file(self, path: Path, video: str, stems: Sequence[str]) -> Table:
        """Read one file: COCO by the video's name in it, YOLO's frame files by their common start, else MOT."""
        numbered = re.fullmatch(r".+_\d+", path.stem) and path.stem not in stems
        if self._config.format == "yolo" or (self._config.format == "auto" and numbered and "," not in _start(path)):
            raise TrackingFailed(f"{path} is one frame of YOLO tracks; {self._key} is the folder that holds all frames")
        if self._config.format == "coco" or (self._config.format == "auto" and path.suffix == ".json"):
            tables = self._tables(path)
            for stem in stems:
                if stem in tables:
                    self._claim(path, video, stem)
                    return tables[stem]
            if "" in tables:
                self._claim(path, video)
                return tables[""]
            raise TrackingFailed(
                f"{path} has no video {' or '.join(stems)}; it has {', '.join(sorted(tables)[:8]) or 'none'}"
            )
        self._claim(path, video)
        return read_mot(path)

    def _tables(self, path: Path) -> dict[str, Table]:
        if path not in self._coco:
            self._coco[path] = read_coco(path, self._config.first_frame)
        return self._coco[path]

    def _claim(self, path: Path, video: str, named: str = "") -> None:
        """Refuse to give the tracks of one video to another that only shares its name, or the name in the file."""
        first = self._served.setdefault((path, named), video)
        if first != video:
            raise TrackingFailed(
                f"{path} would serve both {first} and {video}; give a folder with one file per video, "
                f"such as {PurePosixPath(video).with_suffix(path.suffix or '_<frame>.txt')}"
            )

    @staticmethod
    def _yolo_files(start: Path) -> list[tuple[int, Path]]:
        """The frame files whose names start like this, by frame number."""
        if not start.parent.is_dir():
            return []
        pattern = re.compile(re.escape(start.name) + r"_(\d+)\.txt")
        found = ((pattern.fullmatch(file.name), file) for file in start.parent.iterdir())
        return sorted((int(match[1]), file) for match, file in found if match)


def _start(path: Path) -> str:
    """The first kilobyte of a file, to tell formats apart."""
    with open(path, "rb") as file:
        return file.read(1024).decode("utf-8", "replace")
