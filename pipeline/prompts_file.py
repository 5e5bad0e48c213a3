"""`prompts_file=`: what to track in each video, a line for every one.

Either one line per video, in the order of their names (their paths relative to the source), or lines `name: phrases` in
any order; phrases are separated by commas. The lines are for all videos that `videos=` names, whichever of them a run
then selects, so one file serves every selection.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.span_table import VideoNames
from sam.errors import WrongPrompt
from sam.prompts import phrases_in


@dataclass(frozen=True, slots=True)
class Line:
    """number: from 1. video: the name before the colon, None without one. prompts: the texts for the tracker."""

    number: int
    video: str | None
    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptsFile:
    """The lines of a prompts file: all of them with a video's name, or none."""

    path: Path
    lines: tuple[Line, ...]

    def by_video(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The prompts of each video. names: of all videos, sorted. Raises ConfigError where lines and videos differ."""
        if self.lines[0].video is not None:
            return self._named(names)
        count = len(self.lines)
        if count < len(names):
            raise ConfigError(
                f"{self._counts(names)}: the first video without a line is {names[count]} (videos are taken in the "
                "order of their names; write a line for each, or lines 'name: phrases')"
            )
        if count > len(names):
            extra = self.lines[len(names)]
            raise ConfigError(
                f"{self._counts(names)}: the first line without a video is line {extra.number}, "
                f"{', '.join(extra.prompts)!r} (videos are taken in the order of their names; the last is {names[-1]})"
            )
        return {name: line.prompts for name, line in zip(names, self.lines, strict=True)}

    def _named(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        found: dict[str, Line] = {}
        videos = VideoNames(names)
        for line in self.lines:
            assert line.video is not None
            meant = videos.meant(line.video)
            at = f"prompts_file={self.path}, line {line.number}: {line.video!r}"
            if not meant:
                close = difflib.get_close_matches(line.video, names, n=1)
                guess = f": did you mean {close[0]}?" if close else f", such as {names[0]}"
                raise ConfigError(f"{at} is none of the {len(names)} videos{guess}")
            if len(meant) > 1:
                raise ConfigError(f"{at} means {len(meant)} videos: write {' or '.join(meant[:3])}")
            if meant[0] in found:
                raise ConfigError(f"{at} has a line already: line {found[meant[0]].number}")
            found[meant[0]] = line
        lacking = [name for name in names if name not in found]
        if lacking:
            raise ConfigError(f"{self._counts(names)}: the first video without a line is {lacking[0]}")
        return {name: found[name].prompts for name in names}

    def _counts(self, names: Sequence[str]) -> str:
        lines, videos = len(self.lines), len(names)
        return (
            f"prompts_file={self.path} has {lines} {'line' if lines == 1 else 'lines'} and there are {videos} "
            f"{'video' if videos == 1 else 'videos'}"
        )


def read_prompts_file(path: Path, one_phrase: bool) -> PromptsFile:
    """Read and check the lines. one_phrase: see `texts_of`. Raises ConfigError naming the line."""
    try:
        rows = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompts_file={path} is not a text file in UTF-8: {error.reason}") from error
    except OSError as error:
        raise ConfigError(f"prompts_file={path} cannot be read: {error.strerror}") from error
    while rows and not rows[-1].strip():
        rows.pop()
    if not rows:
        raise ConfigError(f"prompts_file={path} is empty: write a line for every video, such as 'koala, parrot'")
    lines = [_line(path, number, row, one_phrase) for number, row in enumerate(rows, 1)]
    for line in lines:
        if (line.video is None) != (lines[0].video is None):
            has, lacks = ("a", "none") if line.video is not None else ("no", "one")
            raise ConfigError(
                f"prompts_file={path}, line {line.number} has {has} video's name before a colon, and line 1 has "
                f"{lacks}: name the video in every line, or in none"
            )
    return PromptsFile(path, tuple(lines))


def _line(path: Path, number: int, row: str, one_phrase: bool) -> Line:
    name, colon, text = row.rpartition(":")
    if not row.strip():
        raise ConfigError(
            f"prompts_file={path}, line {number} is empty: every video needs something to look for, and without names "
            "lines are counted"
        )
    if colon and not (name.strip() and text.strip()):
        raise ConfigError(f"prompts_file={path}, line {number}: {row.strip()!r} is not 'name: phrases'")
    try:
        return Line(number, name.strip() if colon else None, texts_of(text, one_phrase))
    except WrongPrompt as error:
        raise ConfigError(f"prompts_file={path}, line {number}: {error}") from error


def texts_of(text: str, one_phrase: bool) -> tuple[str, ...]:
    """What a tracker is asked for a text with phrases: all at once, or, of a tracker that looks for one phrase at a
    time, each by itself and once. Raises WrongPrompt for an empty phrase."""
    phrases = phrases_in(text)
    return tuple(dict.fromkeys(phrases)) if one_phrase else (", ".join(phrases),)
