"""What makes SAM3 faster changes no mask, and really saves the work it says it saves."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sam.backends.found import gather
from sam.session import SAMSession
from sam.types import Prompt, SessionFrames, Track, iou
from tests.sam3.conftest import HF, require
from tests.sam3.footage import LATE, blobs
from tests.sam3.leaks import alive_bytes
from tests.sam3.test_memory import CACHED, fail, no_memory
from tests.sam3.test_several_prompts import Flat, flat

if TYPE_CHECKING:
    from sam.backends.sam3_hf import Sam3HfTracker

COUNT, SHARED = LATE + 4, 4


@contextmanager
def counted(module: Any) -> Iterator[list[int]]:
    """How many inputs a module gets, call by call."""
    sizes: list[int] = []
    handle = module.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0]) if given else 1))
    try:
        yield sizes
    finally:
        handle.remove()


def parts(tracker: Sam3HfTracker) -> tuple[Any, Any]:
    """What runs once per call of the image backbone, and of the text encoder."""
    assert tracker._engine is not None
    detector = tracker._engine.model.detector_model
    return detector.vision_encoder.backbone.layers[0], detector.text_encoder


def find(tracker: Sam3HfTracker, frames: SessionFrames, *texts: str) -> list[Flat]:
    with SAMSession(tracker, frames, passes=len(texts)) as session:
        found = []
        for text in texts:
            session.reset()
            session.add_prompt(Prompt(text=text))
            found.append(flat(session.tracks()))
    return found


def windows(share: int = SHARED) -> tuple[SessionFrames, SessionFrames]:
    """Two windows of which the second begins with the last `share` frames of the first, as a worker gives them."""
    whole = blobs(2 * COUNT - share).session()
    images = list(whole.images)
    first = SessionFrames(images[:COUNT], whole.indices[:COUNT], whole.times_s[:COUNT], 160, 112, "blobs.mp4", share)
    at = COUNT - share
    second = SessionFrames(images[at:], whole.indices[at:], whole.times_s[at:], 160, 112, "blobs.mp4")
    return first, second


def alike(one: Sequence[Track], other: Sequence[Track]) -> float:
    """The least IoU of the masks of the same object in the same frame; 0 where one has it and the other has not."""
    places = [
        [(t.object_id, f, m) for t in tracks for f, m in zip(t.frames, t.masks, strict=True)] for tracks in (one, other)
    ]
    if [p[:2] for p in places[0]] != [p[:2] for p in places[1]]:
        return 0.0
    return min(iou(a[2], b[2]) for a, b in zip(*places, strict=True))


@pytest.fixture(scope="module")
def apart(loaded: Sam3HfTracker) -> list[list[Flat]]:
    """What the two windows hold when nothing is shared."""
    return [find(loaded, replace(window, again=0), "cow") for window in windows()]


def test_frames_that_two_windows_share_are_encoded_once(loaded: Sam3HfTracker, apart: list[list[Flat]]) -> None:
    assert loaded._features is not None
    first, second = windows()
    with counted(parts(loaded)[0]) as runs:
        assert find(loaded, first, "cow") == apart[0]
        assert len(loaded._features) == SHARED
        assert len(runs) == COUNT
        assert find(loaded, second, "cow") == apart[1]
    assert len(runs) == 2 * COUNT - SHARED
    assert len(loaded._features) == 0


def test_shared_frames_and_several_prompts_go_together(loaded: Sam3HfTracker, apart: list[list[Flat]]) -> None:
    assert loaded._features is not None
    first, second = windows()
    red = find(loaded, replace(second, again=0), "red")
    with counted(parts(loaded)[0]) as runs:
        assert find(loaded, first, "cow", "red")[0] == apart[0][0]
        assert len(loaded._features) == SHARED
        assert find(loaded, second, "cow", "red") == [apart[1][0], red[0]]
    assert len(runs) == 2 * COUNT - SHARED
    assert len(loaded._features) == 0


def test_equal_pictures_that_are_other_arrays_are_not_taken_for_the_same(loaded: Sam3HfTracker) -> None:
    """Only the very array proves that a frame is the same one."""
    first, second = windows()
    with counted(parts(loaded)[0]) as runs:
        find(loaded, first, "cow")
        find(loaded, replace(second, images=[image.copy() for image in second.images]), "cow")
    assert len(runs) == 2 * COUNT
    assert loaded._features is not None and len(loaded._features) == 0


def test_frames_decoded_when_asked_for_share_nothing_and_are_not_asked_twice(loaded: Sam3HfTracker) -> None:
    """A long window's pictures exist only while they are looked at."""

    class Lazy(Sequence[Any]):
        def __init__(self, images: Sequence[Any]) -> None:
            self.images, self.asked = images, list[int]()

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, n: Any) -> Any:
            self.asked.append(n)
            return self.images[n].copy()

    first, second = windows()
    lazy = Lazy(second.images)
    find(loaded, first, "cow")
    find(loaded, replace(second, images=lazy), "cow")
    assert lazy.asked == [0, *range(COUNT)]  # the first one once more, for its size


def test_what_is_kept_for_the_next_window_is_bounded(
    loaded: Sam3HfTracker, apart: list[list[Flat]], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_one_frame = 16 * 16 * 32 * 4  # tokens x channels x float32, of the tiny model
    monkeypatch.setattr(loaded._features, "_limit", 3 * of_one_frame)
    first, second = windows()
    with counted(parts(loaded)[0]) as runs:
        assert [find(loaded, first, "cow"), find(loaded, second, "cow")] == apart
    assert len(runs) == 2 * COUNT - 3


def test_memory_that_runs_out_drops_what_was_kept(loaded: Sam3HfTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded._features is not None
    first, second = windows()
    find(loaded, replace(second, again=0), "cow")  # what the model keeps for itself is there from here on
    before = alive_bytes()
    find(loaded, first, "cow")
    fail(loaded, monkeypatch, [1], no_memory)
    with SAMSession(loaded, second) as session:
        session.add_prompt(Prompt(text="cow"))
        session.tracks()
        assert session.degraded
        assert len(loaded._features) == 0
    assert alive_bytes() <= before + CACHED


@pytest.fixture(scope="module")
def batched(checkpoint: Path) -> Iterator[Sam3HfTracker]:
    from sam.backends.sam3_hf import Sam3HfConfig

    with Sam3HfConfig(device="cpu", weights=str(checkpoint), encode_batch=4).build() as tracker:
        yield tracker


def test_frames_encoded_several_at_a_time_give_the_same_masks(
    batched: Sam3HfTracker, apart: list[list[Flat]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert batched._features is not None
    first, second = windows()
    with counted(parts(batched)[0]) as runs:
        found = find(batched, first, "cow", "red"), find(batched, second, "cow")
    assert runs == [4, 4, 2, 4, 2]  # of 10 frames, then of the 6 that are new
    assert [found[0][0], found[1][0]] == [apart[0][0], apart[1][0]]
    before = alive_bytes()
    fail(batched, monkeypatch, [1], no_memory)
    with counted(parts(batched)[0]) as runs, SAMSession(batched, second) as session:
        session.add_prompt(Prompt(text="cow"))
        session.tracks()
    assert runs == [4, *[1] * COUNT]  # frame by frame, once memory has run out
    assert alive_bytes() <= before + CACHED


def test_a_window_left_early_keeps_no_frame_encoded_ahead(batched: Sam3HfTracker) -> None:
    assert batched._features is not None
    with SAMSession(batched, blobs(18).session()) as session:
        session.add_prompt(Prompt(text="cow"))
        assert next(session.propagate()).frame == 0
        assert len(batched._features) == 0 or batched._features._ahead
    assert len(batched._features) == 0


def test_a_text_is_encoded_once_for_all_windows(checkpoint: Path) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    two = blobs(2).session()
    with Sam3HfConfig(device="cpu", weights=str(checkpoint)).build() as tracker:
        with counted(parts(tracker)[1]) as runs:
            once = find(tracker, two, "cow", "red")
            assert len(runs) == 2
            assert find(tracker, two, "red", "cow") == once[::-1]
            assert len(runs) == 2
            assert find(tracker, two, "dog") == [[]]
        assert len(runs) == 3


def test_texts_used_long_ago_are_forgotten() -> None:
    from types import SimpleNamespace

    from sam.backends.hf_features import Texts

    texts = Texts(most=2)
    for word in ("cow", "calf", "cow", "dog"):
        session = SimpleNamespace(prompts={0: word}, prompt_embeddings={})
        texts.give(session)
        session.prompt_embeddings.setdefault(0, word.upper())
        texts.take(session)
    both = SimpleNamespace(prompts={0: "dog", 1: "calf", 2: "cow"}, prompt_embeddings={})
    texts.give(both)
    assert both.prompt_embeddings == {0: "DOG", 2: "COW"}


@pytest.mark.parametrize("size", [(160, 112), (480, 336)])
def test_masks_cut_to_their_boxes_are_those_of_whole_frames(loaded: Sam3HfTracker, size: tuple[int, int]) -> None:
    """Also where a mask has fewer pixels than its box, or none any more."""
    import torch
    from torchvision.ops import masks_to_boxes

    from sam.backends.hf_masks import Encoder, leave_device

    frames = blobs(1).session(*size)
    rng = np.random.default_rng(0)
    masks = np.zeros((4, 112, 160), bool)
    masks[0, 20:60, 30:90] = rng.random((40, 60)) > 0.3
    masks[1, 0, 0] = masks[1, 111, 159] = True
    masks[2, 50:53, 70:72] = True
    masks[3, 5:9, 5:9] = True
    boxes = masks_to_boxes(torch.from_numpy(masks))
    masks[0, 20:30] = masks[3] = False
    ids, scores = [7, 3, 5, 4], [0.9, 0.8, 0.7, 0.6]
    encoder = Encoder()
    try:
        cut = encoder.encode(leave_device(6, ids, scores, torch.from_numpy(masks), boxes), frames).result()
        none = encoder.encode(leave_device(1, [], [], torch.zeros(0, 112, 160) > 0, torch.zeros(0, 4)), frames).result()
    finally:
        encoder.close()
    assert cut == gather(6, ids, scores, masks, frames)
    assert cut.object_ids == (3, 5, 7)
    assert none.object_ids == ()


def tracks(tracker: Sam3HfTracker, frames: SessionFrames, text: str) -> list[Track]:
    with SAMSession(tracker, frames) as session:
        session.add_prompt(Prompt(text=text))
        return session.tracks()


@pytest.mark.parametrize("batch", [2, 8])
def test_objects_followed_in_one_step_have_the_same_masks(checkpoint: Path, loaded: Sam3HfTracker, batch: int) -> None:
    """Two objects from the start and one that comes late, for longer than memory reaches back."""
    from sam.backends.sam3_hf import Sam3HfConfig

    frames = blobs(20).session()
    with Sam3HfConfig(device="cpu", weights=str(checkpoint), object_batch=batch).build() as tracker:
        assert tracker._engine is not None
        with counted(tracker._engine.model.tracker_model.mask_decoder) as runs:
            found = tracks(tracker, frames, "cow")
        with counted(loaded._engine.model.tracker_model.mask_decoder) as alone:  # type: ignore[union-attr]
            assert alike(found, tracks(loaded, frames, "cow")) >= 0.99
        assert len(found) == 3
        # Begin: 3. Then two and the late one, whose memory is shorter, in 6 + 1 + 13 frames (one of them seen twice).
        assert (len(runs), len(alone)) == (3 + 7 + 2 * 13, 3 + 2 * 7 + 3 * 13)
        assert not tracker._together._done  # type: ignore[union-attr]
        assert "_run_single_frame_inference" not in vars(tracker._engine.model.tracker_model)


def test_a_step_for_several_objects_computes_what_a_step_for_each_does(tmp_path: Path) -> None:
    """With random weights, which leave nothing out: pointers, scores and masks of every object in every frame."""
    require(*HF)
    import torch
    from transformers import Sam3VideoModel

    from benchmarks.sam3_forced import forced
    from sam.backends.hf_objects import Together
    from sam.backends.hf_window import Engine, Window
    from tests.sam3 import tiny

    class Compared(Together):
        compared = 0

        def _step(self, **given: Any) -> dict[str, Any]:
            made, expected = super()._step(**given), self._alone(**given)
            assert set(made) == set(expected)
            for name, value in expected.items():
                assert made[name].shape == value.shape, name
                assert torch.allclose(made[name], value, atol=1e-4, rtol=1e-4), name
            self.compared += 1
            return expected

    torch.manual_seed(3)
    words = tiny.tokenizer()
    model = Sam3VideoModel(tiny.config(words)).eval()
    with torch.no_grad():
        for each in model.tracker_model.parameters():
            each.normal_(0, 0.1)
    engine = Engine(model, tiny.processor(words), "cpu", torch.float32)
    compared = Compared(model.tracker_model, 4)
    with forced(model, 3), compared.installed():
        seen = list(Window(engine, blobs(4).images, ["cow"], state_on_cpu=False).results())
    assert [len(each.found.ids) for each in seen] == [3] * 4
    assert compared.compared == 3 * 4  # the three that begin, then each of them in each frame


def test_regions_measured_on_the_device_are_those_of_opencv() -> None:
    """Noise of every density, and shapes as long as the limit and one pixel longer."""
    require(*HF)
    import torch

    from sam.backends.hf_kernel import Local, OnDevice

    random = torch.Generator().manual_seed(0)
    planes = [torch.rand(1, 1, 48, 66, generator=random) < share for share in (0, 0.02, 0.1, 0.2, 0.35, 0.6, 0.95, 1)]
    lines = torch.zeros(1, 1, 48, 66, dtype=torch.bool)
    for row, length in enumerate((1, 15, 16, 17, 40)):
        lines[0, 0, 4 * row, 3 : 3 + length] = True
        lines[0, 0, range(24, 24 + min(length, 20)), range(2 + row * 9, 2 + row * 9 + min(length, 20))] = True
    masks = torch.cat([*planes, lines]).to(torch.uint8)
    expected = Local.cc_2d(masks)[1]
    labels, areas = OnDevice(16).cc_2d(masks)
    assert torch.equal(areas, torch.where(expected > 16, 48 * 66, expected))
    assert torch.equal(labels > 0, masks > 0)
    assert (areas == 17).sum() == 0 and (areas == 16).sum() > 0
    assert torch.equal(OnDevice(16).cc_2d(masks, get_counts=False), labels)


def test_masks_cleaned_on_the_device_are_the_same(checkpoint: Path, apart: list[list[Flat]]) -> None:
    from transformers.models.sam3_video import modeling_sam3_video as library

    from sam.backends.hf_kernel import OnDevice
    from sam.backends.sam3_hf import Sam3HfConfig

    with Sam3HfConfig(device="cpu", weights=str(checkpoint), clean_on_device=True).build() as tracker:
        assert isinstance(library.cv_utils_kernel, OnDevice)
        assert find(tracker, windows(0)[0], "cow") == apart[0]
    assert not isinstance(library.cv_utils_kernel, OnDevice)


@pytest.mark.slow
@pytest.mark.timeout(900)  # compiling takes a minute
def test_a_compiled_encoder_gives_the_same_masks(checkpoint: Path, loaded: Sam3HfTracker) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    frames = blobs(LATE + 3).session()  # 4 + 4 + 1: frames that are left over are encoded one by one
    with Sam3HfConfig(device="cpu", weights=str(checkpoint), compile=True, encode_batch=4).build() as tracker:
        assert alike(tracks(tracker, frames, "cow"), tracks(loaded, frames, "cow")) >= 0.99
        assert alike(tracks(tracker, frames, "red"), tracks(loaded, frames, "red")) >= 0.99


def test_a_picture_goes_to_the_device_as_it_lies_in_memory(loaded: Sam3HfTracker) -> None:
    """The same numbers as from the library's own way in, also of pictures that are views, or must not be written to."""
    import torch

    from sam.backends.hf_window import Pictures

    assert loaded._engine is not None
    image = np.random.default_rng(0).integers(0, 256, (100, 90, 3), np.uint8)
    locked = image.copy()
    locked.flags.writeable = False
    theirs = loaded._engine.processor.video_processor(videos=image[None], return_tensors="pt").pixel_values_videos[0][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (image, locked, np.asfortranarray(image), image[::-1].copy()[::-1]):
            assert torch.equal(Pictures([each], loaded._engine)[0], theirs)


def test_speed_is_no_part_of_what_tracks_are_stored_under(checkpoint: Path) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    plain = Sam3HfConfig(device="cpu", weights=str(checkpoint))
    fast = replace(plain, encode_batch=4, object_batch=8, clean_on_device=True, compile=True)
    assert fast.build().identity() == plain.build().identity()


@pytest.mark.parametrize(
    ("option", "said"),
    [("encode_batch", "encode_batch is at least 1 frame, got 0"), ("object_batch", "at least 1 object, got 0")],
)
def test_options_out_of_range_are_refused(option: str, said: str) -> None:
    from sam.backends.sam3_hf import Sam3HfConfig

    with pytest.raises(ValueError, match=said):
        Sam3HfConfig(**{option: 0})  # type: ignore[arg-type]
