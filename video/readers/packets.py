"""The packets of a video stream, each with the number and time its frame will have on display, before decoding.

Packets arrive in decoding order and are shown in the order of their timestamps. At most `REORDER` frames precede a
frame in decoding order and follow it on display (the limit of H.264 and HEVC), so a look-ahead of that many packets
fixes the place of each. Nothing here decodes. Whatever breaks the premise (a missing, repeated or late timestamp)
raises `Disordered`, and the caller decodes everything in order instead.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

REORDER = 16


class Disordered(Exception):
    """The timestamps of the packets do not tell the order of the frames."""


class Shown:
    """One packet and the frame it becomes.

    index: displayed frames before it; negative for a packet that is decoded but never shown (outside an edit list, or
    at a beginning that cannot be decoded).
    time, until: when it is shown, in ticks from the first displayed frame; both are known once `settled`.
    """

    __slots__ = ("index", "key", "packet", "pts", "settled", "size", "taken", "time", "until")

    def __init__(self, packet: Any) -> None:
        self.packet = packet
        self.pts: int = packet.pts
        self.key: bool = bool(packet.is_keyframe)
        self.size: int = packet.size
        self.index = -1
        self.time = self.until = 0
        self.settled = False
        self.taken = False


class KeyTable:
    """Places where decoding can start: timestamp of a keyframe packet -> packets to be shown that come before it.

    Filled from the file's own index where it has one, and by every pass over the packets. Shared by all readers of a
    file in this process, so that a file is walked through once and not once per reader.
    """

    def __init__(self, stamp: Callable[[Any], int | None]) -> None:
        self.stamp = stamp
        self.delay = 0  # from the stamp of a keyframe to the timestamp that seeking asks for
        self._before: dict[int, int] = {}
        self._sorted: tuple[list[int], list[int]] = ([], [])

    def learn(self, stamp: int | None, before: int) -> None:
        if stamp is not None:
            self._before.setdefault(stamp, before)

    def before(self, packet: Any) -> int | None:
        """Packets to be shown that come before this one in decoding order, if it is a known place."""
        stamp = self.stamp(packet)
        return None if stamp is None else self._before.get(stamp)

    def start(self, index: int | None, stamp: int | None, back: int = 0) -> tuple[int, int] | None:
        """(timestamp, frames before) of the last place not after the frame index or the timestamp; `back` places less.

        None when there is none but the beginning of the file.
        """
        if len(self._sorted[0]) != len(self._before):
            items = sorted(self._before.items())
            self._sorted = ([s for s, _ in items], [b for _, b in items])
        stamps, befores = self._sorted
        at = bisect_right(befores, index) if index is not None else bisect_right(stamps, stamp or 0)
        at -= 1 + back
        return (stamps[at], befores[at]) if at > 0 else None


class Order:
    """A queue of packets in decoding order; `head` and `ahead` give them once their place on display is fixed.

    packets: those of the stream, from a keyframe or the beginning. before: packets to be shown that come before them.
    lost: how many packets at the very beginning of the file no frame comes from; those get negative indices.
    first: timestamp of the first displayed frame (None: that of the first packet shown).
    """

    def __init__(
        self, packets: Iterator[Any], keys: KeyTable, before: int, lost: int, first: int | None, frame_ticks: int
    ) -> None:
        self._packets = packets
        self._keys = keys
        self.arrived = before  # packets to be shown that have been read, counted from the beginning of the file
        self._next = before - lost
        self._first = first
        self._frame_ticks = frame_ticks
        self._queue: deque[Shown] = deque()
        self._waiting: deque[Shown] = deque()  # the queue in the order of display
        self._heap: list[tuple[int, int, Shown]] = []
        self._count = 0
        self._last: Shown | None = None
        self._ended = False

    def __len__(self) -> int:
        return len(self._queue)

    def head(self) -> Shown | None:
        """The next packet, its place fixed; None at the end."""
        return self.ahead(0)

    def ahead(self, offset: int) -> Shown | None:
        """The packet `offset` places after the head; None when there is none."""
        while offset >= len(self._queue) or not self._queue[offset].settled:
            if self._ended:
                return self._queue[offset] if offset < len(self._queue) else None
            self._read()
        return self._queue[offset]

    def leading(self, offset: int) -> list[Shown]:
        """The packets after the one at `offset` that are displayed before it; its place must be fixed."""
        shown = self._queue[offset].index
        later = (self._queue[at] for at in range(offset + 1, min(len(self._queue), offset + 1 + 2 * REORDER)))
        return [item for item in later if item.settled and 0 <= item.index < shown]

    def holds_before(self, index: int) -> bool:
        """Whether a packet that is still in the queue is displayed before the frame `index`."""
        return bool(self._waiting) and self._waiting[0].index < index

    def pop(self) -> Shown:
        item = self._queue.popleft()
        item.taken = True
        while self._waiting and self._waiting[0].taken:
            self._waiting.popleft()
        return item

    def _read(self) -> None:
        packet = next(self._packets, None)
        if packet is None:
            self._ended = True
            while self._heap:
                self._place()
            if self._last is not None:
                self._close(self._last, self._last.time + (self._last.packet.duration or self._frame_ticks))
            return
        if packet.pts is None:
            raise Disordered("a packet has no timestamp")
        item = Shown(packet)
        self._queue.append(item)
        if packet.is_discard:
            item.settled = True
            return
        if item.key:
            if self.arrived == 0:
                self._keys.delay = item.pts - (self._keys.stamp(packet) or 0)
            self._keys.learn(self._keys.stamp(packet), self.arrived)
        self.arrived += 1
        self._count += 1
        heapq.heappush(self._heap, (item.pts, self._count, item))
        if self._last is not None and item.pts <= self._last.pts:
            raise Disordered(f"timestamp {item.pts} comes after {self._last.pts}")
        if len(self._heap) > REORDER:
            self._place()

    def _place(self) -> None:
        pts, _, item = heapq.heappop(self._heap)
        if self._first is None:
            self._first = pts
        if self._last is not None:
            if pts <= self._last.pts:
                raise Disordered(f"timestamp {pts} occurs twice")
            self._close(self._last, pts - self._first)
        item.index, item.time = self._next, pts - self._first
        self._next += 1
        self._last = item
        self._waiting.append(item)

    def _close(self, item: Shown, until: int) -> None:
        item.until = until
        item.settled = True
