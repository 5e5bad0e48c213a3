"""Tables of spans and labels: CSV as people write it and as BORIS and common tools export it.

The columns are known under several names; see `NAMES`. `read_spans` reads what `clip.spans` names.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError

NAMES = {
    "label": ("label", "behavior", "behaviour", "class"),
    "sample_id": ("sample_id", "sample"),
    "individual_id": ("individual_id", "individual"),
    "subject": ("subject",),
    "path": ("path", "file", "filename", "file_name"),
    "video": ("video", "media file name", "media file", "source_video"),
    "start_s": ("start_s", "start (s)", "start", "start_time"),
    "end_s": ("end_s", "stop (s)", "end", "stop", "end_time"),
    "author": ("author", "observer", "annotator"),
    "time": ("time", "labelled_at"),
}
SHOWN = 5
Line = tuple[int, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds [start_s, end_s) of the video that `video` names, and what happens there; "" when nothing is said."""

    video: str
    start_s: float
    end_s: float
    label: str
    author: str


def read_spans(path: Path) -> list[Span]:
    """Every span of a table; raises ConfigError that names the wrong lines."""
    found: list[Span] = []
    wrong: list[int] = []
    for number, line in lines_of(path, "clip.spans"):
        missing = [name for name in ("video", "start_s", "end_s") if name not in line]
        if missing:
            raise ConfigError(f"clip.spans={path} needs the columns video, start_s and end_s, it lacks {missing[0]}")
        start, end = seconds(line["start_s"]), seconds(line["end_s"])
        if not line["video"] or start is None or end is None or not 0 <= start < end:
            wrong.append(number)
        else:
            found.append(Span(line["video"], start, end, line.get("label", ""), line.get("author", "")))
    if wrong:
        raise ConfigError(
            f"clip.spans={path}: a span needs a video and seconds, the start first (line {listed(wrong)})"
        )
    if not found:
        raise ConfigError(f"clip.spans={path} has no lines below its header")
    return found


def lines_of(path: Path, key: str) -> Iterator[Line]:
    """Line number and values by our names for the columns. Raises ConfigError that names the key it was given under."""
    known = {alias: name for name, aliases in NAMES.items() for alias in aliases}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            for row in reader:
                values = {
                    known.get((key or "").strip().lower(), ""): (value or "").strip() for key, value in row.items()
                }
                yield reader.line_num, {name: value for name, value in values.items() if name}
    except (OSError, UnicodeDecodeError, csv.Error, AttributeError) as error:
        raise ConfigError(f"{key}={path} cannot be read as a table ({error})") from error


class VideoNames:
    """Finds the videos that a name means, among as many as there are."""

    def __init__(self, videos: Iterable[str]) -> None:
        self._ending: dict[str, list[str]] = {}  # by every way to leave out folders before the name
        self._place: dict[str, int] = {}
        for place, name in enumerate(videos):
            self._place[name] = place
            for ending in _endings(name):
                self._ending.setdefault(ending, []).append(name)

    def meant(self, text: str) -> list[str]:
        """The one of exactly this name, else those whose name it ends with or that end with it, as full paths do."""
        text = text.replace("\\", "/")
        if text in self._place:
            return [text]
        longer, shorter = self._ending.get(text, []), [each for each in _endings(text) if each in self._place]
        return sorted({*longer, *shorter}, key=self._place.__getitem__)


def _endings(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[n:]) for n in range(1, len(parts))]


def seconds(text: str) -> float | None:
    """A number of seconds; None for anything else."""
    try:
        return float(text)
    except ValueError:
        return None


def listed(numbers: Sequence[int]) -> str:
    """The first numbers, and how many more."""
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return ", ".join(map(str, numbers[:SHOWN])) + more
