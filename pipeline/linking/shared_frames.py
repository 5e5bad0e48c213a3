"""Windows that share frames: how far the objects of one are those of the other, from the stored masks.

Two windows share frames when clips overlap (`clip.hop`) or are tracked with more before and after (`clip.lead`). Two
objects are compared over all frames that both windows saw: pixels in common over pixels of either, summed over these
frames (the volume IoU of YouTube-VIS, L. Yang et al., Video Instance Segmentation, ICCV 2019). It decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.linking.tracklets import Tracklet
from pipeline.track_store import TrackStore, WindowTracks
from sam.types import Mask, shared_area
from video.types import Chunk, Window

log = logging.getLogger(__name__)
Key = tuple[str, int]  # prompt and object id: who it is in its window
HELD = 8  # chunks and prompts whose tracks are in memory at a time


@dataclass(frozen=True, slots=True)
class Shared:
    """Two tracklets, by their numbers, that some frame shows both.

    iou: 0..1 over all frames that both windows saw. by: masks; boxes where the masks are no longer stored.
    """

    first: int
    second: int
    iou: float
    by: str


def shared_frames(
    tracklets: Sequence[Tracklet], chunks: Sequence[tuple[Chunk, Mapping[str, str]]], store: TrackStore
) -> list[Shared]:
    """Every pair of tracklets of two windows that some frame shows both: they are one individual, or two.

    tracklets: of one video. chunks: of the same video, each with the key of its tracks by prompt.
    """
    numbers: dict[str, dict[Key, int]] = {}
    for n, tracklet in enumerate(tracklets):
        numbers.setdefault(tracklet.window_id, {})[tracklet.prompt, tracklet.object_id] = n
    windows = [(w, keys) for chunk, keys in chunks for w in chunk.windows if w.id in numbers]
    windows.sort(key=lambda pair: (pair[0].start, pair[0].stop, pair[0].id))
    read = lru_cache(maxsize=HELD)(lambda key: store.read(key) if store.has(key) else None)

    def found_in(window: Window, keys: Mapping[str, str]) -> dict[str, WindowTracks] | None:
        by_prompt = {prompt: read(key) for prompt, key in keys.items()}
        if any(tracks is None for tracks in by_prompt.values()):
            return None
        return {prompt: tracks[window.id] for prompt, tracks in by_prompt.items() if tracks and window.id in tracks}

    found: list[Shared] = []
    gone = 0
    for n, (one, keys) in enumerate(windows):
        for other, other_keys in windows[n + 1 :]:
            if other.start >= one.stop:
                break
            seen = found_in(one, keys), found_in(other, other_keys)
            if seen[0] is None or seen[1] is None:
                gone += 1
                found += _by_boxes(tracklets, numbers[one.id].values(), numbers[other.id].values())
            else:
                found += _by_masks(seen[0], seen[1], numbers[one.id], numbers[other.id])
    if gone:
        log.warning(
            "%s: the masks of %d pairs of windows that share frames are no longer stored (tracks.keep=false), so their "
            "objects are linked by boxes",
            tracklets[0].video,
            gone,
        )
    return found


def _by_masks(
    one: Mapping[str, WindowTracks],
    other: Mapping[str, WindowTracks],
    numbers: Mapping[Key, int],
    other_numbers: Mapping[Key, int],
) -> Iterator[Shared]:
    looked_at = [{int(n) for w in seen.values() for n in w.indices} for seen in (one, other)]
    both = frozenset(looked_at[0] & looked_at[1])
    mine, theirs = _masks(one, numbers, both), _masks(other, other_numbers, both)
    areas = [{n: sum(m.area for m in masks.values()) for n, masks in side.items()} for side in (mine, theirs)]
    for a, masks in mine.items():
        for b, others in theirs.items():
            common = masks.keys() & others.keys()
            pixels = sum(shared_area(masks[frame], others[frame]) for frame in common)
            if common:
                yield Shared(a, b, pixels / (areas[0][a] + areas[1][b] - pixels), "masks")


def _masks(
    seen: Mapping[str, WindowTracks], numbers: Mapping[Key, int], frames: frozenset[int]
) -> dict[int, dict[int, Mask]]:
    """By tracklet, its masks in some source frames; only tracklets that have any."""
    found: dict[int, dict[int, Mask]] = {}
    for window in seen.values():
        for track in window.tracks:
            n = numbers.get((track.prompt, track.object_id))
            if n is not None:
                at = window.indices[track.frames].tolist()
                masks = {frame: mask for frame, mask in zip(at, track.masks, strict=True) if frame in frames}
                if masks:
                    found[n] = masks
    return found


def _by_boxes(tracklets: Sequence[Tracklet], mine: Iterable[int], theirs: Iterable[int]) -> Iterator[Shared]:
    """The same of boxes, over the frames of clips that show both: what the records know."""
    theirs = list(theirs)
    for a in mine:
        for b in theirs:
            one, other = tracklets[a], tracklets[b]
            _, i, j = np.intersect1d(one.frames, other.frames, return_indices=True)
            if len(i):
                p, q = one.boxes[i].astype(np.float64), other.boxes[j].astype(np.float64)
                sides = np.maximum(np.minimum(p[:, 2:], q[:, 2:]) - np.maximum(p[:, :2], q[:, :2]), 0)
                pixels = float(sides.prod(axis=1).sum())
                areas = sum(float((box[:, 2:] - box[:, :2]).prod(axis=1).sum()) for box in (p, q))
                yield Shared(a, b, pixels / (areas - pixels), "boxes")
