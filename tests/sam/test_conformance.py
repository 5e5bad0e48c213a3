"""What every tracker owes its users, asked of each that runs without a model. A new one adds a line to `TRACKERS`."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sam.backends.file import FileConfig
from sam.backends.grabcut import GrabcutConfig
from sam.backends.motion import MotionConfig
from sam.errors import UnknownPrompt
from sam.session import SAMSession
from sam.tracker import Tracker, trackers
from sam.types import Prompt, SessionFrames, Track, iou
from tests.sam.scoring import disc_frames, session_frames

COUNT = 20
LATE = 7
EARLY_PATH = [(30 + 10 * t, 60) for t in range(COUNT)]
LATE_PATH = [(290 - 10 * t, 130) if t >= LATE else None for t in range(COUNT)]


@functools.cache
def images() -> list[np.ndarray]:
    return disc_frames(COUNT, [EARLY_PATH, LATE_PATH], [(200, 50, 40), (40, 60, 190)])


@functools.cache
def empty() -> list[np.ndarray]:
    return disc_frames(COUNT, [], [])


def file(folder: Path) -> Tracker:
    lines = [
        f"{t + 1},{number},{place[0] - 16},{place[1] - 16},33,33,0.9,-1,-1,-1"
        for number, path in ((1, EARLY_PATH), (2, LATE_PATH))
        for t, place in enumerate(path)
        if place is not None
    ]
    (folder / "video.txt").write_text("\n".join(lines))
    (folder / "empty.txt").write_text("")
    return FileConfig(str(folder)).build()


TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "motion": lambda folder: MotionConfig().build(),
    "file": file,
    "grabcut": lambda folder: GrabcutConfig().build(),
}
FINDS = sorted(TRACKERS.keys() - {"grabcut"})  # those that find by text; the others are told where
LOOKS = sorted(TRACKERS.keys() - {"file"})  # those that look at pixels; the others' masks overlap where theirs do


@pytest.fixture(params=sorted(TRACKERS))
def tracker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tracker]:
    """A tracker that is loaded and has seen the empty place."""
    with TRACKERS[request.param](tmp_path) as loaded:
        if loaded.context:
            loaded.prepare(empty())
        yield loaded


def prompts_of(tracker: Tracker, *named: tuple[int, tuple[float, float]]) -> list[Prompt]:
    """A text, or for trackers that find nothing by themselves, clicks: a frame and a place each."""
    if "text" in tracker.understands:
        return [Prompt(text="disc")]
    return [Prompt(frame=frame, points=(place,), labels=(1,)) for frame, place in named]


BOTH = (0, EARLY_PATH[0]), (LATE, LATE_PATH[LATE])


def tracks_of(tracker: Tracker, frames: SessionFrames, *named: tuple[int, tuple[float, float]]) -> list[Track]:
    with SAMSession(tracker, frames) as session:
        for prompt in prompts_of(tracker, *(named or [each for each in BOTH if each[0] < len(frames)])):
            session.add_prompt(prompt)
        return session.tracks()


@pytest.fixture
def tracks(tracker: Tracker) -> list[Track]:
    return tracks_of(tracker, session_frames(images()))


def test_ids_are_stable_and_late_arrivals_are_found(tracks: list[Track]) -> None:
    early, late = sorted(tracks, key=lambda track: track.frames[0])
    assert early.object_id != late.object_id
    assert early.frames.tolist() == list(range(COUNT))
    assert abs(int(late.frames[0]) - LATE) <= 1 and late.frames[-1] == COUNT - 1
    for track, path in ((early, EARLY_PATH), (late, LATE_PATH)):
        middles = (track.boxes[:, :2] + track.boxes[:, 2:]) / 2
        assert np.abs(middles - np.array([path[t] for t in track.frames])).max() < 4


def test_masks_lie_in_the_frame_and_scores_in_one(tracks: list[Track]) -> None:
    for track in tracks:
        assert 0 <= track.first_score <= 1
        assert (track.boxes[:, :2] >= 0).all() and (track.boxes[:, 2:] <= (320, 180)).all()
        assert all(mask.area > 0 for mask in track.masks)


def test_every_frame_answers_in_order_with_disjoint_masks(tracker: Tracker) -> None:
    given = session_frames(images())
    with SAMSession(tracker, given) as session:
        for prompt in prompts_of(tracker, *BOTH):
            session.add_prompt(prompt)
        seen = list(session.propagate())
    assert [one.frame for one in seen] == list(range(COUNT))
    assert max(len(one.masks) for one in seen) == 2
    for one in seen:
        assert all(iou(a, b) == 0 for a, b in itertools.combinations(one.masks, 2))


@pytest.mark.parametrize("tracker", LOOKS, indirect=True)
def test_touching_masks_are_disjoint_at_any_source_size(tracker: Tracker) -> None:
    paths = [[(40 + 12 * t, 84) for t in range(COUNT)], [(280 - 12 * t, 96) for t in range(COUNT)]]
    small = session_frames(disc_frames(COUNT, paths, [(200, 50, 40), (40, 60, 190)]))
    for width, height in ((320, 180), (1000, 562)):
        given = SessionFrames(small.images, small.indices, small.times_s, width, height, small.video)
        scale = width / 320
        named = [(0, (40 * scale, 84 * scale)), (0, (280 * scale, 96 * scale))]
        found = tracks_of(tracker, given, *named)
        assert len(found) >= 2
        for a, b in itertools.combinations(found, 2):
            of_a, of_b = (dict(zip(x.frames.tolist(), x.masks, strict=True)) for x in (a, b))
            assert all(iou(of_a[t], of_b[t]) == 0 for t in of_a.keys() & of_b.keys())


@pytest.mark.parametrize("tracker", FINDS, indirect=True)
def test_an_empty_window_is_fine(tracker: Tracker) -> None:
    assert tracks_of(tracker, session_frames(empty(), "empty.mp4")) == []


@pytest.mark.parametrize("count", [1, 2])
def test_a_very_short_window_is_fine(tracker: Tracker, count: int) -> None:
    for track in tracks_of(tracker, session_frames(images()[:count])):
        assert track.frames.max() < count


def content(tracks: list[Track]) -> list[tuple[object, ...]]:
    return [(track.object_id, track.frames.tolist(), track.masks, track.first_score) for track in tracks]


def test_the_same_window_gives_the_same_tracks(tracker: Tracker, tracks: list[Track], tmp_path: Path) -> None:
    tracks_of(tracker, session_frames(empty(), "empty.mp4"))
    assert content(tracks_of(tracker, session_frames(images()))) == content(tracks)
    with TRACKERS[tracker.name](tmp_path) as another:
        if another.context:
            another.prepare(empty())
        assert content(tracks_of(another, session_frames(images()))) == content(tracks)


@pytest.mark.parametrize("seen", [0, 1, 3])
def test_a_session_may_end_early(tracker: Tracker, seen: int) -> None:
    with SAMSession(tracker, session_frames(images())) as session:
        for prompt in prompts_of(tracker, *BOTH):
            session.add_prompt(prompt)
        assert len(list(itertools.islice(session.propagate(), seen))) == seen
    assert len(tracks_of(tracker, session_frames(images()))) == 2


def test_other_prompts_are_refused(tracker: Tracker) -> None:
    other = Prompt(box=(0, 0, 5, 5)) if "text" in tracker.understands else Prompt(text="disc")
    with SAMSession(tracker, session_frames(images()[:2])) as session, pytest.raises(UnknownPrompt, match=tracker.name):
        session.add_prompt(other)


def test_identity_is_json_and_stays_the_same(tracker: Tracker, tmp_path: Path) -> None:
    before = tracker.identity()
    assert json.loads(json.dumps(before)) == before
    assert tracker.name in before.values()
    assert str(tmp_path) not in json.dumps(before)
    tracks_of(tracker, session_frames(images()))
    assert tracker.identity() == before == TRACKERS[tracker.name](tmp_path).identity()


@pytest.mark.parametrize("name", FINDS)
def test_it_is_registered_with_help(name: str) -> None:
    assert "prompt is only the label" in trackers()[name].help
