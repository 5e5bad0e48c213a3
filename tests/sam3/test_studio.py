"""The studio on the real architectures: what it shows and tracks is to the bit what a session in Python gives."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from pipeline.stages.source_frames import session_frames
from sam.session import SAMSession
from sam.types import FrameMasks, Mask, Prompt
from tests.sam3.conftest import require
from tests.sam3.footage import COLOURS, HEIGHT, WIDTH, blobs
from tests.sam3.leaks import alive_bytes
from tests.sam3.prompting import BOX, CLICK, MODELS
from video.encoder import EncodeConfig, encode

COUNT = 10
POINT = {"x": CLICK[0][0], "y": CLICK[0][1]}
NOT = (100.0, 20.0)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("footage") / "blobs.mp4"
    encode(path, blobs(COUNT).images, Fraction(25), EncodeConfig(lossless=True), size=(WIDTH, HEIGHT))
    return path


def exported(studio: Any, session: str) -> dict[tuple[int, int], np.ndarray]:
    """(object, frame) -> mask."""
    rows = studio.ask("GET", f"/export/{session}?format=coco")["annotations"]
    return {
        (row["track_id"], row["image_id"]): coco.decode(
            {"size": row["segmentation"]["size"], "counts": row["segmentation"]["counts"].encode()}
        )
        for row in rows
    }


def merged(*runs: list[FrameMasks]) -> dict[tuple[int, int], np.ndarray]:
    """The same of what sessions yielded, the later runs over the earlier."""
    found: dict[tuple[int, int], Mask] = {}
    for seen in (each for run in runs for each in run):
        found = {key: mask for key, mask in found.items() if key[1] != seen.frame}
        found |= {(n, seen.frame): mask for n, mask in zip(seen.object_ids, seen.masks, strict=True)}
    return {key: mask.full(WIDTH, HEIGHT) for key, mask in found.items()}


def same(one: dict[tuple[int, int], np.ndarray], other: dict[tuple[int, int], np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_clicks_mean_what_they_mean_in_python(
    name: str, prompted: dict[str, Path], video: Path, tmp_path: Path
) -> None:
    """Two objects, forward, a correction, and on from there; then another person's session on the same model."""
    require("fastapi", "requests")
    from tests.studio.serving import serving

    with (
        MODELS[name](str(prompted[name])).build() as tracker,
        session_frames(str(video)) as frames,
        SAMSession(tracker, frames) as live,
    ):
        first = live.refine(Prompt(object_id=1, points=CLICK, labels=(1,)))
        live.refine(Prompt(object_id=2, box=BOX))
        whole = list(live.propagate("forward", 0, COUNT - 1))
        live.refine(Prompt(frame=5, object_id=1, points=(NOT,), labels=(0,)))
        part = list(live.propagate("forward", 5, COUNT - 1))
    assert first.object_ids in ((1,), ())
    with serving(tmp_path, MODELS[name](str(prompted[name])).build()) as studio:

        def work(session: str) -> None:
            studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "points": [POINT]})
            second = {"frame_idx": 0, "object_id": 2, "box": BOX}
            studio.ask("POST", f"/annotate-frame/{session}", json=second)
            studio.ask("POST", f"/propagate/{session}", json={"start_frame": 0, "end_frame": COUNT - 1})
            no = {"frame_idx": 5, "points": [{"x": NOT[0], "y": NOT[1], "label": 0}]}
            studio.ask("POST", f"/refine-mask/{session}", json=no)
            studio.ask("POST", f"/propagate/{session}", json={"start_frame": 5, "end_frame": COUNT - 1})

        sessions = [studio.upload(video) for _ in range(2)]
        people = [threading.Thread(target=work, args=(session,)) for session in sessions]
        for person in people:
            person.start()
        for person in people:
            person.join()
        for session in sessions:  # side by side on one model, frame by frame in turns
            assert same(exported(studio, session), merged(whole, part))
            assert merged(whole, part)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_model_makes_room_and_comes_back(name: str, prompted: dict[str, Path], video: Path, tmp_path: Path) -> None:
    """While a build has the device nothing of the model is held; a session goes on from its prompts, to the bit."""
    require("fastapi", "requests")
    from tests.studio.serving import serving

    build = MODELS[name](str(prompted[name])).build
    with build() as tracker, session_frames(str(video)) as frames, SAMSession(tracker, frames) as live:
        live.add_prompt(Prompt(object_id=1, points=CLICK, labels=(1,)))
        live.add_prompt(Prompt(object_id=2, box=BOX))
        whole = list(live.propagate("forward", 0, COUNT - 1))
    del live, frames, tracker
    before = alive_bytes()
    with serving(tmp_path, build()) as studio:
        session = studio.upload(video)
        studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "points": [POINT]})
        studio.ask("POST", f"/propagate/{session}", json={"start_frame": 0, "end_frame": COUNT - 1})
        loaded = alive_bytes()
        studio.rooms.model.rest().result(60)
        assert loaded > before + 2**20 and alive_bytes() < before + 2**10
        studio.ask("POST", f"/annotate-frame/{session}", json={"frame_idx": 0, "object_id": 2, "box": BOX})
        studio.ask("POST", f"/propagate/{session}", json={"start_frame": 0, "end_frame": COUNT - 1})
        assert same(exported(studio, session), merged(whole))


def test_texts_find_what_they_name(checkpoint: Path, video: Path, tmp_path: Path) -> None:
    require("fastapi", "requests")
    from sam.backends.sam3_hf import Sam3HfConfig
    from tests.studio.serving import serving

    footage = blobs(COUNT)
    with serving(tmp_path, Sam3HfConfig(device="cpu", weights=str(checkpoint)).build()) as studio:
        session = studio.upload(video)
        click = {"frame_idx": 0, "points": [POINT]}
        said = studio.ask("POST", f"/annotate-frame/{session}", 422, json=click)["detail"]
        assert "tracker=sam3_hf takes no clicks" in said
        studio.ask("POST", f"/prompt-text/{session}", json={"text": "cow"})
        done = studio.ask("POST", f"/propagate/{session}", json={"start_frame": 0, "end_frame": 3})
        assert sorted(done["objects"].values()) == [4, 4]
        for (number, frame), mask in exported(studio, session).items():
            truths = footage.truth[frame, : len(COLOURS)]
            likeness = max((truth & (mask > 0)).sum() / (truth | (mask > 0)).sum() for truth in truths)
            assert likeness > 0.6, (number, frame)
