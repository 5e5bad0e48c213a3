"""The same thing found by two prompts is kept once.

Rule: tracks of different prompts in one window are the same thing when their masks overlap by a mean IoU of at least
`SAME` over all frames in which either is seen. The one with the higher first score stays; on equal scores the one whose
prompt comes first. Within one prompt the tracker itself keeps objects apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from sam.types import Mask, Track, iou

SAME = 0.8


def duplicates(found: Sequence[Sequence[Track]]) -> dict[tuple[int, int], int]:
    """found: the tracks of each prompt. Returns, for each (prompt number, object id) to drop, the object id kept."""
    ranked = sorted(
        ((p, track) for p, tracks in enumerate(found) for track in tracks),
        key=lambda item: (-item[1].first_score, item[0], item[1].object_id),
    )
    kept: list[tuple[int, Track]] = []
    dropped: dict[tuple[int, int], int] = {}
    for p, track in ranked:
        twin = next((other for q, other in kept if q != p and overlap(track, other) >= SAME), None)
        if twin is None:
            kept.append((p, track))
        else:
            dropped[p, track.object_id] = twin.object_id
    return dropped


def overlap(a: Track, b: Track) -> float:
    """Mean mask IoU over all frames in which either track is seen; a frame that shows only one counts 0."""
    masks: dict[int, Mask] = dict(zip(a.frames.tolist(), a.masks, strict=True))
    shared = [iou(masks[f], m) for f, m in zip(b.frames.tolist(), b.masks, strict=True) if f in masks]
    return sum(shared) / (len(a.frames) + len(b.frames) - len(shared))
