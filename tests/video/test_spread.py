"""A budget over cameras, hours and activity: fair, stable, and blind to nothing that a file tells without decoding."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video import plainly
from tests.video.test_clipper import VIDEO
from video.activity import activity
from video.clipper import ClipConfig, Places, chunks, places
from video.errors import UnreadableVideo
from video.spread import Spread, fair_shares, spread
from video.types import Video

SPREAD = ClipConfig(num_frames=20, stride=5, sampling="spread", total=10)  # clips of 4 s


def video(name: str, hours: float = 1.0, recorded: datetime | None = None) -> Video:
    length = {"frames": round(25 * 3600 * hours), "duration": 3600 * hours}
    return replace(VIDEO, name=name, fingerprint=f"{name:_<16}", recorded_at=recorded, **length)


def clips_in(*videos: Video) -> list[Places]:
    return [places(v, SPREAD) for v in videos]


def names(found: Spread) -> set[str]:
    return {name for each in found.chosen for chunk in chunks(each, SPREAD) for name in chunk.clip_ids}


def flat(*videos: Video) -> dict[str, np.ndarray]:
    return {v.fingerprint: np.ones(round(v.duration)) for v in videos}


def test_cameras_and_hours_get_equal_parts_however_much_they_filmed() -> None:
    long = video("a/1.mp4", 9, datetime(2026, 6, 1, 6))
    short = video("b/1.mp4", 1, datetime(2026, 6, 1, 12))
    found = spread(clips_in(long, short), flat(long, short), 36, 0)
    by_camera, by_hour = Counter[str](), Counter[str]()
    for (camera, hour, _), taken in found.taken.items():
        by_camera[camera] += taken
        by_hour[camera + hour] += taken
    assert by_camera == {"a": 18, "b": 18}
    assert all(by_hour[f"a{hour:02}:00"] == 2 for hour in range(6, 15)) and by_hour["b12:00"] == 18


def test_what_one_camera_lacks_goes_to_the_others() -> None:
    long, tiny = video("a/1.mp4"), video("b/1.mp4", hours=8 / 3600)
    found = spread(clips_in(long, tiny), flat(long, tiny), 20, 0)
    assert sum(found.taken.values()) == len(names(found)) == 20
    assert [sum(n for (camera, *_), n in found.taken.items() if camera == c) for c in "ab"] == [18, 2]


def test_quiet_and_lively_moments_get_equal_parts() -> None:
    """Nine tenths of the hour nothing happens."""
    one = video("a/1.mp4")
    rates = np.ones(3600)
    rates[3240:] = np.linspace(2, 50, 360)
    found = spread(clips_in(one), {one.fingerprint: rates}, 30, 0)
    taken, there = Counter[str](), Counter[str]()
    for (_, _, level), many in found.taken.items():
        taken[level] += many
    for (_, _, level), many in found.available.items():
        there[level] += many
    assert there["lively"] == 90 and "medium" not in there, "ties stay together"
    assert taken["lively"] == 15 == taken["quiet"]


def test_the_seed_decides_and_a_larger_budget_takes_more_of_the_same() -> None:
    one = video("a/1.mp4")
    two = video("b/1.mp4", 2)
    clips, rates = clips_in(one, two), flat(one, two)
    assert names(spread(clips, rates, 20, 0)) == names(spread(clips[::-1], rates, 20, 0))
    assert names(spread(clips, rates, 20, 0)) != names(spread(clips, rates, 20, 1))
    assert names(spread(clips, rates, 20, 0)) < names(spread(clips, rates, 60, 0))
    assert len(names(spread(clips, rates, 10**6, 0))) == sum(len(each.starts) for each in clips)


def test_without_recording_times_hours_count_from_the_start() -> None:
    one = video("a/1.mp4", 2)
    hours = {hour for _, hour, _ in spread(clips_in(one), flat(one), 5, 0).available}
    assert hours == {"0 h after the start", "1 h after the start"}


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(0, 300))
def test_shares_are_max_min_fair(wanted: list[int], budget: int) -> None:
    shares = fair_shares(wanted, budget)
    assert sum(shares) == min(budget, sum(wanted)) and all(s <= w for s, w in zip(shares, wanted, strict=True))
    unmet = [s for s, w in zip(shares, wanted, strict=True) if s < w]
    assert not unmet or max(shares) <= min(unmet) + 1
    most = max(unmet, default=0)
    assert [s < most for s, w in zip(shares, wanted, strict=True) if s < w] == sorted(s < most for s in unmet), (
        "the first get the odd ones"
    )


def test_chunks_keep_their_boundaries() -> None:
    one = places(video("a/1.mp4"), SPREAD)
    some = one.starts[::40]
    assert isinstance(some, range)
    kept = chunks(replace(one, starts=tuple(some)), SPREAD)
    assert [start for chunk in kept for (start,) in chunk.starts] == list(some)
    less = chunks(replace(one, starts=tuple(some)[1:]), SPREAD)
    assert [c.id for c in less][-len(kept) + 1 :] == [c.id for c in kept][1:], "one clip less changes one chunk"


VIDEOS = st.builds(
    lambda camera, number, seconds, fps, at: replace(
        VIDEO,
        name=f"{camera}{number}.mp4",
        fingerprint=f"{camera}{number}{seconds:_<32}",
        fps=fps,
        frames=int(seconds * fps),
        duration=float(seconds),
        recorded_at=at,
    ),
    st.sampled_from(["", "a/", "b/", "b/c/"]),
    st.integers(0, 3),
    st.integers(300, 9000),
    st.sampled_from([Fraction(2), Fraction(3000, 1001)]),
    st.one_of(st.none(), st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31))),
)


@settings(max_examples=60)
@given(
    found=st.lists(VIDEOS, min_size=1, max_size=5, unique_by=lambda v: v.name),
    clip=st.tuples(st.integers(10, 60), st.integers(1, 5), st.one_of(st.none(), st.integers(10, 90))),
    fps=st.one_of(st.none(), st.sampled_from([0.7, 1.5])),
    total=st.integers(1, 300),
    seed=st.integers(0, 3),
)
def test_clips_taken_are_those_of_the_plain_way(
    found: list[Video],
    clip: tuple[int, int, int | None],
    fps: float | None,
    total: int,
    seed: int,
) -> None:
    length, stride, hop = clip
    grid = {"stride": stride} if fps is None else {"fps": fps}
    config = ClipConfig(num_frames=length, hop=hop, sampling="spread", total=total, seed=seed, **grid)  # type: ignore[arg-type]
    found = [each for each in found if config.grid.positions(each) >= length]
    rates = {
        v.fingerprint: np.random.default_rng(n).gamma(2, 1000, round(v.duration) + n - 2) for n, v in enumerate(found)
    }
    every = [places(each, config) for each in found]
    chosen = {each.video.name: each for each in spread(every, rates, total, seed).chosen} if every else {}
    clips = [c for v in found for chunk in plainly.chunks_of(v, config) for w in chunk.windows for c in w.clips]
    expected = plainly.taken(clips, rates, total, seed)
    for each in found:
        made = chunks(chosen[each.name], config) if each.name in chosen else []
        assert made == plainly.chunks_of(each, config, chosen=expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "spread"}, "clip.sampling=spread needs a budget: clip.total"),
        ({"total": 5}, "clip.total=5 is the budget of clip.sampling=spread, got clip.sampling=all"),
        ({"sampling": "spread", "total": 0}, "clip.total must be at least 1 clip, got 0"),
        ({"sampling": "spread", "total": 5, "per_window": 2}, "clip.per_window=2 needs consecutive clips"),
    ],
)
def test_wrong_budgets_name_key_and_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipConfig(**options)  # type: ignore[arg-type]


# -- what a file tells ------------------------------------------------------------------------------------------------


def write(path: Path, options: dict[str, str], codec: str = "libx264") -> Path:
    """Ten seconds at 25 frames a second: nothing moves but in the seconds 4 and 5."""
    random = np.random.default_rng(0)
    still = random.integers(0, 255, (96, 128, 3), dtype=np.uint8)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 128, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = Fraction(1, 25)
        if codec == "libx264":
            stream.options = {"preset": "veryfast", "g": "50", "threads": "1"}
        for n in range(250):
            picture = np.roll(still, 3 * n, axis=1) if 100 <= n < 150 else still
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mp4", {}), ("a.mkv", {}), ("b.mp4", {"movflags": "frag_keyframe+empty_moov"}), ("a.ts", {})],
)
def test_the_seconds_in_which_something_moves_stand_out(name: str, options: dict[str, str], tmp_path: Path) -> None:
    rates = activity(str(write(tmp_path / name, options)), 10.0)
    assert len(rates) in (10, 11)
    assert rates[4:6].min() > 5 * np.delete(rates[:10], [3, 4, 5, 6]).max(), rates


def test_a_video_of_key_frames_alone_is_measured_on_these(tmp_path: Path) -> None:
    rates = activity(str(write(tmp_path / "a.avi", {}, "mjpeg")), 10.0)
    assert rates.min() > 0


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo, match="does not exist"):
        activity(str(tmp_path / "gone.mp4"), 10.0)
