"""The files every reader is tested on, and the truth about each. A new kind of file is one more line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tests.video.footage import (
    B_FRAMES,
    FAST,
    HEIGHT,
    MPEG4,
    OPEN_GOP,
    VP9,
    WIDTH,
    X265,
    concatenated,
    edited,
    resized,
    turned,
    uneven,
    write,
)

UNTRUSTED = "not to be trusted"


@dataclass(frozen=True)
class Case:
    """make: writes the file. numbers: of the frames shown. times: when, in seconds from the first (even without).

    decord: what its message says when it must refuse the file, empty when it must read it. codec, color: as probed.
    """

    suffix: str
    make: Callable[[Path], object]
    decord: str = ""
    numbers: Sequence[int] = range(120)
    times: Sequence[Fraction] = ()
    rate: int = 30
    size: tuple[int, int] = (WIDTH, HEIGHT)
    rotation: int = 0
    codec: str = "h264 yuv420p"
    color: str = "bt601 limited (untagged)"

    def time(self, index: int) -> Fraction:
        return self.times[index] if self.times else Fraction(index, self.rate)

    def shown_at(self, seconds: Fraction) -> int | None:
        """Index of the frame shown at this moment; None past the end."""
        count = len(self.numbers)
        if seconds >= self.time(count - 1) + Fraction(1, self.rate):
            return None
        return max(k for k in range(count) if self.time(k) <= seconds)


def _x264(**kwargs: object) -> Callable[[Path], object]:
    return lambda path: write(path, range(120), **kwargs)  # type: ignore[arg-type]


def _coded(codec: str, options: dict[str, str], **kwargs: object) -> Callable[[Path], object]:
    return lambda path: write(path, range(120), codec=codec, options=options, **kwargs)  # type: ignore[arg-type]


LATE = [Fraction(2) + Fraction(k, 30) for k in range(120)]
NO_MATRIX = "bt601 limited (matrix untagged)"

CASES: dict[str, Case] = {
    "plain": Case(".mp4", _x264()),
    "b-frames": Case(".mp4", _x264(options=B_FRAMES)),
    "gop-30": Case(".mp4", _x264(options=B_FRAMES | {"g": "30"})),
    "one-gop": Case(".mp4", _x264(options=B_FRAMES | {"g": "999"})),
    "intra": Case(".mov", _x264(options=FAST | {"g": "1"})),
    "open-gop": Case(".mp4", _x264(options=OPEN_GOP), "groups of pictures are open"),
    "open-gop-mkv": Case(".mkv", _x264(options=OPEN_GOP), "groups of pictures are open"),
    "uneven": Case(".mp4", _x264(options=B_FRAMES, times=uneven(120)), times=uneven(120)),
    "uneven-mkv": Case(".mkv", _x264(options=B_FRAMES, times=uneven(120)), times=uneven(120)),
    "turned-90": Case(".mp4", lambda p: turned(p, 1), numbers=range(60), rotation=90),
    "turned-180": Case(".mp4", lambda p: turned(p, 2), numbers=range(60), rotation=180),
    "turned-270": Case(".mp4", lambda p: turned(p, 3), numbers=range(60), rotation=270),
    "late": Case(".mp4", _x264(times=LATE)),
    "late-mkv": Case(".mkv", _x264(times=LATE)),
    "edit-list": Case(".mp4", lambda p: edited(p, [(33, 70)], B_FRAMES), "edit list", numbers=range(33, 103)),
    "two-edits": Case(
        ".mp4", lambda p: edited(p, [(10, 30), (60, 30)], FAST), "edit list", numbers=[*range(10, 40), *range(60, 90)]
    ),
    "edits-back": Case(
        ".mp4",
        lambda p: edited(p, [(60, 30), (10, 20)], B_FRAMES),
        "edit list",
        numbers=[*range(60, 90), *range(10, 30)],
    ),
    "fragmented": Case(".mp4", _x264(container={"movflags": "frag_keyframe+empty_moov"})),
    "mkv": Case(".mkv", _x264(options=B_FRAMES)),
    "ten-bit": Case(".mp4", _x264(pixels="yuv420p10le"), codec="h264 yuv420p10le"),
    "grey": Case(".mp4", _x264(pixels="gray")),
    "odd": Case(".mp4", _x264(pixels="yuv444p", size=(161, 129)), size=(161, 129), codec="h264 yuv444p"),
    "hevc": Case(
        ".mp4",
        _coded("libx265", {"preset": "ultrafast", "x265-params": X265 + ":open-gop=0"}),
        UNTRUSTED,
        codec="hevc yuv420p",
        color=NO_MATRIX,
    ),
    "hevc-open-gop": Case(
        ".mkv",
        _coded("libx265", {"preset": "ultrafast", "x265-params": X265 + ":open-gop=1"}, pixels="yuv420p10le"),
        UNTRUSTED,
        codec="hevc yuv420p10le",
        color=NO_MATRIX,
    ),
    "hevc-layers": Case(
        ".mp4",
        _coded("libx265", {"preset": "ultrafast", "x265-params": X265 + ":temporal-layers=3"}),
        UNTRUSTED,
        codec="hevc yuv420p",
        color=NO_MATRIX,
    ),
    "av1": Case(
        ".mp4",
        _coded("libsvtav1", {"preset": "8", "crf": "12", "g": "40"}),
        UNTRUSTED,
        codec="av1 yuv420p",
        color=NO_MATRIX,
    ),
    "vp9": Case(
        ".webm",
        _coded("libvpx-vp9", VP9, size=(161, 129)),
        UNTRUSTED,
        size=(161, 129),
        codec="vp9 yuv420p",
        color=NO_MATRIX,
    ),
    "mpeg4-avi": Case(".avi", _coded("mpeg4", MPEG4), codec="mpeg4 yuv420p"),
    "mpeg4-avi-b": Case(".avi", _coded("mpeg4", MPEG4 | {"bf": "2"}), "loses the order", codec="mpeg4 yuv420p"),
    "h264-avi": Case(".avi", _x264(options=B_FRAMES), "loses the order"),
    "mjpeg-avi": Case(
        ".avi",
        _coded("mjpeg", {"q:v": "3"}, pixels="yuvj420p"),
        codec="mjpeg yuvj420p",
        color="bt601 full (tagged)",
    ),
    "ts": Case(".ts", _x264(options=B_FRAMES), UNTRUSTED),
    "ts-joined": Case(".ts", lambda p: concatenated(p, [(WIDTH, HEIGHT)] * 2), UNTRUSTED),
    "ts-resized": Case(".ts", lambda p: concatenated(p, [(WIDTH, HEIGHT), (320, 256)]), UNTRUSTED),
    "resized": Case(".mkv", resized, "size or coding changes"),
    "mpeg2": Case(
        ".mpg", _coded("mpeg2video", MPEG4 | {"bf": "2"}), UNTRUSTED, codec="mpeg2video yuv420p", color=NO_MATRIX
    ),
}
