"""What a file must hold: the same bytes every time, the same colours in every reader, every frame, in a web order."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.running import ROOT
from video.encoder import PRESETS, EncodeConfig, encode

Picture = NDArray[np.uint8]
RATE = Fraction(15, 2)


def clip(frames: int = 12, size: int = 96, seed: int = 0) -> Picture:
    """An ellipse with a soft texture moving over exact black."""
    texture = cv2.GaussianBlur(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 60, 250, cv2.NORM_MINMAX)
    planes = [
        cv2.ellipse(np.zeros((size, size), np.uint8), (30 + 2 * n, 48), (24, 15), 0, 0, 360, 1, -1)
        for n in range(frames)
    ]
    return np.stack([texture * plane[..., None] for plane in planes])


def decoded(path: Path) -> Picture:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def atoms(path: Path) -> list[str]:
    """The names of the top-level boxes of an MP4 file, in order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    return names


def test_bytes_depend_on_nothing_but_the_input(tmp_path: Path) -> None:
    clips = [clip(seed=seed) for seed in range(4)]

    def one(job: tuple[int, int]) -> str:
        run, seed = job
        return encode(tmp_path / f"{run}-{seed}.tmp", clips[seed], RATE, EncodeConfig(), size=(96, 96)).sha256

    alone = [one((0, seed)) for seed in range(4)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(one, itertools.product((1, 2, 3), range(4))))
    assert together == alone * 3
    assert len(set(alone)) == 4
    assert b" threads=1 lookahead_threads=1 " in (tmp_path / "0-0.tmp").read_bytes()  # x264's note on its settings


@pytest.mark.parametrize("preset", ["veryfast", "medium"])
def test_bytes_do_not_depend_on_what_the_memory_held_before(tmp_path: Path, preset: str) -> None:
    """glibc fills what is allocated with the complement of MALLOC_PERTURB_: x264 once took it for its own."""
    noise = np.random.default_rng(0).normal(0, 5, (20, 224, 224, 3))
    np.save(tmp_path / "clip.npy", np.clip(clip(frames=20, size=224) + noise, 0, 255).astype(np.uint8))
    script = f"""
import numpy as np
from video.encoder import EncodeConfig, encode
frames = np.load({str(tmp_path / "clip.npy")!r})
path = {str(tmp_path / "again.mp4")!r}
print(encode(path, frames, 6, EncodeConfig(preset={preset!r}), size=(224, 224)).sha256)
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"MALLOC_PERTURB_": fill}, check=True, capture_output=True
        ).stdout
        for fill in ("0", "1", "85")
    }
    assert len(found) == 1


NARROW = """
import sys
from fractions import Fraction
from pathlib import Path
from tests.video.test_encoder import moving
from video.encoder import EncodeConfig, encode
for seed in range(12):
    print(encode(Path(sys.argv[1]), moving(seed), Fraction(25), EncodeConfig(), size=(64, 64)).sha256)
"""


def moving(seed: int, size: int = 64, frames: int = 5) -> Picture:
    """A soft texture that is pushed about, from one picture to the next and back."""
    numbers = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(numbers.integers(0, 256, (3 * size, 3 * size, 3), dtype=np.uint8), (0, 0), 2 + seed % 4)
    texture = cv2.normalize(texture, None, 20, 250, cv2.NORM_MINMAX)
    places = size + numbers.integers(-6, 7, (frames, 2))
    return np.stack([texture[y : y + size, x : x + size] for y, x in places])


def test_narrow_videos_do_not_depend_on_what_was_in_memory(tmp_path: Path) -> None:
    """On processors with AVX-512, x264's own way does."""

    def hashes(filled: int) -> list[str]:
        environment = os.environ | {"MALLOC_PERTURB_": str(filled)}  # glibc then fills what it gives
        command = [sys.executable, "-c", NARROW, str(tmp_path / f"{filled}.mp4")]
        return subprocess.run(command, cwd=ROOT, env=environment, stdout=-1, check=True, text=True).stdout.split()

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(hashes, (85, 170))
    assert one == other and len(set(one)) == 12


@pytest.mark.parametrize(
    "kind", [EncodeConfig(), EncodeConfig(lossless=True), EncodeConfig(preset="medium", crf=30)], ids=repr
)
def test_a_rerun_is_byte_equal_and_described_truly(tmp_path: Path, kind: EncodeConfig) -> None:
    first = encode(tmp_path / "a.mp4", clip(), RATE, kind, size=(96, 96))
    second = encode(tmp_path / "b.partial", iter(clip()), RATE, kind, size=(96, 96))
    assert first == second
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.partial").read_bytes()
    assert (first.sha256, first.bytes, first.frames) == (hashlib.sha256(data).hexdigest(), len(data), 12)


def test_browsers_can_play_it(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", clip(60), RATE, EncodeConfig(), size=(96, 96))
    names = atoms(tmp_path / "a.mp4")
    assert names[0] == "ftyp" and names.index("moov") < names.index("mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.profile) == ("h264", "yuv420p", "High")
        assert (context.width, context.height) == (96, 96)
        assert [context.color_primaries, context.color_trc, context.colorspace, context.color_range] == [6, 6, 6, 1]
        assert "creation_time" not in container.metadata and "encoder" not in container.metadata
        keys = [index for index, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys[0] == 0 and max(np.diff([*keys, 60])) <= 48


@pytest.mark.parametrize("fps", [RATE, 30, 29.97, Fraction(30000, 1001), Fraction(1900001, 253333), 1 / 3, 0.02])
def test_frames_and_rate_are_exact(tmp_path: Path, fps: Fraction | float) -> None:
    encode(tmp_path / "a.mp4", clip(7), fps, EncodeConfig(), size=(96, 96))
    rate = Fraction(fps).limit_denominator(100_000)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(video=0)]
        assert stream.average_rate == rate
        assert stream.frames == 7
    assert times == [n / rate for n in range(7)]


@pytest.mark.parametrize("frames", [1, 2, 3, 20, 100])
def test_every_frame_is_there_in_order(tmp_path: Path, frames: int) -> None:
    levels = np.linspace(0, 255, frames).astype(np.uint8)
    pictures = np.broadcast_to(levels[:, None, None, None], (frames, 32, 32, 3))
    assert encode(tmp_path / "a.mp4", pictures, RATE, EncodeConfig(), size=(32, 32)).frames == frames
    back = decoded(tmp_path / "a.mp4")
    assert back.shape == pictures.shape and np.abs(back.astype(int) - pictures).max() <= 3
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == frames


FLAT = [*itertools.product((0, 90, 255), repeat=3), (128, 128, 128), (12, 200, 77), (201, 31, 144)]


def read_with(reader: str, path: Path) -> Picture:
    if reader == "pyav":
        return decoded(path)
    if reader == "cv2":
        capture = cv2.VideoCapture(str(path))
        return np.stack([picture[..., ::-1] for ok, picture in iter(capture.read, (False, None)) if ok])
    decord = pytest.importorskip("decord")
    return decord.VideoReader(str(path))[:].asnumpy()


@pytest.mark.parametrize("reader", ["pyav", "cv2", "decord"])
def test_colours_come_back_in_every_reader(tmp_path: Path, reader: str) -> None:
    pictures = np.stack([np.full((32, 32, 3), color, np.uint8) for color in FLAT])
    encode(tmp_path / "a.mp4", pictures, RATE, EncodeConfig(), size=(32, 32))
    back = read_with(reader, tmp_path / "a.mp4").astype(int)
    assert np.abs(back - pictures).max() <= 3


def test_colour_is_averaged_not_picked_where_it_is_subsampled(tmp_path: Path) -> None:
    pictures = np.zeros((2, 32, 32, 3), np.uint8)
    pictures[:, ::2, :, 0] = pictures[:, 1::2, :, 2] = 255  # red and blue lines
    encode(tmp_path / "a.mp4", pictures, RATE, EncodeConfig(), size=(32, 32), exact_luma=True)
    with av.open(str(tmp_path / "a.mp4")) as container:
        planes = next(container.decode(video=0)).to_ndarray()
    luma, chroma = planes[:32].astype(float), planes[32:].reshape(2, -1).astype(float)
    assert np.abs(luma[::2] - 81.5).max() <= 1 and np.abs(luma[1::2] - 41).max() <= 1
    assert np.abs(chroma[0] - (90.2 + 240) / 2).max() <= 1 and np.abs(chroma[1] - (240 + 109.8) / 2).max() <= 1


def test_black_around_the_object_stays_nearly_black(tmp_path: Path) -> None:
    pictures = clip(20)
    encode(tmp_path / "a.mp4", pictures, RATE, EncodeConfig(), size=(96, 96))
    back = decoded(tmp_path / "a.mp4")
    objects = [picture.any(axis=2).astype(np.uint8) for picture in pictures]
    ring = max(int(shown[plane == 0].max()) for shown, plane in zip(back, objects, strict=True))
    far = max(
        int(shown[cv2.dilate(plane, np.ones((33, 33), np.uint8)) == 0].max())
        for shown, plane in zip(back, objects, strict=True)
    )
    assert ring <= 120 and far <= 3, (ring, far)  # 4:2:0 chroma and the transform ring at the edge, and only there


def test_lossless_is_exact(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 34, 46, 3), dtype=np.uint8)
    encode(tmp_path / "a.mp4", pictures, RATE, EncodeConfig(lossless=True), size=(46, 34))
    for reader in ("pyav", "cv2", "decord"):
        assert np.array_equal(read_with(reader, tmp_path / "a.mp4"), pictures)


def test_masks_keep_exact_black_and_white(tmp_path: Path) -> None:
    pictures = np.where(clip(20) > 0, np.uint8(255), np.uint8(0)).max(axis=3, keepdims=True).repeat(3, axis=3)
    encode(tmp_path / "a.mp4", pictures, RATE, EncodeConfig(), size=(96, 96), exact_luma=True)
    for reader in ("pyav", "cv2", "decord"):
        assert np.array_equal(read_with(reader, tmp_path / "a.mp4"), pictures)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("size", [(33, 32), (32, 33), (0, 0)])
def test_odd_sizes_are_refused_before_a_file_exists(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="needs even sizes"):
        encode(tmp_path / "a.mp4", [], RATE, EncodeConfig(), size=size)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e-9, 5000])
def test_impossible_rates_are_refused(tmp_path: Path, fps: float) -> None:
    with pytest.raises(ValueError, match="fps must be"):
        encode(tmp_path / "a.mp4", clip(2), fps, EncodeConfig(), size=(96, 96))
    assert not list(tmp_path.iterdir())


def test_no_partial_file_survives_an_error(tmp_path: Path) -> None:
    def broken() -> Iterator[Picture]:
        yield from clip(5)
        raise RuntimeError("the reader stopped")

    target = tmp_path / "a.mp4"
    with pytest.raises(RuntimeError, match="the reader stopped"):
        encode(target, broken(), RATE, EncodeConfig(), size=(96, 96))
    with pytest.raises(ValueError, match="frame 2 must be"):
        encode(target, [*clip(2), clip(1, size=98)[0]], RATE, EncodeConfig(), size=(96, 96))
    with pytest.raises(ValueError, match=r"frame 0 must be .* float64"):
        encode(target, clip(2) / 255, RATE, EncodeConfig(), size=(96, 96))
    with pytest.raises(ValueError, match="no frames"):
        encode(target, [], RATE, EncodeConfig(), size=(96, 96))
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError):
        encode(tmp_path / "nowhere" / "a.mp4", clip(2), RATE, EncodeConfig(), size=(96, 96))


def test_awkward_names_are_just_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encode("cam 1:12%03d é.tmp", clip(3), RATE, EncodeConfig(), size=(96, 96))
    assert (tmp_path / "cam 1:12%03d é.tmp").stat().st_size > 0


def test_settings_are_checked_by_their_full_key() -> None:
    with pytest.raises(ValueError, match=r"encode.crf must be from 1 to 51, got 0; for exact .* encode.lossless=true"):
        EncodeConfig(crf=0)
    with pytest.raises(ValueError, match=f"encode.preset must be one of {', '.join(PRESETS)}, got 'warp'"):
        EncodeConfig(preset="warp")
