"""task=outputs: every mask, overlay and alpha video is right to the pixel and the frame, made once, and never half."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import pipeline.tasks.output_files
from pipeline.build import Build
from pipeline.errors import ConfigError, DatasetError
from pipeline.layout import Layout
from pipeline.tasks.matte import GREEN
from pipeline.tasks.outputs import outputs
from pipeline.track_store import TrackStore
from tests.pipeline.composing import loaded
from tests.running import contents, rows, run
from tests.video.transparent import rgba
from video.encoder import EncodeConfig, encode
from video.errors import SourceError

WIDTH, HEIGHT, COUNT, STRIDE, LENGTH = 161, 97, 64, 2, 8
COMES = 24  # the source frame from which on the second cow is there: in the middle of a clip
TINY = 40  # the one from which on something too small to be kept is there


def cow(number: int, t: int) -> tuple[int, int, int, int] | None:
    """The box of a cow in source frame t."""
    if number == 1:
        return 8 + t, 11, 8 + t + 35, 40
    return (120 - t, 50, 153 - t, 91) if t >= COMES else None


def coat(number: int, t: int) -> tuple[int, int, int]:
    """The colour of a cow, another one in each frame."""
    shade = 60 + 37 * t % 180
    return (shade, 40, 40) if number == 1 else (40, 40, shade)


def picture(t: int) -> np.ndarray:
    """A place with a gradient and the cows."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    image = np.dstack([90 + x // 4, 60 + y // 2, 110 - x // 4]).astype(np.uint8)
    for number in (1, 2):
        box = cow(number, t)
        if box is not None:
            image[box[1] : box[3], box[0] : box[2]] = coat(number, t)
    return image


def plane(t: int, *numbers: int) -> np.ndarray:
    """255 on these cows."""
    made = np.zeros((HEIGHT, WIDTH), np.uint8)
    for box in (cow(number, t) for number in numbers):
        if box is not None:
            made[box[1] : box[3], box[0] : box[2]] = 255
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video and a dataset of four clips from it, tracked by a file that is not there any more."""
    root = tmp_path_factory.mktemp("built")
    (root / "videos").mkdir()
    lossless = EncodeConfig(lossless=True, preset="ultrafast")
    frames = (picture(t) for t in range(COUNT))
    encode(root / "videos" / "barn.mp4", frames, Fraction(30000, 1001), lossless, size=(WIDTH, HEIGHT))
    lines = []
    for t in range(COUNT):
        boxes = {n: cow(n, t) for n in (1, 2)} | ({3: (2, 80, 6, 84)} if t >= TINY else {})
        for n, box in boxes.items():
            if box is not None:
                x0, y0, x1, y1 = box
                lines.append(f"{t + 1},{n},{x0},{y0},{x1 - x0},{y1 - y0},1,-1,-1,-1\n")
    (root / "barn.txt").write_text("".join(lines))
    clips = (f"clip.num_frames={LENGTH}", f"clip.stride={STRIDE}", "crop.size=32", "filters.visible.min_share=0.2")
    chosen = (f"videos={root}/videos", f"out={root}/out", "prompt=brown cow", "filters.size.min_side=8")
    summary = Build(loaded(*chosen, *clips, "tracker=file", f"tracker.path={root}/barn.txt")).run()
    assert (summary.crops, summary.rejected, summary.failures) == (4 + 3, 2, 0)
    (root / "barn.txt").unlink()
    return root


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    """A copy of the dataset to change."""
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy" / "out"


def make(out: Path, *more: str) -> int:
    settings = loaded("task=outputs", f"out={out}", f"videos={out.parent}/videos", *more)
    return outputs(settings, Layout(settings.out, settings.tracks))


def folders(out: Path) -> list[Path]:
    """The folders of the clips, in their order."""
    return sorted(path.parent for path in (out / "outputs").glob("*/outputs.json"))


def frames_of(n: int, every: int = 1) -> list[int]:
    return list(range(n * LENGTH * STRIDE, (n + 1) * LENGTH * STRIDE, STRIDE * every))


def films(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_masks_are_right_to_the_pixel_and_the_frame(out: Path) -> None:
    assert make(out, "outputs.overlay=false") == 0
    assert len(folders(out)) == 4
    for n, folder in enumerate(folders(out)):
        assert sorted(p.name for p in folder.iterdir()) == ["masks", "outputs.json"]
        cows = [1, 2] if n else [1]  # the second comes in the second clip; the third is refused
        assert sorted(p.name for p in (folder / "masks").iterdir()) == [f"brown_cow-{c}" for c in cows]
        for c in cows:
            shown = sorted((folder / "masks" / f"brown_cow-{c}").iterdir())
            assert [int(p.stem) for p in shown] == frames_of(n)
            for path in shown:
                assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), plane(int(path.stem), c)), path


@pytest.mark.parametrize(("kind", "bound"), [("webm", 14), ("prores", 5)])
def test_alpha_is_the_mask_and_the_colours_are_of_its_frame(out: Path, kind: str, bound: int) -> None:
    assert make(out, "outputs.masks=null", "outputs.overlay=false", f"outputs.alpha={kind}") == 0
    for n, folder in enumerate(folders(out)):
        for path in (folder / "alpha").iterdir():
            c = int(path.stem.removeprefix("brown_cow-"))
            back = rgba(path)
            assert back.shape == (LENGTH, HEIGHT, WIDTH, 4)
            for t, frame in zip(frames_of(n), back, strict=True):
                assert np.array_equal(frame[..., 3], plane(t, c)), (path, t)
                on = frame[..., 3] > 0
                assert np.abs(frame[on].astype(int)[:, :3] - picture(t)[on]).max(initial=0) <= bound, (path, t)
                far = cv2.dilate(frame[..., 3], np.ones((33, 33), np.uint8)) == 0
                assert frame[far, :3].max(initial=0) <= 4  # nothing of the place under full transparency


def test_the_overlay_shows_each_frame_with_its_own_masks(out: Path) -> None:
    assert make(out, "outputs.masks=null") == 0
    for n, folder in enumerate(folders(out)):
        shown = films(folder / "overlay.mp4")
        assert shown[0].shape == (HEIGHT + 1, WIDTH + 1, 3) and len(shown) == LENGTH
        for t, frame in zip(frames_of(n), shown, strict=True):
            changed = np.abs(frame[:HEIGHT, :WIDTH].astype(int) - picture(t)).max(axis=2) > 25
            visible = cv2.erode(plane(t, 1, 2), np.ones((5, 5), np.uint8)) > 0
            assert changed[visible].mean() > 0.98
            assert not changed[43:49, :55].any()  # between the two, away from labels
            inner = frame[19:27, cow(1, t)[0] + 12 : cow(1, t)[0] + 20].reshape(-1, 3).mean(axis=0)  # type: ignore[index]
            assert np.abs(inner - (np.array(coat(1, t)) // 2 + np.array((64, 160, 255)) // 2)).max() < 12


def test_the_pictures_as_a_video(out: Path) -> None:
    assert make(out, "outputs.masks=null", "outputs.overlay=false", "outputs.video=true") == 0
    for n, folder in enumerate(folders(out)):
        shown = films(folder / "video.mp4")
        assert len(shown) == LENGTH
        for t, frame in zip(frames_of(n), shown, strict=True):
            assert ((frame[:HEIGHT, :WIDTH] > 127) == (plane(t, 1, 2) > 0)[..., None]).mean() > 0.995, t


def test_greenscreen_and_highlighted(out: Path) -> None:
    assert make(out, "outputs.style=greenscreen", "outputs.per_object=false", "outputs.overlay=false") == 0
    for n, folder in enumerate(folders(out)):
        shown = {int(p.stem): cv2.imread(str(p))[..., ::-1] for p in (folder / "masks").iterdir()}
        assert sorted(shown) == frames_of(n)
        for t, image in shown.items():
            truth = np.where(plane(t, 1, 2)[..., None] > 0, picture(t), np.uint8(GREEN))
            assert np.array_equal(image, truth)
    assert make(out, "outputs.style=highlighted", "outputs.per_object=false", "outputs.overlay=false") == 0
    for folder in folders(out):
        for path in (folder / "masks").iterdir():
            t = int(path.stem)
            changed = (cv2.imread(str(path))[..., ::-1] != picture(t)).any(axis=2)
            assert changed[plane(t, 1, 2) > 0].all()
            assert not changed[cv2.dilate(plane(t, 1, 2), np.ones((3, 3), np.uint8)) == 0].any()


@pytest.mark.parametrize(
    ("picture_kind", "extension", "quality", "exact"),
    [("webp", "webp", 100, True), ("webp", "webp", 30, False), ("jpeg", "jpg", 95, False)],
)
def test_other_pictures(out: Path, picture_kind: str, extension: str, quality: int, exact: bool) -> None:
    more = (f"outputs.masks={picture_kind}", f"outputs.quality={quality}", "outputs.overlay=false")
    assert make(out, *more, "outputs.clips=*-0000008-*", "outputs.every=4") == 0
    (folder,) = folders(out)
    paths = sorted((folder / "masks" / "brown_cow-1").iterdir())
    assert [p.name for p in paths] == [f"{t:06}.{extension}" for t in frames_of(1, every=4)]
    for path in paths:
        back = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        truth = plane(int(path.stem), 1)
        assert np.array_equal(back, truth) if exact else np.array_equal(back > 127, truth > 127)


def test_all_objects_together(out: Path) -> None:
    together = ("outputs.per_object=false", "outputs.alpha=webm", "outputs.overlay=false")
    assert make(out, *together) == 0
    for n, folder in enumerate(folders(out)):
        assert [p.name for p in (folder / "alpha").iterdir()] == ["all.webm"]
        for t, frame in zip(frames_of(n), rgba(folder / "alpha" / "all.webm"), strict=True):
            assert np.array_equal(frame[..., 3], plane(t, 1, 2))
            mask = cv2.imread(str(folder / "masks" / f"{t:06}.png"), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(mask, plane(t, 1, 2))


def test_every_nth_frame_plays_at_the_same_speed(out: Path) -> None:
    assert make(out, "outputs.every=3", "outputs.alpha=prores") == 0
    for n, folder in enumerate(folders(out)):
        record = json.loads((folder / "outputs.json").read_text())
        assert record["video"] == "barn.mp4" and sorted(record["made"]) == ["alpha", "masks", "overlay"]
        for made in record["made"].values():
            assert made["frame_indices"] == frames_of(n, every=3)
            assert [o["name"] for o in made["objects"]] == [f"brown_cow-{c}" for c in ([1, 2] if n else [1])]
        for path in (folder / "overlay.mp4", folder / "alpha" / "brown_cow-1.mov"):
            with av.open(str(path)) as container:
                rate = container.streams.video[0].average_rate
                assert float(rate) == pytest.approx(30000 / 1001 / STRIDE / 3, rel=1e-4) == made["fps"]
                assert sum(1 for _ in container.decode(video=0)) == 3


def test_a_whole_video_shows_every_sampled_frame_once(out: Path) -> None:
    more = ("outputs.per=video", "outputs.alpha=webm")
    assert make(out, *more) == 0
    folder = out / "outputs" / "barn.mp4"
    record = json.loads((folder / "outputs.json").read_text())
    assert record["made"]["alpha"]["frame_indices"] == list(range(0, COUNT, STRIDE))
    back = rgba(folder / "alpha" / "all.webm")
    assert len(back) == len(films(folder / "overlay.mp4")) == COUNT // STRIDE
    for t, frame in zip(range(0, COUNT, STRIDE), back, strict=True):
        assert np.array_equal(frame[..., 3], plane(t, 1, 2))
        mask = cv2.imread(str(folder / "masks" / f"{t:06}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask, plane(t, 1, 2))


def test_clips_that_overlap_are_right_too(built: Path, tmp_path: Path) -> None:
    clips = ("clip.num_frames=10", "clip.stride=1", "clip.hop=4", "clip.sampling=random", "clip.per_video=5")
    lines = [f"{t + 1},1,{8 + t},11,35,29,1,-1,-1,-1\n" for t in range(COUNT)]
    (tmp_path / "barn.txt").write_text("".join(lines))
    chosen = (f"videos={built}/videos", f"out={tmp_path}/out", "prompt=cow", "filters.size.min_side=8", *clips)
    Build(loaded(*chosen, "tracker=file", f"tracker.path={tmp_path}/barn.txt")).run()
    kinds = ("outputs.overlay=false", f"videos={built}/videos")
    settings = loaded("task=outputs", f"out={tmp_path}/out", *kinds)
    assert outputs(settings, Layout(settings.out, settings.tracks)) == 0
    assert len(folders(tmp_path / "out")) == 5
    for folder in folders(tmp_path / "out"):
        start = int(folder.name.split("-")[2])
        shown = {int(p.stem): cv2.imread(str(p), 0) for p in (folder / "masks" / "cow-1").iterdir()}
        assert sorted(shown) == list(range(start, start + 10))
        assert all(np.array_equal(mask, plane(t, 1)) for t, mask in shown.items())
    settings = loaded("task=outputs", f"out={tmp_path}/out", "outputs.per=video", *kinds)
    assert outputs(settings, Layout(settings.out, settings.tracks)) == 0
    whole = sorted((tmp_path / "out" / "outputs" / "barn.mp4" / "masks").iterdir())
    spans = {int(f.name.split("-")[2]) for f in folders(tmp_path / "out") if f.name != "barn.mp4"}
    assert [int(p.stem) for p in whole] == sorted({t for start in spans for t in range(start, start + 10)})


def test_kept_objects_or_all_that_were_tracked(out: Path) -> None:
    assert make(out, "outputs.overlay=false", "outputs.objects=all") == 0
    names = [sorted(p.name for p in (f / "masks").iterdir()) for f in folders(out)]
    one, two, three = (f"brown_cow-{n}" for n in (1, 2, 3))
    assert names == [[one], [one, two], [one, two, three], [one, two, three]]
    mask = cv2.imread(str(folders(out)[2] / "masks" / three / "000042.png"), 0)
    assert mask.sum() == 16 * 255 and mask[80:84, 2:6].all()


def test_a_clip_without_kept_objects_has_no_outputs(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert make(out, "filters.size.min_side=37", "outputs.overlay=false") == 0  # only the second cow is so tall
    assert "4 clips: 3 made, 0 were there, 1 without objects, 0 failed" in caplog.text
    assert all([p.name for p in (f / "masks").iterdir()] == ["brown_cow-2"] for f in folders(out))


def stamps(out: Path) -> dict[str, int]:
    return {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in (out / "outputs").rglob("*") if p.is_file()}


def test_what_is_there_is_not_made_again(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    make(out)
    before = stamps(out)
    make(out)
    assert "4 clips: 0 made, 4 were there" in caplog.text and stamps(out) == before
    make(out, "outputs.alpha=webm")  # one more kind: only that one is made
    after = stamps(out)
    new = set(after) - set(before)
    assert {Path(p).suffix for p in new} == {".webm"}
    assert {p for p in before if after[p] != before[p]} == {p for p in before if p.endswith("outputs.json")}
    first, second = folders(out)[:2]
    (first / "overlay.mp4").unlink()
    caplog.clear()
    make(out, "outputs.alpha=webm")
    assert "4 clips: 1 made, 3 were there" in caplog.text and (first / "overlay.mp4").is_file()
    caplog.clear()
    make(out, "outputs.style=greenscreen", "outputs.overlay=false")
    assert "4 clips: 4 made" in caplog.text
    assert (
        stamps(out)[(second / "overlay.mp4").relative_to(out).as_posix()]
        == after[(second / "overlay.mp4").relative_to(out).as_posix()]
    )
    caplog.clear()
    make(out, "filters.size.min_side=37", "outputs.alpha=webm")  # other objects: made again
    assert "4 clips: 3 made, 0 were there, 1 without objects" in caplog.text


def test_a_rerun_from_nothing_gives_the_same_bytes(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(out, "outputs.alpha=webm", "executor.workers=4")
    first = contents(out, "outputs")
    shutil.rmtree(out / "outputs")
    monkeypatch.setattr(pipeline.tasks.output_files, "ENCODERS_BYTES", 1)  # one alpha encoder at once: several passes
    make(out, "outputs.alpha=webm", "executor.workers=1")
    assert contents(out, "outputs") == first


def test_an_interruption_leaves_nothing_half_done(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(out, "outputs.overlay=false")
    before = contents(out, "outputs")
    write = pipeline.tasks.output_files.Overlay.write

    def stop(self: pipeline.tasks.output_files.Overlay, shown: pipeline.tasks.output_files.Shown) -> None:
        write(self, shown)
        if shown.index == 5 * STRIDE:
            raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.tasks.output_files.Overlay, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        make(out, "outputs.alpha=webm", "outputs.style=greenscreen")
    assert contents(out, "outputs") == before


def test_shards_share_the_work(out: Path) -> None:
    make(out, "outputs.overlay=false", "shard.index=0", "shard.count=2")
    make(out, "outputs.overlay=false", "shard.index=1", "shard.count=2")
    assert len(folders(out)) == 4


def test_without_tracks_there_is_one_message(out: Path) -> None:
    for gone in [*(out / "tracks").glob("??"), out / "tracks" / "trackers"]:
        shutil.rmtree(gone)
        with pytest.raises(DatasetError, match=r"no stored tracks of these videos in .*/tracks: .* tracks.keep=true"):
            make(out)
    with pytest.raises(DatasetError, match="no stored tracks of these videos in /nowhere"):
        make(out, "tracks.path=/nowhere")
    assert not (out / "outputs").exists()


def two_videos(built: Path, tmp_path: Path) -> Path:
    """A dataset of two videos with two clips each."""
    root = tmp_path / "two"
    (root / "videos").mkdir(parents=True)
    for seed, name in enumerate(("a.mp4", "b.mp4")):
        lossless = EncodeConfig(lossless=True, preset="ultrafast")
        frames = (picture(t + seed) for t in range(32))
        encode(root / "videos" / name, frames, 30, lossless, size=(WIDTH, HEIGHT))
        lines = [f"{t + 1},1,{8 + t + seed},11,35,29,1,-1,-1,-1\n" for t in range(32)]
        (root / f"{Path(name).stem}.txt").write_text("".join(lines))
    clips = (f"clip.num_frames={LENGTH}", f"clip.stride={STRIDE}", "crop.size=32", "filters.size.min_side=8")
    chosen = (f"videos={root}/videos", f"out={root}/out", "prompt=cow", *clips)
    assert Build(loaded(*chosen, "tracker=file", f"tracker.path={root}")).run().failures == 0
    return root / "out"


def test_what_cannot_be_made_is_named_and_the_rest_is_made(
    built: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = two_videos(built, tmp_path)
    tracks = sorted((out / "tracks").glob("??/*.parquet"))
    assert len(tracks) == 2
    hidden = tracks[0].read_bytes()
    tracks[0].unlink()
    assert make(out, "outputs.overlay=false") == 3
    assert len(folders(out)) == 2
    (failure,) = json.loads((out / "outputs" / "failures-0.json").read_text())
    assert ".mp4: not all of it has stored tracks in" in failure and failure in caplog.text
    tracks[0].write_bytes(hidden)
    assert make(out, "outputs.overlay=false") == 0
    assert len(folders(out)) == 4 and not (out / "outputs" / "failures-0.json").exists()
    (out.parent / "videos" / "b.mp4").rename(out.parent / "b.mp4")
    caplog.clear()
    assert make(out) == 3
    assert f"b.mp4, of the dataset, is not in videos={out.parent}/videos: say where it is" in caplog.text
    assert len(list((out / "outputs").glob("*/overlay.mp4"))) == 2
    assert make(out, "select.include=a.mp4") == 0
    shutil.rmtree(out.parent / "videos")
    with pytest.raises(SourceError, match="videos"):
        make(out)


def test_a_video_that_was_cut_short_fails_alone(built: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = two_videos(built, tmp_path)
    film = out.parent / "videos" / "b.mp4"
    film.write_bytes(film.read_bytes()[:2000])
    assert make(out, "outputs.overlay=false") == 3
    assert len(folders(out)) == 2 and "b.mp4" in caplog.text


def test_a_dataset_that_is_only_tracked_shows_what_was_tracked(out: Path) -> None:
    for record in (out / "records").glob("??/*.json"):
        record.unlink()
    assert make(out, "outputs.overlay=false") == 3
    failures = json.loads((out / "outputs" / "failures-0.json").read_text())
    assert failures == [
        "barn.mp4: not all of it has been built; build again, or show everything that was tracked with "
        "outputs.objects=all"
    ]
    assert make(out, "outputs.overlay=false", "outputs.objects=all") == 0
    assert len(folders(out)) == 4


def test_a_window_that_was_not_tracked_is_named_and_left_plain_in_a_whole_video(
    out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = (out / "tracks").glob("??/*.parquet")
    store = TrackStore(Layout(out, out / "tracks"))
    first, *others = store.read(path.stem).values()
    store.write(path.stem, "brown cow", [replace(first, tracks=(), error="out of memory"), *others])
    everything = ("outputs.overlay=false", "outputs.objects=all")
    assert make(out, *everything) == 3
    assert len(folders(out)) == 3
    assert f"{first_clip(out)} could not be tracked: out of memory" in caplog.text
    for _ in range(2):  # it is tried again as long as something is missing
        caplog.clear()
        caplog.set_level("INFO")
        assert make(out, *everything, "outputs.per=video") == 3
        assert "1 videos: 1 made" in caplog.text and "could not be tracked: out of memory" in caplog.text
    for shown in (out / "outputs" / "barn.mp4" / "masks").iterdir():
        t = int(shown.stem)
        mask = cv2.imread(str(shown), 0)
        assert not mask.any() if t < LENGTH * STRIDE else (mask[plane(t, 1, 2) > 0] == 255).all()


def first_clip(out: Path) -> str:
    return str(rows(out / "samples.parquet")[0]["clip_id"])


def test_the_command_line(out: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    videos = f"videos={out.parent}/videos"
    done = run(capfd, monkeypatch, "task=outputs", f"out={out}", videos, "outputs.alpha=webm", "select.include=barn*")
    assert done.status == 0 and f"4 clips: 4 made, 0 were there, 0 without objects, 0 failed; in {out}" in done.text
    done = run(capfd, monkeypatch, "task=outputs", f"out={out}", videos, "outputs.alpha=gif")
    assert done.status == 2 and "outputs.alpha must be one of webm, prores, null, got 'gif'" in done.text
    done = run(capfd, monkeypatch, "task=outputs", f"out={out}", videos, "tracks.path=/nowhere")
    assert done.status == 3 and "there are no stored tracks of these videos in /nowhere" in done.text
    done = run(capfd, monkeypatch, "task=outputs", f"out={out}", videos, "select.include=cam*")
    assert done.status == 2 and "cam*" in done.text


WRONG = {
    "outputs.masks=gif": "outputs.masks must be one of png, jpeg, webp, null, got 'gif'",
    "outputs.style=blue": "outputs.style must be one of binary, highlighted, greenscreen, got 'blue'",
    "outputs.alpha=mp4": "outputs.alpha must be one of webm, prores, null, got 'mp4'",
    "outputs.objects=some": "outputs.objects must be one of kept, all, got 'some'",
    "outputs.per=frame": "outputs.per must be one of clip, video, got 'frame'",
    "outputs.quality=0": "outputs.quality must be from 1 to 100, got 0",
    "outputs.quality=101": "outputs.quality must be from 1 to 100, got 101",
    "outputs.every=0": "outputs.every must be at least 1: every n-th frame, got 0",
    "outputs.per=video outputs.per_object=true outputs.objects=all": "has a file for every individual, and only what",
    "outputs.masks=null outputs.overlay=false": "task=outputs needs outputs.masks=png, outputs.overlay=true or",
}


def test_an_individual_has_its_own_files_through_a_whole_video(out: Path) -> None:
    apart = ("outputs.per=video", "outputs.per_object=true", "outputs.alpha=webm", "outputs.overlay=false")
    assert make(out, *apart) == 0
    samples = rows(out / "samples.parquet")
    names = {sample["individual_id"] for sample in samples}
    assert len(names) < len(samples) == 7, "some are linked over clips"
    folder = out / "outputs" / "barn.mp4"
    assert {p.name for p in (folder / "masks").iterdir()} == {f"brown_cow-{name}" for name in names}
    frames = list(range(0, COUNT, STRIDE))
    for name in names:
        seen = {s["start_frame"] // (LENGTH * STRIDE): s["object_id"] for s in samples if s["individual_id"] == name}
        shown = sorted((folder / "masks" / f"brown_cow-{name}").iterdir())
        assert [int(p.stem) for p in shown] == frames
        alpha = rgba(folder / "alpha" / f"brown_cow-{name}.webm")
        for path, picture_of_it, t in zip(shown, alpha, frames, strict=True):
            cows = [seen[t // (LENGTH * STRIDE)]] if t // (LENGTH * STRIDE) in seen else []
            assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), plane(t, *cows)), path
            assert np.array_equal(picture_of_it[..., 3], plane(t, *cows))
    record = json.loads((folder / "outputs.json").read_text())["made"]["masks"]["objects"]
    assert [each["object_id"] for each in record] == list(range(1, len(names) + 1))
    before = contents(out, "outputs")
    assert make(out, *apart) == 0 and contents(out, "outputs") == before
    with pytest.raises(ConfigError, match=r"needs individuals: set link.enabled=true"):
        make(out, *apart, "link.enabled=false")


@pytest.mark.parametrize("words", WRONG)
def test_wrong_settings_are_said_before_anything_is_made(words: str, built: Path) -> None:
    with pytest.raises(ConfigError, match=WRONG[words]):
        make(built / "out", *words.split())
    assert not (built / "out" / "outputs").exists()


def test_clips_that_nothing_matches(built: Path) -> None:
    with pytest.raises(DatasetError, match=r"outputs.clips=nope\* names none of the 4 clips, such as [0-9a-f]{12}-s2-"):
        make(built / "out", "outputs.clips=nope*")


def test_without_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="task=outputs works on a dataset, and there is no"):
        make(tmp_path / "nothing")
