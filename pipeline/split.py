"""Splits that cannot leak: whole groups go to train, val or test, and stay there for good.

A group is what `split.by` makes of a video; all clips of a group share a split. Assignments persist in
`splits.parquet`, so nobody changes sides when videos are added: a new group goes to the split furthest below its share
of the planned clips. The plan alone decides, never which crops happen to be done, so shards and resumed runs agree.

With `split.by=time` every video is cut into stretches by the shares instead, and what lies across a border, or nearer
to one than `split.embargo` seconds, belongs to no split.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.layout import Layout
from pipeline.settings import SPLITS, SplitConfig
from pipeline.tables import read_table, write_table
from video.types import Video

SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("by", "group", "split")])
TABLE = ("video", "group")


@dataclass(frozen=True, slots=True)
class Span:
    """The seconds [start, stop) of a video, and their split."""

    start: float
    stop: float
    split: str


@dataclass(frozen=True, slots=True)
class Splits:
    """Where every moment of every video belongs. spans: by video name, in order. embargo: seconds kept free on either
    side of a border between two splits."""

    spans: Mapping[str, tuple[Span, ...]]
    embargo: float = 0.0

    def of(self, video: str, first: float, last: float) -> str | None:
        """The split of what is seen from `first` to `last`, in seconds; None across or near a border."""
        for span in self.spans[video]:
            if span.start <= first and last < span.stop:
                return span.split if self.distance(video, first, last) >= self.embargo else None
        return None

    def whole(self, video: str) -> str | None:
        """The split of a video that lies in one; None for a divided one."""
        return self.spans[video][0].split if len(self.spans[video]) == 1 else None

    def distance(self, video: str, first: float, last: float) -> float:
        """Seconds to the nearest border between two splits; 0 across one, infinite where there is none."""
        nearest = math.inf
        for left, right in zip(self.spans[video], self.spans[video][1:], strict=False):
            if left.split != right.split:
                nearest = min(nearest, max(left.stop - last, first - left.stop, 0.0))
        return nearest

    def without_videos(self, shares: Sequence[float]) -> list[str]:
        """The splits that have a share and nothing planned."""
        given = {span.split for spans in self.spans.values() for span in spans}
        return [split for split, share in zip(SPLITS, shares, strict=True) if share > 0 and split not in given]

    def only(self, video: str) -> Splits:
        """The same for one video alone."""
        return Splits({video: self.spans[video]}, self.embargo)


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
            "split.by must be video, folder, day, time, a table (.csv) or a regular expression with a (group), "
            f"{example}; got {by!r}"
        )
    return expression


def assign(
    weights: Mapping[str, int], config: SplitConfig, settled: Mapping[str, str], videos: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """The split of every group.

    weights: planned clips by group. settled: groups that have a split already. videos: names by group, for
    `split.assign`. Larger groups are placed first; while there are as many groups left as empty splits with a share,
    each gets one, so that a split stays empty only when there are too few groups. Raises ConfigError when
    `split.assign` sends the videos of one group to two splits.
    """
    shares = dict(zip(SPLITS, (float(s) for s in config.fractions), strict=True))
    placed = {group: split for group, split in settled.items() if group in weights}
    for group in weights:
        fixed = _fixed(group, videos[group], config.assign or {})
        if fixed is not None:
            placed[group] = fixed
    total = sum(weights.values())
    held = {split: sum(weights[g] for g, s in placed.items() if s == split) for split in SPLITS}
    waiting = sorted((g for g in weights if g not in placed), key=lambda g: (-weights[g], _order(g)))
    for n, group in enumerate(waiting):
        empty = [s for s in SPLITS if shares[s] > 0 and s not in placed.values()]
        open_to = empty if placed and len(waiting) - n <= len(empty) else [s for s in SPLITS if shares[s] > 0]
        split = max(open_to, key=lambda s: shares[s] * total - held[s])
        placed[group] = split
        held[split] += weights[group]
    return placed


def _fixed(group: str, names: Sequence[str], patterns: Mapping[str, str]) -> str | None:
    found = {split for name in names for pattern, split in patterns.items() if fnmatch(name, pattern)}
    if len(found) > 1:
        raise ConfigError(
            f"split.assign sends the group {group!r} to {' and '.join(sorted(found))}: "
            f"its patterns must agree on {', '.join(names[:3])}"
        )
    return found.pop() if found else None


def _order(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()


def planned_splits(clips: Mapping[Video, int], config: SplitConfig, layout: Layout) -> Splits:
    """The split of every moment of every video; writes nothing. clips: planned clips by video."""
    if config.by == "time":
        return Splits({video.name: _stretches(video, config) for video in clips}, config.embargo)
    groups = _groups(clips, config)
    weights: dict[str, int] = {}
    videos: dict[str, list[str]] = {}
    for video, count in clips.items():
        group = groups[video.name]
        weights[group] = weights.get(group, 0) + count
        videos.setdefault(group, []).append(video.name)
    settled = {row["group"]: row["split"] for row in _rows(layout) if row["by"] == config.name}
    placed = assign(weights, config, settled, videos)
    return Splits({name: (Span(0.0, math.inf, placed[group]),) for name, group in groups.items()})


def settle(splits: Splits, videos: Sequence[Video], config: SplitConfig, layout: Layout) -> None:
    """Keep the assignments in `splits.parquet`. Stretches of time follow from the shares and are not kept."""
    if config.by == "time":
        return
    rows = _rows(layout)
    kept = {(row["by"], row["group"]): row["split"] for row in rows}
    kept |= {(config.name, group): splits.spans[name][0].split for name, group in _groups(videos, config).items()}
    table = [{"by": by, "group": group, "split": split} for (by, group), split in sorted(kept.items())]
    if table != rows:
        write_table(layout.splits, pa.Table.from_pylist(table, schema=SCHEMA))


def _groups(videos: Sequence[Video] | Mapping[Video, int], config: SplitConfig) -> dict[str, str]:
    group = grouping(config)
    return {video.name: group(video) for video in videos}


def _stretches(video: Video, config: SplitConfig) -> tuple[Span, ...]:
    """One stretch per split with a share, in the order train, val, test; the last one has no end."""
    fixed = _fixed(video.name, [video.name], config.assign or {})
    shares = [(fixed, 1.0)] if fixed else [(s, f) for s, f in zip(SPLITS, config.fractions, strict=True) if f > 0]
    ends = [sum(share for _, share in shares[: n + 1]) * video.duration for n in range(len(shares))]
    ends[-1] = math.inf
    return tuple(Span(a, b, s) for a, b, (s, _) in zip([0.0, *ends], ends, shares, strict=False))


def _rows(layout: Layout) -> list[dict[str, str]]:
    return read_table(layout.splits).to_pylist() if layout.splits.is_file() else []
