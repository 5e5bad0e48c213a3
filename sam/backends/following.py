"""From foreground blobs to tracks: which blob is which individual, and whose pixels are whose where they touch.

`follow` goes through a window once forward and once backward and keeps, blob by blob, the better answer: a pass knows
two individuals apart only after it has seen them apart, and knows their looks best shortly after. Within a pass a
track claims the blobs that its mask, moved by its velocity, covers. A blob claimed by several is split pixel by pixel:
each track's last clean picture is laid where it fits best, and a pixel goes to the track whose picture it resembles.
What is left over is matched to lost tracks by place, size and colour (optimal assignment: H. W. Kuhn 1955), or starts
a new track. A blob that only one track holds, but that is of two bodies joined by something thin, is cut there and
followed again. At last, tracks that never part and never move against each other are pieces of one individual.

It takes pictures and blobs of one size and gives masks of that size; it never reads beyond the window and draws no
random number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from sam.backends.blobs import Blob, Box, bodies, centre, common_pixels, gap, moved, union, view
from sam.backends.likeness import Look, alike, colours, fit, unlike
from sam.backends.pieces import PIECE_GAP, Found, Share, join_pieces

U8 = NDArray[np.uint8]

CLAIM = 0.15  # of the smaller of track and blob that must overlap for a claim
PIECE = 0.25  # of the main blob's area: up to this, what a track also claims is a piece of it
CRUMB = 0.1  # of a blob's area: up to this, a blob close to it that nobody claims belongs to it
VISIBLE = 0.06  # of a track's clean area: with less to be seen it counts as hidden
COAST = 4  # frames for which a track that is out of sight is moved on by its velocity


@dataclass(slots=True)
class _Track:
    """A track during one pass. box, mask: where it is believed to be, middle: (x, y) the centre of that. look: how it
    last looked alone, in frame look_frame. area: pixels of that. seen: the step it was last seen at. velocity: (x, y)
    pixels per step."""

    number: int
    box: Box
    mask: U8
    middle: NDArray[np.float64]
    look: Look
    look_frame: int
    area: int
    colours: NDArray[np.float32]
    seen: int
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def ahead(self, step: int) -> NDArray[np.float64]:
        """How far it should have moved since it was seen."""
        return self.velocity * min(step - self.seen, COAST)


@dataclass(slots=True)
class _Pass:
    """What one pass found: per frame and blob its shares, and for how many frames they have been touching."""

    shares: list[list[list[Share]]]
    age: list[list[int]]
    tracks: int = 0


def follow(images: Sequence[U8], blobs: Sequence[Sequence[Blob]], max_gap: int, min_area: int) -> list[list[Found]]:
    """Per frame, its blobs and whose they are; track numbers count from 0.

    images: T pictures (h, w, 3) uint8. max_gap: frames that a track may be out of sight and keep its number.
    min_area: pixels from which a blob may start a track.
    """
    found = _both_ways(images, blobs, max_gap, min_area)
    cut = [_cut(frame) for frame in found]
    if any(len(new) != len(old) for new, old in zip(cut, blobs, strict=True)):
        found = _both_ways(images, cut, max_gap, min_area)
    return join_pieces(images, found)


def _both_ways(images: Sequence[U8], blobs: Sequence[Sequence[Blob]], max_gap: int, min_area: int) -> list[list[Found]]:
    """Forward and backward: the answer that tells more individuals apart, else the one with the fresher looks."""
    ahead = _Follower(images, blobs, max_gap, min_area).run(range(len(images)))
    back = _Follower(images, blobs, max_gap, min_area).run(range(len(images) - 1, -1, -1))
    _rename(back, ahead)
    merged = []
    for t, frame in enumerate(blobs):
        chosen = []
        for i, blob in enumerate(frame):
            forward, backward = ahead.shares[t][i], back.shares[t][i]
            fresher = len(backward) == len(forward) > 1 and back.age[t][i] < ahead.age[t][i]
            chosen.append(Found(blob, backward if len(backward) > len(forward) or fresher else forward))
        merged.append(chosen)
    return merged


def _rename(back: _Pass, ahead: _Pass) -> None:
    """Give the backward pass the forward numbers: the pairing that agrees on most blobs held by one track alone."""
    votes = np.zeros((back.tracks, ahead.tracks))
    for theirs, ours in zip(back.shares, ahead.shares, strict=True):
        for b, a in zip(theirs, ours, strict=True):
            if len(a) == len(b) == 1:
                votes[b[0].track, a[0].track] += 1
    names = {i: ahead.tracks + i for i in range(back.tracks)}
    for i, j in _paired(-votes):
        if votes[i, j] > 0:
            names[i] = j
    for frame in back.shares:
        for shares in frame:
            for share in shares:
                share.track = names[share.track]


def _cut(frame: Sequence[Found]) -> list[Blob]:
    """The blobs of a frame, those that one track holds alone cut into bodies."""
    return [part for found in frame for part in (bodies(found.blob) if len(found.shares) == 1 else [found.blob])]


class _Follower:
    """One pass over a window, in either direction."""

    def __init__(self, images: Sequence[U8], blobs: Sequence[Sequence[Blob]], max_gap: int, min_area: int) -> None:
        self._images, self._blobs, self._max_gap, self._min_area = images, blobs, max_gap, min_area
        self._tracks: list[_Track] = []
        self._found = _Pass([[[] for _ in frame] for frame in blobs], [[0] * len(frame) for frame in blobs])

    def run(self, order: range) -> _Pass:
        for step, t in enumerate(order):
            self._step(step, t)
        return self._found

    def _step(self, step: int, t: int) -> None:
        blobs = self._blobs[t]
        alive = [track for track in self._tracks if step - track.seen <= self._max_gap + 1]
        overlap = self._overlap(alive, blobs, step)
        free, idle = set(range(len(blobs))), set(range(len(alive)))
        for members, parts in _groups(_claims(alive, blobs, overlap)):
            if len(members) == 1:
                parts = _belonging(blobs, parts, overlap[members[0]])
                self._take(alive[members[0]], t, step, parts)
            else:
                parts = self._split([alive[i] for i in members], t, step, parts)
            free -= set(parts)
            idle -= set(members)
        free -= self._crumbs(free, t)
        self._rejoin([alive[i] for i in sorted(idle)], sorted(free), t, step)

    def _crumbs(self, free: set[int], t: int) -> set[int]:
        """Give small blobs that nobody claims to the one track they lie close to; returns those given away."""
        blobs, shares = self._blobs[t], self._found.shares[t]
        given = set()
        for i in sorted(free):
            for j, other in enumerate(blobs):
                near = gap(blobs[i].box, other.box) <= 3 and blobs[i].area < CRUMB * other.area
                if near and j not in free and len(shares[j]) == 1:
                    shares[i] = [Share(shares[j][0].track, blobs[i].mask)]
                    given.add(i)
                    break
        return given

    def _overlap(self, tracks: list[_Track], blobs: Sequence[Blob], step: int) -> NDArray[np.float64]:
        """(tracks, blobs) pixels that each track's mask, moved by its velocity, shares with each blob."""
        counts = np.zeros((len(tracks), len(blobs)))
        boxes = np.array([blob.box for blob in blobs]).reshape(-1, 4)
        for i, track in enumerate(tracks):
            dx, dy = np.rint(track.ahead(step)).astype(int).tolist()
            box = moved(track.box, dx, dy)
            meets = (boxes[:, :2] < box[2:]).all(axis=1) & (boxes[:, 2:] > box[:2]).all(axis=1)
            for j in np.flatnonzero(meets).tolist():
                counts[i, j] = common_pixels((box, track.mask), (blobs[j].box, blobs[j].mask))
        return counts

    def _take(self, track: _Track, t: int, step: int, parts: Sequence[int]) -> None:
        """Give whole blobs to one track, which thereby shows how it looks now, and learn its velocity."""
        blobs = [self._blobs[t][i] for i in parts]
        for i, blob in zip(parts, blobs, strict=True):
            self._found.shares[t][i] = [Share(track.number, blob.mask)]
        box, mask = union(blobs)
        middle = centre(box, mask)
        if step > track.seen:
            pace = (middle - track.middle) / (step - track.seen)
            track.velocity = 0.5 * track.velocity + 0.5 * pace if track.velocity.any() else pace
        track.box, track.mask, track.middle, track.seen = box, mask, middle, step
        track.look, track.look_frame, track.area = Look(self._images[t], box, mask), t, cv2.countNonZero(mask)
        track.colours = 0.7 * track.colours + 0.3 * colours(self._images[t], box, mask)

    def _split(self, tracks: list[_Track], t: int, step: int, parts: list[int]) -> list[int]:
        """Divide blobs among several tracks by what each pixel looks like; returns the blobs that found an owner."""
        blobs = [self._blobs[t][i] for i in parts]
        box, region = union(blobs)
        image = self._images[t]
        costs = [unlike(track.look, self._place(track, t, step), image, box) for track in tracks]
        owner = cv2.medianBlur(np.argmin(np.stack(costs), axis=0).astype(np.uint8), 5)
        strange: set[int] = set()
        for n, track in enumerate(tracks):
            mask = ((owner == n) & (region > 0)).view(np.uint8)
            if cv2.countNonZero(mask) < VISIBLE * track.area:
                continue
            track.seen = step
            pieces = {
                i: view(mask, moved(self._blobs[t][i].box, -box[0], -box[1])) & self._blobs[t][i].mask for i in parts
            }
            sizes = {i: cv2.countNonZero(piece) for i, piece in pieces.items()}
            main = max(sizes, key=lambda i: (sizes[i], -i))
            for i in parts:
                whole = sizes[i] > 0.9 * self._blobs[t][i].area and sizes[i] > PIECE * sizes[main]
                if i != main and whole:
                    strange.add(i)
                elif sizes[i]:
                    self._found.shares[t][i].append(Share(track.number, pieces[i]))
        for i in strange:
            self._found.shares[t][i] = []
        for i in parts:
            self._found.age[t][i] = max(abs(t - track.look_frame) for track in tracks)
        return [i for i in parts if i not in strange]

    def _place(self, track: _Track, t: int, step: int) -> NDArray[np.int_]:
        """Find where a track that touches others is in frame t; returns the shift of its look, and moves the track."""
        home = np.array([track.box[0] - track.look.box[0], track.box[1] - track.look.box[1]])
        shift = fit(track.look, self._images[t], home + np.rint(track.ahead(step)).astype(int))
        track.velocity = 0.7 * track.velocity + 0.3 * (shift - home) / max(1, step - track.seen)
        track.box, track.mask = moved(track.look.box, int(shift[0]), int(shift[1])), track.look.mask
        track.middle = centre(track.box, track.mask)
        return shift

    def _rejoin(self, lost: list[_Track], free: list[int], t: int, step: int) -> None:
        """Match what no track has claimed to tracks without a blob; the rest starts new tracks."""
        blobs, image = self._blobs[t], self._images[t]
        free = [i for i in free if blobs[i].area >= self._min_area]
        looks = [colours(image, blobs[i].box, blobs[i].mask) for i in free]
        middles = [centre(blobs[i].box, blobs[i].mask) for i in free]
        never = 9.0
        cost = np.full((len(lost), len(free)), never)
        for a, track in enumerate(lost):
            place, room = track.middle + track.ahead(step), 1 + 0.4 * (step - track.seen)
            for b, i in enumerate(free):
                far = float(np.hypot(*(middles[b] - place))) / np.sqrt(track.area) / room
                size = abs(float(np.log(blobs[i].area / track.area)))
                odd = 1 - alike(track.colours, looks[b])
                if far < 1 and odd < 0.6 and size < 1.4:
                    cost[a, b] = 0.5 * far + odd + 0.2 * size
        taken = set()
        for a, b in _paired(cost):
            if cost[a, b] < never:
                self._take(lost[a], t, step, [free[b]])
                taken.add(free[b])
        for i, look in zip(free, looks, strict=True):
            if i not in taken:
                blob = blobs[i]
                own = Look(image, blob.box, blob.mask)
                middle = centre(blob.box, blob.mask)
                new = _Track(self._found.tracks, blob.box, blob.mask, middle, own, t, blob.area, look, step)
                self._tracks.append(new)
                self._found.tracks += 1
                self._take(new, t, step, [i])


def _paired(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The one-to-one pairing of rows and columns that costs least."""
    from scipy.optimize import linear_sum_assignment  # here, because `--help` imports this module and must be quick

    rows, columns = linear_sum_assignment(cost)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _claims(tracks: list[_Track], blobs: Sequence[Blob], overlap: NDArray[np.float64]) -> NDArray[np.bool_]:
    areas = np.array([blob.area for blob in blobs], float)
    own = np.array([max(1, cv2.countNonZero(track.mask)) for track in tracks], float)
    return np.asarray(overlap > CLAIM * np.minimum(own[:, None], areas[None, :]))


def _groups(claims: NDArray[np.bool_]) -> list[tuple[list[int], list[int]]]:
    """Connected sets of tracks and blobs under the claims."""
    groups: list[tuple[set[int], set[int]]] = []
    for track, row in enumerate(claims):
        parts = set(np.flatnonzero(row).tolist())
        if parts:
            joined = [group for group in groups if group[1] & parts]
            groups = [group for group in groups if not group[1] & parts]
            members = {track}.union(*(group[0] for group in joined))
            groups.append((members, parts.union(*(group[1] for group in joined))))
    return sorted((sorted(members), sorted(parts)) for members, parts in groups)


def _belonging(blobs: Sequence[Blob], parts: list[int], overlap: NDArray[np.float64]) -> list[int]:
    """Of the blobs that one track claims, the one it covers most and the small pieces close to it."""
    main = max(parts, key=lambda i: (overlap[i], -i))
    reach = PIECE_GAP * np.sqrt(blobs[main].area) + 3
    small = PIECE * blobs[main].area
    return [i for i in parts if i == main or (blobs[i].area < small and gap(blobs[i].box, blobs[main].box) < reach)]
