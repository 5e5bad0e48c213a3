"""Splits that cannot leak: whole groups go to train, val or test, and stay there for good.

A group is what `split.by` makes of a video; all clips of a group share a split. Assignments persist in
`splits.parquet`, so nobody changes sides when videos are added: a new group goes to the split furthest below its share
of the planned clips. The plan alone decides, never which crops happen to be done, so shards and resumed runs agree.

With labels, each label is shared out like the clips, as far as whole groups allow (`split.stratify`).

With `split.by=time` every video is cut into stretches by the shares instead, and what lies across a border, or nearer
to one than `split.embargo` seconds, belongs to no split.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch

from pipeline.errors import ConfigError
from pipeline.groups import groups
from pipeline.labels import Label
from pipeline.layout import Layout
from pipeline.settings import SPLITS, SplitConfig
from pipeline.tables import read_table, write_table
from video.types import Video


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


def assign(
    weights: Mapping[str, int],
    config: SplitConfig,
    settled: Mapping[str, str],
    videos: Mapping[str, Sequence[str]],
    strata: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, str]:
    """The split of every group.

    weights: planned clips by group. settled: groups that have a split already. videos: names by group, for
    `split.assign`. strata: how much of each label lies in a group, in any unit; none without labels.

    Every group goes where the squared distance of the splits' shares from the wanted ones grows least, summed over the
    planned clips and every label, each as a share of its own total: so the rarest label counts as much as the most
    frequent, and without labels a group goes to the split furthest below its share. (Whole groups as in the greedy
    StratifiedGroupKFold of scikit-learn; the criterion is our own.) Larger groups are placed first; while there are as
    many groups left as empty splits with a share, each gets one, so that a split stays empty only when there are too
    few groups. A group of which no clip is planned fills no split. Raises ConfigError when `split.assign` sends the
    videos of one group to two splits.
    """
    shares = dict(zip(SPLITS, (float(s) for s in config.fractions), strict=True))
    placed = {group: split for group, split in settled.items() if group in weights}
    for group in weights:
        fixed = _fixed(group, videos[group], config.assign or {})
        if fixed is not None:
            placed[group] = fixed
    held = _amounts(weights, strata or {})
    filled = {split: sum((held[g] for g, s in placed.items() if s == split), start=Amounts()) for split in SPLITS}
    waiting = sorted((g for g in weights if g not in placed), key=lambda g: (-held[g].size, _order(g)))
    for idle in (False, True):
        part = [group for group in waiting if (weights[group] == 0) == idle]
        taken = {split for group, split in placed.items() if idle or weights[group] > 0}
        for n, group in enumerate(part):
            empty = [s for s in SPLITS if shares[s] > 0 and s not in taken]
            reserved = taken and empty and len(part) - n <= len(empty)
            open_to = empty if reserved else [s for s in SPLITS if shares[s] > 0]
            split = max(open_to, key=lambda s: held[group].wanted_by(filled[s], shares[s]))
            placed[group] = split
            taken.add(split)
            filled[split] = filled[split] + held[group]
    return placed


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a group or a split holds of the planned clips (None) and of every label, each as a share of all there is."""

    of: Mapping[str | None, float] = field(default_factory=dict)

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts({key: self.of.get(key, 0.0) + other.of.get(key, 0.0) for key in (*self.of, *other.of)})

    @property
    def size(self) -> float:
        return sum(share**2 for share in self.of.values())

    def wanted_by(self, filled: Amounts, share: float) -> float:
        """How much nearer a split that holds `filled` comes to its share with this in it, up to what is the same for
        every split; rounded, so that ties are ties on every machine."""
        return round(sum(part * (share - filled.of.get(key, 0.0)) for key, part in self.of.items()), 12)


def _amounts(weights: Mapping[str, int], strata: Mapping[str, Mapping[str, float]]) -> dict[str, Amounts]:
    total: dict[str | None, float] = {None: float(sum(weights.values()))}
    for group in weights:
        for label, amount in strata.get(group, {}).items():
            total[label] = total.get(label, 0.0) + amount
    return {
        group: Amounts(
            {
                key: part / total[key]
                for key, part in ((None, float(weight)), *strata.get(group, {}).items())
                if total[key] > 0
            }
        )
        for group, weight in weights.items()
    }


def _fixed(group: str, names: Sequence[str], patterns: Mapping[str, str]) -> str | None:
    """The split that `split.assign` gives a group; None where no pattern fits."""
    found: dict[str, tuple[str, str]] = {}  # by split: the first video and pattern that say so
    for name in names:
        for pattern, split in patterns.items():
            if fnmatch(name, pattern):
                found.setdefault(split, (name, pattern))
    if len(found) > 1:
        said = " and ".join(f"to {split} ({pattern!r} fits {name!r})" for split, (name, pattern) in found.items())
        whole = f"the video {group!r}" if list(names) == [group] else f"the group {group!r}"
        raise ConfigError(f"split.assign sends {whole} {said}: let its patterns agree")
    return next(iter(found), None)


def _order(group: str) -> str:
    return hashlib.sha256(group.encode()).hexdigest()


def planned_splits(
    clips: Mapping[Video, int],
    config: SplitConfig,
    layout: Layout,
    labels: Callable[[], Iterable[Label]] = tuple,
) -> Splits:
    """The split of every moment of every video; writes nothing.

    clips: planned clips by video. labels: what is known of them, asked for only when there is a new group to place.
    With `split.by=individual` everything is train until the links are known, see `pipeline.visits`.
    """
    if config.by == "time":
        return Splits({video.name: _stretches(video, config) for video in clips}, config.embargo)
    if config.by == "individual":
        return Splits({video.name: (Span(0.0, math.inf, SPLITS[0]),) for video in clips})
    group_of = groups(clips, config)
    weights: dict[str, int] = {}
    videos: dict[str, list[str]] = {}
    for video, count in clips.items():
        group = group_of[video.name]
        weights[group] = weights.get(group, 0) + count
        videos.setdefault(group, []).append(video.name)
    settled = settled_groups(config, layout)
    new = any(group not in settled for group in weights)
    strata = _strata(labels(), {v.fingerprint: group_of[v.name] for v in clips}) if new and config.stratify else {}
    placed = assign(weights, config, settled, videos, strata)
    return Splits({name: (Span(0.0, math.inf, placed[group]),) for name, group in group_of.items()})


def _strata(labels: Iterable[Label], group_of: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Labelled seconds by group and label; of the labels of one anchor the last counts. group_of: by fingerprint."""
    last = {(x.fingerprint, x.start_s, x.end_s, x.boxes): x for x in labels if x.fingerprint in group_of}
    found: dict[str, dict[str, float]] = {}
    for each in last.values():
        if each.label is not None:
            held = found.setdefault(group_of[each.fingerprint], {})
            held[each.label] = held.get(each.label, 0.0) + each.end_s - each.start_s
    return found


def unused_patterns(videos: Iterable[Video], config: SplitConfig) -> list[str]:
    """The patterns of `split.assign` that fit no video."""
    names = [video.name for video in videos]
    return [pattern for pattern in config.assign or {} if not any(fnmatch(name, pattern) for name in names)]


def settle(splits: Splits, videos: Sequence[Video], config: SplitConfig, layout: Layout) -> None:
    """Keep the assignments in `splits.parquet`. Stretches of time follow from the shares and are not kept."""
    if config.by not in ("time", "individual"):
        keep({group: splits.spans[name][0].split for name, group in groups(videos, config).items()}, config, layout)


def settled_groups(config: SplitConfig, layout: Layout) -> dict[str, str]:
    """The groups of `split.by` that have a split for good."""
    return {row["group"]: row["split"] for row in _rows(layout) if row["by"] == config.name}


def keep(placed: Mapping[str, str], config: SplitConfig, layout: Layout) -> None:
    """Add groups to `splits.parquet`."""
    rows = _rows(layout)
    kept = {(row["by"], row["group"]): row["split"] for row in rows}
    kept |= {(config.name, group): split for group, split in placed.items()}
    table = [{"by": by, "group": group, "split": split} for (by, group), split in sorted(kept.items())]
    if table != rows:
        import pyarrow as pa

        schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("by", "group", "split")])
        write_table(layout.splits, pa.Table.from_pylist(table, schema=schema))


def _stretches(video: Video, config: SplitConfig) -> tuple[Span, ...]:
    """One stretch per split with a share, in the order train, val, test; the last one has no end."""
    fixed = _fixed(video.name, [video.name], config.assign or {})
    shares = [(fixed, 1.0)] if fixed else [(s, f) for s, f in zip(SPLITS, config.fractions, strict=True) if f > 0]
    ends = [sum(share for _, share in shares[: n + 1]) * video.duration for n in range(len(shares))]
    ends[-1] = math.inf
    return tuple(Span(a, b, s) for a, b, (s, _) in zip([0.0, *ends], ends, shares, strict=False))


def _rows(layout: Layout) -> list[dict[str, str]]:
    return read_table(layout.splits).to_pylist() if layout.splits.is_file() else []
