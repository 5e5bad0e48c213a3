"""Splits that cannot leak: whole groups go to train, val or test, and stay there for good.

A group is what `split.by` makes of a video's name; all clips of a group share a split. Assignments persist in
`splits.parquet`, so nobody changes sides when videos are added: a new group goes to the split furthest below its share
of the planned clips. The plan alone decides, never which crops happen to be done, so shards and resumed runs agree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.index import read_parquet
from pipeline.layout import Layout, writing
from pipeline.settings import SPLITS, SplitConfig

SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("by", "group", "split")])


def group_of(name: str, by: str) -> str:
    """The group of a video by its name; raises ConfigError when the expression does not match it."""
    if by == "video":
        return name
    if by == "folder":
        return PurePosixPath(name).parent.as_posix()
    match = _expression(by).search(name)
    if match is None or not match.group(1):
        raise ConfigError(f"split.by={by!r} finds no group in the video {name!r}: make it match every video's name")
    return match.group(1)


def _expression(by: str) -> re.Pattern[str]:
    example = "such as split.by='\"(cam[0-9]+)\"' (single quotes for the shell, double for Hydra)"
    try:
        expression = re.compile(by)
    except re.error as error:
        raise ConfigError(f"split.by={by!r} is not a regular expression ({error}); use one {example}") from error
    if expression.groups < 1:
        raise ConfigError(
            f"split.by must be video, folder or a regular expression with a (group), {example}; got {by!r}"
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


def planned_splits(clips: Mapping[str, int], config: SplitConfig, layout: Layout) -> dict[str, str]:
    """The split of every video, by name; writes nothing. clips: planned clips by video name."""
    groups = {name: group_of(name, config.by) for name in clips}
    weights: dict[str, int] = {}
    videos: dict[str, list[str]] = {}
    for name, group in groups.items():
        weights[group] = weights.get(group, 0) + clips[name]
        videos.setdefault(group, []).append(name)
    settled = {row["group"]: row["split"] for row in _rows(layout) if row["by"] == config.by}
    placed = assign(weights, config, settled, videos)
    return {name: placed[group] for name, group in groups.items()}


def split_videos(clips: Mapping[str, int], config: SplitConfig, layout: Layout) -> dict[str, str]:
    """As `planned_splits`, and the assignments are kept in `splits.parquet`."""
    splits = planned_splits(clips, config, layout)
    rows = _rows(layout)
    kept = {(row["by"], row["group"]): row["split"] for row in rows}
    kept |= {(config.by, group_of(name, config.by)): split for name, split in splits.items()}
    table = [{"by": by, "group": group, "split": split} for (by, group), split in sorted(kept.items())]
    if table != rows:
        with writing(layout.splits) as part:
            pq.write_table(pa.Table.from_pylist(table, schema=SCHEMA), part, compression="zstd")
    return splits


def _rows(layout: Layout) -> list[dict[str, str]]:
    return read_parquet(layout.splits).to_pylist() if layout.splits.is_file() else []
