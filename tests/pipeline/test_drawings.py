"""Corrections that hold masks: the file beside the file, what they do to tracks, and one message for each mistake."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.corrected_windows import touching, windows_touched
from pipeline.correcting import Corrector, corrected
from pipeline.corrections import Correction, Corrections
from pipeline.drawings import Drawing, folder_of, read_drawing
from pipeline.errors import ConfigError, DiskError
from sam.types import Mask
from tests.pipeline.making import a_chunk, a_track, block, found_in
from tests.pipeline.test_corrections import boxes, edited, resolved, window

A, B, C = block(0, 0, 10, 10), block(50, 0, 10, 10), block(5, 5, 10, 10)
TWO = (a_track(dict.fromkeys(range(4), A), 1), a_track(dict.fromkeys(range(1, 4), B), 2))


def drawing(*masks: Mask | None, first: int = 8, step: int = 4) -> Drawing:
    return Drawing(200, 100, tuple(first + step * n for n in range(len(masks))), masks)


def by(do: str, number: int, drawn: Drawing, frame: int = 8) -> Correction:
    return Correction(do, frame, number, drawing=drawn)


def test_masks_take_the_place_of_what_was_tracked_in_their_frames_only() -> None:
    drawn = drawing(None, C)
    found = edited(window(*TWO), by("redraw", 1, drawn))
    assert boxes(found)[1] == {0: A.box, 1: A.box, 3: C.box} and boxes(found)[2] == dict.fromkeys((1, 2, 3), B.box)
    assert found.tracks[0].masks[-1] == C and found.corrected == (1,) and found.tracks[0].prompt == "cow"
    whole = drawing(C, None, None, C, first=0)
    found = corrected(window(*TWO), [("here", by("draw", 7, whole, 0))], "cow, calf")
    assert boxes(found) == boxes(window(*TWO)) | {7: {0: C.box, 3: C.box}} and found.corrected == (7,)
    assert (found.tracks[-1].prompt, found.tracks[-1].first_score) == ("cow, calf", 1.0)


def test_they_are_taken_in_order_with_other_corrections_and_without_a_tracker() -> None:
    entries = [by("draw", 7, drawing(C, C)), Correction("merge", 8, 7, 2), Correction("remove", 8, 1)]
    base = window(*TWO)
    corrector = Corrector({0: {base.window_id: [("here", entry) for entry in entries]}}, ("cow",))
    found = corrector.without_tracking(0, base)
    assert found is not None and boxes(found) == {2: {1: B.box, 2: (5, 0, 60, 15), 3: (5, 0, 60, 15)}}


def test_what_is_drawn_takes_its_pixels_from_the_others_where_masks_share_none() -> None:
    entry = by("redraw", 2, drawing(C, A))
    over = edited(window(*TWO), entry)
    assert over.tracks[0].masks[2] == A and over.corrected == (2,), "masks may overlap unless they are told not to"
    base = window(*TWO)
    found = Corrector({0: {base.window_id: [("here", entry)]}}, ("cow",), True).without_tracking(0, base)
    assert found is not None and found.corrected == (1, 2)
    one, two = found.tracks
    rest = A.full(200, 100) & ~C.full(200, 100)
    assert np.array_equal(one.masks[2].full(200, 100), rest) and two.masks[1:] == (C, A)
    assert one.frames.tolist() == [0, 1, 2], "of the last frame nothing is left"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (by("redraw", 9, drawing(C)), "there is no object 9 in its window; there are 1, 2"),
        (by("draw", 2, drawing(C)), "there is an object 2 already; redraw changes it"),
        (by("redraw", 1, drawing(C, C, first=8, step=2)), "frame 10 is not tracked in its window"),
        (by("redraw", 1, drawing(C, C, first=4, step=8)), "its masks do not tell about frame 8: they were made with"),
    ],
)
def test_what_does_not_fit_the_tracks_is_the_windows_error(entry: Correction, message: str) -> None:
    found = edited(window(*TWO), replace(entry, frame=entry.drawing.frames[0]))  # type: ignore[union-attr]
    assert found.tracks == () and re.search(message, str(found.error)), found.error


def test_the_files_come_back_as_they_were_saved_and_go_with_their_entry(tmp_path: Path) -> None:
    one, two = by("redraw", 1, drawing(None, C), 12), by("draw", 7, drawing(A, B))
    path = tmp_path / "barn" / "cam1.mp4.json"
    given = Corrections("barn/cam1.mp4", (one, two, Correction("remove", 4, 2)), "0123")
    given.save(path)
    assert Corrections.load(path) == given
    raw = json.loads(path.read_text())["corrections"]
    assert raw[0] == {"do": "redraw", "frame": 12, "object": 1, "masks": one.drawing.name}  # type: ignore[union-attr]
    assert path.stat().st_size < 600
    folder = folder_of(path)
    assert folder.name == "cam1.mp4.masks"
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert len(kept) == 2
    Corrections("barn/cam1.mp4", (two,), "0123").save(path)
    assert [file.stem for file in folder.iterdir()] == [two.drawing.name]  # type: ignore[union-attr]
    given.save(path)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == kept


def test_a_full_disk_leaves_the_corrections_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    before = Corrections("x", (by("draw", 7, drawing(A)),))
    before.save(path)
    text = path.read_bytes()

    def full(path: Path, table: Any) -> None:
        raise DiskError("no space left")

    monkeypatch.setattr("pipeline.drawings.write_table", full)
    with pytest.raises(DiskError):
        Corrections("x", (by("draw", 7, drawing(B)),)).save(path)
    assert path.read_bytes() == text and Corrections.load(path) == before


def test_masks_decide_the_key_of_the_tracks_and_who_drew_them_does_not() -> None:
    chunk = a_chunk()

    def key(*entries: Correction) -> str | None:
        return touching(resolved(*entries)["cow"], chunk)

    plain = key(by("redraw", 1, drawing(None, C)))
    assert plain == key(replace(by("redraw", 1, drawing(None, C)), author="ann", id="x"))
    others = (drawing(None, A), drawing(C, C), drawing(None, C, first=4), drawing(C))
    assert len({plain, *(key(by("redraw", 1, other)) for other in others)}) == 5
    assert key(Correction("remove", 8, 1)) == touching(resolved(Correction("remove", 8, 1))["cow"], chunk)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (
            drawing(C, C, C),
            r"corrections\[0\] \(redraw\): its masks reach to frame 16, and its window is from frame 0 to",
        ),
        (Drawing(320, 180, (8,), (C,)), "its masks are for pictures of 320x180 pixels, and farm/cam1.mp4 has 200x100"),
    ],
)
def test_masks_of_another_window_or_picture(drawn: Drawing, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        windows_touched(Corrections("farm/cam1.mp4", (by("redraw", 1, drawn),), source="f"), [a_chunk()], ["cow"])


@pytest.mark.parametrize(
    ("frames", "masks", "message"),
    [
        ((8,), (C, C), "got 2 for 1"),
        ((), (), "got 0 for 0"),
        ((8, 8), (C, C), "ascending, each once"),
        ((12, 8), (C, C), "ascending, each once"),
        ((8,), (None,), "seen in none of its frames"),
        (
            (8,),
            (Mask((195, 0, 205, 10), C.counts),),
            "the mask of frame 8 is wrong: its box .* is not inside the frame",
        ),
        ((8,), (Mask((5, 5, 5, 15), C.counts),), "is not inside the frame"),
        ((8,), (Mask((5, 5, 16, 15), C.counts),), "its runs cover 100 pixels, not 110"),
        ((8,), (Mask(C.box, b"\xff"),), "it is no compressed COCO run-length code"),
        ((8,), (Mask(C.box, C.counts[:-1]),), "ends in the middle of a number"),
        ((8,), (Mask((0, 0, 2, 1), b"11"),), "is not that of pixels which fill the box"),
    ],
)
def test_drawings_that_no_video_could_make_right(frames: Any, masks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Drawing(200, 100, frames, masks)


def test_a_missing_or_damaged_drawing_names_its_entry_and_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"

    def refusal(masks: Any, frame: int = 8) -> str:
        entry = {"do": "redraw", "frame": frame, "object": 1} | ({} if masks is None else {"masks": masks})
        path.write_text(json.dumps({"corrections": [entry]}))
        with pytest.raises(ConfigError) as refused:
            Corrections.load(path)
        return str(refused.value)

    where = f"{path}: corrections[0] (redraw): "
    one, other = drawing(A, B), drawing(B)
    assert refusal(None) == where + "masks must be the name of its drawing, a text, got None"
    assert "32 hexadecimal digits, got '../x'" in refusal("../x")
    missing = refusal(one.name)
    assert missing.startswith(where) and f"{one.name}.parquet does not exist" in missing
    other.save(folder_of(path))
    file = folder_of(path) / f"{other.name}.parquet"
    file.rename(file.with_stem(one.name))
    assert "its content is not what its name says" in refusal(one.name)
    file.with_stem(one.name).write_bytes(b"PAR1 not really")
    assert "is damaged" in refusal(one.name)
    file.with_stem(one.name).unlink()
    one.save(folder_of(path))
    assert "frame must be one that its masks are about, within 8 to 12, got 4" in refusal(one.name, 4)
    assert read_drawing(folder_of(path), one.name) == one


def test_a_drawn_window_that_could_not_be_tracked_says_why_it_could_not() -> None:
    base = replace(found_in(a_chunk().windows[0]), error="the model broke")
    assert edited(base, by("draw", 1, drawing(C))).error == "the model broke"
