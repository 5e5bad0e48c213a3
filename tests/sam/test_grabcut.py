"""tracker=grabcut: how well it does on scenes it was never tuned on, and what its clicks and boxes mean."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sam.backends.grabcut import GrabcutConfig
from sam.session import SAMSession
from sam.types import Mask, Prompt, SessionFrames, iou
from tests.sam.scoring import HELD_OUT, Scene, disc_frames, session_frames

COUNT = 20
RED = (200, 50, 40)
PATH = [(40 + 10 * t, 90) for t in range(COUNT)]


def disc(at: tuple[int, int], scale: int = 1) -> Mask:
    plane = np.zeros((180 * scale, 320 * scale), np.uint8)
    cv2.circle(plane, (at[0] * scale, at[1] * scale), 16 * scale, 1, -1)
    mask = Mask.encode(plane)
    assert mask is not None
    return mask


def deepest(mask: Mask) -> tuple[float, float]:
    """The place farthest from the outline, where a person would click."""
    padded = cv2.copyMakeBorder(mask.decode(), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    row, column = np.unravel_index(cv2.distanceTransform(padded, cv2.DIST_L2, 5).argmax(), padded.shape)
    return float(mask.box[0] + column - 1), float(mask.box[1] + row - 1)


def ious(scene: Scene, kind: str) -> list[float]:
    """Of every individual that is clearly seen when a window begins, in each frame that shows it."""
    found = []
    for window in list(scene.windows())[::4]:
        truth = scene.truth_of(window)
        named = {number: t for number, t in truth[0].items() if t.visible > 0.8 and t.mask.area > 600}
        with SAMSession(GrabcutConfig().build(), window) as session:
            for number, t in named.items():
                box = tuple(float(v) for v in t.mask.box)
                click = Prompt(object_id=number, points=(deepest(t.mask),), labels=(1,))
                session.add_prompt(Prompt(object_id=number, box=box) if kind == "box" else click)
            for seen in session.propagate() if named else ():
                masks = dict(zip(seen.object_ids, seen.masks, strict=True))
                there = [n for n in named if n in truth[seen.frame] and truth[seen.frame][n].visible >= 0.3]
                found += [iou(masks[n], truth[seen.frame][n].mask) if n in masks else 0.0 for n in there]
    return found


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("scenes")
    size = {"width": 640, "height": 360, "cows": 3, "people": 1}
    return [Scene.render(folder / f"{seed}.mp4", seed, seconds=16, **size) for seed in HELD_OUT[:4]]


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute of a processor, drawing the scenes included
@pytest.mark.parametrize(("kind", "floor"), [("box", 0.65), ("click", 0.5)])
def test_floors_on_held_out_scenes(scenes: list[Scene], kind: str, floor: float) -> None:
    each = [ious(scene, kind) for scene in scenes]
    every = [value for one in each for value in one]
    assert len(every) > 300
    said = ", ".join(f"{np.mean(one):.3f}" for one in each)
    print(f"{kind}: mean mask IoU {np.mean(every):.3f}, of each scene {said}")
    assert np.mean(every) >= floor, f"{kind}: mean mask IoU {np.mean(every):.3f}, of each scene {said}"


@pytest.mark.parametrize("scale", [1, 3])
def test_a_click_and_a_box_follow_a_disc_both_ways_to_the_pixel(scale: int) -> None:
    """From the middle frame to both ends; places and masks are the source's, whatever the tracker sees."""
    frames = session_frames(disc_frames(COUNT, [PATH], [RED]), scale=scale)
    x, y = PATH[10][0] * scale, PATH[10][1] * scale
    box = (x - 20 * scale, y - 20 * scale, x + 20 * scale, y + 20 * scale)
    for prompt in (Prompt(frame=10, points=((x, y),), labels=(1,)), Prompt(frame=10, box=box)):
        with SAMSession(GrabcutConfig().build(), frames) as session:
            session.add_prompt(prompt)
            (track,) = session.tracks()
        assert track.frames.tolist() == list(range(COUNT))
        assert min(iou(mask, disc(PATH[t], scale)) for t, mask in enumerate(track.masks)) > 0.85


def test_what_goes_is_gone_and_is_found_again_when_it_comes_back() -> None:
    path = [place if not 6 <= t < 9 else None for t, place in enumerate(PATH)]
    frames = session_frames(disc_frames(COUNT, [path], [RED]))
    with SAMSession(GrabcutConfig().build(), frames) as session:
        session.add_prompt(Prompt(points=(PATH[0],), labels=(1,)))
        (track,) = session.tracks()
    assert track.frames.tolist() == [t for t, place in enumerate(path) if place is not None]


def two_colours() -> SessionFrames:
    """A red disc with a blue one joined to it, standing still."""
    places = [[(100, 90)] * 8, [(130, 90)] * 8]
    return session_frames(disc_frames(8, places, [RED, (40, 60, 190)]))


def test_a_negative_click_takes_a_part_away_in_later_frames_too() -> None:
    with SAMSession(GrabcutConfig().build(), two_colours()) as session:
        whole = session.refine(Prompt(object_id=1, box=(80, 70, 150, 110)))
        assert whole.masks[0].area > 1.5 * disc((100, 90)).area
        list(session.propagate("forward"))
        less = session.refine(Prompt(frame=3, object_id=1, points=((135, 90),), labels=(0,)))
        assert less.frame == 3 and iou(less.masks[0], disc((100, 90))) > 0.7
        after = {seen.frame: seen for seen in session.propagate("forward", start=3)}
        assert sorted(after) == [3, 4, 5, 6, 7]
        assert iou(after[7].masks[0], disc((100, 90))) > 0.7


def test_a_positive_click_adds_a_part() -> None:
    with SAMSession(GrabcutConfig().build(), two_colours()) as session:
        one = session.refine(Prompt(object_id=1, points=((95, 90),), labels=(1,)))
        assert iou(one.masks[0], disc((100, 90))) > 0.7
        more = session.refine(Prompt(object_id=1, points=((138, 90),), labels=(1,)))
        assert more.masks[0].area > 1.6 * disc((100, 90)).area


def test_a_mask_is_taken_as_it_is() -> None:
    frames = session_frames(disc_frames(3, [PATH[:3]], [RED]))
    plane = disc(PATH[1]).full(320, 180)
    with SAMSession(GrabcutConfig().build(), frames) as session:
        shown = session.refine(Prompt(frame=1, object_id=4, mask=plane.astype(bool)))
        assert shown.masks == (disc(PATH[1]),)
        assert {t: iou(seen.masks[0], disc(PATH[t])) > 0.8 for t, seen in enumerate(session.propagate())} == {
            0: True, 1: True, 2: True
        }  # fmt: skip


def test_a_correction_on_a_frame_not_reached_tracks_there_first() -> None:
    frames = session_frames(disc_frames(COUNT, [PATH], [RED]))
    with SAMSession(GrabcutConfig().build(), frames) as session:
        session.refine(Prompt(object_id=1, points=(PATH[0],), labels=(1,)))
        shown = session.refine(Prompt(frame=12, object_id=1, points=((300, 20),), labels=(0,)))
        assert iou(shown.masks[0], disc(PATH[12])) > 0.85
        session.remove(1)
        assert session.objects == ()


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tracker\.max_side is at least 64 pixels, got 10"):
        GrabcutConfig(max_side=10)


def test_it_segments_from_the_command_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from fractions import Fraction

    from tests.running import run
    from video.encoder import EncodeConfig, encode

    encode(tmp_path / "disc.mp4", disc_frames(COUNT, [PATH], [RED]), Fraction(6), EncodeConfig(crf=10), size=(320, 180))
    words = ["task=segment", f"videos={tmp_path / 'disc.mp4'}", f"out={tmp_path / 'out'}", "tracker=grabcut"]
    done = run(capfd, monkeypatch, *words, "segment.points=[[140,90]]", "segment.frame=10")
    assert done.status == 0, done.text
    for t in (0, 10, 19):
        made = cv2.imread(str(tmp_path / f"out/segment/disc/masks/1/{t:06}.png"), cv2.IMREAD_GRAYSCALE)
        mask = Mask.encode((made > 0).astype(np.uint8))
        assert mask is not None and iou(mask, disc(PATH[t])) > 0.8
