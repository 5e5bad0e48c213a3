"""Videos with transparency: alpha comes back exactly, on the right frame, with the tags players need."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.video.transparent import alpha, frames, rgba
from video.alpha import ALPHA, encode_alpha
from video.encoder import EncodeConfig

RATE = Fraction(30000, 1001)
KINDS = sorted(ALPHA)
LOSSY, EXACT = EncodeConfig(), EncodeConfig(lossless=True)


def pictures(count: int = 12, width: int = 97, height: int = 61, seed: int = 0) -> np.ndarray:
    """A textured place; alpha is a moving ellipse, a single pixel, a line and, in the corner, soft levels."""
    texture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(texture, (0, 0), 3), None, 30, 230, cv2.NORM_MINMAX)
    made = np.zeros((count, height, width, 4), np.uint8)
    for n, picture in enumerate(made):
        plane = cv2.ellipse(np.zeros((height, width), np.uint8), (25 + 3 * n, 30), (18, 11), 9 * n, 0, 360, 255, -1)
        plane[2, 3 + n] = plane[height - 1, :] = 255
        plane[:4, -20:] = np.linspace(0, 255, 80).reshape(4, 20)
        picture[...] = np.dstack([texture, plane])
    return made


@pytest.mark.parametrize("size", [(96, 64), (97, 61), (96, 61), (2, 2), (33, 16)])
@pytest.mark.parametrize("kind", KINDS)
def test_alpha_comes_back_exactly_on_its_own_frame(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    given = np.random.default_rng(1).integers(0, 256, (5, size[1], size[0], 4), dtype=np.uint8)
    if size[0] > 40:
        given = pictures(12, *size)
    path = tmp_path / f"a{ALPHA[kind]}"
    assert encode_alpha(kind, path, given, RATE, LOSSY, size=size).frames == len(given)
    back = rgba(path)
    assert back.shape == given.shape
    assert np.array_equal(back[..., 3], given[..., 3])


@pytest.mark.parametrize(("kind", "config", "bound"), [("webm", LOSSY, 3.2), ("webm", EXACT, 3), ("prores", LOSSY, 1)])
def test_colours_come_back_in_their_place(kind: str, config: EncodeConfig, bound: float, tmp_path: Path) -> None:
    given = pictures(12, 96, 64)
    encode_alpha(kind, tmp_path / f"a{ALPHA[kind]}", given, RATE, config, size=(96, 64))
    shown, truth = rgba(tmp_path / f"a{ALPHA[kind]}")[..., :3].astype(int), given[..., :3].astype(int)
    assert np.abs(shown - truth).mean() <= bound  # colours in 4:2:0 cost most of it
    for axis in (1, 2):  # which tells a shift by a pixel
        assert np.abs(np.roll(shown, 1, axis) - truth).mean() > 1.6 * bound


@pytest.mark.parametrize("kind", KINDS)
def test_flat_colours_are_the_same_colours(kind: str, tmp_path: Path) -> None:
    flat = [*itertools.product((0, 90, 255), repeat=3), (12, 200, 77), (201, 31, 144)]
    given = np.stack([np.full((32, 32, 4), (*colour, 255), np.uint8) for colour in flat])
    encode_alpha(kind, tmp_path / f"a{ALPHA[kind]}", given, 5, LOSSY, size=(32, 32))
    assert np.abs(rgba(tmp_path / f"a{ALPHA[kind]}").astype(int) - given).max() <= 5


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_depend_on_nothing_but_the_input(kind: str, tmp_path: Path) -> None:
    given = [pictures(seed=seed) for seed in range(2)]

    def one(job: tuple[int, int]) -> str:
        run, seed = job
        path = tmp_path / f"{run}-{seed}.part"
        return encode_alpha(kind, path, iter(given[seed]), RATE, LOSSY, size=(97, 61)).sha256

    alone = [one((0, seed)) for seed in range(2)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(one, itertools.product((1, 2, 3), range(2))))
    assert together == alone * 3 and len(set(alone)) == 2


def test_webm_says_what_browsers_need(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    encode_alpha("webm", path, pictures(60), RATE, LOSSY, size=(97, 61))
    data = path.read_bytes()
    assert b"\x53\xc0\x81\x01" in data  # AlphaMode = 1
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.width, context.height, stream.average_rate) == (97, 61, RATE)
        assert [context.color_primaries, context.color_trc, context.colorspace, context.color_range] == [6, 6, 6, 1]
        packets = [p for p in container.demux(stream) if p.size]
    assert [n for n, p in enumerate(packets) if p.is_keyframe] == [0, 48]
    assert all(p.has_sidedata("matroska_block_additional") for p in packets)
    times = [int(n / RATE * 1000 + Fraction(1, 2)) for n in range(60)]  # a WebM file counts milliseconds
    assert [f.pts for f in frames(path)] == times


def test_both_streams_of_a_webm_can_be_entered_at_a_keyframe(tmp_path: Path) -> None:
    given = pictures(60)
    encode_alpha("webm", tmp_path / "a.webm", given, RATE, LOSSY, size=(97, 61))
    with av.open(str(tmp_path / "a.webm")) as container:
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        packets = [p for p in container.demux(video=0) if p.size][48:]
        back = [alpha(f) for p in packets for f in decoder.decode(p)]
    assert np.array_equal(back, given[48:, ..., 3])


def test_prores_says_what_editors_need(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    encode_alpha("prores", path, pictures(6), RATE, LOSSY, size=(97, 61))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"colrnclc\x00\x06\x00\x01\x00\x06" in data  # BT.601 primaries, its curve, its matrix
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec_tag == "ap4h" and stream.average_rate == RATE and stream.frames == 6
        shown = list(container.decode(stream))
        assert [f.pts * stream.time_base for f in shown] == [n / RATE for n in range(6)]
    assert {(f.color_primaries, f.color_trc, f.colorspace) for f in shown} == {(6, 1, 6)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_partial_file_survives_an_error(kind: str, tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from pictures(3)
        raise RuntimeError("the reader stopped")

    path = tmp_path / "a"
    with pytest.raises(RuntimeError, match="the reader stopped"):
        encode_alpha(kind, path, broken(), RATE, LOSSY, size=(97, 61))
    with pytest.raises(ValueError, match=r"frame 0 must be \(61, 97, 4\) uint8, got \(61, 97, 3\) uint8"):
        encode_alpha(kind, path, pictures()[..., :3], RATE, LOSSY, size=(97, 61))
    with pytest.raises(ValueError, match="no frames"):
        encode_alpha(kind, path, [], RATE, LOSSY, size=(97, 61))
    with pytest.raises(ValueError, match="fps must be"):
        encode_alpha(kind, path, pictures(), 0, LOSSY, size=(97, 61))
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError):
        encode_alpha(kind, tmp_path / "nowhere" / "a", pictures(), RATE, LOSSY, size=(97, 61))


def test_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an alpha video is one of webm, prores, got 'gif'"):
        encode_alpha("gif", tmp_path / "a.gif", pictures(), RATE, LOSSY, size=(97, 61))
