"""The requests of the API, one by one and together: what they answer, and what they do to the masks."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import requests
from pycocotools import mask as coco

from sam.backends.motion import MotionConfig
from tests.studio.conftest import COUNT, SIZE
from tests.studio.serving import BLUE, RED, Served, film, radius, serving
from tests.video.transparent import rgba


def place(t: int, blue: bool = False) -> tuple[int, int]:
    return (260 - 3 * t, 130) if blue else (60 + 3 * t, 60)


def truth(t: int, blue: bool = False) -> np.ndarray:
    plane = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.circle(plane, place(t, blue), radius(SIZE), 1, -1)
    return plane


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(bool) & b.astype(bool)).sum() / (a.astype(bool) | b.astype(bool)).sum())


def mask_of(answer: dict) -> np.ndarray:
    rle = answer["mask"]
    return coco.decode({"size": rle["size"], "counts": rle["counts"].encode()})


def click(t: int, label: int = 1, blue: bool = False) -> dict[str, int]:
    x, y = place(t, blue)
    return {"x": x, "y": y, "label": label}


def picture(jpeg: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@pytest.fixture
def session(studio: Served, cows: Path):
    made = studio.upload(cows)
    yield made
    if any(s["session_id"] == made for s in studio.ask("GET", "/sessions")["sessions"]):
        studio.ask("DELETE", f"/sessions/{made}")


def masks_by_frame(studio: Served, session: str) -> dict[int, dict[int, np.ndarray]]:
    """What the COCO export says: object -> frame -> mask."""
    document = studio.ask("GET", f"/export/{session}?format=coco")
    found: dict[int, dict[int, np.ndarray]] = {}
    for row in document["annotations"]:
        rle = {"size": row["segmentation"]["size"], "counts": row["segmentation"]["counts"].encode()}
        found.setdefault(row["track_id"], {})[row["image_id"]] = coco.decode(rle)
    return found


def test_an_upload_says_what_the_video_is(studio: Served, session: str) -> None:
    said = studio.ask("GET", f"/sessions/{session}")
    assert (said["width"], said["height"], said["fps"], said["frames"], said["name"]) == (*SIZE, 25, COUNT, "cows.mp4")
    assert said["duration"] == pytest.approx(COUNT / 25)
    assert len(session) == 32 and said["objects"] == {} and said["tracker"] == "grabcut"
    assert said["expires"] > time.time()


@pytest.mark.parametrize("t", [0, COUNT - 1, 17, 3])
def test_frames_are_the_right_ones_at_full_size(studio: Served, session: str, t: int) -> None:
    rgb = picture(studio.ask("GET", f"/frame/{session}/{t}").content)
    assert rgb.shape == (SIZE[1], SIZE[0], 3)
    for blue, colour in ((False, RED), (True, BLUE)):
        x, y = place(t, blue)
        assert np.abs(rgb[y, x].astype(int) - colour).max() < 25
        assert np.abs(rgb[y, x - 2 * radius(SIZE)].astype(int) - colour).max() > 60


def test_stepping_back_shows_the_frames_before(studio: Served, session: str) -> None:
    for t in (*range(COUNT - 1, COUNT - 13, -1), 5, 7, 6, 20, 19):
        rgb = picture(studio.ask("GET", f"/frame/{session}/{t}").content).astype(int)
        (x, y), reach = place(t), radius(SIZE)
        assert np.abs(rgb[y, x - reach + 3] - RED).max() < 40 and np.abs(rgb[y, x - reach - 3] - RED).max() > 60, t


def test_the_workflow_of_the_seed(studio: Served, session: str, tmp_path: Path) -> None:
    """Upload, annotate, propagate, refine, propagate from there, export; masks are right to a few pixels."""
    shown = studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "points": [click(0)]})
    assert overlap(mask_of(shown), truth(0)) > 0.8 and shown["object_id"] == 1
    ask = {"session_id": session, "start_frame": 0, "end_frame": 30}
    done = studio.ask("POST", f"/propagate/{session}", json=ask)
    assert (done["frames"], done["objects"], done["state"]) == (31, {"1": 31}, "done")
    refined = studio.ask("POST", f"/refine-mask/{session}", json={"frame_idx": 20, "points": [click(20)]})
    assert overlap(mask_of(refined), truth(20)) > 0.8
    studio.ask("POST", f"/propagate/{session}", json={"start_frame": 20, "end_frame": COUNT - 1})
    found = masks_by_frame(studio, session)
    assert sorted(found[1]) == list(range(COUNT))
    assert min(overlap(mask, truth(t)) for t, mask in found[1].items()) > 0.75

    path = tmp_path / "out.mp4"
    answer = studio.ask("GET", f"/export/{session}")
    assert answer.headers["content-type"] == "video/mp4"
    path.write_bytes(answer.content)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == COUNT
    x, y = place(35)
    assert np.abs(frames[35][y + 5, x + 5].astype(int) - RED).max() > 40  # tinted


def test_files_lie_where_the_seed_puts_them(studio: Served, session: str) -> None:
    studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "points": [click(0)]})
    for path in (f"/frame/{session}/1", f"/overlay/{session}/0", f"/export/{session}"):
        studio.ask("GET", path)
    root = studio.rooms.root
    folder = root / "outputs" / session
    assert (root / "uploads" / session).is_file()
    assert {p.name for p in folder.iterdir()} >= {"frames", "masks", "overlays", "output_video.mp4"}
    assert all(any((folder / name).iterdir()) for name in ("frames", "masks", "overlays"))


def test_overlays_follow_the_masks(studio: Served, session: str) -> None:
    plain = picture(studio.ask("GET", f"/overlay/{session}/0").content).astype(int)
    studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "box": [40, 40, 80, 80]})
    drawn = picture(studio.ask("GET", f"/overlay/{session}/0").content).astype(int)
    changed = np.abs(drawn - plain).max(axis=2) > 30
    assert changed[truth(0) > 0].mean() > 0.8
    assert not changed[100:].any()
    studio.ask("POST", f"/sessions/{session}/undo")
    again = picture(studio.ask("GET", f"/overlay/{session}/0").content).astype(int)
    assert np.abs(again - plain).max() < 3


def test_two_objects_both_ways_and_one_removed(studio: Served, session: str) -> None:
    studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 20, "points": [click(20)]})
    second = {"frame_idx": 10, "points": [click(10, blue=True)], "object_id": 7}
    studio.ask("POST", f"/annotate-frame/{session}", json=second)
    done = studio.ask("POST", f"/propagate/{session}", json={"direction": "both"})
    assert done["objects"] == {"1": COUNT, "7": COUNT}
    found = masks_by_frame(studio, session)
    for number, blue in ((1, False), (7, True)):
        assert min(overlap(mask, truth(t, blue)) for t, mask in found[number].items()) > 0.7
    after = studio.ask("DELETE", f"/sessions/{session}/objects/1")
    assert after["objects"] == {"7": COUNT} and [p["object"] for p in after["prompts"]] == [7]
    studio.ask("DELETE", f"/sessions/{session}/objects/1", status=404)


def test_a_range_is_inclusive_and_leaves_the_rest_alone(studio: Served, session: str) -> None:
    studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 20, "points": [click(20)]})
    ask = {"start_frame": 20, "end_frame": 15, "direction": "backward"}
    assert studio.ask("POST", f"/propagate/{session}", json=ask)["frames"] == 6
    assert sorted(masks_by_frame(studio, session)[1]) == list(range(15, 21))


def test_undo_takes_back_every_kind_of_action(studio: Served, session: str) -> None:
    states = []

    def state() -> tuple:
        said = studio.ask("GET", f"/sessions/{session}")
        return said["objects"], said["prompts"]

    def act(method: str, path: str, **body: object) -> None:
        states.append(state())
        studio.ask(method, path.format(session), **({"json": body} if body else {}))

    act("POST", "/annotate-frame/{}", frame_idx=0, points=[click(0)])
    act("POST", "/propagate/{}", start_frame=0, end_frame=12)
    act("POST", "/annotate-frame/{}", frame_idx=5, points=[click(5, blue=True)], object_id=2)
    act("POST", "/refine-mask/{}", frame_idx=5, points=[click(5)])
    act("POST", "/propagate/{}", direction="both")
    act("DELETE", "/sessions/{}/objects/1")
    while states:
        said = studio.ask("POST", f"/sessions/{session}/undo")
        assert (said["objects"], said["prompts"]) == states.pop()
    studio.ask("POST", f"/sessions/{session}/undo", status=409)


@pytest.mark.parametrize("kind", ["masks", "alpha"])
def test_other_exports(studio: Served, session: str, kind: str, tmp_path: Path) -> None:
    studio.ask("GET", f"/export/{session}?format={kind}", status=409)
    studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "points": [click(0)]})
    studio.ask("POST", f"/propagate/{session}", json={"start_frame": 0, "end_frame": 9})
    content = studio.ask("GET", f"/export/{session}?format={kind}").content
    if kind == "masks":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert sorted(archive.namelist()) == [f"masks/1/{t:06}.png" for t in range(COUNT)]
            shown = cv2.imdecode(np.frombuffer(archive.read("masks/1/000009.png"), np.uint8), cv2.IMREAD_GRAYSCALE)
            empty = cv2.imdecode(np.frombuffer(archive.read("masks/1/000010.png"), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert overlap(shown, truth(9)) > 0.75 and set(np.unique(shown)) == {0, 255} and not empty.any()
    else:
        (tmp_path / "a.webm").write_bytes(content)
        back = rgba(tmp_path / "a.webm")
        assert len(back) == COUNT and overlap(back[9][..., 3], truth(9)) > 0.75 and not back[10][..., 3].any()


def test_progress_is_told_and_a_job_can_be_cancelled(studio: Served, tmp_path: Path) -> None:
    session = studio.upload(film(tmp_path / "long.mp4", 300, SIZE, [((20, 60), (0, 0))]))
    studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "points": [{"x": 20, "y": 60}]})
    started = studio.ask("POST", f"/propagate/{session}", 202, json={"direction": "both", "wait": False})
    assert started["state"] in ("waiting", "running")
    told = []
    with requests.get(f"{studio.address}/sessions/{session}/events?follow=false", stream=True, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines(decode_unicode=True):
            if line.startswith("data: {") and line != "data: {}":
                told.append(json.loads(line.removeprefix("data: ")))
                if told[-1]["name"] != "propagate":  # the job that ended last
                    assert told.pop()["name"] == "annotate"
                elif told[-1]["done"] > 20:
                    studio.ask("POST", f"/sessions/{session}/cancel")
    assert told[-1]["state"] == "cancelled" and told[-1]["total"] == 300
    assert 20 < told[-1]["done"] < 300 and [each["done"] for each in told] == sorted(each["done"] for each in told)
    said = studio.ask("GET", f"/sessions/{session}")
    assert said["jobs"] == [] and said["objects"]["1"] >= 20  # what was tracked stays
    assert said["last_job"]["state"] == "cancelled" and "was cancelled after" in said["last_job"]["error"]
    studio.ask("DELETE", f"/sessions/{session}")


def test_a_click_is_answered_while_another_session_tracks(studio: Served, session: str, tmp_path: Path) -> None:
    busy = studio.upload(film(tmp_path / "long.mp4", 600, SIZE, [((20, 60), (0, 0))]))
    studio.ask("POST", f"/annotate-frame/{busy}", json={"frame_idx": 0, "points": [{"x": 20, "y": 60}]})
    studio.ask("POST", f"/propagate/{busy}", 202, json={"start_frame": 0, "end_frame": 599, "wait": False})
    studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "points": [click(0)]})
    (job,) = studio.ask("GET", f"/sessions/{busy}")["jobs"]
    assert job["state"] == "running" and job["done"] < 600
    studio.ask("DELETE", f"/sessions/{busy}")
    studio.ask("GET", f"/sessions/{busy}", status=404)
    assert not (studio.rooms.outputs / busy).exists() and not (studio.rooms.uploads / busy).exists()


def test_texts_find_objects_with_a_tracker_that_takes_them(tmp_path: Path) -> None:
    moving = film(tmp_path / "moving.mp4", 50, SIZE, [((20, 60), (5, 0))])
    with serving(tmp_path / "studio", MotionConfig(context=48).build()) as studio:
        session = studio.upload(moving)
        studio.ask("POST", f"/annotate-frame/{session}", 422, json={"frame_idx": 0, "points": [click(0)]})
        studio.ask("POST", f"/prompt-text/{session}", json={"text": "disc"})
        done = studio.ask("POST", f"/propagate/{session}", json={"start_frame": 5, "end_frame": 40})
        assert done["frames"] == 36 and len(done["objects"]) == 1
        assert max(done["objects"].values()) > 25
        again = studio.ask("POST", f"/propagate/{session}", json={"start_frame": 5, "end_frame": 40})
        assert studio.ask("GET", f"/sessions/{session}")["objects"] == again["objects"]


def test_text_is_refused_by_a_tracker_of_clicks(studio: Served, session: str) -> None:
    said = studio.ask("POST", f"/prompt-text/{session}", 422, json={"text": "cow"})
    assert "tracker=grabcut does not understand text" in said["detail"]


WRONG = {
    '{"frame_idx": 99, "points": [{"x": 1, "y": 1}]}': "cows.mp4 has frames 0 to 39, got 99",
    '{"frame_idx": 0, "points": [{"x": 400, "y": 1}]}': "the point [400, 1] lies outside the frame of 320x180",
    '{"frame_idx": 0, "points": [{"x": 1, "y": 1, "label": 2}]}': "points.0.label: Input should be 0 or 1, got '2'",
    '{"frame_idx": 0}': "a prompt needs a text, points, a box or a mask",
    '{"frame_idx": 0, "box": [9, 9, 5, 5]}': "a box is x0, y0, x1, y1 with x0 < x1",
    '{"frame_idx": 0, "point": []}': "point: Extra inputs are not permitted",
    '{"points": [{"x": 1, "y": 1}]}': "frame_idx: Field required",
    '{"frame_idx": 0, "points": [{"x": 1, "y": 1, "label": 0}]}': "object 1 is new: give it a point inside",
    '{"frame_idx": 0, "points": [{"x": NaN, "y": 1}]}': "points.0.x",
    '{"frame_idx": 0, "mask": {"size": [2, 2], "counts": "04"}}': "mask.size must be [height, width] = [180, 320]",
    '{"frame_idx": 0, "mask": {"size": [180, 320], "counts": "oooo"}}': "mask.counts",
    "{": "JSON",
}


@pytest.mark.parametrize("body", WRONG)
def test_what_is_wrong_is_said(studio: Served, session: str, body: str) -> None:
    headers = {"content-type": "application/json"}
    said = studio.ask("POST", f"/annotate-frame/{session}", 422, data=body, headers=headers)
    assert WRONG[body] in said["detail"]
    assert studio.ask("GET", f"/sessions/{session}")["prompts"] == []


def test_other_refusals(studio: Served, session: str) -> None:
    for method, path, status, body, message in (
        ("GET", "/frame/nobody/0", 404, None, "there is no session 'nobody'"),
        ("GET", f"/frame/{session}/40", 404, None, "has frames 0 to 39, got 40"),
        ("GET", f"/frame/{session}/-1", 404, None, "got -1"),
        ("GET", f"/overlay/{session}/x", 422, None, "idx"),
        ("GET", f"/export/{session}?format=gif", 422, None, "'mp4', 'masks', 'alpha' or 'coco'"),
        ("POST", f"/propagate/{session}", 409, {}, "annotate a frame first"),
        ("POST", f"/propagate/{session}", 422, {"start_frame": 9, "end_frame": 3}, "forward from 9 does not lead to 3"),
        ("POST", f"/propagate/{session}", 422, {"session_id": "another"}, "is not the path's"),
        ("POST", f"/propagate/{session}", 422, {"end_frame": 40}, "has frames 0 to 39, got 40"),
        ("POST", f"/refine-mask/{session}", 409, {"frame_idx": 0, "points": [click(0)]}, "annotated are none"),
        ("PUT", "/sessions", 405, None, "Method Not Allowed"),
        ("GET", "/nowhere", 404, None, "there is no GET /nowhere"),
    ):
        said = studio.ask(method, path, status, **({"json": body} if body is not None else {}))
        assert message in said["detail"], said


def test_jobs_of_one_session_run_in_the_order_they_came(studio: Served, session: str) -> None:
    answers: list[int] = []

    def annotate(t: int) -> None:
        studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": t, "points": [click(t)]})
        answers.append(t)

    threads = [threading.Thread(target=annotate, args=(t,)) for t in range(6)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    prompts = studio.ask("GET", f"/sessions/{session}")["prompts"]
    assert sorted(p["frame"] for p in prompts) == sorted(answers) == list(range(6))
