"""Corrections in a build: what they touch is made again and nothing else, and taking them back costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.build import Build, Summary
from pipeline.corrections import Correction, Corrections
from pipeline.drawings import Drawing
from pipeline.errors import ConfigError
from pipeline.settings import Settings
from sam.types import FrameMasks, Mask, Prompt, SessionFrames
from tests.pipeline.by_colour import ByColour
from tests.pipeline.composing import loaded
from tests.running import rows
from video.encoder import EncodeConfig, encode

WIDTH, HEIGHT, COUNT = 160, 96, 64
RED, BLUE, GREEN = (220, 40, 40), (40, 60, 220), (40, 220, 40)
PLACES = {RED: (8, 10, 48, 40), BLUE: (60, 10, 100, 40), GREEN: (110, 50, 150, 90)}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three things that stand still, one colour each; four windows of 16 frames."""
    image = np.full((HEIGHT, WIDTH, 3), (90, 110, 90), np.uint8)
    for colour, (x0, y0, x1, y1) in PLACES.items():
        image[y0:y1, x0:x1] = colour
    path = tmp_path_factory.mktemp("footage") / "barn.mp4"
    lossless = EncodeConfig(lossless=True, preset="ultrafast")
    encode(path, (image for _ in range(COUNT)), Fraction(25), lossless, size=(WIDTH, HEIGHT))
    return path


@dataclass
class FindsConfig:
    max_side: int | None = None

    def build(self) -> Finds:
        return Finds(self)


class Finds(ByColour):
    """Finds the red and the blue thing by any text; clicks name more, or others. calls: how it was asked."""

    understands = frozenset({"text", "points", "box"})
    calls: list[tuple[int, int]] = []  # first frame of the window, clicks  # noqa: RUF012 - tests look at it

    def __init__(self, config: FindsConfig) -> None:
        self.max_side, self._fail_at, self.asked = config.max_side, None, []

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        clicks = [prompt for prompt in prompts if prompt.text is None]
        Finds.calls.append((int(frames.indices[0]), len(clicks)))
        named = [Prompt(object_id=n, points=((x + 9.0, y + 9.0),), labels=(1,)) for n, (x, y) in self.found.items()]
        corrected = {click.object_id for click in clicks}
        yield from super().track(frames, [*(p for p in named if p.object_id not in corrected), *clicks])

    found = {1: PLACES[RED][:2], 2: PLACES[BLUE][:2]}  # noqa: RUF012


def settings(video: Path, out: Path, *more: str) -> Settings:
    small = ("clip.num_frames=8", "clip.stride=2", "crop.size=32", "filters.size.min_side=8", "exports=[]")
    base = loaded(f"videos={video}", f"out={out}", "prompt=cow", "tracker=motion", *small, *more)
    return replace(base, tracker=FindsConfig(), tracker_name="finds")  # type: ignore[arg-type]


def build(
    video: Path, out: Path, *entries: Correction, more: Sequence[str] = ()
) -> tuple[Summary, list[dict[str, Any]]]:
    """Build with these corrections; returns what was made, and the samples."""
    path = out.parent / "corrections" / "barn.mp4.json"
    Corrections("barn.mp4", entries).save(path)
    Finds.calls.clear()
    made = Build(settings(video, out, f"corrections={path.parent}")).run()
    return made, rows(out / "samples.parquet")


def ids(samples: list[dict[str, Any]]) -> dict[int, set[int]]:
    """Objects by the first frame of their clip."""
    found: dict[int, set[int]] = {}
    for sample in samples:
        found.setdefault(sample["start_frame"], set()).add(sample["object_id"])
    return found


EVERY = {0: {1, 2}, 16: {1, 2}, 32: {1, 2}, 48: {1, 2}}


def test_edits_need_no_tracking_and_taking_them_back_neither(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made, before = build(video, out)
    assert (made.crops, made.tracked_windows) == (8, 4) and not any(s["corrected"] for s in before)
    made, samples = build(video, out, Correction("remove", 20, 1), Correction("split", 40, 2, 5))
    assert Finds.calls == [] and made.tracked_windows == 0
    assert ids(samples) == EVERY | {16: {2}, 32: {1, 2, 5}}
    assert {(s["start_frame"], s["object_id"]) for s in samples if s["corrected"]} == {(32, 2), (32, 5)}
    visible = {s["object_id"]: sum(s["visible"]) for s in samples if s["start_frame"] == 32}
    assert visible == {1: 8, 2: 4, 5: 4}
    made, samples = build(video, out)
    assert Finds.calls == [] and {s["sample_id"] for s in samples} == {s["sample_id"] for s in before}
    assert {s["sha256"] for s in samples} == {s["sha256"] for s in before}


def test_masks_that_a_person_accepted_are_cropped_and_nothing_is_tracked(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _, before = build(video, out)
    mask = Mask.encode(np.ones((40, 40), np.bool_), (110, 50))  # the green thing, which no text finds
    frames = tuple(range(16, 32, 2))
    new = Correction("draw", 18, 3, drawing=Drawing(WIDTH, HEIGHT, frames, (mask,) * 8))
    made, samples = build(video, out, new)
    assert Finds.calls == [] and made.tracked_windows == 0 and ids(samples) == EVERY | {16: {1, 2, 3}}
    (drawn,) = [sample for sample in samples if sample["object_id"] == 3]
    assert drawn["corrected"] and drawn["prompt"] == "cow" and {tuple(box) for box in drawn["boxes"]} == {PLACES[GREEN]}
    other = replace(new, drawing=Drawing(WIDTH, HEIGHT, frames, (None, *(mask,) * 7)))
    _, samples = build(video, out, other)
    assert [sum(s["visible"]) for s in samples if s["object_id"] == 3] == [7], "other masks are other tracks"
    _, samples = build(video, out)
    assert Finds.calls == [] and {s["sha256"] for s in samples} == {s["sha256"] for s in before}


def test_clicks_track_their_window_alone_once_more(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(video, out)
    green = Correction("add", 18, 3, points=((130.0, 70.0),), labels=(1,))
    other = Correction("refine", 50, 1, points=((130.0, 70.0),), labels=(1,))
    made, samples = build(video, out, green, other)
    assert Finds.calls == [(16, 1), (48, 1)] and made.tracked_windows == 2
    assert ids(samples) == EVERY | {16: {1, 2, 3}}
    boxes = {(s["start_frame"], s["object_id"]): tuple(s["boxes"][0]) for s in samples}
    assert boxes[16, 3] == boxes[48, 1] == PLACES[GREEN] and boxes[16, 1] == PLACES[RED]
    again, _ = build(video, out, green, other)
    assert Finds.calls == [] and again.crops == made.crops
    _, alone = build(video, tmp_path / "fresh" / "out", green, other)  # from the start with corrections
    assert sorted(Finds.calls) == [(0, 0), (16, 0), (16, 1), (32, 0), (48, 0), (48, 1)]
    assert {s["sample_id"] for s in alone} == {s["sample_id"] for s in samples}


def test_what_does_not_fit_fails_its_window_alone(
    video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, samples = build(video, tmp_path / "out", Correction("remove", 20, 9))
    assert made.status == 3 and made.failures == 1
    assert ids(samples) == {start: found for start, found in EVERY.items() if start != 16}
    (failure,) = rows(tmp_path / "out" / "failures.parquet")
    assert (
        "barn.mp4.json: corrections[0] (remove): there is no object 9 in its window; there are 1, 2" in failure["error"]
    )
    assert "there is no object 9" in caplog.text
    made, samples = build(video, tmp_path / "out", Correction("remove", 20, 2))
    assert made.status == 0 and ids(samples)[16] == {1} and Finds.calls == []


def test_wrong_corrections_are_said_before_anything_is_made(video: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"frame 900 is beyond the end: barn.mp4 has frames 0 to 63"):
        build(video, tmp_path / "out", Correction("remove", 900, 1))
    path = tmp_path / "barn.mp4.json"
    Corrections("barn.mp4", (Correction("add", 18, 3, box=(0.0, 0.0, 9.0, 9.0)),)).save(path)
    motion = replace(settings(video, tmp_path / "out", f"corrections={path}"), tracker_name="motion")
    motion = replace(motion, tracker=loaded("videos=x", "prompt=x", "tracker=motion").tracker)
    with pytest.raises(ConfigError, match="tracker=motion takes no points or boxes"):
        Build(motion).run()
    assert not (tmp_path / "out" / "dataset.yaml").exists()


def test_a_plan_knows_what_corrections_cost(video: Path, tmp_path: Path) -> None:
    from pipeline.tasks.plan import plan

    green = Correction("add", 18, 3, points=((130.0, 70.0),), labels=(1,))
    build(video, tmp_path / "out")
    Corrections("barn.mp4", (green, Correction("remove", 40, 1))).save(tmp_path / "c.json")
    _, text = plan(settings(video, tmp_path / "out", f"corrections={tmp_path}/c.json"))
    assert "to track:        1 windows" in text and "tracks reused:   3 windows" in text
