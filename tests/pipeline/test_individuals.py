"""Individuals from records and stored tracks: shared frames, names that stay, and what is written."""

from __future__ import annotations

import base64
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.layout import Layout
from pipeline.linking.individuals import LINKS, Individuals, individuals
from pipeline.linking.shared_frames import shared_frames
from pipeline.linking.tracklets import Tracklets
from pipeline.records import ChunkRecord, Sample
from pipeline.settings import LinkConfig
from pipeline.track_store import TrackStore, WindowTracks
from sam.types import Mask, Track
from tests.pipeline.making import a_chunk, a_clip, a_record, a_sample, a_track, block, found_in
from video.types import Chunk, Window

LEAD = 2
WINDOWS = tuple(Window((a_clip(4 * n + 8),), lead=LEAD) for n in range(3))
CHUNK = a_chunk(*WINDOWS)
KEY = "k" * 32


def at(place: int, position: int) -> Mask:
    """The mask of the thing at `place` in a grid position: it moves by a pixel each."""
    return block(place + position, 20, 30, 20)


def shown(window: Window, **places: int) -> tuple[Track, ...]:
    """Tracks of a whole window, its lead as well. places: o1=10 is object 1, at 10 in position 0."""
    return tuple(
        a_track({n: at(x, p) for n, p in enumerate(window.positions)}, int(name[1:])) for name, x in places.items()
    )


def samples_of(window: Window, tracks: tuple[Track, ...], **changes: Any) -> list[Sample]:
    clip = window.clips[0]
    frames = tuple(range(clip.start * 4, clip.stop * 4, 4))
    skipped = clip.start - window.start
    return [
        a_sample(
            f"{clip.start}/{track.object_id}",
            window_id=window.id,
            clip_id=clip.id,
            object_id=track.object_id,
            frame_indices=frames,
            timestamps_s=tuple(f / 25 for f in frames),
            boxes=tuple(m.box for m in track.masks[skipped : skipped + clip.num_frames]),
            **changes,
        )
        for track in tracks
    ]


@pytest.fixture
def store(tmp_path: Path) -> TrackStore:
    return TrackStore(Layout(tmp_path, tmp_path / "tracks"))


TRACKS = [shown(WINDOWS[0], o1=10, o2=100), shown(WINDOWS[1], o1=100, o2=10), shown(WINDOWS[2], o7=101, o8=11)]
SAMPLES = [s for w, tracks in zip(WINDOWS, TRACKS, strict=True) for s in samples_of(w, tracks)]


def kept(store: TrackStore, tracks: list[tuple[Track, ...]] = TRACKS) -> None:
    windows: list[WindowTracks] = [found_in(w, *t) for w, t in zip(WINDOWS, tracks, strict=True)]
    store.write(KEY, "cow", windows)


def found(store: TrackStore, *records: ChunkRecord, chunk: Chunk = CHUNK, **options: Any) -> Individuals:
    tracklets = Tracklets()
    for record in records or (a_record(*SAMPLES),):
        tracklets.add(record, lambda sample: True)
    return individuals(tracklets, [(chunk, {"cow": KEY})], store, LinkConfig(**options))


def who(one: Individuals) -> set[frozenset[str]]:
    names: dict[str, set[str]] = {}
    for sample, individual in one.ids.items():
        names.setdefault(individual, set()).add(sample)
    return {frozenset(group) for group in names.values()}


SAME = {frozenset({"8/1", "12/2", "16/8"}), frozenset({"8/2", "12/1", "16/7"})}


def test_windows_that_share_frames_are_linked_by_masks_over_all_of_them(store: TrackStore) -> None:
    kept(store)
    one = found(store, max_gap=0.0)
    assert who(one) == SAME
    rows = one.links.to_pylist()
    assert one.links.schema.equals(LINKS) and len(rows) == 4
    assert {(r["by"], r["state"], r["gap_s"], r["video"]) for r in rows} == {("masks", "linked", 0, "farm/cam1.mp4")}
    shares = {(r["first_sample"], r["second_sample"]): r["score"] for r in rows}
    assert shares["8/1", "12/2"] == 1 and shares["12/2", "16/8"] == pytest.approx(29 / 31), "a pixel off, of 30"
    assert one.confidence["8/1"] is None and one.confidence["16/8"] == pytest.approx(29 / 31)


def test_every_shared_frame_counts_not_only_one(store: TrackStore) -> None:
    """Equal in half of the four shared frames, elsewhere in the others."""
    swerves = a_track({n: at(10 if p < 12 else 90, p) for n, p in enumerate(WINDOWS[1].positions)}, 1)
    kept(store, [shown(WINDOWS[0], o1=10), (swerves,), ()])
    tracklets = Tracklets()
    samples = *samples_of(WINDOWS[0], shown(WINDOWS[0], o1=10)), *samples_of(WINDOWS[1], (swerves,))
    tracklets.add(a_record(*samples), lambda sample: True)
    (of_video,) = tracklets.of_videos().values()
    (only,) = shared_frames(of_video, [(CHUNK, {"cow": KEY})], store)
    assert (only.by, only.iou) == ("masks", pytest.approx(2 / 6)), "2 of 4 frames in common, 6 of either"


def test_where_masks_are_gone_boxes_serve_and_it_is_said(store: TrackStore, caplog: pytest.LogCaptureFixture) -> None:
    """Clips that overlap by half; nothing is stored."""
    windows = [Window((a_clip(start),)) for start in (8, 10)]
    samples = [s for w in windows for s in samples_of(w, shown(w, o1=10, o2=100))]
    one = found(store, a_record(*samples), chunk=a_chunk(*windows))
    assert who(one) == {frozenset({"8/1", "10/1"}), frozenset({"8/2", "10/2"})}
    assert set(one.links["by"].to_pylist()) == {"boxes"}
    assert "the masks of 1 pairs of windows that share frames are no longer stored" in caplog.text


def test_names_do_not_depend_on_order_filters_or_crops(store: TrackStore) -> None:
    kept(store)
    one = found(store)
    shuffled = list(SAMPLES)
    random.Random(3).shuffle(shuffled)
    again = found(store, *(a_record(replace(s, files=(), crop_windows=())) for s in shuffled))
    assert again.ids == one.ids and again.confidence == one.confidence and again.links.equals(one.links)


def test_what_another_prompt_found_too_is_left_out(store: TrackStore) -> None:
    kept(store)
    twin = replace(SAMPLES[0], sample_id="twin", prompt="calf", duplicate_of=1)
    one = found(store, a_record(*SAMPLES, twin))
    assert "twin" not in one.ids and who(one) == SAME


def test_individuals_end_with_their_video(store: TrackStore) -> None:
    other = [replace(s, sample_id=f"x{s.sample_id}", video_fingerprint="other") for s in SAMPLES]
    tracklets = Tracklets()
    tracklets.add(a_record(*SAMPLES, *other), lambda sample: True)
    twin = a_chunk(*(Window((replace(w.clips[0], video=replace(CHUNK.video, fingerprint="other")),)) for w in WINDOWS))
    one = individuals(tracklets, [(CHUNK, {"cow": KEY}), (twin, {"cow": KEY})], store, LinkConfig())
    assert not {one.ids[s.sample_id] for s in SAMPLES} & {one.ids[s.sample_id] for s in other}


def test_the_clips_of_one_window_are_one_tracklet() -> None:
    window = Window((a_clip(8), a_clip(10)))
    tracks = shown(window, o1=10)
    clips = [replace(window, clips=(clip,)) for clip in window.clips]
    made = [replace(s, window_id=window.id) for w in clips for s in samples_of(w, tracks)]
    tracklets = Tracklets()
    tracklets.add(a_record(*made[::-1]), lambda sample: True)
    ((only,),) = tracklets.of_videos().values()
    assert only.samples == ("8/1", "10/1")
    assert only.frames.tolist() == [32, 36, 40, 44, 48, 52], "frames of both clips once"
    assert np.allclose(only.times_s, only.frames / 25) and only.boxes.shape == (6, 4) and only.colours is None


def test_colours_count_only_while_the_filters_keep_the_object() -> None:
    text = base64.b64encode(bytes([255] + [0] * 215)).decode()
    for keeps in (True, False):
        tracklets = Tracklets()
        tracklets.add(a_record(a_sample(colours=text)), lambda sample, keeps=keeps: keeps)  # type: ignore[misc]
        ((only,),) = tracklets.of_videos().values()
        assert (only.colours is not None) == keeps
