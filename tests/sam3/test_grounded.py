"""tracker=grounded_sam2: boxes as the library makes them, scores by token, and from boxes to tracks."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sam.backends import grounding as grounding_module
from sam.backends.grounded_sam2 import SMALLEST, GroundedSam2Config, GroundedSam2Tracker
from sam.backends.grounding import TINY, Candidates, Grounder
from sam.backends.sam2 import Sam2Config
from sam.errors import TrackerUnavailable, TrackingFailed, UnknownPrompt, WrongPrompt
from sam.memory import OutOfMemory
from sam.session import SAMSession
from sam.types import Prompt, SessionFrames, Track
from tests.running import rows, run_process
from tests.sam3.conformance import run
from tests.sam3.footage import HEIGHT, WIDTH, Footage, blobs
from tests.sam3.leaks import Watch
from tests.sam3.prompting import by_object, follow
from tests.sam3.test_main import ALONE
from tests.sam3.test_segment_main import video  # noqa: F401 - a fixture
from tests.sam3.tiny_grounding import LONGEST, QUERIES

IMAGE = blobs(1).images[0]
RED, GREEN = (6.0, 10.0, 46.0, 46.0), (108.0, 60.0, 148.0, 100.0)  # of frame 0


def config(prompted: dict[str, Path], grounding: Path, **options: Any) -> GroundedSam2Config:
    return GroundedSam2Config(device="cpu", weights=str(prompted["sam2"]), grounding=str(grounding), **options)


@pytest.fixture(scope="module")
def grounder(grounding: Path) -> Grounder:
    return grounding_module.load(str(grounding), "grounded_sam2", "sam2", "cpu")


@pytest.fixture(scope="module")
def tracker(prompted: dict[str, Path], grounding: Path) -> Iterator[GroundedSam2Tracker]:
    with config(prompted, grounding).build() as loaded:
        yield loaded


# -- detection --------------------------------------------------------------------------------------------------------


def theirs(folder: Path, image: np.ndarray, text: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Boxes (m, 4) in pixels and token probabilities (m, k) by the library, and the k tokens."""
    import torch
    from transformers import GroundingDinoForObjectDetection, GroundingDinoProcessor

    processor = GroundingDinoProcessor.from_pretrained(folder)
    given = processor(images=[image], text=[list(text)], return_tensors="pt")
    with torch.inference_mode():
        seen = GroundingDinoForObjectDetection.from_pretrained(folder).eval()(**given)
    (found,) = processor.post_process_grounded_object_detection(
        seen, given.input_ids, threshold=-1, text_threshold=2, target_sizes=[image.shape[:2]]
    )
    tokens = processor.tokenizer.convert_ids_to_tokens(given.input_ids[0])
    return found["boxes"].numpy(), seen.logits[0].sigmoid().numpy()[:, : len(tokens)], tokens


def test_boxes_and_token_scores_are_those_of_the_library(grounder: Grounder, grounding: Path) -> None:
    for image in (IMAGE, np.ascontiguousarray(IMAGE[:, :60]), blobs(1, scale=2).images[0]):
        boxes, scores, tokens = theirs(grounding, image, ["red cow", "calf", "koala"])
        assert tokens == ["[CLS]", "red", "cow", ".", "calf", ".", "ko", "##ala", ".", "[SEP]"]
        found = grounder.detect(image, ["calf", "koala", "red cow"])  # in another order, another text
        again = grounder.detect(image, ["red cow", "calf", "koala"])
        inside = np.clip(boxes, 0, np.tile(image.shape[1::-1], 2))
        whole = (inside[:, 2:] - inside[:, :2] >= 1).all(axis=1)
        assert whole.sum() > 5 and len(again.boxes) == whole.sum()
        np.testing.assert_allclose(again.boxes, inside[whole], atol=1e-2)
        for row, numbers in enumerate(([1, 2], [4], [6, 7])):
            np.testing.assert_allclose(again.box_scores[row], scores[whole][:, numbers].max(axis=1), atol=1e-5)
            np.testing.assert_allclose(again.text_scores[row], scores[whole][:, numbers].mean(axis=1), atol=1e-5)
        assert found.box_scores.shape == (3, len(found.boxes))
        assert np.ptp(again.box_scores) > 1e-3  # they do differ


def test_a_phrase_asked_twice_is_scored_once(grounder: Grounder) -> None:
    once, twice = grounder.detect(IMAGE, ["cow"]), grounder.detect(IMAGE, ["cow", "cow"])
    np.testing.assert_array_equal(once.boxes, twice.boxes)
    np.testing.assert_array_equal(np.repeat(once.text_scores, 2, axis=0), twice.text_scores)


def test_a_phrase_inside_another_has_tokens_of_its_own(grounder: Grounder, grounding: Path) -> None:
    _, scores, tokens = theirs(grounding, IMAGE, ["red cow", "cow"])
    assert tokens[4] == "cow"
    found = grounder.detect(IMAGE, ["red cow", "cow"])
    if len(found.boxes) == QUERIES:
        np.testing.assert_allclose(found.text_scores[1], scores[:, 4], atol=1e-5)
    assert np.abs(found.text_scores[0] - found.text_scores[1]).max() > 1e-4


def test_more_than_the_model_reads_is_refused(grounder: Grounder) -> None:
    phrases = [f"cow {'a ' * n}".strip() for n in range(8)]
    with pytest.raises(
        WrongPrompt, match=rf"8 phrases are \d+ tokens and GroundingDINO reads {LONGEST}: ask for fewer"
    ):
        grounder.detect(IMAGE, phrases)


# -- tracks -----------------------------------------------------------------------------------------------------------


class Seeing:
    """A detector that sees the true boxes. shows: for each picture, by its identity, boxes and a row of scores."""

    def __init__(self, boxes: Sequence[Sequence[float]], scores: Sequence[float]) -> None:
        self._boxes, self._scores = np.array(boxes, float).reshape(-1, 4), np.array(scores, float)
        self.looked: list[int] = []
        self.asked: list[list[str]] = []

    def detect(self, image: np.ndarray, phrases: Sequence[str]) -> Candidates:
        self.looked.append(int(image.sum()))
        self.asked.append(list(phrases))
        scores = np.tile(self._scores, (len(phrases), 1))
        return Candidates(self._boxes, scores, scores)


def seeing(tracker: GroundedSam2Tracker, detector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "_grounder", detector)
    monkeypatch.setattr(tracker, "_warned", set())


def tracked(tracker: GroundedSam2Tracker, frames: SessionFrames, text: str) -> list[Track]:
    with SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text=text))
        return session.tracks()


def planes(tracks: Sequence[Track], width: int = WIDTH, height: int = HEIGHT) -> list[list[np.ndarray]]:
    return [[mask.full(width, height) for mask in track.masks] for track in tracks]


def test_what_is_found_is_tracked_as_sam2_tracks_its_box(
    tracker: GroundedSam2Tracker, prompted: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the source's size too: 3 times that of the frames the tracker sees."""
    seeing(tracker, Seeing([RED, GREEN], [0.7, 0.9]), monkeypatch)
    for scale in (1, 3):
        frames = blobs(4).session(scale * WIDTH, scale * HEIGHT)
        tracks = tracked(tracker, frames, "cow")
        boxes = [tuple(scale * v for v in box) for box in (GREEN, RED)]
        with Sam2Config(device="cpu", weights=str(prompted["sam2"]), max_side=None).build() as sam2:
            named = [Prompt(box=box, object_id=n) for n, box in enumerate(boxes, 1)]  # type: ignore[arg-type]
            expected = by_object(follow(sam2, frames, named))
        assert {track.object_id for track in tracks} == set(expected)
        for track in tracks:
            assert track.prompt == "cow" and track.first_score == {1: 0.9, 2: 0.7}[track.object_id]
            shown = dict(zip(track.frames.tolist(), track.masks, strict=True))
            assert shown == {frame: mask for frame, (mask, _) in expected[track.object_id].items()}


def test_what_every_tracker_promises_with_the_real_detector(tracker: GroundedSam2Tracker) -> None:
    frames = blobs(3).session(2 * WIDTH, 2 * HEIGHT)
    lax = GroundedSam2Tracker(GroundedSam2Config(device="cpu", box_threshold=0.0, text_threshold=0.0, max_objects=3))
    lax._engine, lax._grounder = tracker.engine, tracker._grounder
    seen = run(lax, frames, "cow", "red calf, koala", disjoint=False)
    assert lax.found_by == {1: "cow", 2: "cow", 3: "cow", 4: "red calf, koala", 5: "red calf, koala"}
    scores = {number: score for one in seen for number, score in zip(one.object_ids, one.scores, strict=True)}
    assert {1, 2} <= set(scores), "too little was tracked to check anything"
    classes = [scores[number] for number in (1, 2, 3) if number in scores]
    assert classes == sorted(classes, reverse=True)


def test_nothing_stays_when_the_tracker_is_left(prompted: dict[str, Path], grounding: Path) -> None:
    watch = Watch()
    with config(prompted, grounding).build() as loaded:
        watch.add(loaded.engine.model)
        watch.add(loaded._grounder._model)  # type: ignore[union-attr]
        tracked(loaded, blobs(2).session(), "cow")
        assert watch.alive() == 2
    assert watch.alive() == 0
    with pytest.raises(RuntimeError, match="enter the tracker before tracking"):
        loaded.find(blobs(1).session(), "cow")


def test_two_phrases_that_are_the_same_ask_for_two_objects(
    tracker: GroundedSam2Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Seeing([RED, GREEN, (60, 10, 90, 40)], [0.7, 0.9, 0.8])
    seeing(tracker, detector, monkeypatch)
    frames = blobs(1).session()
    assert [d.score for d in tracker.find(frames, "Koala, koala").detections] == [0.9, 0.8]
    assert [d.score for d in tracker.find(frames, "koala").detections] == [0.9, 0.8, 0.7]
    assert detector.asked == [["koala", "koala"], ["koala"]]


def test_every_object_is_tracked_under_its_own_phrase(
    tracker: GroundedSam2Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is written in the text, with the detector's box in source pixels."""
    seeing(tracker, Seeing([RED, GREEN], [0.7, 0.9]), monkeypatch)
    with SAMSession(tracker, blobs(2).session(2 * WIDTH, 2 * HEIGHT)) as session:
        session.add_prompt(Prompt(text="Red  calf, cow"))
        tracks = session.tracks()
        assert {track.object_id: track.prompt for track in tracks} == {1: "Red calf", 2: "cow"}
        boxes = sorted(each.box for each in session.detected)
        assert boxes == [tuple(2 * v for v in box) for box in (RED, GREEN)]
        assert [(each.object_id, each.phrase, each.frame) for each in session.detected] == [(1, "Red calf", 0), (2, "cow", 0)]  # fmt: skip  # noqa: E501
        assert sorted(each.score for each in session.detected) == [0.7, 0.9]
        session.reset()
        session.add_prompt(Prompt(text="cow, koala, calf, cow"))  # nothing of the last text stays
        session.tracks()
        assert len(session.detected) == 2


def test_one_phrase_asks_for_one_if_wanted(
    prompted: dict[str, Path], grounding: Path, tracker: GroundedSam2Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = config(prompted, grounding, single="one").build()
    one._engine = tracker.engine
    seeing(one, Seeing([RED, GREEN], [0.7, 0.9]), monkeypatch)
    frames = blobs(1).session()
    assert [d.score for d in one.find(frames, "cow").detections] == [0.9]
    assert len(one.find(frames, "cow, cow").detections) == 2


class Counting(Seeing):
    """Sees two things on the brightest picture alone, where blue has come in, and a faint one before."""

    def detect(self, image: np.ndarray, phrases: Sequence[str]) -> Candidates:
        found = super().detect(image, phrases)
        return found if image[..., 2].max() > 100 else Candidates(found.boxes[:1], found.box_scores[:, :1], found.text_scores[:, :1])  # fmt: skip  # noqa: E501


def test_of_several_frames_the_one_with_most_to_find_is_taken(
    prompted: dict[str, Path],
    grounding: Path,
    tracker: GroundedSam2Tracker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    several = config(prompted, grounding, detect_on=3).build()
    several._engine = tracker.engine
    detector = Counting([(20, 20, 60, 60), (0, 46, 30, 82)], [0.6, 0.9])
    seeing(several, detector, monkeypatch)
    footage = blobs(9)
    found = several.find(footage.session(), "cow")
    assert (found.frame, len(found.detections)) == (8, 2) and len(detector.looked) == 3
    tracks = tracked(several, footage.session(), "cow")
    assert tracks and min(int(track.frames.min()) for track in tracks) < 8  # backward too
    seeing(tracker, detector, monkeypatch)
    assert tracker.find(footage.session(), "cow").frame == 0


def test_points_and_masks_are_inside_what_sam2_makes_of_the_box(
    prompted: dict[str, Path], grounding: Path, tracker: GroundedSam2Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = blobs(2).session(2 * WIDTH, 2 * HEIGHT)
    (masks,) = tracker.segment(frames.images[0], [Prompt(box=GREEN)], False)
    shown = masks[0].mask.full(WIDTH, HEIGHT)
    for kind in ("point", "mask"):
        each = config(prompted, grounding, prompt_type=kind).build()
        each._engine = tracker.engine
        seeing(each, Seeing([GREEN], [0.9]), monkeypatch)
        found = each.find(frames, "cow")
        prompt = each._prompt(frames, found.frame, 1, found.detections[0])
        assert prompt is not None and prompt.object_id == 1
        if kind == "point":
            assert 2 <= len(prompt.points) <= 10 and set(prompt.labels) == {1}
            assert all(shown[int(y / 2), int(x / 2)] for x, y in prompt.points)
        else:
            assert prompt.mask is not None and prompt.mask.shape == (2 * HEIGHT, 2 * WIDTH)
            # enlarged by interpolation: the same but for the outline
            assert (prompt.mask[::2, ::2] != (shown > 0)).mean() < 0.05
        assert {track.object_id for track in tracked(each, frames, "cow")} <= {1}


def test_a_box_that_sam2_makes_no_mask_of_is_left_out_with_a_warning(
    prompted: dict[str, Path],
    grounding: Path,
    tracker: GroundedSam2Tracker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    each = config(prompted, grounding, prompt_type="mask").build()
    each._engine = tracker.engine
    seeing(each, Seeing([GREEN], [0.9]), monkeypatch)
    monkeypatch.setattr("sam.backends.grounded_sam2.segment", lambda *_, **__: [[]])
    assert tracked(each, blobs(2).session(), "cow") == []
    assert "SAM2 makes no mask of the box [108, 60, 148, 100] of 'cow' on frame 0" in caplog.text
    assert each.found_by == {}


def test_nothing_found_is_said_once_for_a_video(
    tracker: GroundedSam2Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seeing(tracker, Seeing([RED, GREEN], [0.2, 0.45]), monkeypatch)
    footage: Footage = blobs(3)
    with caplog.at_level(logging.WARNING), SAMSession(tracker, footage.session()) as session:
        for _ in range(2):
            session.reset()
            session.add_prompt(Prompt(text="cow"))
            assert [one.object_ids for one in session.propagate()] == [(), (), ()]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "blobs.mp4: nothing found for 'cow' on frame 0; the best score is 0.45 for a word" in said
    assert "lower tracker.box_threshold=0.5 or tracker.text_threshold=0.3" in said
    assert tracked(tracker, footage.session(), "calf") == [] and len(caplog.records) == 2  # another prompt


def test_it_takes_text_alone_and_no_corrections(tracker: GroundedSam2Tracker) -> None:
    with SAMSession(tracker, blobs(1).session()) as session:
        with pytest.raises(UnknownPrompt, match="does not understand box prompts; it takes text"):
            session.add_prompt(Prompt(box=(0, 0, 5, 5)))
        session.add_prompt(Prompt(text="thing"))
        with pytest.raises(UnknownPrompt, match="tracker=sam2 takes corrections"):
            next(session.propagate("forward"))
        session.reset()
        session.add_prompt(Prompt(text="cow,"))
        with pytest.raises(WrongPrompt, match="empty phrase"):
            session.tracks()


def test_out_of_memory_names_the_tiny_models(tracker: GroundedSam2Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    expected = (
        f"out of memory.*2 GiB; tracker.grounding={TINY} is the smaller detector; tracker.weights={SMALLEST} is the "
        "smallest SAM2, also with the state in main memory"
    )
    seeing(tracker, SimpleNamespace(detect=full), monkeypatch)
    with pytest.raises(TrackingFailed, match=expected):
        tracked(tracker, blobs(2).session(), "cow")
    seeing(tracker, Seeing([RED], [0.9]), monkeypatch)
    monkeypatch.setattr("sam.backends.promptable_window.PromptableWindow.propagate", full)
    with pytest.raises(TrackingFailed, match=expected):
        tracked(tracker, blobs(2).session(), "cow")
    small = GroundedSam2Tracker(GroundedSam2Config(device="cpu", weights=SMALLEST))
    with pytest.raises(OutOfMemory, match=r"^it is full$"), small._naming_smaller():
        raise OutOfMemory("it is full")


# -- what it needs ----------------------------------------------------------------------------------------------------


def test_what_decides_the_objects_is_in_the_identity(prompted: dict[str, Path], grounding: Path) -> None:
    plain = config(prompted, grounding).build().identity()
    assert plain["tracker"] == "grounded_sam2" and plain["grounding"].startswith("sha256:")
    changes: list[dict[str, Any]] = [
        {"box_threshold": 0.4},
        {"text_threshold": 0.4},
        {"overlap_threshold": 0.4},
        {"prompt_type": "mask"},
        {"detect_on": 2},
        {"single": "one"},
        {"max_objects": 1},
    ]
    assert len({str(config(prompted, grounding, **change).build().identity()) for change in changes}) == len(changes)
    assert all(config(prompted, grounding, **change).build().identity() != plain for change in changes)
    assert config(prompted, grounding, state_on_cpu=True).build().identity() == plain


def test_the_doctor_looks_at_both_models(prompted: dict[str, Path], grounding: Path, tmp_path: Path) -> None:
    whole = list(config(prompted, grounding).preflight())
    assert [check.state for check in whole if check.name in ("weights", "grounding weights")] == ["ok", "ok"]
    (lacking,) = [c for c in config(prompted, tmp_path / "no").preflight() if c.name == "grounding weights"]
    assert lacking.state == "NO" and "tracker.grounding=" in lacking.detail and "tracker.weights" not in lacking.detail


def test_weights_that_are_none_are_refused_under_their_own_key(
    prompted: dict[str, Path], grounding: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrackerUnavailable, match=r"holds a 'sam2_video' model, not GroundingDINO .*tracker.grounding="):
        config(prompted, prompted["sam2"]).build().__enter__()
    half = tmp_path / "half"
    shutil.copytree(grounding, half)
    weights = half / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(TrackerUnavailable, match="is only partly there"):
        config(prompted, half).build().__enter__()


@pytest.mark.slow
def test_a_video_becomes_crops_of_two_by_text(
    video: Path,  # noqa: F811
    prompted: dict[str, Path],
    grounding: Path,
    tmp_path: Path,
) -> None:
    done = run_process(
        *(f"videos={video}", f"out={tmp_path}", 'prompt="cow, cow"', "tracker=grounded_sam2", "tracker.device=cpu"),
        *(f"tracker.weights={prompted['sam2']}", f"tracker.grounding={grounding}", "tracker.box_threshold=0"),
        *(
            "tracker.text_threshold=0",
            "tracker.prompt_type=mask",
            "clip.num_frames=10",
            "clip.stride=1",
            "crop.size=32",
        ),
        **ALONE,
    )
    assert done.status == 0, done.text
    samples = rows(tmp_path / "samples.parquet")
    assert {s["start_frame"] for s in samples} == {0, 10} and {s["prompt"] for s in samples} == {"cow"}
