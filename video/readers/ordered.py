"""Numbering frames by the timestamps of their packets, which allows to skip and to jump.

A packet's place on display is known before it is decoded (`packets.py`), so what no frame asked for depends on is
never decoded: single packets that nothing refers to, and whole groups of pictures in the gaps between clips. Every
frame that comes out is checked against the packet it should come from. Whatever does not agree raises `Disordered`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any

from video.errors import UnreadableVideo
from video.readers.counted import Place
from video.readers.decoder import Decoder, Interrupted, Picture
from video.readers.facts import Facts
from video.readers.packets import Disordered, Order, Shown
from video.readers.references import disposable_test
from video.readers.wanted import Wanted

# Jumping empties and refills the decoder's threads; for fewer packets than this it costs more than it saves.
WORTH_A_JUMP = 12
# From this many unwanted packets on, the file's index is asked for a nearer place to start.
FAR = 64
# Compressed packets held while looking for the next keyframe.
HELD_BYTES = 64 << 20


class OrderedFrames:
    """The frames of a file by number; `frames` gives the wanted ones and stays where it stopped."""

    def __init__(self, decoder: Decoder, facts: Facts, frame_ticks: int, skip: bool) -> None:
        self._decoder = decoder
        self._facts = facts
        self._frame_ticks = frame_ticks
        self._skip = skip
        # (index, tick) before which nothing can be given any more without going back
        self._floor: tuple[int, int] = (0, 0)
        self._begin()
        if facts.first is None:
            self._learn_beginning()

    def frames(self, wanted: Wanted) -> Iterator[tuple[list[int], Place, Picture]]:
        """The wanted frames as (grid positions, place, picture), ascending."""
        if wanted.first is None:
            return
        if wanted.begins_before(*self._floor):
            self._jump(wanted)
        self._unwanted = 0
        while True:
            while self._out:
                item, picture = self._out.popleft()
                self._floor = max(self._floor, (item.index + 1, item.until))
                shown = wanted.shown(item.index, item.time, item.until)
                positions = wanted.among(shown)
                wanted.drop_until(shown.stop)
                if positions:
                    yield positions, Place(item.index, item.time, item.until), picture
                if wanted.done(item.index, item.until):
                    return
            if not self._advance(wanted):
                return

    def _advance(self, wanted: Wanted) -> bool:
        """Decode, skip or jump over the next packets; False at the end of the file."""
        if self._unwanted == 0 and self._look_ahead(wanted):
            return True
        item = self._order.head()
        if item is not None and self._stranded:
            self._jump(wanted)
            return True
        if item is None:
            return self._emptied()
        self._order.pop()
        self._unwanted = max(0, self._unwanted - 1)
        if self._disposable(item, wanted):
            self._decoder.stats.skipped += 1
            self._floor = max(self._floor, (item.index + 1, item.until))
        else:
            self._feed(item)
        return True

    def _disposable(self, item: Shown, wanted: Wanted) -> bool:
        """Whether the picture can be left out: nobody wants it and nothing refers to it.

        What lies beyond the last wanted frame goes in all the same: the next call may ask for it.
        """
        test = self._test
        if test is None or item.index < 0 or self._wants(item, wanted) or self._beyond(item, wanted):
            return False
        return test(memoryview(item.packet))

    def _wants(self, item: Shown, wanted: Wanted) -> bool:
        return item.index >= 0 and bool(wanted.among(wanted.shown(item.index, item.time, item.until)))

    def _look_ahead(self, wanted: Wanted) -> bool:
        """Count the packets up to the next wanted one, jumping over those it does not depend on.

        True when something happened that the caller must look at first: frames came out, or the place changed.
        """
        at = held = seen = 0
        while (item := self._order.ahead(at)) is not None:
            if item.key and at >= (1 if self._decoder.clean else WORTH_A_JUMP) and self._starts_here(item, at, wanted):
                if self._emptied():
                    return True
                self._drop(at)
                at = held = 0
            if held > HELD_BYTES or self._wants(item, wanted) or self._beyond(item, wanted):
                break
            seen += 1
            if seen % FAR == 0 and self._nearer(wanted):
                if not self._emptied():
                    self._jump(wanted)
                return True
            held += item.size
            at += 1
        else:
            # Nothing wanted up to the end of the file.
            if self._emptied():
                return True
            self._drop(at)
        self._unwanted = at + 1
        return False

    def _emptied(self) -> bool:
        """Get out of the decoder what is inside; False when there is nothing. It can go on at a keyframe only."""
        if self._decoder.clean:
            return False
        self._stranded = True
        self._receive(self._decoder.drain())
        if self._decoder.threads != 1 and any(item.index >= self._whole_from for item in self._expected.values()):
            raise Interrupted("frames were lost where the decoder was emptied")
        self._expected.clear()
        return True

    @staticmethod
    def _beyond(item: Shown, wanted: Wanted) -> bool:
        """Whether the last wanted frame is shown before this one."""
        return item.index >= 0 and wanted.done(item.index - 1, item.time)

    def _starts_here(self, item: Shown, at: int, wanted: Wanted) -> bool:
        """Whether nothing wanted is shown before this keyframe, of what comes after it; a hidden one does not tell."""
        return item.index >= 0 and not any(self._wants(before, wanted) for before in self._order.leading(at))

    def _drop(self, count: int) -> None:
        for _ in range(count):
            item = self._order.pop()
            if item.index >= 0:
                self._floor = max(self._floor, (item.index + 1, item.until))
        self._decoder.stats.skipped += count
        self._stranded = False

    def _nearer(self, wanted: Wanted) -> bool:
        """Whether the file's index knows a place to start that lies beyond what has been read."""
        place = self._facts.place(wanted) if self._facts.seekable and wanted.first is not None else None
        return place is not None and place[1] > self._order.arrived

    def _jump(self, wanted: Wanted) -> None:
        """Go to the last known keyframe that is not after the first wanted frame, or to the beginning."""
        for back in range(3):
            place = self._facts.place(wanted, back) if self._facts.seekable else None
            if place is None:
                break
            if not self._decoder.seek(place[0] + self._facts.keys.delay):
                self._facts.seekable = False
                break
            packets = self._decoder.packets()
            arrived = next(packets, None)
            before = None if arrived is None else self._facts.keys.before(arrived)
            if arrived is None or before is None:
                self._facts.seekable = False
                break
            self._reset(itertools.chain([arrived], packets), before)
            head = self._order.head()
            if head is not None and head.key and not wanted.begins_before(head.index, head.time):
                return
        self._decoder.rewind()
        self._begin()

    def _begin(self) -> None:
        self._reset(self._decoder.packets(), 0)

    def _reset(self, packets: Iterator[Any], before: int) -> None:
        facts = self._facts
        self._order = Order(packets, facts.keys, before, facts.lost, facts.first, self._frame_ticks)
        self._test = (
            disposable_test(self._decoder.stream.codec_context.name, self._decoder.stream.codec_context.extradata)
            if self._skip and facts.length_prefixed
            else None
        )
        self._expected: dict[int, Shown] = {}
        self._out: deque[tuple[Shown, Picture]] = deque()
        self._stranded = False  # the decoder is empty and the next packet is no place to start
        self._floor = (0, 0)
        self._unwanted = 0
        self._last = -1  # the frame that came out last
        self._whole_from = 0  # frames before this one may be missing: they need what was before the keyframe

    def _learn_beginning(self) -> None:
        """Decode up to the first frame: what comes before it (a cut group of pictures) is never shown."""
        while not self._out:
            item = self._order.head()
            if item is None and self._decoder.clean:
                raise UnreadableVideo(f"{self._decoder.path}: no frame of it can be decoded")
            if item is None:
                self._emptied()
            else:
                self._feed(self._order.pop())
        first = self._out[0][0]
        self._facts.first, self._facts.lost = first.pts, first.index
        if first.time:
            self._decoder.rewind()
            self._begin()

    def _feed(self, item: Shown) -> None:
        if self._decoder.clean:
            self._whole_from = max(0, item.index)
        if item.index >= 0:
            self._expected[item.pts] = item
        self._receive(self._decoder.decode(item.packet))

    def _receive(self, pictures: list[Picture]) -> None:
        """Match frames with the packets they come from, and see that none is missing without a reason."""
        for picture in pictures:
            pts = picture.frame.pts
            item = self._expected.pop(pts, None)
            if item is None:
                if self._facts.lost and pts is not None:
                    continue
                raise Disordered(f"the decoder gave a frame of time {pts}, which no packet has")
            # An emptied decoder gives what it has; otherwise it waits for all frames that come first.
            late = not self._decoder.clean and self._order.holds_before(item.index)
            if late or item.index <= self._last:
                raise Disordered(f"frame {item.index} came out of order")
            self._last = item.index
            for missing in [m for m in self._expected.values() if m.index < item.index]:
                del self._expected[missing.pts]
                if missing.index < self._whole_from or self._facts.first is None:
                    continue
                if not (self._decoder.errors or picture.corrupt):
                    raise Disordered(f"no frame came of packet {missing.index}")
                self._decoder.stats.corrupt += 1
            self._out.append((item, picture))
