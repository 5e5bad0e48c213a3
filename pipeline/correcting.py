"""Corrections at work: the tracks of a window as a person wants them.

What was tracked stays stored under its own key, so a correction that is taken back costs nothing. Removing, merging,
swapping, splitting and drawing need no tracker: they change stored tracks. Clicks track their window once more, with
everything the prompt finds and the clicks on top; the other edits come after, in the order of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.corrections import CLICKS, DRAWN, Correction
from pipeline.errors import PipelineError
from pipeline.track_store import WindowTracks
from sam.disjoint import without
from sam.types import Mask, Prompt, Track

Entries = Sequence[tuple[str, Correction]]  # each with its name for messages


class WrongCorrection(PipelineError):
    """A correction that does not fit what was tracked; the message names it, its file and what is there."""


@dataclass(frozen=True, slots=True)
class Corrector:
    """The corrections of one chunk.

    entries: by prompt number, then window id. prompts: the texts. disjoint: no pixel in two masks of a prompt, so what
    a person drew takes its pixels from the others.
    """

    entries: Mapping[int, Mapping[str, Entries]] = field(default_factory=dict)
    prompts: Sequence[str] = ()
    disjoint: bool = False

    def of(self, prompt: int, window: str) -> Entries:
        return self.entries.get(prompt, {}).get(window, ())

    def without_tracking(self, prompt: int, base: WindowTracks) -> WindowTracks | None:
        """A window's tracks corrected; None where clicks have to be tracked."""
        entries = self.of(prompt, base.window_id)
        if base.error is None and any(entry.do in CLICKS for _, entry in entries):
            return None
        return self.edited(prompt, base)

    def with_clicks(
        self, prompt: int, base: WindowTracks, track: Callable[[Sequence[Prompt]], WindowTracks]
    ) -> WindowTracks:
        """A window's tracks corrected. track: tracks the window once more, with these prompts besides its text."""
        entries = self.of(prompt, base.window_id)
        try:
            clicks = _clicks(base, entries)
        except WrongCorrection as error:
            return replace(base, tracks=(), error=str(error))
        again = track(clicks)
        return again if again.error is not None else self.edited(prompt, again)

    def edited(self, prompt: int, base: WindowTracks) -> WindowTracks:
        """A window after its edits. Clicks are in `base` already, or are left out."""
        text = self.prompts[prompt] if prompt < len(self.prompts) else ""
        return corrected(base, self.of(prompt, base.window_id), text, self.disjoint)


def corrected(base: WindowTracks, entries: Entries, prompt: str = "", disjoint: bool = False) -> WindowTracks:
    """The window after its edits; with the reason as its error where one does not fit. Clicks are in `base` already.

    prompt: what a drawn object counts as found by. disjoint: see `Corrector`.
    """
    if base.error is not None or not entries:
        return base
    objects = {track.object_id: _Object.of(track) for track in base.tracks}
    touched: set[int] = set()
    try:
        for where, entry in entries:
            if entry.do in CLICKS:
                touched.add(entry.object_id)
            elif entry.do in DRAWN:
                touched |= _draw(objects, entry, base, where, prompt, disjoint)
            else:
                touched |= _apply(objects, entry, base, where)
    except WrongCorrection as error:
        return replace(base, tracks=(), error=str(error))
    tracks = tuple(each.track(number) for number, each in sorted(objects.items()) if each.masks)
    there = {track.object_id for track in tracks}
    return replace(base, tracks=tracks, corrected=tuple(sorted(touched & there)))


@dataclass(slots=True)
class _Object:
    """A track that can be changed. masks: by session frame."""

    prompt: str
    first_score: float
    masks: dict[int, Mask]

    @classmethod
    def of(cls, track: Track) -> _Object:
        return cls(track.prompt, track.first_score, dict(zip(track.frames.tolist(), track.masks, strict=True)))

    def track(self, number: int) -> Track:
        frames = sorted(self.masks)
        masks = tuple(self.masks[frame] for frame in frames)
        return Track(number, self.prompt, np.array(frames, np.int32), masks, self.first_score)

    def cut(self, frame: int) -> dict[int, Mask]:
        """Take the masks from a frame on out."""
        after = {f: mask for f, mask in self.masks.items() if f >= frame}
        self.masks = {f: mask for f, mask in self.masks.items() if f < frame}
        return after


def _apply(objects: dict[int, _Object], entry: Correction, window: WindowTracks, where: str) -> set[int]:
    """Change the objects as one entry says; returns those that it changed."""
    frame = _session_frame(entry.frame, window, where)
    one = _known(objects, entry.object_id, where)
    if entry.do == "remove":
        del objects[entry.object_id]
        return set()
    assert entry.other is not None
    if entry.do == "split":
        if entry.other in objects:
            raise WrongCorrection(f"{where}: there is an object {entry.other} already; as= takes an id that is free")
        objects[entry.other] = _Object(one.prompt, one.first_score, one.cut(frame))
        return {entry.object_id, entry.other}
    other = _known(objects, entry.other, where)
    if entry.do == "swap":
        mine, theirs = one.cut(frame), other.cut(frame)
        one.masks |= theirs
        other.masks |= mine
        return {entry.object_id, entry.other}
    for at, mask in one.masks.items():
        other.masks[at] = _united(other.masks[at], mask) if at in other.masks else mask
    other.first_score = max(other.first_score, one.first_score)
    del objects[entry.object_id]
    return {entry.other}


def _draw(
    objects: dict[int, _Object], entry: Correction, window: WindowTracks, where: str, prompt: str, disjoint: bool
) -> set[int]:
    """Give an object the masks that a person accepted; returns the objects that this changed."""
    number, drawing = entry.object_id, entry.drawing
    assert drawing is not None, "an entry of DRAWN has a drawing"
    if entry.do == "draw":
        if number in objects:
            raise WrongCorrection(f"{where}: there is an object {number} already; redraw changes it")
        objects[number] = _Object(prompt, 1.0, {})
    one = _known(objects, number, where)
    frames = [_session_frame(frame, window, where) for frame in drawing.frames]
    untold = set(range(frames[0], frames[-1] + 1)).difference(frames)
    if untold:
        raise WrongCorrection(
            f"{where}: its masks do not tell about frame {window.indices[min(untold)]}: they were made with another "
            "clip.stride or clip.fps. Correct it once more"
        )
    changed = {number}
    for frame, mask in zip(frames, drawing.masks, strict=True):
        one.masks.pop(frame, None)
        if mask is None:
            continue
        one.masks[frame] = mask
        for other, each in objects.items() if disjoint else ():
            if other != number and frame in each.masks:
                left = without(each.masks[frame], [mask])
                if left is not each.masks[frame]:
                    changed.add(other)
                    each.masks.pop(frame) if left is None else each.masks.update({frame: left})
    return changed


def _clicks(base: WindowTracks, entries: Entries) -> list[Prompt]:
    """The clicks of a window as prompts, checked against what was tracked without them."""
    objects = {track.object_id: _Object.of(track) for track in base.tracks}
    prompts = []
    for where, entry in entries:
        if entry.do not in CLICKS:
            continue
        if entry.do == "add":
            if entry.object_id in objects:
                raise WrongCorrection(f"{where}: there is an object {entry.object_id} already; refine corrects it")
            if entry.box is None and 1 not in entry.labels:
                raise WrongCorrection(f"{where}: a new object needs a point inside (label 1) or a box")
            objects[entry.object_id] = _Object("", 0.0, {})
        else:
            _known(objects, entry.object_id, where)
        prompts.append(entry.prompt_on(_session_frame(entry.frame, base, where)))
    return prompts


def _session_frame(frame: int, window: WindowTracks, where: str) -> int:
    """The number within the window's session of a source frame that an entry names."""
    at = int(np.searchsorted(window.indices, frame))
    if at == len(window.indices) or window.indices[at] != frame:
        near = window.indices[max(0, at - 1) : at + 1].tolist()
        raise WrongCorrection(
            f"{where}: frame {frame} is not tracked in its window; near it are {' and '.join(map(str, near))}"
        )
    return at


def _known(objects: Mapping[int, _Object], number: int, where: str) -> _Object:
    if number not in objects:
        there = ", ".join(map(str, sorted(objects))) or "none"
        raise WrongCorrection(f"{where}: there is no object {number} in its window; there are {there}")
    return objects[number]


def _united(a: Mask, b: Mask) -> Mask:
    """Both masks in one."""
    x0, y0 = min(a.box[0], b.box[0]), min(a.box[1], b.box[1])
    x1, y1 = max(a.box[2], b.box[2]), max(a.box[3], b.box[3])
    plane = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for mask in (a, b):
        left, top, right, bottom = mask.box
        plane[top - y0 : bottom - y0, left - x0 : right - x0] |= mask.decode()
    both = Mask.encode(plane, (x0, y0))
    assert both is not None, "two masks that are not empty"
    return both
