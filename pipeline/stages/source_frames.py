"""The frames of a video as a sequence that decodes what is asked for: a whole video without its memory.

It holds two blocks of frames, scaled down to what the tracker sees. Asking forward reads the file once; asking backward
jumps from block to block.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

from sam.types import SessionFrames
from video.errors import UnreadableVideo
from video.reader import open_reader
from video.readers.contract import VideoReader, shrink
from video.source import find, probe
from video.types import Frame, Grid, Video

log = logging.getLogger(__name__)

BLOCK = 32  # frames decoded together
BLOCK_BYTES = 128 * 2**20  # or fewer, so that they fit into this
EVERY = Grid()
TAIL = 256  # frames before the promised end in which the true end is looked for
NO_END = 2**31


class SourceFrames(Sequence[NDArray[np.uint8]]):
    """Frames of a video at ascending positions of a grid, (h, w, 3) uint8 RGB, at most `max_side` on the longer side.

    A frame too damaged to come out of the decoder is the one before it (or, in front, behind it); the log says so.
    block: how many are decoded together, unless fewer fit into memory. Closed on leaving.
    """

    def __init__(
        self,
        video: Video,
        reader: str,
        positions: Sequence[int],
        max_side: int | None,
        grid: Grid = EVERY,
        block: int | None = None,
    ) -> None:
        self._video = video
        self._how = reader
        self._positions = positions
        self._grid = grid
        self._max_side = max_side
        self._stack = ExitStack()
        self._reader: VideoReader | None = None
        self._passed = -1  # the last position the open reader was asked for
        self._blocks: OrderedDict[int, list[NDArray[np.uint8]]] = OrderedDict()
        scale = min(1.0, (max_side or max(video.width, video.height)) / max(video.width, video.height))
        self._block = max(1, min(block or BLOCK, BLOCK_BYTES // int(3 * video.width * video.height * scale**2 + 1)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
        self._blocks.clear()

    @property
    def block(self) -> int:
        """How many frames are decoded together: those from a multiple of it on."""
        return self._block

    def rest(self) -> None:
        """Drop the decoded frames and close the file; what is asked for next is decoded again."""
        self._stack.close()
        self._blocks.clear()
        self._reader = None

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, at: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, at: slice) -> list[NDArray[np.uint8]]: ...

    def __getitem__(self, at: int | slice) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
        if isinstance(at, slice):
            return [self[n] for n in range(len(self))[at]]
        number, place = divmod(range(len(self))[at], self._block)
        if number not in self._blocks:
            self._blocks[number] = self._decode(self._positions[number * self._block : (number + 1) * self._block])
            while len(self._blocks) > 2:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number][place]

    def _decode(self, wanted: Sequence[int]) -> list[NDArray[np.uint8]]:
        first, last = wanted[0], wanted[-1]
        if self._reader is None or first <= self._passed:
            self._stack.close()
            self._reader = self._stack.enter_context(open_reader(self._video, self._how))
        self._passed = last
        spans = [range(first, last + 1)]
        found = {f.position: shrink(f.rgb, self._max_side) for f in self._reader.read(self._grid, spans)}
        if not found:
            raise UnreadableVideo(f"{self._video.name}: no frame from {first} to {last} can be decoded")
        lost = [p for p in wanted if p not in found]
        if lost:
            log.warning("%s: %d frames from %d on are damaged; a neighbour stands in", self._video.name, len(lost), lost[0])  # fmt: skip  # noqa: E501
        held = found[min(found)]
        pictures = []
        for position in wanted:
            held = found.get(position, held)
            pictures.append(held)
        return pictures


@contextmanager
def session_frames(
    video: Video | str,
    first: int = 0,
    last: int | None = None,
    max_side: int | None = 1280,
    reader: str = "pyav",
    end: int | None = None,
) -> Iterator[SessionFrames]:
    """The frames of a video for a `SAMSession`, decoded while it tracks; frame 0 of the session is `first`.

    video: or a path. last: inclusive; None for the last that can be decoded. max_side: of what the tracker sees;
    prompts and masks are at the source's size. end: the number of the last frame that can be decoded, if it is known;
    else the file's tail is decoded to find it. Raises UnreadableVideo, and ValueError for frames that are not there.
    """
    if isinstance(video, str):
        video = probe(find([video])[0])
    end = last_frame(video, reader) if end is None else end
    if not 0 <= first <= (end if last is None else last) <= end:
        raise ValueError(f"{video.name} has frames 0 to {end}, got {first} to {last}")
    last = end if last is None else last
    numbers = np.arange(first, last + 1)
    with SourceFrames(video, reader, range(first, last + 1), max_side) as images:
        yield SessionFrames(images, numbers, numbers / float(video.fps), video.width, video.height, video.name)


def last_frame(video: Video, reader: str) -> int:
    """The number of a video's last frame that can be decoded; decodes its tail, since headers only estimate."""
    start = max(0, video.frames - TAIL)
    while True:
        last = -1
        with open_reader(video, reader) as opened:
            for frame in opened.read(EVERY, [range(start, NO_END)]):
                last = frame.position
        if last >= 0:
            return last
        if start == 0:
            raise UnreadableVideo(f"{video.name}: no frame can be decoded")
        start = max(0, start - 4 * TAIL)


def full_frames(video: Video, reader: str, first: int, last: int) -> Iterator[Frame]:
    """These frames at full size; in place of one too damaged to be decoded, its neighbour, marked corrupt."""
    held: Frame | None = None
    following = first
    with open_reader(video, reader) as opened:
        for frame in opened.read(EVERY, [range(first, last + 1)]):
            held = held or frame
            yield from (_in_place(held, number) for number in range(following, frame.index))
            yield frame
            held, following = frame, frame.index + 1
    if held is None:
        raise UnreadableVideo(f"{video.name}: no frame from {first} to {last} can be decoded")
    yield from (_in_place(held, number) for number in range(following, last + 1))


def _in_place(frame: Frame, number: int) -> Frame:
    """A frame where another one should have been."""
    return replace(frame, index=number, position=number, corrupt=True)
