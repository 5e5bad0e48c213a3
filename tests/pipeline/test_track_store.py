"""The track store: everything comes back as it was stored, and the key is what decides the masks and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.layout import Layout
from pipeline.track_store import TrackStore, WindowTracks, degraded_key, track_key
from sam.types import Mask
from tests.pipeline.making import a_chunk, a_clip, a_track, a_video, block, found_in
from video.types import Chunk, Clip, Grid, Window

FIRST, SECOND, THIRD, FOURTH = (Window((a_clip(start),)) for start in (0, 4, 8, 12))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "tracks")


@pytest.fixture
def store(layout: Layout) -> TrackStore:
    return TrackStore(layout)


def several() -> list[WindowTracks]:
    """Two objects, none, a failure, and one object in a window with damage."""
    cow = a_track({0: block(1, 2, 30, 20), 1: block(3, 2, 30, 20), 3: block(7, 2, 29, 20)}, object_id=2, score=0.1)
    calf = a_track({2: block(90, 50, 4, 7)}, object_id=11, score=1.0)
    return [
        found_in(FIRST, cow, calf, start_s=0.125),
        found_in(SECOND),
        found_in(THIRD, positions=(), error="out of memory"),
        found_in(FOURTH, a_track({0: block(0, 0, 200, 100)}), positions=(12, 13, 15), corrupt=(1, 2), degraded=True),
    ]


def assert_same(one: WindowTracks, other: WindowTracks) -> None:
    assert (one.window_id, one.corrupt, one.degraded, one.error) == (
        *(other.window_id, other.corrupt, other.degraded),
        other.error,
    )
    for name, kind in (("positions", np.int64), ("indices", np.int64), ("times_s", np.float64)):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype == kind and ours.tolist() == theirs.tolist()
    assert len(one.tracks) == len(other.tracks)
    for a, b in zip(one.tracks, other.tracks, strict=True):
        assert (a.object_id, a.prompt, a.masks) == (b.object_id, b.prompt, b.masks)
        assert a.frames.dtype == b.frames.dtype == np.int32 and a.frames.tolist() == b.frames.tolist()
        assert a.first_score == pytest.approx(b.first_score, abs=1e-7)


def test_windows_come_back_as_they_were_stored(store: TrackStore) -> None:
    stored = several()
    assert not store.has("k" * 32)
    store.write("k" * 32, "cow", stored)
    read = store.read("k" * 32)
    assert list(read) == [w.window_id for w in stored]
    for window in stored:
        assert_same(read[window.window_id], window)


@given(st.lists(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 80)), min_size=1, max_size=4), max_size=3))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tracks_come_back(layout: Layout, paths: list[list[tuple[int, int]]]) -> None:
    tracks = [a_track({n: block(x, y, 9, 5) for n, (x, y) in enumerate(p)}, k + 1) for k, p in enumerate(paths)]
    store = TrackStore(layout)
    store.write("any", "cow", [found_in(FIRST, *tracks)])
    assert_same(store.read("any")[FIRST.id], found_in(FIRST, *tracks))


def test_a_mask_keeps_its_holes_and_its_single_pixels(store: TrackStore) -> None:
    picture = np.zeros((100, 200), np.uint8)
    picture[10:40, 20:70] = 1
    picture[15:30, 30:60] = 0
    picture[39, 20] = picture[12, 150] = 1
    mask = Mask.encode(picture)
    assert mask is not None
    store.write("holes", "cow", [found_in(FIRST, a_track({0: mask}))])
    (track,) = store.read("holes")[FIRST.id].tracks
    assert (track.masks[0].full(200, 100) == picture).all()


def test_a_chunk_where_nothing_was_found_is_stored_too(store: TrackStore) -> None:
    store.write("none", "cow", [found_in(FIRST), found_in(SECOND)])
    assert store.has("none", complete=True)
    assert [w.tracks for w in store.read("none").values()] == [(), ()]


def test_a_score_is_the_same_when_stored_again(store: TrackStore) -> None:
    """Tracks are judged fresh by one run and read by the next: the figures must not drift."""
    store.write("one", "cow", [found_in(FIRST, a_track({0: block(0, 0, 5, 5)}, score=0.1))])
    once = store.read("one")[FIRST.id]
    store.write("two", "cow", [once])
    assert store.read("two")[FIRST.id].tracks[0].first_score == once.tracks[0].first_score


def test_failed_windows_make_a_file_incomplete(store: TrackStore) -> None:
    store.write("bad", "cow", several())
    store.write("good", "cow", several()[:2])
    assert store.has("bad") and not store.has("bad", complete=True)
    assert store.has("good", complete=True)
    assert not store.has("absent") and not store.has("absent", complete=True)


def test_degraded_windows_have_a_key_of_their_own(store: TrackStore, layout: Layout) -> None:
    less, whole = several(), [replace(w, degraded=False, error=None) for w in several()]
    store.write("k", "cow", less)
    assert store.has("k") and not store.has("k", complete=True)
    assert not layout.track_file("k").is_file() and layout.track_file(degraded_key("k")).is_file()
    assert [w.degraded for w in store.read("k").values()] == [False, False, False, True]
    assert list(store.read(degraded_key("k"))) == list(store.read("k")), "by the key that samples name, too"
    store.write("k", "cow", whole)
    assert store.has("k", complete=True)
    assert not layout.track_file(degraded_key("k")).is_file(), "what stood in has gone"
    store.write("k", "cow", less)  # by another, smaller machine on the same store
    assert store.has("k", complete=True)
    assert not any(w.degraded for w in store.read("k").values()), "the whole ones count"
    store.remove("k")
    assert not store.has("k") and not layout.track_file(degraded_key("k")).is_file()
    assert degraded_key("k") != degraded_key("l")


def test_a_degraded_window_stands_in_for_a_failed_one(store: TrackStore) -> None:
    track = a_track({0: block(1, 2, 30, 20)})
    store.write("k", "cow", [found_in(FIRST, track), found_in(SECOND, error="broke")])
    store.write("k", "cow", [found_in(FIRST, error="broke"), found_in(SECOND, track, degraded=True)])
    read = store.read("k")
    assert list(read) == [FIRST.id, SECOND.id]
    assert [(w.error, w.degraded, len(w.tracks)) for w in read.values()] == [(None, False, 1), (None, True, 1)]
    assert not store.has("k", complete=True)


def test_equal_tracks_give_equal_bytes(store: TrackStore, layout: Layout) -> None:
    found = several()[:3]
    store.write("one", "cow", found)
    store.write("two", "cow", found)
    assert layout.track_file("one").read_bytes() == layout.track_file("two").read_bytes()
    store.write("two", "calf", found)
    assert layout.track_file("one").read_bytes() != layout.track_file("two").read_bytes()


def test_what_is_removed_is_gone(store: TrackStore) -> None:
    store.write("one", "cow", several())
    store.remove("one")
    store.remove("one")
    assert not store.has("one")
    with pytest.raises(FileNotFoundError):
        store.read("one")


def test_frames_of_a_clip_are_found_by_position() -> None:
    window = Window((a_clip(4), a_clip(8)), lead=2)
    full = found_in(window)
    assert full.positions.tolist() == list(range(2, 14))
    assert [full.frames_of(c) for c in window.clips] == [range(2, 6), range(6, 10)]
    damaged = found_in(window, positions=(2, 3, 4, 6, 7, 8, 9))
    assert [damaged.frames_of(c) for c in window.clips] == [range(2, 5), range(5, 7)], "one lost, then the end"
    assert len(found_in(window, positions=()).frames_of(window.clips[0])) == 0


# -- keys -------------------------------------------------------------------------------------------------------------


def a_key(chunk: Chunk | None = None, **changes: object) -> str:
    parts: dict = {"prompt": "cow", "tracker": "sam3", "identity": {"weights": "a", "max_side": 1280}, "reader": "pyav"}
    return track_key(chunk or a_chunk(), **(parts | changes))


def chunk_of(grid: Grid | None = None, starts: tuple[int, ...] = (0, 4), lead: int = 0, **video: object) -> Chunk:
    clips = [Clip(a_video(**video), grid or Grid(stride=4), start, 4) for start in starts]
    return a_chunk(*(Window((clip,), lead) for clip in clips))


@pytest.mark.parametrize(
    "key",
    [
        lambda: a_key(chunk_of(fingerprint="fedcba9876543210")),
        lambda: a_key(chunk_of(rotation=180)),
        lambda: a_key(chunk_of(Grid(stride=2))),
        lambda: a_key(chunk_of(Grid(fps=a_video().fps / 4))),
        lambda: a_key(chunk_of(starts=(0,))),
        lambda: a_key(chunk_of(starts=(0, 5))),
        lambda: a_key(chunk_of(lead=1)),
        lambda: a_key(prompt="calf"),
        lambda: a_key(tracker="sam2"),
        lambda: a_key(identity={"weights": "b", "max_side": 1280}),
        lambda: a_key(identity={"weights": "a", "max_side": 640}),
        lambda: a_key(identity={"weights": "a"}),
        lambda: a_key(reader="decord"),
    ],
)
def test_everything_that_decides_the_masks_changes_the_key(key: object) -> None:
    assert key() != a_key()  # type: ignore[operator]


def test_nothing_else_changes_the_key() -> None:
    assert a_key() == a_key(chunk_of(path="/moved/away.mp4", name="other/name.mp4"))
    assert a_key() == a_key(identity={"max_side": 1280, "weights": "a"}), "nor the order of the tracker's words"
    assert len(a_key()) == 32


def test_neighbouring_chunks_have_keys_of_their_own() -> None:
    assert len({a_key(chunk_of(starts=(n, n + 4))) for n in range(0, 80, 8)}) == 10


# -- what the tracker said about itself -------------------------------------------------------------------------------


@dataclass
class Options:
    threshold: float = 0.5


def test_an_identity_is_remembered_by_tracker_and_options(store: TrackStore) -> None:
    assert store.remembered_identity("sam3", Options()) is None
    store.remember_identity("sam3", Options(), {"weights": "abc", "version": 3})
    assert store.remembered_identity("sam3", Options()) == {"weights": "abc", "version": 3}
    assert store.remembered_identity("sam3", replace(Options(), threshold=0.6)) is None
    assert store.remembered_identity("sam2", Options()) is None
