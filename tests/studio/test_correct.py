"""Correcting a dataset over the API: what is seen, written, refused, undone, and what a build makes of it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests

import pipeline.drawings
import studio.edits as studio_edits
from pipeline.build import Build
from pipeline.corrections import Corrections
from pipeline.errors import DiskError
from sam.types import Mask
from tests.pipeline.composing import loaded
from tests.running import rows
from tests.studio.serving import Served, film, serving

SIZE, COUNT = (320, 180), 64
FIRST = {"author": "ann", "do": "remove"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two discs that cross the picture in four windows of 8 frames, every second source frame, as a dataset."""
    root = tmp_path_factory.mktemp("dataset")
    (root / "footage").mkdir()
    film(root / "footage" / "barn.mp4", COUNT, SIZE, [((40, 50), (3, 0)), ((280, 130), (-3, 0))])
    small = ("clip.num_frames=8", "clip.stride=2", "crop.size=32", "filters.size.min_side=8", "exports=[]")
    given = (f"videos={root / 'footage'}", f"out={root / 'cows'}", "prompt=cow", "tracker=motion", *small)
    made = Build(loaded(*given, "encode.preset=ultrafast", "executor.workers=1")).run()
    assert made.status == 0 and made.crops == 8
    return root


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    """A dataset of one's own; its video is shared."""
    shutil.copytree(built / "cows", tmp_path / "cows")
    return tmp_path / "cows"


@contextmanager
def corrected(out: Path, **options: Any) -> Iterator[Served]:
    with serving(out.parent / "studio", dataset=out, **options) as served:
        yield served


def windows(studio: Served, order: str = "time") -> list[dict[str, Any]]:
    return list(studio.ask("GET", f"/dataset/windows?order={order}")["windows"])


def objects(studio: Served, window: str) -> dict[int, set[int]]:
    """The session frames of each object."""
    seen = studio.ask("GET", f"/dataset/windows/{window}/masks")["objects"]
    return {each["object"]: {mask["frame"] for mask in each["masks"]} for each in seen}


def applied(studio: Served) -> dict[str, Any]:
    """Build, and wait for it."""
    studio.ask("POST", "/dataset/apply", 202)
    until = time.monotonic() + 120
    while (now := studio.ask("GET", "/dataset/apply"))["state"] == "running":
        assert time.monotonic() < until, now
        time.sleep(0.1)
    return dict(now)


def test_windows_frames_and_masks(out: Path) -> None:
    with corrected(out) as studio:
        found = windows(studio)
        assert [(w["video"], w["start_s"], w["crops"]) for w in found] == [
            ("barn.mp4", pytest.approx(n * 0.64), 2) for n in range(4)
        ]
        at = f"/dataset/windows/{found[1]['window']}"
        info = studio.ask("GET", at)
        assert info["frames"] == [16, 18, 20, 22, 24, 26, 28, 30]
        assert (info["width"], info["height"], info["prompts"], info["error"]) == (*SIZE, ["cow"], None)
        assert (
            [(clip["first"], clip["last"]) for clip in info["clips"]] == [(0, 7)]
            and not info["waiting"]
            and not info["unapplied"]
        )
        picture = cv2.imdecode(np.frombuffer(studio.ask("GET", f"{at}/frames/3?side=400").content, np.uint8), 1)
        assert picture.shape[:2] == SIZE[::-1]
        b, _, r = picture[50, 40 + 3 * 22].astype(int)  # the red disc, at the source frame 22
        assert r > b + 80
        seen = studio.ask("GET", f"{at}/masks")["objects"]
        assert len(seen) == 2 and all(len(each["masks"]) == 8 and not each["corrected"] for each in seen)
        third = seen[0]["masks"][3]
        mask = Mask(tuple(third["box"]), third["counts"].encode())
        assert third["frame"] == 3 and 200 < mask.area < 1500
        crop = info["crops"][0]
        part = studio.ask("GET", crop["crop"], 206, headers={"range": "bytes=0-99"})
        assert len(part.content) == 100 and part.headers["content-type"] == "video/mp4"


def test_a_correction_is_seen_at_once_written_with_author_and_time_and_undone(out: Path) -> None:
    with corrected(out) as studio:
        window = windows(studio)[1]["window"]
        at = f"/dataset/windows/{window}"
        one, two = sorted(objects(studio, window))
        asked = {"do": "split", "frame": 24, "object": one, "author": " ann "}
        made = studio.ask("POST", f"{at}/corrections", 201, json=asked)
        new = made["entry"]["as"]
        assert objects(studio, window) == {one: {0, 1, 2, 3}, two: set(range(8)), new: {4, 5, 6, 7}}
        swap = {"do": "swap", "frame": 28, "object": two, "other": new, "author": "bea"}
        second = studio.ask("POST", f"{at}/corrections", 201, json=swap)
        written = json.loads((out / "corrections" / "barn.mp4.json").read_text())
        assert written["video"] == "barn.mp4" and len(written["fingerprint"]) > 10
        assert [(e["do"], e["frame"], e["author"]) for e in written["corrections"]] == [
            ("split", 24, "ann"), ("swap", 28, "bea"),
        ]  # fmt: skip
        assert all(e["time"].endswith("+00:00") and len(e["id"]) == 16 for e in written["corrections"])
        assert windows(studio)[1]["corrections"] == 2 and studio.ask("GET", at)["unapplied"]
        refused = studio.ask("DELETE", f"{at}/corrections/{made['id']}", 409)
        assert "a later correction needs this one" in refused["detail"]
        for each in (second, made):
            studio.ask("DELETE", f"{at}/corrections/{each['id']}")
        assert objects(studio, window) == {one: set(range(8)), two: set(range(8))}
        assert not studio.ask("GET", at)["unapplied"]
        studio.ask("DELETE", f"{at}/corrections/{made['id']}", 404)


def test_apply_makes_the_crops_anew_and_undone_they_are_as_before(out: Path) -> None:
    before = {row["sample_id"]: row["sha256"] for row in rows(out / "samples.parquet")}
    with corrected(out) as studio:
        window = windows(studio)[2]["window"]
        at = f"/dataset/windows/{window}"
        one, two = sorted(objects(studio, window))
        made = studio.ask("POST", f"{at}/corrections", 201, json=FIRST | {"frame": 34, "object": two})
        done = applied(studio)
        assert (done["state"], done["status"]) == ("done", 0), done["says"]
        info = studio.ask("GET", at)
        assert [crop["object_id"] for crop in info["crops"]] == [one] and not info["unapplied"]
        assert studio.ask("GET", info["crops"][0]["crop"]).headers["content-type"] == "video/mp4"
        assert len(rows(out / "samples.parquet")) == 7
        assert "corrections: " + str(out / "corrections") in (out / "dataset.yaml").read_text()
    with corrected(out) as studio:  # a restart knows all of it
        (entry,) = studio.ask("GET", at)["corrections"]
        assert entry["id"] == made["id"]
        studio.ask("DELETE", f"{at}/corrections/{entry['id']}")
        assert applied(studio)["state"] == "done"
    assert {row["sample_id"]: row["sha256"] for row in rows(out / "samples.parquet")} == before


def individuals(out: Path) -> dict[tuple[str, int], str]:
    return {(row["window_id"], row["object_id"]): row["individual_id"] for row in rows(out / "samples.parquet")}


def test_a_word_about_individuals_is_followed_by_the_next_build(out: Path) -> None:
    with corrected(out) as studio:
        first, second = (each["window"] for each in windows(studio)[:2])
        before = individuals(out)
        (here, _), (there, _) = (sorted(objects(studio, window)) for window in (first, second))
        joined = before[first, here] == before[second, there]
        body = {"frame": 0, "object": here, "other": there, "at_window": second, "author": "ann"}
        body["do"] = "different" if joined else "same"
        at = f"/dataset/windows/{first}/corrections"
        made = studio.ask("POST", at, 201, json=body)
        assert made["entry"]["at"] == 16 and made["entry"]["with"] == there
        for window in (first, second):
            assert [each["id"] for each in studio.ask("GET", f"/dataset/windows/{window}")["corrections"]] == [
                made["id"]
            ]
        removal = {"do": "remove", "frame": 0, "object": here, "author": "ann"}
        assert "a word about individuals" in studio.ask("POST", at, 422, json=removal)["detail"]
        assert "another window" in studio.ask("POST", at, 422, json=body | {"at_window": first})["detail"]
        assert "object 99" in studio.ask("POST", at, 422, json=body | {"other": 99})["detail"]
        assert "needs the window" in studio.ask("POST", at, 422, json=body | {"at_window": None})["detail"]
        assert applied(studio)["state"] == "done"
        after = individuals(out)
        assert (after[first, here] == after[second, there]) is not joined
        links = studio.ask("GET", f"/dataset/windows/{first}")["links"]
        if not joined:
            assert any(link["by"] == "person" and link["window"] == second for link in links)
        studio.ask("DELETE", f"/dataset/windows/{second}/corrections/{made['id']}")
        assert applied(studio)["state"] == "done" and individuals(out) == before


def test_what_does_not_fit_is_refused_and_nothing_is_written(out: Path) -> None:
    with corrected(out) as studio:
        window = windows(studio)[0]["window"]
        at = f"/dataset/windows/{window}"
        one, two = sorted(objects(studio, window))
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"frame": 2, "object": 99}, f"there is no object 99 in its window; there are {one}, {two}"),
            ({"frame": 3, "object": one}, "frame 3 is not tracked in its window; near it are 2 and 4"),
            ({"frame": 900, "object": one}, "is from frame 0 to 14, got frame 900"),
            ({"frame": 2}, "remove needs the object it is about"),
            ({"frame": 2, "object": one, "author": "  "}, "author: "),
            ({"do": "merge", "frame": 2, "object": one}, "merge needs a second object"),
            ({"do": "merge", "frame": 2, "object": one, "other": one}, "they must be two objects"),
            ({"do": "split", "frame": 2, "object": one, "other": two}, f"there is an object {two} already"),
            ({"do": "refine", "frame": 2, "object": one, "points": [[40, 50]]}, "tracker=motion takes no points"),
            ({"do": "remove", "frame": 2, "object": one, "box": [0, 0, 9, 9]}, "remove takes no places"),
            ({"do": "remove", "frame": 2, "object": one, "path": "/etc"}, "path"),
        ]
        for body, message in wrong:
            assert message in studio.ask("POST", f"{at}/corrections", 422, json=FIRST | body)["detail"], body
        for odd in ("nowhere", "..%2f..%2fetc", "%00", "\N{SNOWMAN}"):
            studio.ask("GET", f"/dataset/windows/{odd}", 404)
            studio.ask("GET", f"{at}/crops/{odd}", 404)
        studio.ask("GET", f"{at}/frames/8", 404)
        studio.ask("POST", "/dataset/apply/cancel", 409)
    assert not (out / "corrections" / "barn.mp4.json").exists()


def test_a_file_that_cannot_be_read_is_not_written_over(out: Path) -> None:
    path = out / "corrections" / "barn.mp4.json"
    path.parent.mkdir()
    path.write_text("{")
    with corrected(out) as studio:
        window = windows_of(out)
        said = studio.ask("POST", f"/dataset/windows/{window}/corrections", 409, json=FIRST | {"frame": 2, "object": 1})
        assert "Repair the file" in said["detail"] and path.read_text() == "{"


def windows_of(out: Path) -> str:
    return str(rows(out / "samples.parquet")[0]["window_id"])


def test_a_full_disk_loses_no_correction(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with corrected(out) as studio:
        window = windows(studio)[0]["window"]
        one, two = sorted(objects(studio, window))
        at = f"/dataset/windows/{window}/corrections"
        studio.ask("POST", at, 201, json=FIRST | {"frame": 2, "object": one})
        with monkeypatch.context() as full:

            def save(self: Corrections, path: Path) -> None:
                raise DiskError(f"no space left in {path.parent}")

            full.setattr(studio_edits.Corrections, "save", save)
            assert "no space" in studio.ask("POST", at, 507, json=FIRST | {"frame": 2, "object": two})["detail"]
        assert sorted(objects(studio, window)) == [two]
        studio.ask("POST", at, 201, json=FIRST | {"frame": 2, "object": two})
    assert len(Corrections.load(out / "corrections" / "barn.mp4.json").entries) == 2


def test_without_the_video_masks_are_there_and_frames_say_what_is_missing(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "moved")
    out = tmp_path / "moved" / "cows"
    document = (out / "dataset.yaml").read_text().replace(str(built), str(tmp_path / "moved"))
    (out / "dataset.yaml").write_text(document)
    with corrected(out) as served:
        window = windows(served)[0]["window"]
        (tmp_path / "moved" / "footage" / "barn.mp4").unlink()
        said = served.ask("GET", f"/dataset/windows/{window}/frames/0", 404)["detail"]
        assert "barn.mp4 is not at hand" in said and len(objects(served, window)) == 2
    with corrected(out) as served:  # started without any video: a list that says so, and labels as ever
        listed = served.ask("GET", "/dataset/windows")
        path = tmp_path / "moved" / "footage" / "barn.mp4"
        assert listed["missing"] == [{"video": "barn.mp4", "why": f"source video not found: {path}"}]
        assert (listed["total"], listed["videos"], listed["windows"]) == (0, [], [])
        assert "not at hand" in served.ask("GET", f"/dataset/windows/{window}", 404)["detail"]
        (crop, *_) = served.ask("POST", "/dataset/samples", json={})["samples"]
        served.ask("POST", "/dataset/labels", json={"words": [{"sample_id": crop["sample_id"], "label": "lying"}]})
        assert served.ask("GET", f"/dataset/samples/{crop['sample_id']}")["label"] == "lying"


def test_of_several_videos_those_that_are_gone_are_named(tmp_path: Path) -> None:
    (tmp_path / "footage").mkdir()
    for name, x in (("barn", 40), ("yard", 60)):
        film(tmp_path / "footage" / f"{name}.mp4", 16, SIZE, [((x, 50), (3, 0))])
    small = ("clip.num_frames=8", "clip.stride=2", "crop.size=32", "filters.size.min_side=8", "exports=[]")
    given = (f"videos={tmp_path / 'footage'}", f"out={tmp_path / 'cows'}", "prompt=cow", "tracker=motion", *small)
    Build(loaded(*given, "encode.preset=ultrafast", "executor.workers=1")).run()
    (tmp_path / "footage" / "yard.mp4").unlink()
    with corrected(tmp_path / "cows") as served:
        listed = served.ask("GET", "/dataset/windows")
        why = f"source video not found: {tmp_path / 'footage' / 'yard.mp4'}"
        assert listed["missing"] == [{"video": "yard.mp4", "why": why}]
        assert listed["videos"] == ["barn.mp4"] and {each["video"] for each in listed["windows"]} == {"barn.mp4"}


def test_a_click_is_shown_by_the_studios_tracker_and_a_crash_of_it_fails_only_that(out: Path) -> None:
    with corrected(out) as served:
        window = windows(served)[1]["window"]
        at = f"/dataset/windows/{window}/preview"
        x = 40 + 3 * 20
        click = {"frame": 20, "box": [x - 14, 36, x + 14, 64]}
        (one,) = served.ask("POST", at, json=click)["masks"]
        x0, y0, x1, y1 = one["box"]
        assert one["frame"] == 2 and abs((x0 + x1) / 2 - x) < 4 and abs((y0 + y1) / 2 - 50) < 4
        followed = served.ask("POST", at, json=click | {"reach": "onward"})
        assert {mask["frame"] for mask in followed["masks"]} | set(followed["empty"]) == {2, 3, 4, 5, 6, 7}
        places = {mask["frame"]: (mask["box"][0] + mask["box"][2]) / 2 for mask in followed["masks"]}
        assert abs(places[5] - (40 + 3 * 26)) < 5
        assert "not tracked" in served.ask("POST", at, 422, json=click | {"frame": 21})["detail"]
        assert "no object 77" in served.ask("POST", at, 422, json=click | {"object": 77})["detail"]
        tracker = served.rooms.model.tracker
        tracker.begin = lambda frames: 1 / 0  # type: ignore[attr-defined]
        assert "ZeroDivisionError" in served.ask("POST", at, 500, json=click)["detail"]
        del tracker.begin  # type: ignore[attr-defined]
        assert served.ask("POST", at, json=click)["masks"] and served.ask("GET", "/health")["status"] == "ok"


def test_what_was_shown_is_written_and_the_build_follows_it(out: Path) -> None:
    before = {row["sample_id"]: row["sha256"] for row in rows(out / "samples.parquet")}
    with corrected(out) as served:
        window = windows(served)[1]["window"]
        at = f"/dataset/windows/{window}"
        one, two = sorted(objects(served, window))
        served.ask("POST", f"{at}/corrections", 201, json=FIRST | {"frame": 20, "object": one})
        x = 40 + 3 * 20
        clicks = {"frame": 20, "box": [x - 14, 36, x + 14, 64]}
        only = served.ask("POST", f"{at}/preview", json=clicks)
        onward = served.ask("POST", f"{at}/preview", json=clicks | {"reach": "onward"})
        whole = served.ask("POST", f"{at}/preview", json=clicks | {"reach": "window"})
        seen = [sorted({*each["empty"], *(mask["frame"] for mask in each["masks"])}) for each in (only, onward, whole)]
        assert seen == [[2], [2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7]] and only["name"] is None
        draw = {"do": "draw", "frame": 20, "masks": whole["name"], "author": "ann"}
        made = served.ask("POST", f"{at}/corrections", 201, json=draw)
        new = made["entry"]["object"]
        assert made["entry"]["masks"] == whole["name"] and new not in (one, two)
        shown = served.ask("GET", f"{at}/masks")["objects"]
        assert next(each for each in shown if each["object"] == new)["masks"] == whole["masks"]  # to the bit
        assert not served.ask("GET", at)["waiting"], "nothing is left for a tracker"
        files = list((out / "corrections" / "barn.mp4.masks").iterdir())
        assert [path.stem for path in files] == [whole["name"]]
        assert applied(served)["state"] == "done"
        found = {row["object_id"]: row for row in rows(out / "samples.parquet") if row["window_id"] == window}
        assert set(found) == {two, new} and found[new]["corrected"] and not found[two]["corrected"]
        x0, _, x1, _ = found[new]["boxes"][2]
        assert abs((x0 + x1) / 2 - x) < 4
    with corrected(out) as served:  # a restart knows them
        entries = served.ask("GET", at)["corrections"]
        assert [each["entry"]["do"] for each in entries] == ["remove", "draw"]
        for each in reversed(entries):
            served.ask("DELETE", f"{at}/corrections/{each['id']}")
        assert not list((out / "corrections" / "barn.mp4.masks").iterdir())
        assert applied(served)["state"] == "done"
    assert {row["sample_id"]: row["sha256"] for row in rows(out / "samples.parquet")} == before


def test_masks_that_were_not_shown_are_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with corrected(out) as served:
        first, second = (each["window"] for each in windows(served)[:2])
        one, _ = sorted(objects(served, second))
        at = f"/dataset/windows/{second}/corrections"
        clicks = {"frame": 20, "box": [86, 36, 114, 64], "reach": "onward", "object": one}
        name = served.ask("POST", f"/dataset/windows/{second}/preview", json=clicks)["name"]
        redraw = {"do": "redraw", "frame": 20, "object": one, "masks": name, "author": "ann"}
        for body, status, message in (
            (redraw | {"masks": "f" * 32}, 409, "follow once more"),
            (redraw | {"masks": None}, 422, "redraw needs the name of masks that were shown"),
            (redraw | {"do": "remove"}, 422, "remove takes no masks"),
            (redraw | {"object": None}, 422, "redraw needs the object"),
            (redraw | {"object": 99}, 422, "there is no object 99"),
            (redraw | {"do": "draw"}, 422, f"there is an object {one} already"),
            (redraw | {"frame": 18}, 422, "frame must be one that its masks are about, within 20 to 30, got 18"),
        ):
            assert message in served.ask("POST", at, status, json=body)["detail"], body
        elsewhere = f"/dataset/windows/{first}/corrections"
        assert "follow once more" in served.ask("POST", elsewhere, 409, json=redraw)["detail"]
        with monkeypatch.context() as full:

            def write(path: Path, table: Any) -> None:
                raise DiskError(f"no space left in {path.parent}")

            full.setattr(pipeline.drawings, "write_table", write)
            assert "no space" in served.ask("POST", at, 507, json=redraw)["detail"]
        assert not (out / "corrections" / "barn.mp4.json").exists()
        served.ask("POST", at, 201, json=redraw)


def test_following_ends_when_nobody_waits(out: Path) -> None:
    with corrected(out) as served:
        window = windows(served)[1]["window"]
        model, steps = served.rooms.model, []
        begin = model.tracker.begin  # type: ignore[attr-defined]

        def slow(frames: Any) -> Any:
            dialogue = begin(frames)
            propagate = dialogue.propagate

            def each(*asked: Any) -> Iterator[Any]:
                for seen in propagate(*asked):
                    steps.append(seen.frame)
                    time.sleep(0.6)
                    yield seen

            dialogue.propagate = each
            return dialogue

        model.tracker.begin = slow  # type: ignore[attr-defined]
        clicks = {"frame": 16, "box": [74, 36, 102, 64], "reach": "onward"}
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(f"{served.address}/dataset/windows/{window}/preview", json=clicks, timeout=0.7)
        until = time.monotonic() + 30
        while model.busy and time.monotonic() < until:
            time.sleep(0.05)
        assert not model.busy and 0 < len(steps) < 7


def test_a_build_can_be_cancelled_and_the_token_is_asked_for(out: Path) -> None:
    with corrected(out, token="a-secret-of-sixteen") as served:
        window = windows(served)[0]["window"]
        for method, path in (("GET", "/dataset/windows"), ("POST", "/dataset/apply"), ("DELETE", f"/dataset/windows/{window}/corrections/x")):  # noqa: E501  # fmt: skip
            served.ask(method, path, 401, headers={"authorization": "Bearer wrong"})
        served.ask("POST", "/dataset/apply", 403, headers={"origin": "http://evil.example"})
        served.ask("POST", "/dataset/apply", 202)
        assert "a build is running" in served.ask("POST", "/dataset/apply", 409)["detail"]
        served.ask("POST", "/dataset/apply/cancel")
        until = time.monotonic() + 60
        while (now := served.ask("GET", "/dataset/apply"))["state"] == "running" and time.monotonic() < until:
            time.sleep(0.1)
        assert now["state"] == "cancelled"
        assert applied(served)["state"] == "done"
        told = served.ask("GET", "/dataset/apply/events?follow=false").text
        assert told.startswith("event: progress\ndata: {") and '"state":"done"' in told


def test_failed_windows_doubtful_links_and_bad_crops_come_first(out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    samples = pq.read_table(out / "samples.parquet")
    clips = [row["clip_id"] for row in samples.to_pylist()][::2]  # of the four windows in order of time
    bad = [1.0 if row["clip_id"] == clips[3] else 0.0 for row in samples.to_pylist()]
    at = samples.schema.get_field_index("truncated")
    pq.write_table(
        samples.set_column(at, samples.schema.field(at), pa.array(bad, pa.float32())), out / "samples.parquet"
    )
    failures = pq.read_table(out / "failures.parquet").schema
    failed = {"video": "barn.mp4", "clip_id": clips[2], "stage": "track", "error": "the model broke"}
    pq.write_table(pa.Table.from_pylist([failed], failures), out / "failures.parquet")
    links = pq.read_table(out / "links.parquet")
    doubtful = {**links.to_pylist()[0], "first_sample": "", "second_sample": samples["sample_id"][2].as_py(), "state": "open"}  # noqa: E501  # fmt: skip
    pq.write_table(pa.Table.from_pylist([doubtful], links.schema), out / "links.parquet")
    with corrected(out) as served:
        listed = windows(served, "doubt")
        by_time = [each["window"] for each in windows(served)]
        assert [by_time.index(each["window"]) for each in listed] == [2, 1, 3, 0]
        assert listed[0]["why"][0] == "failed: the model broke" and "1 doubtful link" in listed[1]["why"]
        assert "worst crop: cut off 100 %" in listed[2]["why"]
