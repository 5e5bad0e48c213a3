"""How many crops a second one core decodes for training: our loader, against decord and torchcodec where installed.

    python -m benchmarks.loader [--crops 200] [--rounds 3] [--json FILE]

Crops of 20 frames, 224 px, as a build writes them (H.264, crf 18, veryfast), all frames to RGB, one thread each.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from benchmarks.footage import mask_of, short_video
from benchmarks.table import Result, arguments, interleaved, publish, ratio
from pipeline.extractor import CropConfig, place_object, render_crop
from pipeline.loader import decode
from sam.types import Track
from video.encoder import EncodeConfig, encode
from video.types import Grid

FRAMES, SIZE = 20, 224
OURS = "this project's loader (PyAV)"


def make_crops(folder: Path, count: int) -> list[Path]:
    """Crops of one ellipse through one clip, under `count` names: what is read differs, not what is decoded."""
    from video.reader import open_reader
    from video.source import find, probe

    (found,) = find((str(short_video(10)),), (), ())
    video = probe(found, None)
    with open_reader(video) as reader:
        frames = [frame.rgb for frame in reader.read(Grid(stride=4), [range(FRAMES)])]
    masks = tuple(mask_of(0, 4 * n, video.width, video.height) for n in range(FRAMES))
    placement = place_object(Track(1, "x", np.arange(FRAMES, dtype=np.int32), masks, 1.0), 0, FRAMES, CropConfig())
    assert placement is not None
    (pictures,) = render_crop(placement, frames, CropConfig()).values()
    paths = [folder / f"{n:05d}.mp4" for n in range(count)]
    encode(paths[0], pictures, Fraction(15, 2), EncodeConfig(), size=(SIZE, SIZE))
    for path in paths[1:]:
        path.write_bytes(paths[0].read_bytes())
    return paths


def decoders() -> dict[str, Callable[[Path], Any]]:
    """Every way that is installed, by name."""
    found: dict[str, Callable[[Path], Any]] = {OURS: decode}
    try:
        decord = importlib.import_module("decord")
        found["decord"] = lambda path: decord.VideoReader(str(path), num_threads=1)[:].asnumpy()
    except ImportError:
        pass
    try:
        torchcodec = importlib.import_module("torchcodec.decoders")
        found["torchcodec"] = lambda path: torchcodec.VideoDecoder(str(path), num_ffmpeg_threads=1)[:].numpy()
    except (ImportError, RuntimeError, OSError):
        pass
    return found


def main() -> None:
    parser = arguments("Crops a second that one core decodes for training.")
    parser.add_argument("--crops", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        paths = make_crops(Path(scratch), options.crops)

        def rate(way: Callable[[Path], Any]) -> Callable[[], float]:
            def run() -> float:
                began = time.process_time()
                for path in paths:
                    way(path)
                return len(paths) / (time.process_time() - began)

            return run

        rates = interleaved({name: rate(way) for name, way in decoders().items()}, options.rounds)
    rows = tuple((n, f"{statistics.median(r):.0f}", f"{ratio(r, rates[OURS]):.2f}") for n, r in rates.items())
    values = {name: statistics.median(measured) for name, measured in rates.items()}
    note = f"{FRAMES} frames of {SIZE} px a crop, {options.crops} crops, medians of {options.rounds} rounds."
    publish(
        Result("Decoding crops for training", ("", "crops per core second", "of ours"), rows, values, note),
        options.json,
    )


if __name__ == "__main__":
    main()
