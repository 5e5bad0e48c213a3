"""The corrections file, what each edit does to tracks, and one clear message for each mistake."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.corrected_windows import check_clicks, read_corrections, said_in, touching, windows_touched
from pipeline.correcting import Corrector, corrected
from pipeline.corrections import Correction, Corrections
from pipeline.errors import ConfigError
from pipeline.track_store import WindowTracks
from sam.types import Prompt, Track
from tests.pipeline.making import a_chunk, a_clip, a_track, a_video, block, found_in
from video.types import Chunk, Clip, Grid, Window

CHUNK = a_chunk()  # clips of source frames 0, 4, 8, 12 and 16, 20, 24, 28 of a video of 400


def written(tmp_path: Path, *entries: dict[str, Any], **head: Any) -> Path:
    path = tmp_path / "corrections.json"
    path.write_text(json.dumps({"video": "farm/cam1.mp4", "corrections": entries} | head))
    return path


def window(*tracks: Track) -> WindowTracks:
    return found_in(CHUNK.windows[0], *tracks)


def edited(base: WindowTracks, *entries: Correction) -> WindowTracks:
    return corrected(base, [(f"file: corrections[{n}]", entry) for n, entry in enumerate(entries)])


def boxes(found: WindowTracks) -> dict[int, dict[int, tuple[int, int, int, int]]]:
    return {t.object_id: {int(f): m.box for f, m in zip(t.frames, t.masks, strict=True)} for t in found.tracks}


A, B = block(0, 0, 10, 10), block(50, 0, 10, 10)
TWO = (a_track(dict.fromkeys(range(4), A), 1), a_track(dict.fromkeys(range(1, 4), B), 2))


def test_what_each_edit_does() -> None:
    base = window(*TWO)
    gone = edited(base, Correction("remove", 4, 1))
    assert boxes(gone) == {2: dict.fromkeys(range(1, 4), B.box)} and gone.corrected == ()
    swapped = edited(base, Correction("swap", 8, 1, 2))
    assert boxes(swapped) == {1: {0: A.box, 1: A.box, 2: B.box, 3: B.box}, 2: {1: B.box, 2: A.box, 3: A.box}}
    assert swapped.corrected == (1, 2)
    parted = edited(base, Correction("split", 8, 1, 7))
    assert boxes(parted)[1] == dict.fromkeys((0, 1), A.box) and boxes(parted)[7] == dict.fromkeys((2, 3), A.box)
    assert parted.corrected == (1, 7)
    one = edited(base, Correction("merge", 0, 2, 1))
    assert boxes(one) == {1: {0: A.box} | dict.fromkeys(range(1, 4), (0, 0, 60, 10))}
    assert [mask.area for mask in one.tracks[0].masks] == [100, 200, 200, 200] and one.corrected == (1,)
    assert one.tracks[0].prompt == "cow"


def test_edits_follow_one_after_the_other_and_nothing_empty_is_left() -> None:
    found = edited(window(*TWO), Correction("split", 8, 1, 7), Correction("merge", 0, 7, 2), Correction("remove", 0, 1))
    assert boxes(found) == {2: {1: B.box} | dict.fromkeys((2, 3), (0, 0, 60, 10))} and found.corrected == (2,)
    whole = edited(window(*TWO), Correction("split", 0, 1, 7))  # all of it from the first frame on
    assert set(boxes(whole)) == {2, 7} and whole.corrected == (7,)
    base = window(*TWO)
    assert edited(base) is base


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Correction("remove", 0, 9), r"corrections\[0\]: there is no object 9 in its window; there are 1, 2"),
        (Correction("swap", 0, 1, 9), "there is no object 9"),
        (Correction("split", 8, 1, 2), "there is an object 2 already; as= takes an id that is free"),
        (Correction("remove", 6, 1), "frame 6 is not tracked in its window; near it are 4 and 8"),
        (Correction("remove", 16, 1), "frame 16 is not tracked in its window; near it are 12"),
    ],
)
def test_what_does_not_fit_the_tracks_is_the_windows_error(entry: Correction, message: str) -> None:
    found = edited(window(*TWO), entry)
    assert found.tracks == () and found.error is not None
    assert re.search(message, found.error)


def test_clicks_are_checked_against_the_tracks_and_tracked_with_the_prompt() -> None:
    base, asked = window(*TWO), []

    def track(prompts: Any) -> WindowTracks:
        asked.extend(prompts)
        return window(*TWO, a_track({2: block(80, 0, 5, 5)}, 3))

    def done(*entries: Correction) -> WindowTracks:
        asked.clear()
        corrector = Corrector({0: {base.window_id: [("here", entry) for entry in entries]}})
        assert corrector.without_tracking(0, base) is None
        return corrector.with_clicks(0, base, track)

    refine = Correction("refine", 4, 2, points=((5.0, 5.0),), labels=(0,))
    add = Correction("add", 8, 3, box=(80.0, 0.0, 85.0, 5.0))
    found = done(refine, add, Correction("remove", 0, 1))
    assert asked == [
        Prompt(frame=1, object_id=2, points=((5.0, 5.0),), labels=(0,)),
        Prompt(frame=2, object_id=3, box=(80.0, 0.0, 85.0, 5.0)),
    ]
    assert set(boxes(found)) == {2, 3} and found.corrected == (2, 3)
    for entry, message in (
        (Correction("refine", 4, 9, points=((5.0, 5.0),), labels=(1,)), "here: there is no object 9 in its window"),
        (Correction("add", 4, 2, box=(0.0, 0.0, 5.0, 5.0)), "there is an object 2 already; refine corrects it"),
        (Correction("add", 4, 5, points=((5.0, 5.0),), labels=(0,)), "needs a point inside"),
        (Correction("refine", 5, 1, points=((5.0, 5.0),), labels=(1,)), "frame 5 is not tracked"),
    ):
        assert message in str(done(entry).error) and not asked


def test_the_file_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    entries = (
        Correction("remove", 4, 1, id="a", author="ann", time="2026-11-21T10:00:00", note="a post"),
        Correction("merge", 4, 2, 1, prompt="cow", window="w"),
        Correction("swap", 4, 2, 0),
        Correction("refine", 4, 2, points=((1.0, 2.5),), labels=(0,), box=(0.0, 0.0, 5.0, 5.0)),
    )
    given = Corrections("farm/cam1.mp4", entries, "0123")
    given.save(tmp_path / "x.json")
    assert Corrections.load(tmp_path / "x.json") == given
    raw = json.loads((tmp_path / "x.json").read_text())["corrections"]
    assert raw[2] == {"do": "swap", "frame": 4, "object": 2, "with": 0}
    Corrections("farm/cam1.mp4", entries[1:], "0123").save(tmp_path / "x.json")  # taken back
    assert Corrections.load(tmp_path / "x.json").entries == entries[1:]


REMOVE = {"do": "remove", "frame": 4, "object": 1}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, r"corrections\[1\] must be an object such as"),
        (
            {"do": "delete"},
            "do must be one of remove, merge, swap, split, same, different, refine, add, redraw, draw, got 'delete'",
        ),
        (REMOVE | {"frame": -1}, r"corrections\[1\] \(remove\): frame must be a whole number from 0, got -1"),
        (REMOVE | {"into": 3}, "has the key 'into'; it may have do, frame, object"),
        ({"do": "merge", "frame": 4, "object": 1}, "into must be a whole number from 0, got None"),
        ({"do": "swap", "frame": 4, "object": 1, "with": 1}, "object and with are both 1"),
        (REMOVE | {"author": 3}, "author must be a text, got 3"),
        ({"do": "refine", "frame": 4, "object": 1}, "needs a text, points, a box or a mask"),
        ({"do": "refine", "frame": 4, "object": 1, "points": [[1]]}, r"each of points must be \[x, y\]"),
        ({"do": "refine", "frame": 4, "object": 1, "points": [[1, 2]], "labels": [2]}, "a label is 1"),
        ({"do": "add", "frame": 4, "object": 1, "box": [5, 5, 5, 9]}, "x0 < x1"),
    ],
)
def test_entries_that_make_no_sense(tmp_path: Path, entry: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Corrections.load(written(tmp_path, REMOVE, entry))


def test_files_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ConfigError, match="must hold"):
        Corrections.load(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ConfigError, match="no readable JSON"):
        Corrections.load(tmp_path / "x.json")
    with pytest.raises(ConfigError, match="has the key 'by'"):
        Corrections.load(written(tmp_path, by="ann"))


def test_a_file_finds_its_video(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    videos = [a_video(), a_video(name="farm/cam2.mp4", fingerprint="ff")]
    assert set(read_corrections(written(tmp_path, REMOVE), videos)) == {"farm/cam1.mp4"}
    folder = tmp_path / "folder"
    Corrections("", (), None).save(folder / "farm" / "cam2.mp4.json")
    Corrections("gone.mp4", ()).save(folder / "gone.mp4.json")
    assert set(read_corrections(folder, videos)) == {"farm/cam2.mp4"}
    assert "gone.mp4.json (gone.mp4)" in caplog.text
    with pytest.raises(ConfigError, match="about none of the 2 videos"):
        read_corrections(folder / "gone.mp4.json", videos)
    with pytest.raises(ConfigError, match="their fingerprints differ"):
        read_corrections(written(tmp_path, fingerprint="ee"), videos)
    with pytest.raises(ConfigError, match="does not exist"):
        read_corrections(tmp_path / "no", videos)
    Corrections("farm/cam2.mp4", ()).save(folder / "second.json")
    with pytest.raises(ConfigError, match=r"are both corrections of farm/cam2.mp4"):
        read_corrections(folder, videos)


def resolved(*entries: Correction, chunks: tuple[Chunk, ...] = (CHUNK,), prompts: tuple[str, ...] = ("cow",)) -> Any:
    return windows_touched(Corrections("farm/cam1.mp4", entries, source="file"), chunks, prompts)


def test_an_entry_touches_the_window_of_its_frame_and_no_other_key_changes() -> None:
    first, second = CHUNK.windows
    touched = resolved(Correction("remove", 20, 1), Correction("remove", 16, 2))["cow"]
    assert {window: [e.frame for _, e in entries] for window, entries in touched.items()} == {second.id: [20, 16]}
    assert touching(touched, Chunk.of(first)) is None
    key = touching(touched, CHUNK)
    assert key and key != touching(resolved(Correction("remove", 20, 1))["cow"], CHUNK)
    signed = resolved(Correction("remove", 20, 1, author="ann"), Correction("remove", 16, 2, note="post"))["cow"]
    assert touching(signed, CHUNK) == key, "who wrote it decides nothing"
    by_name = resolved(Correction("remove", 20, 1, window=second.clips[0].id), Correction("remove", 16, 2))["cow"]
    assert touching(by_name, CHUNK) == key
    both = resolved(Correction("remove", 20, 1, prompt="calf"), prompts=("cow", "calf"))
    assert both["cow"] == {} and set(both["calf"]) == {second.id}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Correction("remove", 900, 1), r"file: corrections\[0\] \(remove\): frame 900 is beyond the end: farm/cam1"),
        (Correction("remove", 6, 1), "frame 6 is not tracked with clip.stride=4: say 4 or 8"),
        (Correction("remove", 100, 1), "no clip of farm/cam1.mp4 holds frame 100"),
        (Correction("remove", 4, 1, prompt="calf"), "prompt must be one of cow, got 'calf'"),
        (Correction("remove", 4, 1, window="w"), "has no window or clip w with these settings"),
        (Correction("remove", 4, 1, window=CHUNK.windows[1].id), "is from frame 16 to 28, got frame 4"),
        (Correction("refine", 4, 1, points=((250.0, 5.0),), labels=(1,)), "lies outside the frame of 200x100"),
        (Correction("add", 4, 1, box=(150.0, 5.0, 250.0, 50.0)), "reaches outside the frame of 200x100"),
    ],
)
def test_entries_that_fit_nowhere(entry: Correction, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolved(entry)


def test_a_frame_in_several_windows_needs_the_windows_name() -> None:
    overlapping = a_chunk(Window((a_clip(),)), Window((a_clip(2),)))
    with pytest.raises(ConfigError, match=r"2 windows hold frame 8: say which with window: .*-n4"):
        resolved(Correction("remove", 8, 1), chunks=(overlapping,))
    lead = a_chunk(Window((a_clip(),), lead=2), Window((a_clip(4),), lead=2))
    assert set(resolved(Correction("remove", 16, 1), chunks=(lead,))["cow"]) == {lead.windows[1].id}
    clip = Clip(a_video(), Grid(fps=Fraction(5)), 0, 4)
    timed = Chunk.of(Window((clip,)))
    with pytest.raises(ConfigError, match=r"with clip.fps it must name its window"):
        resolved(Correction("remove", 8, 1), chunks=(timed,))
    assert resolved(Correction("remove", 8, 1, window=clip.id), chunks=(timed,))["cow"]
    with pytest.raises(ConfigError, match="prompt must be one of cow, calf, got None"):
        resolved(Correction("remove", 8, 1), prompts=("cow", "calf"))


def test_clicks_need_a_tracker_that_takes_them() -> None:
    touched = resolved(Correction("remove", 4, 1), Correction("add", 4, 2, box=(0.0, 0.0, 5.0, 5.0)))
    check_clicks(touched, frozenset({"text", "points", "box"}), "sam2_auto")
    with pytest.raises(
        ConfigError, match=r"corrections\[1\] \(add\): tracker=motion takes no points or boxes; sam2_auto"
    ):
        check_clicks(touched, frozenset({"text"}), "motion")
    check_clicks(resolved(Correction("remove", 4, 1)), frozenset({"text"}), "motion")


def test_masks_that_overlap_are_merged_without_counting_twice() -> None:
    plane = np.zeros((20, 20), np.uint8)
    plane[5:15, 5:15] = 1
    base = window(a_track({0: block(0, 0, 10, 10)}, 1), a_track({0: block(5, 5, 10, 10)}, 2))
    (track,) = edited(base, Correction("merge", 0, 2, 1)).tracks
    expected = plane.copy()
    expected[:10, :10] = 1
    assert np.array_equal(track.masks[0].full(20, 20), expected)


def test_a_word_about_individuals_changes_no_track_and_names_two_windows(tmp_path: Path) -> None:
    word = {"do": "same", "frame": 4, "object": 3, "with": 3, "at": 20}
    given = Corrections.load(written(tmp_path, word, {**word, "do": "different", "with": 5}))
    chunks = [a_chunk(*(Window((a_clip(4 * n),)) for n in range(3)))]
    one, two = said_in(given, chunks, ["cow"])
    first, second = (window.id for window in chunks[0].windows[:2])
    assert (one.first, one.second, one.same) == ((first, "cow", 3), (second, "cow", 3), True)
    assert (two.second, two.same) == ((second, "cow", 5), False)
    assert windows_touched(given, chunks, ["cow"]) == {"cow": {}}
    given.save(tmp_path / "again.json")
    assert Corrections.load(tmp_path / "again.json") == given


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"do": "same", "frame": 4, "object": 3, "with": 3}, "at must be a whole number from 0, got None"),
        ({"do": "same", "frame": 4, "object": 3, "with": 5, "at": 8}, "both objects are in one window: merge says"),
        ({"do": "merge", "frame": 4, "object": 3, "into": 5, "at": 8}, "has the key 'at'"),
        (
            {"do": "different", "frame": 4, "object": 3, "with": 5, "at": 388},
            "no clip of farm/cam1.mp4 holds frame 388",
        ),
    ],
)
def test_a_word_that_makes_no_sense(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    chunks = [a_chunk(*(Window((a_clip(4 * n),)) for n in range(3)))]
    with pytest.raises(ConfigError, match=message):
        said_in(Corrections.load(written(tmp_path, entry)), chunks, ["cow"])
