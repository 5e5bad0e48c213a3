"""The plan of a video: which clips, in which windows and chunks."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video import plainly
from video.clipper import ClipConfig, plan, starts_of_span
from video.errors import UnreadableVideo
from video.types import MAX_WINDOWS_PER_CHUNK, Chunk, Clip, Grid, Video, Window

VIDEO = Video(
    path="/barn/cam1_0600.mp4",
    name="cam1_0600.mp4",
    fingerprint="0123456789abcdef",
    width=1920,
    height=1080,
    rotation=0,
    fps=Fraction(25),
    frames=25 * 600,
    duration=600.0,
    codec="h264 yuv420p",
    color="bt601 limited (untagged)",
    size_bytes=1,
)


def clips(config: ClipConfig, video: Video = VIDEO, hours: tuple[float, float] | None = None) -> list[Clip]:
    return [clip for chunk in plan(video, config, hours) for window in chunk.windows for clip in window.clips]


def test_clips_follow_each_other_on_one_grid() -> None:
    found = clips(ClipConfig(num_frames=20, stride=4))
    assert [c.start for c in found] == list(range(0, 3750 - 19, 20))
    assert len({c.id for c in found}) == len(found)


def test_overlapping_clips_share_positions() -> None:
    found = clips(ClipConfig(num_frames=20, stride=4, hop=5))
    assert [c.start for c in found[:4]] == [0, 5, 10, 15]
    assert found[0].stop > found[1].start


@given(
    frames=st.integers(1, 5000),
    num_frames=st.integers(1, 50),
    stride=st.integers(1, 9),
    hop=st.one_of(st.none(), st.integers(1, 80)),
    per_window=st.integers(1, 5),
)
def test_every_clip_fits_and_chunks_hold_them_all(
    frames: int, num_frames: int, stride: int, hop: int | None, per_window: int
) -> None:
    video = replace(VIDEO, frames=frames)
    config = ClipConfig(num_frames=num_frames, stride=stride, hop=hop, per_window=per_window)
    available = -(-frames // stride)
    if available < num_frames:
        with pytest.raises(UnreadableVideo, match="shorter than one clip"):
            plan(video, config)
        return
    chunks = plan(video, config)
    found = [c for chunk in chunks for w in chunk.windows for c in w.clips]
    assert [c.start for c in found] == list(range(0, available - num_frames + 1, hop or num_frames))
    assert all((c.stop - 1) * stride < frames for c in found)
    assert all(len(chunk.windows) <= MAX_WINDOWS_PER_CHUNK for chunk in chunks)
    assert all(len(w.clips) == per_window for chunk in chunks for w in chunk.windows[:-1])


HOURS = st.one_of(st.none(), st.tuples(st.floats(0, 24), st.floats(0, 24)))
SPANS = st.lists(st.tuples(st.floats(0, 5000), st.floats(0.1, 60)).map(lambda at: (at[0], sum(at))), max_size=30)


@settings(max_examples=60)
@given(
    seconds=st.integers(540, 9000),
    rate=st.sampled_from([Fraction(1), Fraction(2000, 1001)]),
    recorded_at=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    clip=st.tuples(st.integers(1, 60), st.integers(1, 9), st.one_of(st.none(), st.integers(1, 80))),
    way=st.sampled_from(["all", "windows", "random", "spans"]),
    hours=HOURS,
    spans=SPANS,
)
def test_chunks_are_those_of_the_plain_way(
    seconds: int,
    rate: Fraction,
    recorded_at: datetime,
    clip: tuple[int, int, int | None],
    way: str,
    hours: tuple[float, float] | None,
    spans: list[tuple[float, float]],
) -> None:
    video = replace(VIDEO, fps=rate, frames=int(seconds * rate), duration=float(seconds), recorded_at=recorded_at)
    options: dict[str, Any] = {"windows": {"per_window": 3, "lead": 2}, "random": {"sampling": "random"}}.get(way, {})
    config = ClipConfig(num_frames=clip[0], stride=clip[1], hop=clip[2], **options)
    asked = spans if way == "spans" else None
    assert plan(video, config, hours, asked) == plainly.chunks_of(video, config, hours, asked)


def test_windows_reach_beyond_their_clips_by_the_lead() -> None:
    windows = [w for chunk in plan(VIDEO, ClipConfig(lead=3, per_window=2)) for w in chunk.windows]
    assert windows[0].positions == range(0, 43)
    assert windows[1].positions == range(37, 83)
    assert len({w.id for w in windows}) == len(windows)


def test_random_draws_without_replacement_and_alone_per_video() -> None:
    config = ClipConfig(sampling="random", per_video=12, seed=3)
    drawn = clips(config)
    assert len({c.start for c in drawn}) == 12
    assert [c.start for c in drawn] == sorted(c.start for c in drawn)
    assert clips(config) == drawn
    assert clips(replace(config, seed=4)) != drawn
    other = replace(VIDEO, fingerprint="fedcba9876543210", name="other.mp4")
    assert [c.start for c in clips(config, other)] != [c.start for c in drawn]
    assert {c.id for c in drawn} < {c.id for c in clips(ClipConfig())}, "a drawn clip is one of all clips"


def test_more_than_there_are_gives_all() -> None:
    assert clips(ClipConfig(sampling="random", per_video=10_000)) == clips(ClipConfig())


@pytest.mark.parametrize(
    ("hours", "kept"), [((6.0, 18.0), 10), ((6.0, 6 + 5 / 60), 5), ((22.0, 6 + 5 / 60), 5), ((7.0, 8.0), 0)]
)
def test_hours_choose_by_each_clips_own_time(hours: tuple[float, float], kept: int) -> None:
    video = replace(VIDEO, recorded_at=datetime(2026, 6, 1, 6, 0))
    config = ClipConfig(num_frames=60 * 25, stride=1)  # one clip a minute
    assert len(clips(config, video, hours)) == kept


def test_hours_leave_chunk_boundaries_where_they_are() -> None:
    video = replace(VIDEO, recorded_at=datetime(2026, 6, 1, 6, 0))
    all_chunks = {chunk.windows[-1].id: chunk for chunk in plan(video, ClipConfig())}
    late = plan(video, ClipConfig(), (6 + 8 / 60, 7.0))
    assert set(c.id for c in late[1:]) <= {c.id for c in all_chunks.values()}
    assert len(late) > 1


def test_hours_without_a_recording_time_say_so() -> None:
    with pytest.raises(UnreadableVideo, match=r"select\.time_pattern finds none"):
        plan(VIDEO, ClipConfig(), (6.0, 18.0))


def test_a_rate_above_the_source_is_refused() -> None:
    with pytest.raises(UnreadableVideo, match=r"clip\.fps=30 is more than its own 25"):
        plan(VIDEO, ClipConfig(fps=30))
    assert len(clips(ClipConfig(fps=5))) == 600 * 5 // 20
    ntsc = replace(VIDEO, fps=Fraction(30000, 1001))
    assert clips(ClipConfig(fps=29.97), ntsc), "the camera's own nominal rate is not above it"


def test_the_whole_video_is_one_clip() -> None:
    (only,) = clips(ClipConfig(whole=True, stride=100))
    assert (only.start, only.num_frames) == (0, 150)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 0}, r"clip\.num_frames must be at least 1, got 0"),
        ({"stride": 0}, r"clip\.stride must be at least 1, got 0"),
        ({"hop": 0}, r"clip\.hop must be at least 1"),
        ({"fps": -1.0}, r"clip\.fps must be above 0"),
        ({"sampling": "some"}, r"clip\.sampling must be one of all, random, spread, got 'some'"),
        ({"sampling": "random", "per_window": 2}, r"needs consecutive clips"),
        ({"lead": -1}, r"clip\.lead must be at least 0"),
    ],
)
def test_wrong_values_name_key_and_value(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipConfig(**options)  # type: ignore[arg-type]


# -- spans ------------------------------------------------------------------------------------------------------------


def starts_of(span: tuple[float, float], **options: Any) -> list[int]:
    """25 frames a second, stride 5: five positions a second, clips of ten positions, two seconds."""
    video = replace(VIDEO, fps=Fraction(25), frames=500, duration=20.0)
    return starts_of_span(video, ClipConfig(num_frames=10, stride=5, **options), span)


def test_clips_lie_one_after_the_other_within_a_span() -> None:
    assert starts_of((1.0, 7.0)) == [5, 15, 25]
    assert starts_of((1.01, 7.0)) == [6, 16], "all frames in the span"
    assert starts_of((1.0, 4.0), hop=2) == [5, 7, 9]


def test_a_short_span_gets_one_clip_around_its_middle_or_none() -> None:
    assert starts_of((4.0, 5.0)) == [17], "positions 20 to 24 of 17 to 26"
    assert starts_of((0.0, 1.0)) == [0], "never before the beginning"
    assert starts_of((4.0, 4.7)) == []
    assert starts_of((19.0, 25.0)) == [], "beyond the end"


def test_one_more_span_moves_no_other_clip() -> None:
    video = replace(VIDEO, fps=Fraction(25), frames=50_000, duration=2000.0)
    config = ClipConfig(num_frames=10, stride=5)
    spans = [(100.0 * n, 100.0 * n + 5) for n in range(15)]
    few = {chunk.id for chunk in plan(video, config, spans=spans)}
    many = {chunk.id for chunk in plan(video, config, spans=[*spans, (1900.0, 1910.0)])}
    assert few < many
    overlapping = [c for chunk in plan(video, config, spans=[(0, 4), (0, 4), (2, 4)]) for c in chunk.windows]
    assert [window.start for window in overlapping] == [0, 10], "no clip twice"


@pytest.mark.parametrize("options", [{"sampling": "random"}, {"per_window": 2}, {"whole": True}])
def test_spans_go_with_single_clips_only(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"clip\.spans cuts single clips"):
        ClipConfig(spans="events.csv", **options)


def test_a_chunk_makes_the_windows_it_was_planned_with() -> None:
    for config in (ClipConfig(), ClipConfig(lead=3, per_window=2, hop=7), ClipConfig(fps=5), ClipConfig(whole=True)):
        for chunk in plan(VIDEO, config):
            again = Chunk.of(*chunk.windows)
            assert again == chunk and again.id == chunk.id and again.window_ids == tuple(w.id for w in chunk.windows)
            assert chunk.spans == [window.positions for window in chunk.windows]
            assert list(chunk.clip_ids) == [clip.id for window in chunk.windows for clip in window.clips]
            assert chunk.clips == sum(len(window.clips) for window in chunk.windows)


def test_ids_are_those_of_the_datasets_there_are() -> None:
    """Tracks and records are found by them."""
    first, *_ = plan(VIDEO, ClipConfig(lead=3, per_window=2))
    assert (first.id, first.window_ids[1]) == ("dbdd1a982a49959f", "19f859091023ee4f")


@pytest.mark.parametrize(
    "windows",
    [
        (),
        (Window((Clip(VIDEO, Grid(4), 0, 4),)), Window((Clip(VIDEO, Grid(4), 4, 4),), lead=1)),
        (Window((Clip(VIDEO, Grid(4), 0, 4),)), Window((Clip(VIDEO, Grid(5), 4, 4),))),
        (Window((Clip(VIDEO, Grid(4), 0, 4),)), Window((Clip(VIDEO, Grid(4), 4, 5),))),
    ],
)
def test_a_chunk_of_what_does_not_belong_together_is_refused(windows: tuple[Window, ...]) -> None:
    with pytest.raises(ValueError, match="windows of one video, grid, length and lead"):
        Chunk.of(*windows)


@given(st.integers(0, 10**7), st.integers(1, 9), st.fractions(Fraction(1), Fraction(240)))
def test_seconds_are_those_of_exact_arithmetic(position: int, stride: int, rate: Fraction) -> None:
    video = replace(VIDEO, fps=rate)
    assert Grid(stride).seconds(position, video) == float(position * stride / rate)
    assert Grid(fps=rate).seconds(position, VIDEO) == float(position / rate)
