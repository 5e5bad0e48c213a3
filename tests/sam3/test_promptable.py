"""tracker=sam2 and tracker=sam3_tracker on tiny checkpoints of the real architectures; `prompting.MODELS` lists them.

The weights of SAM2 and EdgeTAM are random, which suffices to compare to the bit; SAM3's are set by hand and really
follow coloured things, once a mask has shown them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sam.backends.promptable import PromptableTracker
from sam.backends.promptable_window import PromptableWindow
from sam.backends.sam2 import Sam2Config
from sam.errors import WrongPrompt
from sam.memory import ModelTracker
from sam.session import SAMSession
from sam.tracker import DialogueTracker
from sam.types import Prompt, SessionFrames
from tests.sam3.footage import COLOURS, HEIGHT, LATE, WIDTH, Footage, blobs
from tests.sam3.leaks import Watch, tensor_bytes
from tests.sam3.prompting import BOX, CLICK, MODELS, by_object, follow, prompts

COUNT = 10


@pytest.fixture(scope="module", params=sorted(MODELS))
def tracker(request: pytest.FixtureRequest, prompted: dict[str, Path]) -> Iterator[PromptableTracker]:
    with MODELS[request.param](str(prompted[request.param])).build() as loaded:
        yield loaded


@pytest.fixture(scope="module")
def sam3(prompted: dict[str, Path]) -> Iterator[PromptableTracker]:
    with MODELS["sam3_tracker"](str(prompted["sam3_tracker"])).build() as loaded:
        yield loaded


@pytest.fixture(scope="module")
def sam2(prompted: dict[str, Path]) -> Iterator[PromptableTracker]:
    with MODELS["sam2"](str(prompted["sam2"])).build() as loaded:
        yield loaded


def test_masks_are_followed_both_ways_from_where_they_were_given(sam3: PromptableTracker, footage: Footage) -> None:
    """Red and green from frame 0 on, blue from frame 8, two frames after it came in."""
    seen = follow(
        sam3,
        footage.session(),
        [
            *(Prompt(mask=footage.truth[0, n], object_id=n) for n in (0, 1)),
            Prompt(mask=footage.truth[8, 2], frame=8, object_id=2),
        ],
    )
    tracks = by_object(seen)
    assert sorted(tracks[2]) == list(range(LATE, 12))  # found backward too, and not where it is not
    assert sorted(tracks[0]) == sorted(tracks[1]) == list(range(12))
    for number, name in enumerate(COLOURS):
        for frame, (mask, score) in tracks[number].items():
            truth = footage.truth[frame, number]
            found = mask.full(WIDTH, HEIGHT) > 0
            likeness = (truth & found).sum() / (truth | found).sum()
            assert likeness > 0.6, f"{name} in frame {frame}: {likeness}"
            assert score > 0.9


def test_windows_keep_the_promises(tracker: PromptableTracker) -> None:
    assert isinstance(tracker, ModelTracker) and isinstance(tracker, DialogueTracker)
    footage = blobs(4)
    assert len(follow(tracker, footage.session(), prompts(footage))) == 4
    one = blobs(1)
    assert len(follow(tracker, one.session(), prompts(one))) == 1
    with SAMSession(tracker, footage.session()) as session:
        session.add_prompt(prompts(footage)[0])
        (track,) = session.tracks()
    assert (track.object_id, track.prompt) == (4, "object")


def test_the_same_prompts_give_the_same_masks(tracker: PromptableTracker) -> None:
    footage = blobs(6)
    assert follow(tracker, footage.session(), prompts(footage)) == follow(tracker, footage.session(), prompts(footage))


def test_an_object_depends_on_its_own_prompts_alone(tracker: PromptableTracker) -> None:
    """Whoever else there is, in whatever order, and on whatever frame they were named."""
    footage = blobs(COUNT)
    named = [
        prompts(footage)[0],
        Prompt(points=CLICK, labels=(1,), frame=3, object_id=2),
        Prompt(box=BOX, frame=7, object_id=9),
    ]
    together = by_object(follow(tracker, footage.session(), named))
    assert by_object(follow(tracker, footage.session(), named[::-1])) == together
    for prompt in named:
        alone = by_object(follow(tracker, footage.session(), [prompt]))
        assert alone.get(prompt.object_id, {}) == together.get(prompt.object_id, {})


def test_a_window_is_tracked_as_the_library_does_it(prompted: dict[str, Path]) -> None:
    """The library's own loop over its own session, against ours, for longer than its memory."""
    footage = blobs(20)
    with Sam2Config(device="cpu", weights=str(prompted["sam2"]), fill_holes=0).build() as sam2:
        engine = sam2.engine
        seen = follow(sam2, footage.session(), [Prompt(box=BOX, object_id=4)])
    session = engine.processor.init_video_session(video=np.stack(footage.images), dtype=engine.dtype)
    engine.processor.add_inputs_to_inference_session(session, 0, 4, input_boxes=[[list(BOX)]])
    engine.model(inference_session=session, frame_idx=0)
    theirs = {}
    for output in engine.model.propagate_in_video_iterator(session):
        plane = engine.processor.post_process_masks([output.pred_masks], original_sizes=[[HEIGHT, WIDTH]])[0]
        theirs[output.frame_idx] = plane[0, 0].numpy().tobytes()
    assert {s.frame: s.masks[0].full(WIDTH, HEIGHT).astype(bool).tobytes() for s in seen} == theirs


@pytest.mark.parametrize("scale", [2, 3])
def test_prompts_are_in_source_pixels_whatever_the_tracker_sees(tracker: PromptableTracker, scale: int) -> None:
    """Frames at a half or a third of the source: prompts at the source's size mean the same, masks come back at it."""
    footage = blobs(3)
    small = follow(tracker, footage.session(), prompts(footage))
    grown = footage.truth[0, 0].repeat(scale, 0).repeat(scale, 1)
    large = follow(
        tracker,
        footage.session(scale * WIDTH, scale * HEIGHT),
        [
            Prompt(mask=grown, object_id=4),
            Prompt(box=tuple(scale * v for v in BOX), object_id=2),  # type: ignore[arg-type]
            Prompt(
                box=tuple(scale * v for v in BOX),  # type: ignore[arg-type]
                points=tuple((scale * x, scale * y) for x, y in CLICK),
                labels=(0,),
                object_id=9,
            ),
        ],
    )
    for one, other in zip(small, large, strict=True):
        assert one.object_ids == other.object_ids
        for number, mask in enumerate(one.masks):
            back = other.masks[number].full(scale * WIDTH, scale * HEIGHT)[scale // 2 :: scale, scale // 2 :: scale]
            plane = mask.full(WIDTH, HEIGHT)
            assert (back & plane).sum() > 0.97 * (back | plane).sum()


def test_a_correction_lasts_and_reaches_both_ways(sam2: PromptableTracker) -> None:
    """A click on a tracked frame decides the frames around it, and its own frame keeps what it said."""
    footage = blobs(COUNT)
    first = Prompt(points=CLICK, labels=(1,), object_id=0)
    click = Prompt(points=((120, 80),), labels=(0,), frame=5, object_id=0)
    with SAMSession(sam2, footage.session()) as session:
        session.refine(first)
        before = by_object(session.propagate())[0]
        (shown,) = session.refine(click).masks
        assert shown != before[5][0]
        forward = by_object(session.propagate("forward", start=5))[0]
        backward = by_object(session.propagate("backward", start=5))[0]
        both = by_object(session.propagate())[0]
    assert sorted(forward) == [5, 6, 7, 8, 9] and sorted(backward) == [0, 1, 2, 3, 4, 5]
    assert forward[5][0] == backward[5][0] == both[5][0] == shown
    assert forward[0 + 6][0] != before[6][0] and backward[4][0] != before[4][0]
    assert both[0] == before[0]  # where it was named, it stays what it was
    assert all(both[frame] != before[frame] for frame in range(1, COUNT))
    assert by_object(follow(sam2, footage.session(), [first, click]))[0] == both


def test_the_library_alone_tracks_over_a_correction(sam2: PromptableTracker) -> None:
    """Why PromptedObject makes a corrected frame one that the tracker looks back at. If this fails, it need not."""
    engine = sam2.engine
    session = engine.processor.init_video_session(video=np.stack(blobs(COUNT).images), dtype=engine.dtype)
    add = engine.processor.add_inputs_to_inference_session
    add(session, 0, 0, input_points=[[[[26, 28]]]], input_labels=[[[1]]])
    engine.model(inference_session=session, frame_idx=0)
    before = {o.frame_idx: o.pred_masks.clone() for o in engine.model.propagate_in_video_iterator(session)}
    add(session, 5, 0, input_points=[[[[120, 80]]]], input_labels=[[[0]]])
    shown = engine.model(inference_session=session, frame_idx=5).pred_masks.clone()
    after = {o.frame_idx: o.pred_masks for o in engine.model.propagate_in_video_iterator(session, start_frame_idx=5)}
    assert not shown.equal(before[5])
    assert after[5].equal(before[5])


def test_clicks_add_up_and_a_box_starts_anew(sam2: PromptableTracker) -> None:
    footage = blobs(3)
    both = Prompt(box=BOX, points=CLICK, labels=(0,), object_id=0)
    with SAMSession(sam2, footage.session()) as session:
        (boxed,) = session.refine(Prompt(box=BOX, object_id=0)).masks
        (clicked,) = session.refine(Prompt(points=CLICK, labels=(0,), object_id=0)).masks
        (again,) = session.refine(Prompt(points=((120, 80),), labels=(1,), object_id=0)).masks
        assert len({boxed, clicked, again}) == 3
        (anew,) = session.refine(Prompt(box=BOX, object_id=0)).masks
        assert anew == boxed
        (at_once,) = session.refine(both).masks
    assert at_once == follow(sam2, footage.session(), [both])[0].masks[0]


def test_a_mask_can_be_corrected_by_clicks(tracker: PromptableTracker) -> None:
    footage = blobs(2)
    with SAMSession(tracker, footage.session()) as session:
        (given,) = session.refine(Prompt(mask=footage.truth[0, 0], object_id=0)).masks
        plane = given.full(WIDTH, HEIGHT) > 0
        assert (plane & footage.truth[0, 0]).sum() > 0.95 * (plane | footage.truth[0, 0]).sum()
        assert session.refine(Prompt(points=CLICK, labels=(0,), object_id=0)).masks != (given,)


def test_a_click_far_from_what_was_tracked_tracks_up_to_it(sam2: PromptableTracker) -> None:
    footage = blobs(COUNT)
    first = Prompt(box=BOX, frame=6, object_id=0)
    for frame in (9, 2):
        click = Prompt(points=CLICK, labels=(0,), frame=frame, object_id=0)
        with SAMSession(sam2, footage.session()) as session:
            session.refine(first)
            shown = session.refine(click)
        assert follow(sam2, footage.session(), [first, click])[frame].masks == shown.masks


def test_objects_can_be_removed_and_sessions_reset(tracker: PromptableTracker) -> None:
    footage = blobs(3)
    red, green, _ = prompts(footage)
    alone = follow(tracker, footage.session(), [red])
    with SAMSession(tracker, footage.session()) as session:
        session.refine(green)
        session.refine(red)
        list(session.propagate())
        session.remove(2)
        assert list(session.propagate()) == alone
        session.reset()
        session.add_prompt(red)
        assert list(session.propagate()) == alone
        with pytest.raises(WrongPrompt, match="there is no object 2; prompts have named 4"):
            session.remove(2)


@pytest.mark.parametrize("late", [0, 30])
def test_frames_far_back_do_not_stay(sam2: PromptableTracker, late: int) -> None:
    """The state of a long window stops growing, on both ways: memory of 7 frames, pointers of 16."""
    footage = blobs(10)
    frames = Footage([*footage.images, *footage.images[::-1]] * 3, footage.truth).session()
    window = PromptableWindow(sam2.engine, frames, False, lasting=False)
    window.add(Prompt(box=BOX, frame=late, object_id=0))
    held = [tensor_bytes(window) for _ in window.propagate()]
    assert len(held) == 60
    assert max(held[late + 18 :]) <= 1.02 * held[late + 18], held
    ways = [held[n] - held[0] for n in range(late)]
    assert max(ways, default=0) == 0, "the way back is over when the first frame is answered"


def test_nothing_of_a_window_outlives_it(tracker: PromptableTracker) -> None:
    footage = blobs(4)
    watch = Watch()

    class Plane(np.ndarray):
        """An array that can be referred to weakly."""

    images = [image.view(Plane) for image in footage.images]
    for image in images:
        watch.add(image)
    frames = SessionFrames(images, np.arange(4), np.arange(4) / 25, WIDTH, HEIGHT, "blobs.mp4")
    with SAMSession(tracker, frames) as session:
        session.refine(prompts(footage)[0])
        running = session.propagate()
        next(running)
        watch.add(session._state)
        watch.add(next(iter(session._state._window._objects.values())))  # type: ignore[union-attr]
    del frames, images, image, running
    assert watch.alive() == 0, f"of {len(watch)}"


@pytest.mark.parametrize("seen", [0, 1, 3])
def test_a_session_may_end_early(tracker: PromptableTracker, seen: int) -> None:
    footage = blobs(4)
    with SAMSession(tracker, footage.session()) as session:
        session.add_prompt(Prompt(mask=footage.truth[2, 0], frame=2, object_id=0))
        assert len(list(itertools.islice(session.propagate(), seen))) == seen
    follow(tracker, footage.session(), prompts(footage))
