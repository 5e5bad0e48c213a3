"""Which tracked objects of a clip are shown in outputs, and their masks by frame, from records and stored tracks.

In a whole video an object is an individual, as the index has linked it; in a clip it is what was tracked there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from pipeline.errors import DatasetError
from pipeline.indexing import judge_of
from pipeline.job import Job
from pipeline.judge import Judge
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.records import ChunkRecord
from pipeline.settings import Settings
from pipeline.split import Splits
from pipeline.tables import read_table
from pipeline.tasks.output_files import Item
from pipeline.track_store import TrackStore, WindowTracks, degraded_key
from sam.prompts import phrases_in
from sam.types import Mask, Track
from video.types import Clip, Frame, Window

COLUMNS = ["video", "clip_id", "prompt", "object_id", "individual_id"]


@dataclass(frozen=True, slots=True)
class Part:
    """One clip, the window it was tracked in, and the job of its chunk."""

    job: Job
    window: Window
    clip: Clip


@dataclass(frozen=True, slots=True)
class ClipMasks:
    """The masks of one clip. indices: by grid position, the source frame that was tracked. masks: by position."""

    clip: Clip
    indices: dict[int, int]
    masks: dict[int, dict[Item, Mask]]

    def of(self, frame: Frame) -> dict[Item, Mask]:
        """The masks of a decoded frame; raises DatasetError when it is not the frame that was tracked."""
        if self.indices.get(frame.position) != frame.index:
            raise DatasetError(
                f"{self.clip.video.name}: frame {frame.index} is not the one that was tracked for {self.clip.id}: the "
                "video or its reader changed, so build the dataset again"
            )
        return self.masks.get(frame.position, {})


def no_tracks(layout: Layout) -> DatasetError:
    """The error of a dataset without any."""
    return DatasetError(
        f"there are no stored tracks of these videos in {layout.tracks}: outputs are made from them, so build with "
        "tracks.keep=true, or say where they are with tracks.path=..."
    )


class Chosen:
    """Reads records and tracks of one chunk at a time; tracks only of clips whose outputs are made."""

    def __init__(self, settings: Settings, layout: Layout, jobs: Sequence[Job]) -> None:
        self._settings = settings
        self._layout = layout
        self._ledger = Ledger(layout)
        self._store = TrackStore(layout)
        texts = dict.fromkeys(text for job in jobs for text in job.prompts)
        self._names = _file_names(list(dict.fromkeys(p for text in texts for p in (text, *phrases_in(text)))))
        self._stored: tuple[Job, list[dict[str, WindowTracks]]] | None = None
        self._named: tuple[str, dict[tuple[str, str, int], Item]] | None = None
        spans = {name: spans for job in jobs for name, spans in job.splits.spans.items()}
        self._judge = judge_of(settings, Splits(spans, jobs[0].splits.embargo), self._ledger, jobs)
        self._judged: tuple[Job, dict[str, dict[tuple[str, int], str]]] | None = None
        if not any(self._store.has(key) for job in jobs for key in job.track_keys):
            raise no_tracks(layout)

    def state(self, part: Part) -> tuple[object, ...]:
        """Changes when other objects are chosen or their tracks change; empty when nothing is chosen."""
        if self._settings.outputs.objects == "kept":
            return tuple(sorted((key, *what) for what, key in self._kept(part).items()))
        files = [self._layout.track_file(k) for key in part.job.track_keys for k in (key, degraded_key(key))]
        return tuple((file.stem, file.is_file()) for file in files)

    def items(self, part: Part) -> list[Item]:
        """The objects that are shown, by prompt and number. Raises DatasetError without tracks."""
        return [self._item(part, track) for _, track in self._tracks(part)]

    def individuals(self, video: str) -> dict[tuple[str, str, int], Item] | None:
        """A video's objects in the dataset, (clip id, prompt, object id) -> individual, by first appearance.

        None where objects are shown by clip, or where nothing is linked.
        """
        options = self._settings.outputs
        linked = self._settings.linking.enabled and options.objects == "kept" and self._layout.samples.is_file()
        if options.per != "video" or not linked:
            return None
        if self._named is None or self._named[0] != video:
            table = read_table(self._layout.samples, COLUMNS)
            rows = table.filter(pc.equal(table["video"], video)).to_pylist()
            items: dict[str, Item] = {}
            found = {}
            for row in rows:
                name, prompt = row["individual_id"], row["prompt"]
                if name is None:
                    raise DatasetError(f"{video}: its objects are not linked yet; build again with link.enabled=true")
                n = len(items) + 1
                new = Item(n, f"{self._names[prompt]}-{name}", f"{prompt} {n}")
                found[row["clip_id"], prompt, row["object_id"]] = items.setdefault(name, new)
            self._named = video, found
        return self._named[1]

    def masks(self, part: Part) -> ClipMasks:
        """Raises DatasetError when the clip has no tracks, or could not be tracked."""
        indices: dict[int, int] = {}
        masks: dict[int, dict[Item, Mask]] = {}
        for window in self.windows(part):
            indices |= dict(zip(window.positions.tolist(), window.indices.tolist(), strict=True))
        for window, track in self._tracks(part):
            item, frames = self._item(part, track), window.frames_of(part.clip)
            for n, mask in zip(track.frames.tolist(), track.masks, strict=True):
                if n in frames:
                    masks.setdefault(int(window.positions[n]), {})[item] = mask
        return ClipMasks(part.clip, indices, masks)

    def _item(self, part: Part, track: Track) -> Item:
        named = self.individuals(part.clip.video.name)
        if named is not None:
            try:
                return named[part.clip.id, track.prompt, track.object_id]
            except KeyError:
                raise DatasetError(
                    f"{part.clip.video.name}: samples.parquet does not know {track.prompt} {track.object_id} of "
                    f"{part.clip.id}; build again"
                ) from None
        return Item(
            track.object_id, f"{self._names[track.prompt]}-{track.object_id}", f"{track.prompt} {track.object_id}"
        )

    def _tracks(self, part: Part) -> list[tuple[WindowTracks, Track]]:
        kept = self._kept(part) if self._settings.outputs.objects == "kept" else None
        return [
            (window, track)
            for window in self.windows(part)
            for track in window.tracks
            if any(n in window.frames_of(part.clip) for n in track.frames.tolist())
            if kept is None or (track.prompt, track.object_id) in kept
        ]

    def windows(self, part: Part) -> list[WindowTracks]:
        """What was tracked in the part's window, per prompt. Raises DatasetError without tracks."""
        if self._stored is None or self._stored[0] is not part.job:
            self._stored = None  # one chunk's masks at a time
            try:
                self._stored = part.job, [self._store.read(key) for key in part.job.track_keys]
            except FileNotFoundError as error:
                raise DatasetError(
                    f"{part.clip.video.name}: not all of it has stored tracks in {self._layout.tracks}; build again "
                    "with the settings of the dataset"
                ) from error
        windows = [tracks[part.window.id] for tracks in self._stored[1]]
        for window in windows:
            if window.error is not None:
                raise DatasetError(f"{part.clip.video.name}: {part.clip.id} could not be tracked: {window.error}")
        return windows

    def _kept(self, part: Part) -> dict[tuple[str, int], str]:
        """The clip's objects that are in the dataset: (prompt, object id) -> key of its tracks."""
        if self._judged is None or self._judged[0] is not part.job:
            record = self._ledger.read(part.job.record_id)
            if record is None:
                raise DatasetError(
                    f"{part.clip.video.name}: not all of it has been built; build again, or show everything that was "
                    "tracked with outputs.objects=all"
                )
            self._judged = part.job, _kept_in(record, self._judge)
        return self._judged[1].get(part.clip.id, {})


def _kept_in(record: ChunkRecord, judge: Judge) -> dict[str, dict[tuple[str, int], str]]:
    kept: dict[str, dict[tuple[str, int], str]] = {}
    for sample in record.samples:
        if sample.files and judge.refusal(sample) is None:
            kept.setdefault(sample.clip_id, {})[sample.prompt, sample.object_id] = sample.track_key
    return kept


def _file_names(prompts: Sequence[str]) -> dict[str, str]:
    """A plain file name for every prompt, no two alike."""
    plain = [re.sub(r"[^\w.+-]+", "_", prompt).strip("._")[:80] or "object" for prompt in prompts]
    return {p: n if plain.count(n) == 1 else f"{n}.{k}" for k, (p, n) in enumerate(zip(prompts, plain, strict=True))}
