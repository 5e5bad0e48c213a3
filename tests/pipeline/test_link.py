"""Linking: small cases by hand, and what holds for any tracklets."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.linking.gaps import AT_LEAST, AT_MOST, OTHERS, End, looks, side_by_side, strangers, where
from pipeline.linking.head_count import HOPELESS, missing_links
from pipeline.linking.link import Linked, link
from pipeline.linking.shared_frames import Shared
from pipeline.linking.tracklets import Tracklet
from pipeline.settings import LinkConfig

CONFIG = LinkConfig()
PICTURE = (1000, 600)
STEP = 0.16  # seconds from frame to frame
WINDOW = 10  # frames


def colour(n: int, share: float = 1.0) -> np.ndarray:
    """Colours of which `share` lies in bin n and the rest in bin 0."""
    shares = np.zeros(216, np.float32)
    shares[0] += 1 - share
    shares[n] += share
    return shares


def seen(
    window: int,
    object_id: int,
    x: float,
    y: float = 300,
    speed: float = 0.0,
    colours: np.ndarray | None = None,
    frames: range = range(WINDOW),
) -> Tracklet:
    """A 60 x 40 object at (x, y) in the first frame of a window, `speed` pixels a frame to the right."""
    at = np.array([window * WINDOW + n for n in frames])
    left = x + speed * np.array(frames, float)
    boxes = np.stack([left - 30, np.full(len(at), y - 20), left + 30, np.full(len(at), y + 20)], axis=1)
    key = f"w{window:03}", "cow", object_id
    names = (f"{window}/{object_id}",)
    return Tracklet("v.mp4", PICTURE, *key, names, at * 4, at * STEP, boxes.astype(np.float32), colours)


def ordered(*tracklets: Tracklet) -> list[Tracklet]:
    return sorted(tracklets, key=lambda t: (float(t.times_s[0]), t.key))


def groups(tracklets: list[Tracklet], linked: Linked) -> set[frozenset[str]]:
    """The individuals, as sets of "window/object"."""
    found: dict[int, set[str]] = {}
    for tracklet, who in zip(tracklets, linked.individual, strict=True):
        found.setdefault(who, set()).add(tracklet.samples[0])
    return {frozenset(names) for names in found.values()}


def linked(*tracklets: Tracklet, config: LinkConfig = CONFIG) -> tuple[set[frozenset[str]], Linked]:
    sorted_ones = ordered(*tracklets)
    found = link(sorted_ones, [], config)
    return groups(sorted_ones, found), found


# -- across gaps ------------------------------------------------------------------------------------------------------


def test_who_stands_still_is_the_same_in_the_next_window() -> None:
    found, all_of_it = linked(seen(0, 1, 200), seen(0, 2, 700), seen(1, 2, 201), seen(1, 1, 702))
    assert found == {frozenset({"0/1", "1/2"}), frozenset({"0/2", "1/1"})}
    assert all_of_it.individual == (0, 1, 1, 0), "sorted by number within a window"
    assert all_of_it.confidence[:2] == (None, None)
    assert all(c is not None and c > 0.95 for c in all_of_it.confidence[2:])
    assert [(x.by, x.linked, round(x.gap_s, 2)) for x in all_of_it.links] == [("gap", True, STEP)] * 2


def test_two_that_walk_past_each_other_between_windows_keep_their_ways() -> None:
    """Box IoU would swap them: each begins where the other ended."""
    right, left = seen(0, 1, 300, speed=20), seen(0, 2, 680, y=302, speed=-20)
    assert (right.boxes[-1, 0] + 30, left.boxes[-1, 0] + 30) == (480, 500)
    found, _ = linked(right, left, seen(1, 1, 500, speed=20), seen(1, 2, 480, y=302, speed=-20))
    assert frozenset({"0/1", "1/1"}) in found and frozenset({"0/2", "1/2"}) in found


def test_one_that_comes_back_elsewhere_is_known_by_its_colours_alone() -> None:
    others = [seen(w, 2, 500, y=100, colours=colour(9)) for w in range(5)]
    back = seen(0, 1, 100, colours=colour(50)), seen(4, 1, 900, colours=colour(50))
    found, all_of_it = linked(*back, *others)
    assert frozenset({"0/1", "4/1"}) in found
    (far,) = [x for x in all_of_it.links if x.gap_s > 1]
    assert 0.8 < far.confidence < 0.99
    found, _ = linked(back[0], seen(4, 1, 900, colours=colour(70)), *others)
    assert frozenset({"4/1"}) in found, "another coat is another animal"
    found, _ = linked(*back, *others, config=LinkConfig(max_gap=4.0))
    assert frozenset({"4/1"}) in found, "too long ago"


def test_twins_that_come_back_are_left_open_and_listed() -> None:
    twins = [seen(0, 1, 100, colours=colour(50)), seen(0, 2, 900, colours=colour(50))]
    others = [seen(w, 3, 500, y=100, colours=colour(9)) for w in range(5)]
    found, all_of_it = linked(*twins, seen(4, 1, 500, y=500, colours=colour(50)), *others)
    assert {frozenset({"0/1"}), frozenset({"0/2"}), frozenset({"4/1"})} <= found
    doubtful = [x for x in all_of_it.links if not x.linked]
    assert len(doubtful) == 2 and {x.second for x in doubtful} == {doubtful[0].second}, "both it may be"
    assert all(x.margin < 0.01 < x.score for x in doubtful)


def test_what_may_have_gone_on_elsewhere_is_not_given_away_later() -> None:
    """A and B, twins, went on as X or Y, nobody knows which. Z resembles A: but A may well be X or Y."""
    twins = [seen(0, 1, 300, y=100, colours=colour(50)), seen(0, 2, 320, y=100, colours=colour(50), frames=range(9))]
    begin = [seen(2, 1, 310, y=100, colours=colour(50)), seen(2, 2, 311, y=100, colours=colour(50))]
    later = seen(6, 1, 900, y=500, colours=colour(50))
    others = [seen(w, 3, 800, y=50, colours=colour(9)) for w in range(7)]
    found, _ = linked(*twins, *begin, later, *others)
    assert frozenset({"6/1"}) in found


def test_a_track_that_broke_within_its_window_is_joined() -> None:
    found, _ = linked(seen(0, 1, 200, frames=range(4)), seen(0, 2, 202, frames=range(5, 10)), seen(0, 3, 800))
    assert found == {frozenset({"0/1", "0/2"}), frozenset({"0/3"})}


def test_two_that_one_frame_shows_are_two_even_where_all_speaks_for_one() -> None:
    """Both of window 1 begin where the one of window 0 ended; they are seen together, so one of them is new."""
    found, _ = linked(seen(0, 1, 200), seen(1, 1, 200), seen(1, 2, 201))
    assert all(len({name for name in who if name.startswith("1/")}) == 1 for who in found if len(who) > 1)
    assert len(found) >= 2


def test_the_thresholds_are_obeyed() -> None:
    pair = seen(0, 1, 200), seen(1, 1, 220)
    _, all_of_it = linked(*pair)
    (only,) = all_of_it.links
    assert only.linked
    for stricter in (LinkConfig(min_score=min(only.score + 1e-6, 1)), LinkConfig(margin=min(only.margin + 1e-6, 1))):
        found, all_of_it = linked(*pair, config=stricter)
        assert len(found) == 2 and [x.linked for x in all_of_it.links] == [False]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_iou": 1.5}, "link.min_iou must be between 0 and 1, got 1.5"),
        ({"min_score": -0.1}, "link.min_score must be between 0 and 1, got -0.1"),
        ({"margin": math.nan}, "link.margin must be between 0 and 1, got nan"),
        ({"max_gap": -1.0}, "link.max_gap must be 0 or more seconds, got -1.0"),
        ({"max_gap": math.inf}, "link.max_gap must be 0 or more seconds, got inf"),
    ],
)
def test_a_wrong_option_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinkConfig(**values)


# -- over shared frames -----------------------------------------------------------------------------------------------


def test_shared_frames_are_assigned_one_to_one_for_the_largest_total() -> None:
    """Greedily, 0 would take 2 (0.70) and leave 1 with nothing."""
    one = ordered(seen(0, 1, 200), seen(0, 2, 700), seen(1, 1, 200), seen(1, 2, 700))
    shared = [Shared(0, 2, 0.70, "masks"), Shared(0, 3, 0.65, "masks"), Shared(1, 2, 0.69, "masks")]
    found = link(one, shared, LinkConfig(max_gap=0))
    assert not any(x.linked for x in found.links), "none is clearly ahead of its rivals, so nothing is forced"
    shared = [Shared(0, 2, 0.90, "masks"), Shared(0, 3, 0.10, "masks"), Shared(1, 3, 0.60, "masks")]
    found = link(one, shared, LinkConfig(max_gap=0))
    assert found.individual == (0, 1, 0, 1) and found.confidence == (None, None, 0.90, 0.60)
    assert [(x.first, x.second, x.by, x.gap_s) for x in found.links] == [(0, 2, "masks", 0.0), (1, 3, "masks", 0.0)]
    assert [x.margin for x in found.links] == pytest.approx([0.80, 0.50])


def test_a_half_way_overlap_is_listed_and_keeps_them_apart() -> None:
    one = ordered(seen(0, 1, 200), seen(1, 1, 200))
    found = link(one, [Shared(0, 1, 0.4, "masks")], CONFIG)
    assert found.individual == (0, 1), "a frame shows both as two, so motion may not join them"
    assert [(x.score, x.linked) for x in found.links] == [(0.4, False)]
    assert link(one, [Shared(0, 1, 0.1, "masks")], CONFIG).links == ()


def test_an_overlap_that_contradicts_a_surer_one_is_left_open() -> None:
    """0 and 1 are seen together; 3 of a third window overlaps both, through 2."""
    one = ordered(seen(0, 1, 200), seen(0, 2, 700), seen(1, 1, 200), seen(2, 1, 200))
    shared = [Shared(0, 2, 0.9, "masks"), Shared(2, 3, 0.8, "masks"), Shared(1, 3, 0.6, "masks")]
    found = link(one, shared, LinkConfig(max_gap=0))
    assert found.individual == (0, 1, 0, 0)
    assert [(x.first, x.second) for x in found.links if not x.linked] == [(1, 3)]


# -- the likelihood ---------------------------------------------------------------------------------------------------


def an_end(time_s: float, x: float, side: float = 60, speed: float = 0) -> End:
    return End(time_s, np.array([x, 300.0]), side, np.array([speed, 0.0]))


def test_where_it_is_says_less_the_longer_the_gap_and_the_farther() -> None:
    start = an_end(0, 500)
    by_gap = [where([start], [an_end(gap, 500)], PICTURE).item() for gap in (0.2, 2, 8, 30)]
    assert by_gap == sorted(by_gap, reverse=True) and by_gap[0] > 4 and by_gap[-1] < 1
    by_distance = [where([start], [an_end(0.2, 500 + d)], PICTURE).item() for d in (0, 15, 30, 200)]
    assert by_distance == sorted(by_distance, reverse=True) and by_distance[-1] < -3
    far = [where([start], [an_end(gap, 900)], PICTURE).item() for gap in (0.2, 20)]
    assert far[0] < far[1] < 0, "with time, it may well have come back from elsewhere"
    assert where([start], [an_end(0, 500)], PICTURE).item() == -np.inf, "nobody follows at once upon itself"
    assert where([start], [an_end(1, 500, side=200)], PICTURE).item() < where([start], [an_end(1, 500)], PICTURE).item()


def test_motion_is_carried_on() -> None:
    walks = an_end(0, 500, speed=100)
    ahead, still = (where([walks], [an_end(0.3, x, speed=100)], PICTURE).item() for x in (526, 500))
    assert ahead > still + 1


def test_colours_say_as_much_as_they_can_tell_apart() -> None:
    same, other = colour(50), colour(9)
    assert looks([same], [same, other], OTHERS).tolist() == [[AT_MOST, AT_LEAST]]
    assert looks([same, None], [None], OTHERS).tolist() == [[0.0], [0.0]], "unknown colours say nothing"
    assert looks([same], [same, other], -9.0).tolist() == [[0.0, 0.0]], "nor do they in a herd that looks alike"


def test_how_alike_others_are_is_learnt_from_those_side_by_side() -> None:
    def windows(n: int) -> list[tuple[list[Tracklet], np.ndarray]]:
        herd = [seen(0, k, 100.0 * k, colours=colour(50 + k, share=0.2)) for k in range(n)]
        return [(herd, side_by_side(herd))]

    assert strangers(windows(4)) == OTHERS, "six pairs are too few"
    assert strangers(windows(5)) == pytest.approx(np.log(0.2), abs=1e-5), "four fifths in common"
    apart = [seen(w, 1, 100, colours=colour(50)) for w in range(20)]
    assert strangers([([t], side_by_side([t])) for t in apart]) == OTHERS, "in different frames, one may be the other"


def test_side_by_side_is_who_shares_a_frame() -> None:
    both = side_by_side(
        [seen(0, 1, 0, frames=range(5)), seen(0, 2, 0, frames=range(4, 9)), seen(0, 3, 0, frames=range(5, 9))]
    )
    assert both.tolist() == [[False, True, False], [True, False, True], [False, True, False]]


# -- for any tracklets ------------------------------------------------------------------------------------------------

things = st.builds(
    lambda window, x, y, coat, first, length: (window, x, y, coat, range(first, min(first + length, WINDOW))),
    st.integers(0, 5),
    st.sampled_from([100.0, 130.0, 400.0, 420.0, 800.0]),
    st.sampled_from([100.0, 300.0]),
    st.sampled_from([None, 9, 50, 51]),
    st.integers(0, WINDOW - 1),
    st.integers(1, WINDOW),
)


@st.composite
def herds(draw: st.DrawFn) -> tuple[list[Tracklet], list[tuple[int, int, float]]]:
    drawn = draw(st.lists(things, min_size=1, max_size=14))
    herd = [
        seen(w, n, x, y, colours=None if coat is None else colour(coat), frames=frames)
        for n, (w, x, y, coat, frames) in enumerate(drawn)
    ]
    pairs = [(a.object_id, b.object_id) for a, b in combinations(herd, 2) if a.window_id != b.window_id]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=8)) if pairs else []
    return herd, [(a, b, draw(st.floats(0, 1))) for a, b in chosen]


def of(herd: list[Tracklet], overlaps: list[tuple[int, int, float]]) -> tuple[list[Tracklet], list[Shared], Linked]:
    one = ordered(*herd)
    place = {t.object_id: n for n, t in enumerate(one)}
    pairs = [Shared(*sorted((place[a], place[b])), iou, "masks") for a, b, iou in overlaps]
    pairs.sort(key=lambda p: (p.first, p.second))
    return one, pairs, link(one, pairs, CONFIG)


@settings(max_examples=150)
@given(herds())
def test_nobody_is_two_at_once_and_every_link_is_one_to_one(
    case: tuple[list[Tracklet], list[tuple[int, int, float]]],
) -> None:
    one, pairs, found = of(*case)
    for a, b in combinations(range(len(one)), 2):
        if one[a].window_id == one[b].window_id and set(one[a].frames) & set(one[b].frames):
            assert found.individual[a] != found.individual[b], "a frame shows both"
    joined = {(x.first, x.second) for x in found.links if x.linked}
    for pair in pairs:
        if (pair.first, pair.second) not in joined:
            assert found.individual[pair.first] != found.individual[pair.second], "a shared frame shows two"
    over_gaps = [x for x in found.links if x.linked and x.by == "gap"]
    assert len({x.first for x in over_gaps}) == len({x.second for x in over_gaps}) == len(over_gaps)
    for who, confidence, n in zip(found.individual, found.confidence, range(len(one)), strict=True):
        assert who <= n and found.individual[who] == who
        assert (confidence is None) == (who == n)
        assert confidence is None or 0 <= confidence <= 1
    for each in over_gaps:
        assert each.gap_s > 0 and each.score >= CONFIG.min_score and each.margin >= CONFIG.margin
    assert all(0 <= x.score <= 1 and -1 <= x.margin <= 1 and x.first != x.second for x in found.links)


@settings(max_examples=60)
@given(herds(), st.randoms())
def test_the_order_does_not_matter(case: tuple[list[Tracklet], list[tuple[int, int, float]]], random: object) -> None:
    herd, overlaps = case
    one = of(herd, overlaps)
    shuffled, others = list(herd), list(overlaps)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    random.shuffle(others)  # type: ignore[attr-defined]
    other = of(shuffled, others)
    assert one[2] == other[2] and [t.key for t in one[0]] == [t.key for t in other[0]]


# -- a known number of individuals ------------------------------------------------------------------------------------


def test_a_known_count_decides_between_twins_that_came_back() -> None:
    """The pieces that were left open go where they fit best, and the link says that only the count asked for it."""
    twins = [seen(0, 1, 100, colours=colour(50)), seen(0, 2, 900, colours=colour(50))]
    others = [seen(w, 3, 500, y=100, colours=colour(9)) for w in range(5)]
    back = [seen(4, 1, 130, colours=colour(50)), seen(4, 2, 860, colours=colour(50))]
    found, _ = linked(*twins, *back, *others, config=LinkConfig(max_gap=1))
    assert {frozenset({"4/1"}), frozenset({"4/2"})} <= found
    found, all_of_it = linked(*twins, *back, *others, config=LinkConfig(max_gap=1, individuals=3))
    assert {frozenset({"0/1", "4/1"}), frozenset({"0/2", "4/2"})} <= found
    made = [x for x in all_of_it.links if x.by == "count"]
    assert len(made) == 2 and all(x.linked and x.margin == 0 and x.confidence == x.score for x in made)


def test_what_the_count_joins_is_no_longer_open() -> None:
    twins = [seen(0, 1, 100, colours=colour(50)), seen(0, 2, 900, colours=colour(50))]
    others = [seen(w, 3, 500, y=100, colours=colour(9)) for w in range(5)]
    pieces = [*twins, seen(4, 1, 500, y=500, colours=colour(50)), *others]
    _, before = linked(*pieces)
    found, after = linked(*pieces, config=LinkConfig(individuals=3))
    assert len(found) == 3 and len(linked(*pieces)[0]) == 4
    opened = [{(x.first, x.second) for x in each.links if not x.linked} for each in (before, after)]
    (joined,) = [(x.first, x.second) for x in after.links if x.by == "count"]
    assert len(opened[0]) == 2 and opened[1] == opened[0] - {joined}


def test_a_count_reaches_over_any_gap_and_makes_no_more_links_than_it_needs() -> None:
    pieces = [seen(0, 1, 100), seen(6, 1, 100), seen(12, 1, 900)]
    for individuals, many in ((3, 3), (2, 2), (1, 1)):
        found, _ = linked(*pieces, config=LinkConfig(max_gap=1, individuals=individuals))
        assert len(found) == many
    found, _ = linked(*pieces, config=LinkConfig(max_gap=1, individuals=2))
    assert frozenset({"0/1", "6/1"}) in found, "the nearer ones"


def test_two_at_once_are_two_whatever_the_count() -> None:
    found, _ = linked(
        *[seen(w, o, 100 + 200 * o) for w in range(3) for o in range(3)], config=LinkConfig(individuals=1)
    )
    assert len(found) == 3


def test_a_count_by_pattern() -> None:
    config = LinkConfig(individuals={"pen1/*": 4, "*": 6})
    assert (config.count("pen1/a.mp4"), config.count("b.mp4"), LinkConfig().count("b.mp4")) == (4, 6, None)
    assert LinkConfig(individuals={"pen1/*": 4}).count("b.mp4") is None
    for wrong in (0, -1, 1.5, "five", {"a": 0}, [3]):
        with pytest.raises(ValueError, match=r"link\.individuals must be how many a video shows"):
            LinkConfig(individuals=wrong)


@settings(max_examples=40)
@given(st.integers(1, 7), st.integers(1, 8), st.integers(0, 10**6))
def test_the_missing_links_are_the_likeliest_of_that_many(pieces: int, individuals: int, seed: int) -> None:
    """Against every set of as many one-to-one pairs as are missing."""
    rng = np.random.default_rng(seed)
    ratio = np.triu(rng.uniform(-4, 8, (pieces, pieces)), 1)
    ratio[np.tril_indices(pieces)] = -np.inf
    found = missing_links(ratio, individuals)
    wanted = max(pieces - individuals, 0)
    assert len(found) == wanted, "every later piece may follow, so there are always enough"
    assert len({i for i, _ in found}) == len({j for _, j in found}) == wanted
    pairs = [(i, j) for i in range(pieces) for j in range(i + 1, pieces)]
    if math.comb(len(pairs), wanted) < 20_000:
        totals = [
            sum(ratio[pair] for pair in some)
            for some in combinations(pairs, wanted)
            if len({i for i, _ in some}) == len({j for _, j in some}) == wanted
        ]
        assert sum(ratio[pair] for pair in found) == pytest.approx(max(totals))
    assert [ratio[pair] for pair in found] == sorted((ratio[pair] for pair in found), reverse=True)


def test_what_is_hopeless_is_not_joined() -> None:
    ratio = np.full((3, 3), -np.inf)
    ratio[0, 1], ratio[1, 2] = 2.0, HOPELESS - 1
    assert missing_links(ratio, 1) == [(0, 1)]


def by_word(tracklets: list[Tracklet], *said: tuple[str, str, bool]) -> tuple[set[frozenset[str]], Linked]:
    """Linked with what a person says of "window/object" and "window/object"."""
    numbers = {tracklet.samples[0]: n for n, tracklet in enumerate(tracklets)}
    found = link(tracklets, [], CONFIG, [(numbers[a], numbers[b], same) for a, b, same in said])
    return groups(tracklets, found), found


def test_a_persons_word_joins_over_any_gap_and_what_lies_between_still_finds_its_way() -> None:
    herd = ordered(seen(0, 1, 200), seen(0, 2, 700), seen(1, 1, 200), seen(1, 2, 700), seen(90, 1, 950))
    apart, _ = by_word(herd)
    assert apart == {frozenset({"0/1", "1/1"}), frozenset({"0/2", "1/2"}), frozenset({"90/1"})}
    together, found = by_word(herd, ("90/1", "0/1", True))
    assert together == {frozenset({"0/1", "1/1", "90/1"}), frozenset({"0/2", "1/2"})}
    (word,) = [each for each in found.links if each.by == "person"]
    assert word.linked and word.confidence == 1 and found.contradicted == ()


def test_a_persons_word_keeps_apart_what_all_speaks_for() -> None:
    herd = ordered(seen(0, 1, 300), seen(1, 1, 300))
    assert by_word(herd)[0] == {frozenset({"0/1", "1/1"})}
    apart, found = by_word(herd, ("0/1", "1/1", False))
    assert apart == {frozenset({"0/1"}), frozenset({"1/1"})} and found.links == ()


def test_a_word_against_what_one_frame_shows_or_against_another_is_not_followed() -> None:
    herd = ordered(seen(0, 1, 200), seen(0, 2, 700), seen(9, 1, 400), seen(20, 1, 400))
    said = (("0/1", "9/1", True), ("0/2", "9/1", True), ("9/1", "20/1", False), ("0/1", "20/1", True))
    found, linked = by_word(herd, *said)
    assert linked.contradicted == (1, 3)
    assert frozenset({"0/1", "9/1"}) in found and frozenset({"0/2"}) in found and frozenset({"20/1"}) in found
