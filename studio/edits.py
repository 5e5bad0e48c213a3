"""Corrections as a person makes them one by one: checked as a build checks them, written to the video's file, undone.

The file is replaced as a whole (`pipeline.corrections`), so a full disk or a killed server loses none that was
answered. What a correction does to the tracks is not here.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from pipeline.corrected_windows import Said, Touched, check_clicks, said_in, windows_touched
from pipeline.correcting import Corrector
from pipeline.corrections import CLICKS, OTHER, SAID, Correction, Corrections, read_entry
from pipeline.drawings import Drawing
from pipeline.errors import ConfigError
from pipeline.track_store import WindowTracks
from pipeline.writing import disk_errors
from sam.types import Mask, Prompt, Track
from studio.errors import StudioError
from studio.windows import Place, Windows
from video.types import Chunk, digest

WAIT_S = 10.0  # for another studio that writes the same corrections


class Edits:
    """See the module docstring; may be used from several threads."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._lock = threading.Lock()

    def of(self, place: Place) -> list[Correction]:
        """The corrections of one window, in the order in which they are applied."""
        given = self._load(place)
        touched = self._touched(given, place)
        edits = [entry for windows in touched.values() for _, entry in windows.get(place.window.id, ())]
        mine = [*edits, *(entry for _, entry in self._words(given, place))]
        return sorted(mine, key=given.entries.index)

    def counts(self, place: Place) -> Counter[str]:
        """How many corrections each window of a window's video has, by window id."""
        given = self._load(place)
        touched = self._touched(given, place)
        found = Counter(name for windows in touched.values() for name, entries in windows.items() for _ in entries)
        for word in said_in(given, self._chunks(place), place.prompts):
            found.update((word.first[0], word.second[0]))
        return found

    def add(
        self,
        place: Place,
        prompt: str | None,
        raw: Mapping[str, Any],
        author: str,
        there: Place | None = None,
        drawing: Drawing | None = None,
    ) -> Correction:
        """Write one more correction of a window; a number that is wanted free is chosen unless it is said.

        prompt: whose object it is; None where the video has one. there: the window of the other object, for a word
        about individuals. drawing: the masks of a correction that has them. Raises StudioError when it does not fit.
        """
        base = self._windows.base(place)
        with self._writing(place):
            given = self._load(place)
            mine = self._touched(given, place)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            whole = {**raw, "id": secrets.token_hex(8), "author": author, "time": now}
            if len(place.prompts) > 1:
                whole["prompt"] = prompt
            p = self._prompt_number(place, prompt)
            before = [entry for _, entry in mine[place.prompts[p]].get(place.window.id, ())]
            for key in _free_keys(whole):
                whole.setdefault(key, _free(base[p], before))
            try:
                entry = self._in_window(
                    read_entry(whole, "this correction", lambda _: _given(drawing)), given, place, there
                )
                after = replace(given, entries=(*given.entries, entry))
                touched = windows_touched(after, self._chunks(place), place.prompts)
                settings = self._windows.seen().settings
                assert settings.tracker is not None, "a dataset is built with a tracker"
                check_clicks(
                    {place.prompts[p]: {place.window.id: ((entry.do, entry),)}},
                    settings.tracker.build().understands,
                    settings.tracker_name,
                )
            except ConfigError as error:
                raise StudioError(422, str(error)) from error
            self._check_fit(place, base, touched, 422, "", self._words(after, place))
            if there is not None:
                base = self._windows.base(there)
                self._check_fit(there, base, touched, 422, "", self._words(after, there))
            after.save(self._windows.file_of(place.video))
        self._windows.changed(place.video)
        return entry

    def remove(self, place: Place, identity: str) -> Correction:
        """Take a correction of a window back. Raises StudioError: 404, or 409 when a later one builds on it."""
        base = self._windows.base(place)
        with self._writing(place):
            given = self._load(place)
            mine = {key_of(entry): entry for entry in self.of(place)}
            if identity not in mine:
                raise StudioError(404, f"there is no correction {identity[:64]!r} in this window")
            entry = mine[identity]
            at = given.entries.index(entry)
            after = replace(given, entries=given.entries[:at] + given.entries[at + 1 :])
            touched = windows_touched(after, self._chunks(place), place.prompts)
            words = self._words(after, place)
            self._check_fit(place, base, touched, 409, "a later correction needs this one: undo that first. ", words)
            after.save(self._windows.file_of(place.video))
        self._windows.changed(place.video)
        return entry

    # -- checking -----------------------------------------------------------------------------------------------------

    def _check_fit(
        self,
        place: Place,
        base: Sequence[WindowTracks],
        touched: Mapping[str, Touched],
        status: int,
        why: str,
        words: Sequence[tuple[Said, Correction]],
    ) -> None:
        """Raise StudioError when the window's corrections, or words about its objects, do not fit what was tracked."""
        for p, prompt in enumerate(place.prompts):
            entries = touched[prompt].get(place.window.id, ())
            keys = [key for word, _ in words for key in (word.first, word.second)]
            named = [number for *where, number in keys if where == [place.window.id, prompt]]
            if not entries and not named:
                continue
            if base[p].error is not None:
                raise StudioError(
                    409, f"this window could not be tracked, so nothing can be corrected: {base[p].error}"
                )
            corrector = Corrector({p: {place.window.id: entries}})
            after = corrector.without_tracking(p, base[p])
            if after is None:
                after = corrector.with_clicks(p, base[p], lambda clicks, p=p: _with_added(base[p], clicks))  # type: ignore[misc]
            if after.error is not None:
                raise StudioError(status, why + after.error)
            there = {track.object_id for track in after.tracks}
            for number in [n for n in named if n not in there]:
                raise StudioError(
                    status,
                    f"{why}a word about individuals is about object {number}, which this window does not have; there "
                    f"are {', '.join(map(str, sorted(there))) or 'none'}",
                )

    def _in_window(self, entry: Correction, given: Corrections, place: Place, there: Place | None) -> Correction:
        """The entry, naming its window where the frame alone does not. A clip's id is named, which stays the same when
        windows are cut otherwise."""
        alone = replace(given, entries=(entry,))
        if there is not None:
            if there.video != place.video or there.window == place.window:
                raise StudioError(422, "at_window: it must be another window of the same video")
            with suppress(ConfigError):
                ((word, _),) = self._words(alone, place)
                if (word.first[0], word.second[0]) == (place.window.id, there.window.id):
                    return entry
            return replace(entry, window=place.window.clips[0].id, at_window=there.window.clips[0].id)
        try:
            touched = windows_touched(alone, self._chunks(place), place.prompts)
            if any(place.window.id in windows for windows in touched.values()):
                return entry
        except ConfigError:
            pass  # said again below, of the entry that names its window
        return replace(entry, window=place.window.clips[0].id)

    def _prompt_number(self, place: Place, prompt: str | None) -> int:
        if prompt is None and len(place.prompts) == 1:
            return 0
        if prompt not in place.prompts:
            raise StudioError(422, f"prompt must be one of {', '.join(place.prompts)}, got {prompt!r}")
        return place.prompts.index(prompt)

    def _touched(self, given: Corrections, place: Place) -> Mapping[str, Touched]:
        try:
            return windows_touched(given, self._chunks(place), place.prompts)
        except ConfigError as error:
            raise StudioError(409, f"{error}. Repair the file, or remove the entry") from error

    def _words(self, given: Corrections, place: Place) -> list[tuple[Said, Correction]]:
        """What is said of individuals in a window, with its entries."""
        words = said_in(given, self._chunks(place), place.prompts)
        entries = [entry for entry in given.entries if entry.do in SAID]
        pairs = zip(words, entries, strict=True)
        return [pair for pair in pairs if place.window.id in (pair[0].first[0], pair[0].second[0])]

    def _chunks(self, place: Place) -> list[Chunk]:
        return [chunk for chunk in self._windows.seen().footage.chunks if chunk.video.name == place.video.name]

    # -- the file -----------------------------------------------------------------------------------------------------

    def _load(self, place: Place) -> Corrections:
        path, video = self._windows.file_of(place.video), place.video
        if not path.is_file():
            return Corrections(video.name, (), video.fingerprint, path.name)
        try:
            given = Corrections.load(path)
        except ConfigError as error:
            raise StudioError(409, f"{error}. Repair the file: nothing is written over it") from error
        if path == self._windows.corrections and given.video != video.name:
            raise StudioError(
                409, f"the dataset's corrections={path} are of {given.video} alone: build it with a folder of them"
            )
        if given.fingerprint not in (None, video.fingerprint):
            raise StudioError(409, f"{path} was made for another file than {video.path}: their fingerprints differ")
        return replace(given, source=path.name)  # messages about one entry need no whole path

    @contextmanager
    def _writing(self, place: Place) -> Iterator[None]:
        """Alone with the corrections of this dataset, also among other studios and machines."""
        path = self._windows.file_of(place.video)
        with self._lock, disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(path.with_name(f".{path.name}.lock"), timeout=WAIT_S):
                    yield
            except Timeout:
                raise StudioError(503, f"another studio is writing {path}: try again") from None


def key_of(entry: Correction) -> str:
    """What a correction is called by: its id; of one that was written by hand, what it says."""
    return entry.id or digest("entry", entry.prompt, entry.window, *entry.deciding)


def _given(drawing: Drawing | None) -> Drawing:
    assert drawing is not None, "a correction with masks comes with them"
    return drawing


def _free_keys(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of a correction that take a number which is free."""
    return {"split": (OTHER["split"],), "add": ("object",), "draw": ("object",)}.get(str(raw.get("do")), ())


def _free(base: WindowTracks, entries: Sequence[Correction]) -> int:
    """A number that no object of a window has or had."""
    used = {track.object_id for track in base.tracks}
    used |= {n for entry in entries for n in (entry.object_id, entry.other) if n is not None}
    return 1 + max(used, default=0)


def _with_added(base: WindowTracks, clicks: Sequence[Prompt]) -> WindowTracks:
    """The window as if clicks had been tracked, to see whether the corrections after them find their objects."""
    there = {track.object_id for track in base.tracks}
    speck = Mask.encode(np.ones((1, 1), np.uint8))
    assert speck is not None
    added = [
        Track(n, "", np.array([0], np.int32), (speck,), 0.0)
        for n in sorted({click.object_id for click in clicks if click.object_id is not None} - there)
    ]
    return replace(base, tracks=(*base.tracks, *added))


def has_clicks(entries: Sequence[Correction]) -> bool:
    """Whether a tracker has to see to some of them."""
    return any(entry.do in CLICKS for entry in entries)
