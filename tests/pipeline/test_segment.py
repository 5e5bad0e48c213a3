"""task=segment: the right pixels in the right frames, in every file it writes; clear words where it cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.tasks.segment import segment
from sam.errors import WrongPrompt
from tests.pipeline.by_colour import ByColourConfig
from tests.pipeline.composing import loaded
from tests.running import Done, rows, run
from tests.video.transparent import rgba
from video.alpha import ALPHA
from video.encoder import EncodeConfig, encode

WIDTH, HEIGHT, COUNT = 161, 97, 70  # odd sides, and more frames than are decoded together
RED, BLUE, GROUND = (220, 40, 40), (40, 60, 220), (90, 110, 90)
COMES = 40  # the frame in which the blue one comes in


def red(t: int) -> tuple[int, int, int, int]:
    return 8 + 2 * t % 120, 12, 8 + 2 * t % 120 + 24, 34


def blue(t: int) -> tuple[int, int, int, int] | None:
    return (120 - t, 60, 150 - t, 90) if t >= COMES else None


def picture(t: int) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    for box, colour in ((red(t), RED), (blue(t), BLUE)):
        if box is not None:
            image[box[1] : box[3], box[0] : box[2]] = colour
    return image


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("footage") / "barn.mp4"
    lossless = EncodeConfig(lossless=True, preset="ultrafast")
    encode(path, (picture(t) for t in range(COUNT)), Fraction(30000, 1001), lossless, size=(WIDTH, HEIGHT))
    return path


def settings(video: Path, out: Path, *more: str, **tracker: Any) -> Settings:
    base = loaded("task=segment", f"videos={video}", f"out={out}", "tracker=sam2", *more)
    return replace(base, tracker=ByColourConfig(**tracker), tracker_name="by_colour")


def done(made: Settings) -> tuple[int, Path]:
    layout = Layout(made.out, made.tracks)
    return segment(made, layout), layout.segment("barn.mp4")


TWO = "segment.clicks=[{points:[[12,20]]},{frame:50,object:7,box:[70,60,100,90]}]"


def test_masks_are_right_to_the_pixel_and_the_frame(video: Path, tmp_path: Path) -> None:
    status, folder = done(settings(video, tmp_path, TWO))
    assert status == 0
    for number, place in ((1, red), (7, blue)):
        shown = {int(p.stem): cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in (folder / f"masks/{number}").iterdir()}
        assert sorted(shown) == list(range(COUNT))  # black where the object is not visible
        for t, mask in shown.items():
            truth = np.zeros((HEIGHT, WIDTH), np.uint8)
            x0, y0, x1, y1 = place(t) or (0, 0, 0, 0)
            truth[y0:y1, x0:x1] = 255
            assert np.array_equal(mask, truth), f"object {number} in frame {t}"


def test_the_overlay_shows_each_frame_with_its_own_masks(video: Path, tmp_path: Path) -> None:
    _, folder = done(settings(video, tmp_path, TWO))
    with av.open(str(folder / "overlay.mp4")) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == COUNT and frames[0].shape == (HEIGHT + 1, WIDTH + 1, 3)
    for t, frame in enumerate(frames):
        changed = np.abs(frame[:HEIGHT, :WIDTH].astype(int) - picture(t)).max(axis=2) > 25
        x0, y0, x1, y1 = red(t)
        assert changed[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].all()  # tinted inside
        assert not changed[37:39].any()  # and nothing between the two and their labels
    inside = frames[0][24:30, 22:28].reshape(-1, 3).mean(axis=0)  # away from the click and the number
    assert np.abs(inside - (np.array(RED) // 2 + np.array((64, 160, 255)) // 2)).max() < 25


@pytest.mark.parametrize("kind", ["webm", "prores"])
def test_alpha_is_right_to_the_pixel_and_the_frame(kind: str, video: Path, tmp_path: Path) -> None:
    more = ("outputs.masks=null", "outputs.overlay=false", f"outputs.alpha={kind}", "outputs.every=3")
    _, folder = done(settings(video, tmp_path, TWO, *more))
    assert sorted(p.name for p in folder.iterdir()) == ["alpha", "masks.json"]
    for number, place, colour in ((1, red, RED), (7, blue, BLUE)):
        back = rgba(folder / "alpha" / f"{number}{ALPHA[kind]}")
        assert len(back) == len(range(0, COUNT, 3))
        for t, frame in zip(range(0, COUNT, 3), back, strict=True):
            x0, y0, x1, y1 = place(t) or (0, 0, 0, 0)
            truth = np.zeros((HEIGHT, WIDTH), np.uint8)
            truth[y0:y1, x0:x1] = 255
            assert np.array_equal(frame[..., 3], truth), f"object {number} in frame {t}"
            assert np.abs(frame[truth > 0][:, :3].astype(int) - colour).max(initial=0) <= 14


def test_the_masks_are_tracks_that_can_be_cropped(
    video: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = done(settings(video, tmp_path, TWO))
    made: Done = run(
        capfd,
        monkeypatch,
        *(f"videos={video}", f"out={tmp_path / 'crops'}", "prompt=thing", "tracker=file", "clip.num_frames=10"),
        *(f"tracker.path={folder / 'masks.json'}", "clip.stride=1", "crop.size=32", "filters.size.min_side=8"),
    )
    assert made.status == 0, made.text
    samples = rows(tmp_path / "crops" / "samples.parquet")
    assert sorted((s["object_id"], s["start_frame"]) for s in samples) == [
        *((1, t) for t in range(0, COUNT, 10)),
        *((7, t) for t in range(COMES, COUNT, 10)),
    ]
    for sample in samples:
        place = red if sample["object_id"] == 1 else blue
        assert [tuple(box) for box in sample["boxes"]] == [place(t) for t in sample["frame_indices"]]


def test_the_export_says_what_was_asked_and_when_frames_are(video: Path, tmp_path: Path) -> None:
    _, folder = done(settings(video, tmp_path, TWO, "outputs.masks=null"))
    data = json.loads((folder / "masks.json").read_text())
    assert data["info"]["prompts"] == [
        {"frame": 0, "object": 1, "points": [[12.0, 20.0]], "labels": [1]},
        {"frame": 50, "object": 7, "box": [70.0, 60.0, 100.0, 90.0]},
    ]
    assert [image["frame_index"] for image in data["images"]] == list(range(COUNT))
    assert data["images"][30]["time_s"] == pytest.approx(30 * 1001 / 30000, abs=1e-3)
    assert not (folder / "masks").exists()


def test_a_range_is_inclusive_and_keeps_the_videos_numbers(video: Path, tmp_path: Path) -> None:
    more = ("segment.points=[[100,20]]", "segment.frame=44", "segment.start=41", "segment.end=45")
    _, folder = done(settings(video, tmp_path, *more))
    data = json.loads((folder / "masks.json").read_text())
    assert [image["frame_index"] for image in data["images"]] == [41, 42, 43, 44, 45]
    boxes = {row["image_id"]: row["bbox"] for row in data["annotations"]}
    assert boxes == {t: [red(t)[0], 12, 24, 22] for t in range(41, 46)}
    assert sorted(p.name for p in (folder / "masks" / "1").iterdir()) == [f"{t:06}.png" for t in range(41, 46)]


def test_clicks_are_source_pixels_when_the_tracker_sees_less(video: Path, tmp_path: Path) -> None:
    _, folder = done(settings(video, tmp_path, TWO, max_side=80))
    data = json.loads((folder / "masks.json").read_text())
    for row in data["annotations"]:
        x0, y0, x1, y1 = (red if row["track_id"] == 1 else blue)(row["image_id"]) or (0, 0, 0, 0)
        assert np.abs(np.array(row["bbox"]) - (x0, y0, x1 - x0, y1 - y0)).max() <= 2


def test_a_file_of_clicks_says_the_same(video: Path, tmp_path: Path) -> None:
    clicks = tmp_path / "clicks.json"
    clicks.write_text('[{"points": [[12, 20]]}, {"frame": 50, "object": 7, "box": [70, 60, 100, 90]}]')
    _, inline = done(settings(video, tmp_path / "a", TWO))
    _, from_file = done(settings(video, tmp_path / "b", f"segment.clicks={clicks}"))
    assert (inline / "masks.json").read_bytes() == (from_file / "masks.json").read_bytes()


def test_nothing_half_done_stays(video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    status, folder = done(settings(video, tmp_path, TWO, fail_at=5))
    assert status == 3 and "barn.mp4: the model broke in frame 5" in caplog.text
    assert list(tmp_path.rglob("*.mp4")) == list(tmp_path.rglob("*.png")) == []
    status, folder = done(settings(video, tmp_path, TWO))
    before = (folder / "masks.json").read_bytes()
    done(settings(video, tmp_path, TWO, fail_at=5))
    assert (folder / "masks.json").read_bytes() == before


WRONG = {
    "segment.points=[[161,5]]": "the point [161, 5] lies outside the frame of 161x97 source pixels",
    "segment.points=[[5]]": "segment.points: [x, y] are 2 numbers in source pixels, got [5]",
    "segment.points=[480,200]": "2 numbers in source pixels, got 480; one point is a list too: [[x,y]]",
    "segment.points=5": "segment.points must be a list, got 5",
    "segment.points=[[5,5],[6,6]] segment.labels=[1]": "every point needs a label, got 2 points and 1 labels",
    "segment.points=[[5,5]] segment.labels=[2]": "a label is 1 (in the object) or 0 (not in it), got 2",
    "segment.points=[[5,5]] segment.labels=[0]": "object 1 is not named yet: give it a point inside (label 1)",
    "segment.labels=[1]": "every point needs a label, got 0 points and 1 labels",
    "segment.box=[5,5,5,9]": "a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1, got [5.0, 5.0, 5.0, 9.0]",
    "segment.box=[9,9,5,5]": "segment: a box is x0, y0, x1, y1 with",
    "segment.box=[0,0,200,9]": "the box [0, 0, 200, 9] reaches outside the frame of 161x97",
    "segment.box=[0,0,9]": "segment.box: [x0, y0, x1, y1] are 4 numbers in source pixels, got [0, 0, 9]",
    "segment.points=[[5,5]] segment.frame=70": "frames 0 to 69 are tracked, and a prompt is for frame 70",
    "segment.points=[[5,5]] segment.frame=9 segment.end=8": "frames 0 to 8 are tracked, and a prompt is for frame 9",
    "segment.points=[[5,5]] segment.end=70": "segment.end=70: barn.mp4 has frames 0 to 69",
    "segment.points=[[5,5]] segment.start=70": "segment.start=70: barn.mp4 has frames 0 to 69",
    "segment.clicks=[{frame:1}]": "segment.clicks[0]: a prompt needs a text, points, a box or a mask",
    "segment.clicks=[{point:[1,1]}]": "segment.clicks[0] has the key 'point'; it may have frame, object,",
    "segment.clicks=[]": "segment.clicks must be a list such as",
    "segment.clicks=[5]": "segment.clicks[0] must be an object such as",
    "segment.clicks=nowhere.json": "segment.clicks=nowhere.json is no file; it is a JSON file, or a list such as",
    "segment.clicks=[{object:-1,box:[0,0,9,9]}]": "segment.clicks[0].object must be a whole number from 0, got -1",
    "segment.clicks=[{object:2,points:[[5,5]],labels:[0]}]": "object 2 is not named yet",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_cannot_be_followed_is_said_before_anything_is_written(words: str, video: Path, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, WrongPrompt), match=re.escape(WRONG[words])):
        done(settings(video, tmp_path, *words.split()))
    assert list(tmp_path.rglob("*")) == []


def test_json_that_is_none_names_its_file(video: Path, tmp_path: Path) -> None:
    clicks = tmp_path / "clicks.json"
    clicks.write_text('[{"points": [[12, 20]]')
    with pytest.raises(ConfigError, match=r"clicks\.json is no JSON \(.*\): it must be a list such as"):
        done(settings(video, tmp_path, f"segment.clicks={clicks}"))


Run = Callable[..., Done]


@pytest.fixture
def go(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda *arguments: run(capfd, monkeypatch, "task=segment", *arguments)


def test_without_a_prompt_it_says_what_the_video_is(video: Path, tmp_path: Path, go: Run) -> None:
    said = go(f"videos={video}", f"out={tmp_path}")
    assert said.status == 0, said.text
    assert "161x97" in said.text and "29.97 frames a second" in said.text and "'segment.points=[[80,48]]'" in said.text
    assert list(tmp_path.rglob("*")) == []


def test_other_trackers_and_several_videos_are_refused(video: Path, tmp_path: Path, go: Run) -> None:
    click = "segment.points=[[5,5]]"
    said = go(f"videos={video}", f"out={tmp_path}", "tracker=motion", click)
    assert said.status == 2 and "tracker=sam3_tracker or tracker=grabcut, got tracker=motion" in said.text
    (tmp_path / "more").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "more" / name).write_bytes(video.read_bytes())
    said = go(f"videos={tmp_path / 'more'}", f"out={tmp_path}", "tracker=sam2", click)
    assert said.status == 2 and "task=segment works on one video, and videos names 2: a.mp4, b.mp4" in said.text
    said = go("videos=null", f"out={tmp_path}", click)
    assert said.status == 2 and "task=segment needs videos=..." in said.text
    said = go(f"videos={video}", f"out={tmp_path}", click, "segment.start=5", "segment.end=4")
    assert said.status == 2 and "segment.end is the last frame, at least segment.start=5, got 4" in said.text
