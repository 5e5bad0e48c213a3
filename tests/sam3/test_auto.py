"""tracker=sam2_auto: proposals as the library makes them, and from proposals to tracks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.layout import Layout
from pipeline.tasks.segment import segment
from pipeline.tasks.segment_auto import segment_auto
from sam.backends import promptable_proposals, sam2_auto
from sam.backends.promptable_proposals import Asking, propose
from sam.backends.sam2_auto import Sam2AutoConfig, Sam2AutoTracker
from sam.errors import WrongPrompt
from sam.image import ImageMask, segment_image
from sam.proposals import select
from sam.session import SAMSession
from sam.types import FrameMasks, Mask, Prompt
from tests.pipeline.composing import loaded as loaded_settings
from tests.running import rows, run_process
from tests.sam3.footage import HEIGHT, WIDTH, Footage, blobs
from tests.sam3.test_main import ALONE
from tests.sam3.test_segment_main import video  # noqa: F401 - a fixture

IMAGE = blobs(1).images[0]
EVERYTHING = Asking(points_per_side=5, pred_iou=0.0, stability=0.0, refine=False)


@pytest.fixture(scope="module")
def tracker(prompted: dict[str, Path]) -> Iterator[Sam2AutoTracker]:
    with Sam2AutoConfig(device="cpu", weights=str(prompted["sam2"])).build() as loaded:
        yield loaded


def test_proposals_are_those_of_the_library(
    tracker: Sam2AutoTracker, prompted: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a square picture; on others the library scales both coordinates of a point by the longer side."""
    from PIL import Image
    from transformers import Sam2Model, pipeline

    square = np.ascontiguousarray(IMAGE[:, :HEIGHT])
    monkeypatch.setattr(promptable_proposals, "SAME_BOX", 1.1)  # all of them: untrained masks fill the picture
    ours = propose(tracker.engine, square, EVERYTHING)
    generate = pipeline(
        "mask-generation",
        model=Sam2Model.from_pretrained(prompted["sam2"]),
        image_processor=tracker.engine.processor.image_processor,
        device="cpu",
    )
    found = generate(
        Image.fromarray(square),
        points_per_batch=64,
        points_per_crop=5,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        crops_nms_thresh=1.1,
    )
    assert len(ours) == len(found["masks"]) == 3 * 25
    scores, areas = sorted(found["scores"].tolist()), sorted(int(mask.sum()) for mask in found["masks"])
    assert sorted(each.score for each in ours) == pytest.approx(scores, abs=2e-3)
    assert sorted(each.mask.area for each in ours) == pytest.approx(areas, abs=0.01 * HEIGHT**2)


def test_the_grid_covers_the_whole_picture(tracker: Sam2AutoTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask under each corner's point is the one that a click there gives."""
    monkeypatch.setattr(promptable_proposals, "SAME_BOX", 1.1)
    every = np.array([each.score for each in propose(tracker.engine, IMAGE, EVERYTHING)])
    for x in (0.1 * WIDTH, 0.9 * WIDTH):
        for y in (0.1 * HEIGHT, 0.9 * HEIGHT):
            (clicked,) = segment_image(tracker, IMAGE, [Prompt(points=((x, y),), labels=(1,))])
            assert all(np.abs(every - each.score).min() < 1e-5 for each in clicked)


def test_boxes_that_are_the_same_are_proposed_once_the_best_first(tracker: Sam2AutoTracker) -> None:
    every = propose(tracker.engine, IMAGE, EVERYTHING)
    assert [each.score for each in every] == sorted((each.score for each in every), reverse=True)
    assert 1 <= len(every) < 75


def test_a_mask_given_back_is_what_the_library_makes_of_it(tracker: Sam2AutoTracker, prompted: dict[str, Path]) -> None:
    import torch
    from transformers import Sam2Model

    engine = tracker.engine
    point = torch.tensor([[[[50.0, 60.0]]]])  # in the model's pixels
    label = torch.ones(1, 1, 1, dtype=torch.int64)
    pixels = promptable_proposals.Pictures([IMAGE], engine)[0].unsqueeze(0)
    model = Sam2Model.from_pretrained(prompted["sam2"]).eval()
    with torch.inference_mode():
        first = model(pixel_values=pixels, input_points=point, input_labels=label, multimask_output=True)
        masks = first.pred_masks[0, 0]
        theirs = [
            model(
                pixel_values=pixels,
                input_points=point,
                input_labels=label,
                input_masks=mask[None, None],
                multimask_output=False,
            )
            for mask in masks
        ]
        embeddings = engine.model.get_image_embeddings(pixels)
        places = engine.model.get_image_wide_positional_embeddings()
        ours, scores = promptable_proposals._refined(
            engine, embeddings, places, point[0].repeat(3, 1, 1)[:, None], label[0].repeat(3, 1)[:, None], masks
        )
    for n, each in enumerate(theirs):
        assert torch.allclose(ours[n], each.pred_masks[0, 0, 0], atol=1e-3)
        assert float(scores[n]) == pytest.approx(float(each.iou_scores[0, 0, 0]), abs=1e-4)


def test_stricter_asking_proposes_less(tracker: Sam2AutoTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promptable_proposals, "SAME_BOX", 1.1)
    scores = [each.score for each in propose(tracker.engine, IMAGE, EVERYTHING)]
    middle = float(np.median(scores))
    sure = propose(tracker.engine, IMAGE, Asking(5, pred_iou=middle, stability=0.0, refine=False))
    assert [each.score for each in sure] == [s for s in scores if s > middle]
    assert len(propose(tracker.engine, IMAGE, Asking(5, 0.0, stability=0.9, refine=False))) < len(scores)
    assert propose(tracker.engine, IMAGE, Asking(5, 1.0, 1.0)) == []


def given(footage: Footage) -> list[ImageMask]:
    """The two things of the first frame, the head of one, and a speck."""
    head = footage.truth[0, 0].copy()
    head[:, 20:] = False
    speck = np.zeros_like(head)
    speck[100:105, 5:10] = True
    masks = [Mask.encode(plane) for plane in (head, footage.truth[0, 1], speck, footage.truth[0, 0])]
    return [ImageMask(mask, 0.9) for mask in masks if mask is not None]


def test_the_largest_things_are_named_by_clicks_inside_them(
    tracker: Sam2AutoTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    footage = blobs(3)
    monkeypatch.setattr(sam2_auto, "propose", lambda engine, image, asking: given(footage))
    for scale in (1, 3):
        first, second = tracker.named(footage.session(scale * WIDTH, scale * HEIGHT))
        assert (first.object_id, second.object_id) == (1, 2)
        assert footage.truth[0, 1].sum() > footage.truth[0, 0].sum()  # green is larger
        for prompt, colour in ((first, 1), (second, 0)):
            assert len(prompt.points) == 2 and prompt.labels == (1, 1)
            assert all(footage.truth[0, colour][int(y / scale), int(x / scale)] for x, y in prompt.points)
    with SAMSession(tracker, footage.session()) as session:
        session.add_prompt(Prompt(text="thing"))
        tracks = session.tracks()
    assert {track.object_id for track in tracks} <= {1, 2} and {track.prompt for track in tracks} == {"thing"}


def test_nothing_found_says_why_and_which_thresholds_to_lower(
    tracker: Sam2AutoTracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    footage = blobs(3)
    monkeypatch.setattr(sam2_auto, "propose", lambda engine, image, asking: given(footage)[2:3])
    with caplog.at_level(logging.WARNING), SAMSession(tracker, footage.session()) as session:
        session.add_prompt(Prompt(text="thing"))
        assert [one.object_ids for one in session.propagate()] == [(), (), ()]
    assert "nothing found on frame 0 (1: no piece of 500 pixels); lower tracker.pred_iou=0.88" in caplog.text


def seen_by(tracker: Sam2AutoTracker, footage: Footage, *more: Prompt) -> list[FrameMasks]:
    with SAMSession(tracker, footage.session()) as session:
        session.add_prompt(Prompt(text="thing"))
        for prompt in more:
            session.add_prompt(prompt)
        return list(session.propagate())


def test_what_comes_in_later_is_found_when_it_proposes_again(
    prompted: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blue comes in frame 6: looked for on frames 0, 4 and 8, it is found on 8, and tracked back to 5."""
    footage, told = blobs(12), []
    truth = {image.tobytes(): planes for image, planes in zip(footage.images, footage.truth, strict=True)}

    def proposed(engine: object, image: np.ndarray, asking: Asking) -> list[ImageMask]:
        masks = [Mask.encode(plane) for plane in truth[image.tobytes()]]
        return [ImageMask(mask, 0.9) for mask in masks if mask is not None]

    monkeypatch.setattr(sam2_auto, "propose", proposed)
    monkeypatch.setattr(sam2_auto, "select_new", lambda p, size, rules, followed: select(p[2:], size, rules))
    options = Sam2AutoConfig(device="cpu", weights=str(prompted["sam2"]), propose_every=4)
    with options.build() as tracker:
        tracker.on_proposed = told.append
        seen = seen_by(tracker, footage)
        assert [each.frame for each in told] == [0, 4, 8]
        assert [[p.object_id for p in each.prompts] for each in told] == [[1, 2], [], [3]]
        assert [one.frame for one in seen] == list(range(12))
        assert [3 in one.object_ids for one in seen] == [False] * 5 + [True] * 7
        prompts = [prompt for each in told for prompt in each.prompts]
        with SAMSession(tracker, footage.session()) as session:  # the same, named one by one
            for prompt in prompts:
                session.add_prompt(prompt)
            plain = list(session.propagate())
        for one, other in zip(seen, plain, strict=True):
            theirs = dict(zip(other.object_ids, other.masks, strict=True))
            assert all(theirs[n] == mask for n, mask in zip(one.object_ids, one.masks, strict=True))
        click = Prompt(frame=10, object_id=3, points=((5.0, 60.0),), labels=(1,))
        corrected = seen_by(tracker, footage, click)
        assert [one.object_ids for one in corrected] == [one.object_ids for one in seen]
        for number in (1, 2):  # an object depends on its own prompts alone
            masks = [
                [m for n, m in zip(o.object_ids, o.masks, strict=True) if n == number] for o in (*seen, *corrected)
            ]
            assert masks[:12] == masks[12:]
        assert corrected[10] != seen[10]


def test_a_click_corrects_what_it_found(tracker: Sam2AutoTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    footage = blobs(5)
    monkeypatch.setattr(sam2_auto, "propose", lambda engine, image, asking: given(footage))
    click = Prompt(frame=2, object_id=1, points=((120.0, 90.0),), labels=(0,))
    with SAMSession(tracker, footage.session()) as session:
        session.add_prompt(Prompt(text="thing"))
        before = list(session.propagate())
        shown = session.refine(click)
        assert shown.object_ids == (1,) and shown.masks[0] != before[2].masks[0]
    after = seen_by(tracker, footage, click)
    assert [one.object_ids for one in after] == [one.object_ids for one in before]
    assert after[2].masks[0] != before[2].masks[0] and after[2].masks[1] == before[2].masks[1]
    with pytest.raises(WrongPrompt, match="there is no object 9 to take something from; there are 1, 2"):
        seen_by(tracker, footage, Prompt(object_id=9, points=((120.0, 90.0),), labels=(0,)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": 0}, "tracker.points_per_side is from 1 to 128, got 0"),
        ({"pred_iou": 1.2}, r"tracker.pred_iou is from 0 to 1, got 1\.2"),
        ({"min_area": 0}, "tracker.min_area is at least 1 pixel, got 0"),
        ({"max_objects": 0}, "tracker.max_objects is at least 1 or null, got 0"),
        ({"propose_every": 0}, "tracker.propose_every is at least 1 frame, or null, got 0"),
        ({"seeds": 0}, "tracker.seeds is at least 1 and tracker.apart at least 0, got 0 and 25"),
        ({"weights": "sam2.pt"}, "is of the original SAM2 package"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sam2AutoConfig(**options)  # type: ignore[arg-type]


def test_what_decides_the_objects_is_in_the_identity(prompted: dict[str, Path]) -> None:
    weights = str(prompted["sam2"])
    plain = Sam2AutoConfig(device="cpu", weights=weights).build().identity()
    assert plain["tracker"] == "sam2_auto"
    for change in (
        {"pred_iou": 0.5},
        {"min_area": 9},
        {"max_objects": 9},
        {"seeds": 1},
        {"refine": False},
        {"propose_every": 3},
    ):
        assert Sam2AutoConfig(device="cpu", weights=weights, **change).build().identity() != plain  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_video_becomes_crops_without_a_prompt(
    video: Path,  # noqa: F811
    prompted: dict[str, Path],
    tmp_path: Path,
) -> None:
    done = run_process(
        *(f"videos={video}", f"out={tmp_path}", "prompt=thing", "tracker=sam2_auto", "tracker.device=cpu"),
        *(f"tracker.weights={prompted['sam2']}", "tracker.points_per_side=4", "tracker.pred_iou=0"),
        *("tracker.stability=0", "clip.num_frames=10", "clip.stride=1", "crop.size=32"),
        **ALONE,
    )
    assert done.status == 0, done.text
    samples = rows(tmp_path / "samples.parquet")
    assert {s["start_frame"] for s in samples} == {0, 10} and {s["prompt"] for s in samples} == {"thing"}


def test_a_video_leaves_what_was_proposed_chosen_and_clicked(
    video: Path,  # noqa: F811
    prompted: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pictures, proposals, clicks and results, as the hosted models' scripts leave them; the clicks read back give the
    same masks; a rerun makes nothing."""
    footage = blobs(12, scale=2)

    def proposed(engine: object, image: np.ndarray, asking: Asking) -> list[ImageMask]:
        masks = [Mask.encode(plane) for plane in footage.truth[0]]
        return [ImageMask(mask, 0.9) for mask in masks if mask is not None]

    monkeypatch.setattr(sam2_auto, "propose", proposed)
    weights = ("tracker.device=cpu", f"tracker.weights={prompted['sam2']}", f"videos={video}")
    words = ("experiment=auto_segmentation", "tracker.min_area=100", "segment.end=7", f"out={tmp_path}")
    auto = loaded_settings(*words, *weights)
    layout = Layout(auto.out, auto.tracks)
    assert segment_auto(auto, layout) == 0
    folder = layout.segment("blobs.mp4")
    names = {"frame0.png", "masks_all", "masks_selected", "clicks.json", "video_result.json"}
    assert {p.name for p in folder.iterdir()} == names | {"masks", "overlay.mp4", "video.mp4", "masks.json"}
    assert cv2.imread(str(folder / "frame0.png")).shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert np.abs(cv2.imread(str(folder / "frame0.png"))[..., ::-1].astype(int) - footage.images[0]).mean() < 6
    for name, colour in (("masks_all/mask_000", 0), ("masks_selected/obj_01", 1), ("masks_selected/obj_02", 0)):
        plane = cv2.imread(str(folder / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(plane, footage.truth[0, colour] * 255)
    result = json.loads((folder / "video_result.json").read_text())
    assert [each["object_id"] for each in result["objects"]] == ["obj_1", "obj_2"] and result["frames"] == [0, 7]
    made = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert segment_auto(auto, layout) == 0
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == made
    words = ("task=segment", "tracker=sam2", "tracker.max_side=null", "segment.end=7", f"out={tmp_path}/again")
    again = loaded_settings(*words, *weights, f"segment.clicks={folder}/clicks.json")
    assert segment(again, Layout(again.out, again.tracks)) == 0
    first, second = (
        json.loads((each / "masks.json").read_text())["annotations"]
        for each in (folder, Layout(again.out, again.tracks).segment("blobs.mp4"))
    )
    assert first == second and first
