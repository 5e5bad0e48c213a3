"""tracker=sam3: what it asks of the official package, and what it makes of the answers.

A predictor of a few lines stands in the package's place and answers the documented requests; `test_official_real.py`
runs the package itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sam.backends import official
from sam.backends.sam3 import Sam3Config, Sam3Tracker
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.session import SAMSession
from sam.types import Prompt
from tests.sam3.conformance import run
from tests.sam3.conftest import require
from tests.sam3.footage import BRIGHT, COLOURS, HEIGHT, WIDTH, blobs


class Model:
    """The attributes that SAM3's model is steered by."""

    max_num_objects = 10000
    score_threshold_detection = 0.5
    new_det_thresh = 0.7
    hotstart_delay = 15
    hotstart_unmatch_thresh = 8
    hotstart_dup_thresh = 8

    def modules(self) -> Iterator[Model]:
        yield self


class Predictor:
    """Answers the documented requests; finds the things of the colour that the text names, all of them for "cow".

    breaks: what to raise at the n-th frame that is asked for.
    """

    def __init__(self) -> None:
        self.model = Model()
        self.asked: list[dict[str, Any]] = []
        self.sessions: dict[str, list[Any]] = {}
        self.breaks: dict[int, BaseException] = {}
        self.frames = 0
        self.closed_streams = 0
        self._text = ""

    def handle_request(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        if request["type"] == "start_session":
            self.sessions["one"] = request["resource_path"]
            return {"session_id": "one"}
        if request["type"] == "add_prompt":
            self._text = request["text"]
            return {"frame_index": 0, "outputs": {}}
        assert request["type"] == "close_session"
        del self.sessions[request["session_id"]]
        return {"is_success": True}

    def handle_stream_request(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self.asked.append(request)
        try:
            for frame, picture in enumerate(self.sessions[request["session_id"]]):
                if self.frames in self.breaks:
                    error = self.breaks.pop(self.frames)
                    raise error
                self.frames += 1
                yield {"frame_index": frame, "outputs": self._look(np.asarray(picture))}
        finally:
            self.closed_streams += 1

    def _look(self, image: Any) -> dict[str, Any]:
        wanted = range(3) if self._text == "cow" else [COLOURS.index(self._text)] if self._text in COLOURS else []
        found = [(k, image[..., k] == BRIGHT) for k in wanted if (image[..., k] == BRIGHT).any()]
        found = [*found, (7, np.zeros(image.shape[:2], bool))][: self.model.max_num_objects]  # an empty mask too
        return {
            "out_obj_ids": np.array([k for k, _ in found]),
            "out_probs": np.full(len(found), 0.9, np.float32),
            "out_boxes_xywh": np.zeros((len(found), 4), np.float32),
            "out_binary_masks": np.stack([mask for _, mask in found]),
        }


@pytest.fixture
def predictor() -> Predictor:
    require("PIL")
    return Predictor()


@pytest.fixture
def tracker(predictor: Predictor) -> Sam3Tracker:
    """The tracker as it is after it was entered in this thread."""
    made = Sam3Config().build()
    made._predictor, made._thread = predictor, threading.get_ident()
    return made


@contextmanager
def session(tracker: Sam3Tracker, *texts: str, count: int = 8) -> Iterator[SAMSession]:
    with SAMSession(tracker, blobs(count).session()) as opened:
        for text in texts:
            opened.add_prompt(Prompt(text=text))
        yield opened


class TestRequests:
    def test_frames_are_pictures_in_memory(self, tracker: Sam3Tracker, predictor: Predictor) -> None:
        from PIL import Image

        with session(tracker, "cow") as opened:
            opened.tracks()
        start = predictor.asked[0]
        assert all(isinstance(picture, Image.Image) for picture in start["resource_path"])
        assert [r["type"] for r in predictor.asked] == [
            "start_session",
            "add_prompt",
            "propagate_in_video",
            "close_session",
        ]
        assert predictor.sessions == {}

    def test_masks_make_boxes_and_empty_ones_are_dropped(self, tracker: Sam3Tracker) -> None:
        footage = blobs(8)
        with session(tracker, "cow") as opened:
            tracks = opened.tracks()
        assert [(t.object_id, t.prompt, len(t.frames)) for t in tracks] == [
            (0, "cow", 8),
            (1, "cow", 8),
            (2, "cow", 2),
        ]
        for track, colour in zip(tracks, COLOURS, strict=True):
            assert footage.likeness(track, colour) == [1.0] * len(track.frames)

    def test_every_prompt_has_its_pass_and_ids_never_meet(self, tracker: Sam3Tracker, predictor: Predictor) -> None:
        with session(tracker, "cow", "dog", "red") as opened:
            tracks = opened.tracks()
        asked = [r.get("text", r["type"]) for r in predictor.asked[1:-1]]
        propagate = "propagate_in_video"
        assert asked == ["cow", propagate, "dog", propagate, "red", propagate]
        assert [(t.object_id, t.prompt) for t in tracks] == [(0, "cow"), (1, "cow"), (2, "cow"), (3, "red")]

    def test_windows_keep_the_promises_of_every_tracker(self, tracker: Sam3Tracker) -> None:
        assert run(tracker, blobs(8).session(), "cow", "blue", "dog")[-1].object_ids == (0, 1, 2, 5)
        assert run(tracker, blobs(1).session(2 * WIDTH, 2 * HEIGHT), "cow")[0].object_ids == (0, 1)

    def test_one_prompt_comes_frame_by_frame(self, tracker: Sam3Tracker, predictor: Predictor) -> None:
        with session(tracker, "cow") as opened:
            results = opened.propagate()
            assert next(results).frame == 0
            assert predictor.frames == 1
        assert predictor.sessions == {}
        assert predictor.closed_streams == 1

    def test_masks_come_back_at_the_size_of_the_source(self, tracker: Sam3Tracker) -> None:
        with SAMSession(tracker, blobs(1).session(3 * WIDTH, 3 * HEIGHT)) as opened:
            opened.add_prompt(Prompt(text="red"))
            (track,) = opened.tracks()
        assert np.abs(track.boxes[0] - 3 * np.array([6, 10, 46, 46])).max() <= 1

    def test_leaving_ends_the_autocast_that_the_package_enters(
        self, tracker: Sam3Tracker, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entered = ExitStack()
        left: list[str] = []
        entered.callback(left.append, "autocast")
        monkeypatch.setattr(predictor.model, "bf16_context", entered, raising=False)
        tracker._leave()
        assert left == ["autocast"]

    def test_another_thread_is_refused(self, tracker: Sam3Tracker) -> None:
        caught: list[BaseException] = []

        def elsewhere() -> None:
            try:
                next(tracker.track(blobs(1).session(), [Prompt(text="cow")]))
            except RuntimeError as error:
                caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert "the thread that entered it" in str(caught[0])

    def test_options_are_set_on_the_model(self, predictor: Predictor) -> None:
        options = Sam3Config(max_objects=5, detection_threshold=0.3, new_object_threshold=0.6, hotstart_delay=4)
        options.limits.apply(predictor.model)
        model = predictor.model
        assert (model.max_num_objects, model.score_threshold_detection, model.new_det_thresh) == (5, 0.3, 0.6)
        assert (model.hotstart_delay, model.hotstart_unmatch_thresh, model.hotstart_dup_thresh) == (4, 4, 4)

    def test_a_model_without_an_option_is_refused(self) -> None:
        with pytest.raises(TrackerUnavailable, match="has no max_num_objects"):
            Sam3Config().limits.apply(object())


class TestErrors:
    def test_the_session_is_closed_after_an_error(self, tracker: Sam3Tracker, predictor: Predictor) -> None:
        predictor.breaks = {3: AssertionError("inside")}
        with pytest.raises(TrackingFailed, match="AssertionError: inside"), session(tracker, "cow") as opened:
            opened.tracks()
        assert predictor.sessions == {}

    def test_ctrl_c_closes_the_session(self, tracker: Sam3Tracker, predictor: Predictor) -> None:
        predictor.breaks = {3: KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt), session(tracker, "cow") as opened:
            opened.tracks()
        assert predictor.sessions == {}

    def test_out_of_memory_is_tried_again_smaller(self, tracker: Sam3Tracker, predictor: Predictor) -> None:
        predictor.breaks = {3: MemoryError("CUDA out of memory")}
        with session(tracker, "cow") as opened:
            tracks = opened.tracks()
            assert opened.degraded
        assert [t.object_id for t in tracks] == [0]
        again = [r for r in predictor.asked if r["type"] == "start_session"][1]
        assert again["offload_video_to_cpu"]
        assert predictor.model.max_num_objects == 10000

    def test_state_in_main_memory_is_asked_for(self, predictor: Predictor) -> None:
        tracker = Sam3Config(state_on_cpu=True).build()
        tracker._predictor, tracker._thread = predictor, threading.get_ident()
        with session(tracker, "cow") as opened:
            assert len(opened.tracks()) == 3
            assert not opened.degraded
        assert predictor.asked[0]["offload_state_to_cpu"]
        assert Sam3Config(state_on_cpu=True).limits == Sam3Config().limits  # no part of the identity

    def test_a_model_says_whether_its_state_can_move(self) -> None:
        class Part:
            def init_state(self, offload_state_to_cpu: bool = False) -> bool:
                return offload_state_to_cpu

        model = SimpleNamespace(tracker=Part())
        assert official.offloads(model) and not official.offloads(Model())
        with official.state_in_main_memory(model):
            assert model.tracker.init_state()
        assert not model.tracker.init_state()

    def test_a_second_failure_fails_that_window_alone(self, tracker: Sam3Tracker, predictor: Predictor) -> None:
        predictor.breaks = {3: MemoryError(), 4: MemoryError()}
        with pytest.raises(TrackingFailed, match="half the objects"), session(tracker, "cow") as opened:
            opened.tracks()
        with session(tracker, "cow") as opened:
            assert len(opened.tracks()) == 3

    def test_frames_that_are_left_out_are_noticed(self, tracker: Sam3Tracker, predictor: Predictor) -> None:
        predictor.handle_stream_request = lambda request: (each for each in list[dict[str, Any]]())  # type: ignore[method-assign]
        with pytest.raises(TrackingFailed, match="answered for 0 of 8 frames"), session(tracker, "cow") as opened:
            opened.tracks()
