"""What stays together: the group of every video, as `split.by` makes it from path, day, table or pattern."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from pipeline.errors import ConfigError
from pipeline.settings import SplitConfig
from video.types import Video

TABLE = ("video", "group")
SHOWN = 5


def groups(videos: Iterable[Video], config: SplitConfig) -> dict[str, str]:
    """The group of every video, by name. Raises one ConfigError that names the videos without one."""
    of = grouping(config)
    found: dict[str, str] = {}
    lacking: list[ConfigError] = []
    for video in videos:
        try:
            found[video.name] = of(video)
        except ConfigError as error:
            lacking.append(error)
    if lacking:
        more = f"; and so for {len(lacking) - SHOWN} more videos" if len(lacking) > SHOWN else ""
        raise ConfigError("; ".join(str(error) for error in lacking[:SHOWN]) + more)
    return found


def grouping(config: SplitConfig) -> Callable[[Video], str]:
    """The group of a video; the function raises ConfigError for a video that has none."""
    by = config.by
    if by == "video":
        return lambda video: video.name
    if by == "folder":
        return lambda video: PurePosixPath(video.name).parent.as_posix()
    if by == "day":
        return _day
    if by.endswith(".csv"):
        return _in_table(Path(by))
    return _in_name(by)


def _day(video: Video) -> str:
    if video.recorded_at is None:
        raise ConfigError(
            f"split.by=day needs every video's recording time, and select.time_pattern finds none in {video.name!r}"
        )
    return video.recorded_at.date().isoformat()


def _in_table(path: Path) -> Callable[[Video], str]:
    """Groups from a CSV file with the columns video (a name, or a glob: the first that matches) and group."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"split.by={path} cannot be read as a table ({error})") from error
    missing = [name for name in TABLE if not rows or not rows[0].get(name)]
    if missing:
        raise ConfigError(f"split.by={path} needs the columns {', '.join(TABLE)} and a line, it lacks {missing[0]}")
    exact = {row["video"]: row["group"] for row in reversed(rows)}

    def group(video: Video) -> str:
        found = exact.get(video.name) or next((r["group"] for r in rows if fnmatch(video.name, r["video"])), None)
        if not found:
            raise ConfigError(f"split.by={path} has no group for the video {video.name!r}: add a line for it")
        return found

    return group


def _in_name(by: str) -> Callable[[Video], str]:
    expression = _expression(by)

    def group(video: Video) -> str:
        match = expression.search(video.name)
        if match is None or not match.group(1):
            raise ConfigError(
                f"split.by={by!r} finds no group in the video {video.name!r}: make it match every video's name"
            )
        return match.group(1)

    return group


def _expression(by: str) -> re.Pattern[str]:
    example = "such as split.by='\"(cam[0-9]+)\"' (single quotes for the shell, double for Hydra)"
    try:
        expression = re.compile(by)
    except re.error as error:
        raise ConfigError(f"split.by={by!r} is not a regular expression ({error}); use one {example}") from error
    if expression.groups < 1:
        raise ConfigError(
            "split.by must be video, folder, day, time, individual, a table (.csv) or a regular expression with a "
            f"(group), {example}; got {by!r}"
        )
    return expression
