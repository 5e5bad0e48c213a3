"""The same individual across the windows of a video: tracklets -> individuals, each link with its confidence.

First the windows that share frames: one-to-one, so that the IoU of the masks over these frames is largest in total.
Then, window by window in order of time, what begins there against what ended before, within `link.max_gap` seconds:
one-to-one, so that the likelihood (`pipeline.linking.gaps`) is largest in total. A link is made if it is good enough
and the best assignment without it is clearly worse; else it is left open and listed, and what begins is an individual
of its own. Two objects that one frame shows are never one individual. Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

from pipeline.linking.appearance import Appearance, Colours
from pipeline.linking.gaps import End, end_of, side_by_side, where
from pipeline.linking.head_count import missing_links
from pipeline.linking.shared_frames import Shared
from pipeline.linking.tracklets import Tracklet
from pipeline.settings import LinkConfig

F64 = NDArray[np.float64]
DOUBTFUL = 0.25  # IoU from which a pair that is not linked is listed
AHEAD = 0.1  # by which an IoU has to be the largest that either tracklet has
REMEMBERED = 8  # tracklets of an individual, the latest, whose looks are compared


@dataclass(frozen=True, slots=True)
class Link:
    """What was thought of two tracklets, by their numbers, the earlier first.

    by: masks, boxes, gap, person where someone said so, or count where only `link.individuals` asked for it. gap_s:
    seconds without either, 0 where frames are shared. score: the IoU, or how likely the two are one individual, taken
    alone. margin: that IoU less the next largest of either; or p - q for the best assignment with the link (p) and
    without it (q = 1 - p); 0 for a link by count, which was not weighed against others. Both are 1 for a person's.
    """

    first: int
    second: int
    by: str
    gap_s: float
    score: float
    margin: float
    linked: bool

    @property
    def confidence(self) -> float:
        """How likely the link is right, given its rivals; 0..1."""
        return self.score if self.by != "gap" else min(self.score, (1 + self.margin) / 2)


@dataclass(frozen=True, slots=True)
class Linked:
    """individual: per tracklet the first tracklet of its individual. confidence: per tracklet that of the best link to
    an earlier one (where it has none, to a later one) of its individual; None for the first. links: linked and open,
    sorted. contradicted: which of what was said cannot be, by place."""

    individual: tuple[int, ...]
    confidence: tuple[float | None, ...]
    links: tuple[Link, ...]
    contradicted: tuple[int, ...] = ()


def link(
    tracklets: Sequence[Tracklet],
    shared: Sequence[Shared],
    config: LinkConfig,
    said: Sequence[tuple[int, int, bool]] = (),
    appearance: Appearance | None = None,
) -> Linked:
    """Find the individuals of one video. tracklets: as `Tracklets.of_videos` sorts them. shared: pairs by number.

    said: pairs that a person says are one (True) or two; they come before everything but what one frame shows.
    appearance: how the tracklets look; None for their colours.
    """
    windows = list(_by_window(tracklets).values())
    seen = Colours(tracklets, windows) if appearance is None else appearance
    chains = _Chains(tracklets, seen)
    for window in windows:
        both = side_by_side([tracklets[n] for n in window])
        for i, j in np.argwhere(np.triu(both)).tolist():
            chains.keepapart(window[i], window[j])
    links, contradicted = _by_word(chains, said)
    links += _over_shared_frames(chains, shared, config)
    doubts: dict[int, float] = {}
    live: set[int] = set()
    for window in windows:
        begin = [n for n in window if chains.first(n) == n]
        since = float(tracklets[window[0]].times_s[0]) - config.max_gap
        live = {root for n in (*live, *begin) if chains.ends_s(root := chains.first(n)) >= since}
        if begin:
            links += _over_gaps(chains, sorted(live), begin, config, doubts)
    known = config.count(tracklets[0].video) if tracklets else None
    if known is not None:
        links += list(_by_count(chains, known))
    if said:
        two = {frozenset((a, b)) for a, b, same in said if not same}
        links = [each for each in links if each.linked or frozenset((each.first, each.second)) not in two]
    if said or known is not None:
        links = [each for each in links if each.linked or chains.first(each.first) != chains.first(each.second)]
    back: dict[int, float] = {}
    ahead: dict[int, float] = {}
    for made in links:
        if made.linked:
            back[made.second] = max(back.get(made.second, 0.0), made.confidence)
            ahead[made.first] = max(ahead.get(made.first, 0.0), made.confidence)
    roots = [chains.first(n) for n in range(len(tracklets))]
    confidence = tuple(None if root == n else back.get(n, ahead.get(n)) for n, root in enumerate(roots))
    return Linked(tuple(roots), confidence, tuple(sorted(links, key=lambda x: (x.first, x.second))), contradicted)


def _by_window(tracklets: Sequence[Tracklet]) -> dict[str, list[int]]:
    """The tracklets of each window; windows in order of the first one."""
    found: dict[str, list[int]] = {}
    for n, tracklet in enumerate(tracklets):
        found.setdefault(tracklet.window_id, []).append(n)
    return found


@dataclass(slots=True)
class _Chains:
    """Tracklets joined so far: disjoint sets, each named by its first tracklet, and who may never be in one."""

    tracklets: Sequence[Tracklet]
    appearance: Appearance
    _above: list[int] = field(init=False)
    members: dict[int, list[int]] = field(init=False)
    _last: list[int] = field(init=False)
    _pictured: list[list[int]] = field(init=False)
    _bridged: set[int] = field(default_factory=set)
    _ends: dict[tuple[int, bool], End] = field(default_factory=dict)
    apart: list[set[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._above = list(range(len(self.tracklets)))
        self.members = {n: [n] for n in self._above}
        self._last = list(self._above)
        self._pictured = [[n] if self.appearance.knows(n) else [] for n in self._above]
        self.apart = [set() for _ in self._above]

    def first(self, n: int) -> int:
        while self._above[n] != n:
            self._above[n] = self._above[self._above[n]]
            n = self._above[n]
        return n

    def keepapart(self, a: int, b: int) -> None:
        self.apart[a].add(b)
        self.apart[b].add(a)

    def may_join(self, a: int, b: int) -> bool:
        """Whether no frame shows members of both as two."""
        few, many = sorted((self.first(a), self.first(b)), key=lambda root: len(self.members[root]))
        return all(self.first(other) != many for n in self.members[few] for other in self.apart[n])

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.first(a), self.first(b)))
        if low != high:
            self._above[high] = low
            self.members[low] += self.members.pop(high)
            self._last[low] = max(self._last[low], self._last[high], key=self._end)
            self._bridged |= {low} if high in self._bridged else set()
            self._pictured[low] = sorted(self._pictured[low] + self._pictured[high], key=self._end)[-REMEMBERED:]

    def _end(self, n: int) -> tuple[float, int]:
        return float(self.tracklets[n].times_s[-1]), n

    def bridge(self, a: int, b: int) -> None:
        """Join over any gap, before what lies between is known."""
        self.join(a, b)
        self._bridged.add(self.first(a))

    def last(self, root: int, before: float = np.inf) -> int:
        """The member that is seen last; of a chain with a bridge, last before a time in seconds."""
        if root not in self._bridged:
            return self._last[root]
        earlier = [n for n in self.members[root] if self._end(n)[0] <= before]
        return max(earlier or self.members[root], key=self._end)

    def end(self, n: int, last: bool) -> End:
        """The first or last end of a tracklet, computed once."""
        if (n, last) not in self._ends:
            self._ends[n, last] = end_of(self.tracklets[n], last)
        return self._ends[n, last]

    def ends_s(self, root: int) -> float:
        """When a chain was last seen, seconds."""
        return self._end(self._last[root])[0]

    def looks(self, ended: Sequence[int], begin: Sequence[int]) -> F64:
        """(n, m) log ratios of the chains' looks, from the latest members that have any."""
        sides = ([self._pictured[root] for root in side] for side in (ended, begin))
        return self.appearance.ratio(*sides)


def _by_word(chains: _Chains, said: Sequence[tuple[int, int, bool]]) -> tuple[list[Link], tuple[int, ...]]:
    """Keep apart and join what a person says, and which of that cannot be: one frame shows both, or it was said twice,
    once so and once otherwise."""
    for a, b, same in said:
        if not same:
            chains.keepapart(a, b)
    links, wrong = [], []
    for place, (a, b, same) in enumerate(said):
        first, second = sorted((a, b))
        if same and chains.may_join(a, b):
            chains.bridge(a, b)
            gap = max(0.0, chains.end(second, last=False).time_s - chains.end(first, last=True).time_s)
            links.append(Link(first, second, "person", gap, 1.0, 1.0, True))
        elif same:
            wrong.append(place)
    return links, tuple(wrong)


def _over_shared_frames(chains: _Chains, shared: Sequence[Shared], config: LinkConfig) -> Iterator[Link]:
    """Link what shared frames show to be one; the surest first, so that what contradicts it is left open."""
    by_windows: dict[tuple[str, str], list[Shared]] = {}
    for pair in shared:
        names = chains.tracklets[pair.first].window_id, chains.tracklets[pair.second].window_id
        by_windows.setdefault(names, []).append(pair)
    chosen: list[tuple[Shared, float]] = []
    for pairs in by_windows.values():
        rows, columns = (sorted({n for n in side}) for side in zip(*((p.first, p.second) for p in pairs), strict=True))
        iou = np.zeros((len(rows), len(columns)))
        kept = {}
        for pair in pairs:
            at = rows.index(pair.first), columns.index(pair.second)
            iou[at], kept[at] = pair.iou, pair
        best = {(i, j) for i, j in _assigned(iou) if iou[i, j] >= config.min_iou}
        for (i, j), pair in kept.items():
            rivals = np.concatenate([np.delete(iou[i], j), np.delete(iou[:, j], i), [0.0]])
            margin = pair.iou - float(rivals.max())
            if (i, j) in best and margin >= AHEAD:
                chosen.append((pair, margin))
                continue
            chains.keepapart(pair.first, pair.second)
            if pair.iou >= DOUBTFUL:
                yield _shared_link(pair, margin, False)
    for pair, margin in sorted(chosen, key=lambda c: (-c[0].iou, c[0].first, c[0].second)):
        linked = chains.may_join(pair.first, pair.second)
        if linked:
            chains.join(pair.first, pair.second)
        else:
            chains.keepapart(pair.first, pair.second)
        yield _shared_link(pair, margin, linked)


def _shared_link(pair: Shared, margin: float, linked: bool) -> Link:
    first, second = sorted((pair.first, pair.second))
    return Link(first, second, pair.by, 0.0, pair.iou, margin, linked)


def _over_gaps(
    chains: _Chains,
    ended: Sequence[int],
    begin: Sequence[int],
    config: LinkConfig,
    doubts: dict[int, float],
) -> Iterator[Link]:
    """Link chains that begin in one window to chains that ended before.

    ended, begin: their first tracklets. doubts: by chain, the log ratio of the likeliest link from its end that was
    left open; a later link has to be clearly better than that one, too.
    """
    starts = [chains.end(n, last=False) for n in begin]
    lasts = [chains.last(root, max(start.time_s for start in starts)) for root in ended]
    ends = [chains.end(n, last=True) for n in lasts]
    gaps = np.array([s.time_s for s in starts])[None] - np.array([e.time_s for e in ends])[:, None]
    ratio = where(ends, starts, chains.tracklets[begin[0]].size)
    ratio += chains.looks(ended, begin)
    ratio[gaps > config.max_gap] = -np.inf
    for i, j in np.argwhere(np.isfinite(ratio)).tolist():
        if not chains.may_join(ended[i], begin[j]):
            ratio[i, j] = -np.inf

    def judged(i: int, j: int, nats: float, linked: bool) -> Link:
        score, margin = float(expit(ratio[i, j])), float(2 * expit(nats) - 1)
        return Link(lasts[i], begin[j], "gap", float(gaps[i, j]), score, margin, linked)

    unsure = set()
    margins = _margins(ratio)
    for (i, j), nats in sorted(margins.items(), key=lambda item: (-item[1], item[0])):
        nats = min(nats, ratio[i, j] - doubts.get(ended[i], -np.inf))
        made = judged(i, j, nats, True)
        if made.score >= config.min_score and made.margin >= config.margin and chains.may_join(ended[i], begin[j]):
            chains.join(ended[i], begin[j])
            doubts.pop(ended[i], None)
            yield made
        else:
            unsure.add(j)
            yield judged(i, j, nats, False)
    for j in sorted(unsure):
        for i in np.flatnonzero(ratio[:, j] > 0).tolist():
            doubts[ended[i]] = max(doubts.get(ended[i], -np.inf), float(ratio[i, j]))
            if (i, j) not in margins:
                yield judged(i, j, 0.0, False)


def _by_count(chains: _Chains, individuals: int) -> Iterator[Link]:
    """Join what is left to as many individuals as there are, over any gap."""
    roots = sorted(chains.members)
    lasts = [chains.last(n) for n in roots]
    ends, starts = [chains.end(n, last=True) for n in lasts], [chains.end(n, last=False) for n in roots]
    ratio = where(ends, starts, chains.tracklets[0].size) + chains.looks(roots, roots)
    number = {root: n for n, root in enumerate(roots)}
    for n, apart in enumerate(chains.apart):
        for other in apart:
            ratio[number[chains.first(n)], number[chains.first(other)]] = -np.inf
    for i, j in missing_links(ratio, individuals):
        if chains.may_join(roots[i], roots[j]):
            chains.join(roots[i], roots[j])
            gap = starts[j].time_s - ends[i].time_s
            yield Link(lasts[i], roots[j], "count", gap, float(expit(ratio[i, j])), 0.0, True)


def _assigned(gain: F64) -> list[tuple[int, int]]:
    """The one-to-one pairs with the largest total gain; pairs that gain nothing are not in it."""
    rows, columns = linear_sum_assignment(np.maximum(gain, 0), maximize=True)
    return [(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if gain[i, j] > 0]


def _margins(gain: F64) -> dict[tuple[int, int], float]:
    """Every pair of the best assignment, with how much the total falls if this pair is forbidden."""
    gain = np.maximum(gain, 0)
    best = _assigned(gain)
    total = sum(gain[pair] for pair in best)
    found = {}
    for pair in best:
        without = gain.copy()
        without[pair] = 0
        found[pair] = float(total - sum(without[other] for other in _assigned(without)))
    return found
