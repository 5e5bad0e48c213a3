"""How fast videos with transparency are encoded, how large they are, and how exact their alpha is.

    python -m benchmarks.alpha [--frames 30] [--width 1280] [--height 720] [--rounds 3] [--json FILE]

One object of the benchmarks' footage, cut out and encoded by one thread: H.264 of the same colours on black, this
project's two formats, and what they were chosen over: FFmpeg's own alpha for VP9, VP9's slower deadline, and the other
of FFmpeg's two ProRes encoders. Frames are in memory beforehand. Rates are frames per processor second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import av
import numpy as np

import video.alpha
from benchmarks.footage import FPS, mask_of, short_video
from benchmarks.table import Result, arguments, interleaved, publish, ratio
from pipeline.tasks.matte import transparent
from video.alpha import ALPHA, WebmWriter, _filled, _planes, encode_alpha
from video.encoder import EncodeConfig, encode
from video.reader import open_reader
from video.source import find, probe
from video.types import Grid

OBJECT = 2
CRF = EncodeConfig(crf=18)
Case = Callable[[Path], object]


def pictures(count: int, width: int, height: int) -> list[np.ndarray]:
    """RGBA of one object, frame after frame."""
    source = probe(find([str(short_video(-(-count // FPS), width, height))])[0])
    with open_reader(source) as reader:
        frames = list(reader.read(Grid(), [range(count)]))
    return [transparent(f.rgb, mask_of(OBJECT, f.index, width, height).full(width, height)) for f in frames]


class OneQuality(WebmWriter):
    """VP9 as FFmpeg encodes alpha by itself: with the quality of the colours."""

    def _open(self, container: Any) -> None:
        options = video.alpha._VP9 | {"crf": str(self._config.crf), "b": "0"}
        self._stream = container.add_stream("libvpx-vp9", rate=self.rate, options=options)
        self.prepared(self._stream.codec_context, "yuva420p")

    def _packets(self, picture: np.ndarray | None) -> Any:
        if picture is None:
            return list(self._stream.encode(None))
        planes = [*_planes(picture[..., :3]), picture[..., 3]]
        return list(self._stream.encode(self.stamped(_filled("yuva420p", self.size, planes))))


def cases(shown: list[np.ndarray]) -> dict[str, Case]:
    """What is measured: each writes a file of these pictures."""
    size = shown[0].shape[1], shown[0].shape[0]
    rate = Fraction(FPS)

    def one_quality(path: Path) -> None:
        with OneQuality(path, rate, CRF, size=size) as file:
            for picture in shown:
                file.write(picture)

    def slower(path: Path) -> None:
        with patch.dict(video.alpha._VP9, {"deadline": "good"}):
            encode_alpha("webm", path, shown, rate, CRF, size=size)

    def other_prores(path: Path) -> None:
        with patch.object(video.alpha.ProresWriter, "_encoder", lambda self: ("prores_ks", "4444")):
            encode_alpha("prores", path, shown, rate, CRF, size=size)

    black = [np.ascontiguousarray(picture[..., :3]) for picture in shown]
    return {
        "H.264 on black, no alpha (.mp4)": lambda path: encode(path, black, rate, CRF, size=size),
        "VP9, exact alpha (.webm)": partial(_alpha, "webm", shown, rate, size),
        "VP9, FFmpeg's own alpha (.webm)": one_quality,
        "VP9, exact alpha, deadline good (.webm)": slower,
        "ProRes 4444 (.mov)": partial(_alpha, "prores", shown, rate, size),
        "ProRes 4444, prores_ks (.mov)": other_prores,
    }


def _alpha(kind: str, shown: list[np.ndarray], rate: Fraction, size: tuple[int, int], path: Path) -> None:
    encode_alpha(kind, path, shown, rate, CRF, size=size)


def worst_alpha(path: Path, shown: list[np.ndarray]) -> int:
    """The largest difference of a decoded alpha value from the one that was encoded, in 8-bit levels."""
    decoder, found = av.CodecContext.create("libvpx-vp9" if path.suffix == ".webm" else "prores", "r"), []
    with av.open(str(path)) as container:
        decoder.extradata = container.streams.video[0].codec_context.extradata
        for packet in container.demux(video=0):
            found += decoder.decode(packet if packet.size else None)
    worst = 0
    for frame, picture in zip(found, shown, strict=True):
        plane, deep = frame.planes[3], path.suffix == ".mov"
        rows = np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(-1, plane.line_size // (1 + deep))
        alpha = rows[: plane.height, : plane.width] >> (frame.format.components[3].bits - 8)
        worst = max(worst, int(np.abs(alpha.astype(int) - picture[..., 3]).max()))
    return worst


def bytes_per_pixel(kind: str, width: int, height: int) -> float:
    """What one more open encoder takes, from the peaks of two processes with 2 and 6 of them."""
    command = [sys.executable, "-m", "benchmarks.alpha", f"--width={width}", f"--height={height}", "--child", kind]
    two, six = (int(subprocess.run([*command, n], check=True, capture_output=True).stdout) for n in ("2", "6"))
    return (six - two) / 4 / (width * height)


def child(kind: str, count: int, width: int, height: int) -> int:
    """Peak memory of a process with so many alpha encoders at work, in bytes."""
    import resource

    from video.alpha import alpha_writer

    random = np.random.default_rng(0)
    with TemporaryDirectory() as scratch:
        writers = [alpha_writer(kind, f"{scratch}/{n}", 30, CRF, size=(width, height)) for n in range(count)]
        for writer in writers:
            writer.__enter__()
        for _ in range(4):
            picture = random.integers(0, 60, (height, width, 4), dtype=np.uint8)
            for writer in writers:
                writer.write(picture)
        for writer in writers:
            writer.__exit__(None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = arguments("Rate, size and exactness of videos with transparency.")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("KIND", "COUNT"), help="measure the memory of this process")
    options = parser.parse_args()
    width, height = options.width, options.height
    if options.child:
        print(child(options.child[0], int(options.child[1]), width, height))
        return
    shown = pictures(options.frames, width, height)
    chosen = cases(shown)
    with TemporaryDirectory(prefix="clipcrop-benchmark-") as scratch:
        paths = {name: Path(scratch) / f"{n}.{name.rpartition('.')[2][:-1]}" for n, name in enumerate(chosen)}

        def rate(name: str) -> float:
            began = time.process_time()
            chosen[name](paths[name])
            return len(shown) / (time.process_time() - began)

        measured = interleaved({name: partial(rate, name) for name in chosen}, options.rounds)
        sizes = {name: path.stat().st_size / len(shown) / 1024 for name, path in paths.items()}
        alphas = {n: str(worst_alpha(p, shown)) if p.suffix != ".mp4" else "" for n, p in paths.items()}
    plain = next(iter(chosen))
    rows = tuple(
        (
            name,
            f"{statistics.median(rates):.0f}",
            f"{ratio(rates, measured[plain]):.2f}",
            f"{sizes[name]:.1f}",
            alphas[name],
        )
        for name, rates in measured.items()
    )
    memory = {kind: bytes_per_pixel(kind, 1920, 1080) for kind in ALPHA}
    note = (
        f"{width}x{height}, {len(shown)} frames, crf 18, {options.rounds} rounds. One more open encoder at 1080p: "
        + ", ".join(f"{kind} {each:.0f} bytes per pixel" for kind, each in memory.items())
    )
    head = ("", "frames per processor second", "of H.264", "KiB per frame", "largest error of alpha")
    values = {name: statistics.median(rates) for name, rates in measured.items()} | sizes | memory
    publish(Result("Videos with transparency", head, rows, values, note), options.json)


if __name__ == "__main__":
    main()
