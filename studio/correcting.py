"""One dataset under correction: its windows, edits, pictures and builds, put together for the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline.corrections import CLICKS, DRAWN, OTHER, SAID, written
from pipeline.studio_config import StudioConfig
from pipeline.tables import read_table
from pipeline.track_store import WindowTracks
from sam.tracker import DialogueTracker
from sam.types import Mask, Track
from studio import correct_bodies as bodies
from studio.apply import Applying
from studio.edits import Edits, key_of
from studio.errors import SourcesMissing, StudioError
from studio.jobs import ModelThread
from studio.missing import missing_videos
from studio.shown import Shown
from studio.window_order import Doubts
from studio.window_pictures import WindowPictures
from studio.windows import Place, Windows
from video.types import digest


class Correcting:
    """See the module docstring. out: the dataset. model: runs the tracker that shows what clicks do."""

    def __init__(self, out: Path, options: StudioConfig, model: ModelThread) -> None:
        self.windows = Windows(out)
        self.edits = Edits(self.windows)
        self.shown = Shown()
        self.pictures = WindowPictures(self.windows, options.jpeg_quality, Path(options.folder))
        self.applying = Applying(out, Path(options.folder), model.rest, self.windows.refresh)
        self._tracker = model.tracker

    def stop(self) -> None:
        """End with the server."""
        self.applying.stop()
        self.pictures.close()

    def listed(self, order: str, video: str | None, offset: int, limit: int) -> bodies.WindowList:
        """A page of the list. order: doubt, what to look at first; or time."""
        try:
            seen, doubts = self.windows.seen(), self.windows.doubts()
        except SourcesMissing as error:
            gone = missing_videos(self.windows.layout, self.windows.settings.videos, None, error.message)
            lines = [bodies.MissingVideo(video=name, why=why) for name, why in gone.items()]
            return bodies.WindowList(total=0, videos=[], missing=lines, windows=[])
        none = Doubts()
        ids = [name for name, place in seen.places.items() if video in (None, place.video.name)]
        if order == "doubt":
            ids.sort(key=lambda name: doubts.get(name, none).order)  # stable: by time within
        gone = missing_videos(self.windows.layout, seen.settings.videos, seen.footage)
        shown = ids[offset : offset + limit]
        firsts = {seen.places[name].video.name: seen.places[name] for name in shown}
        edits: Counter[str] = Counter()
        for place in firsts.values():
            edits += self.edits.counts(place)
        return bodies.WindowList(
            total=len(ids),
            videos=sorted(each.name for each in seen.footage.videos),
            missing=[bodies.MissingVideo(video=name, why=why) for name, why in gone.items()],
            windows=[self._line(seen.places[name], doubts.get(name, none), edits[name]) for name in shown],
        )

    def _line(self, place: Place, doubts: Doubts, edits: int) -> bodies.WindowLine:
        clips, grid, video = place.window.clips, place.chunk.grid, place.video
        return bodies.WindowLine(
            window=place.window.id,
            video=video.name,
            start_s=grid.seconds(clips[0].start, video),
            stop_s=grid.seconds(clips[-1].stop, video),
            crops=doubts.crops,
            refused=doubts.refused,
            corrected=doubts.corrected,
            corrections=edits,
            why=_why(doubts),
        )

    def info(self, place: Place) -> bodies.WindowInfo:
        """All about a window but its masks."""
        tracks, waiting = self.windows.tracks(place)
        first, entries = tracks[0], self.edits.of(place)
        clips = [
            bodies.ClipFrames(clip_id=clip.id, first=frames.start, last=frames.stop - 1)
            for clip in place.window.clips
            if (frames := first.frames_of(clip))
        ]
        job = self.windows.job(place)
        return bodies.WindowInfo(
            window=place.window.id,
            video=place.video.name,
            width=place.video.width,
            height=place.video.height,
            prompts=list(place.prompts),
            frames=first.indices.tolist(),
            times_s=first.times_s.tolist(),
            clips=clips,
            why=_why(self.windows.doubts().get(place.window.id, Doubts())),
            error=next((each.error for each in tracks if each.error is not None), None),
            waiting=waiting,
            unapplied=not self.windows.layout.record(job.record_id).is_file(),
            clicks=self._clicks(),
            corrections=[bodies.Entry(id=key_of(entry), entry=written(entry)) for entry in entries],
            crops=self._crops(place),
            links=self._links(place),
            stamp=digest("window", job.record_id, [key_of(entry) for entry in entries]),
        )

    def masks(self, place: Place) -> bodies.WindowMasks:
        """The masks with the corrections that there are."""
        tracks, _ = self.windows.tracks(place)
        return bodies.WindowMasks(
            objects=[
                bodies.SeenObject(
                    prompt=prompt,
                    object=track.object_id,
                    corrected=track.object_id in window.corrected,
                    masks=_plain(track),
                )
                for prompt, window in zip(place.prompts, tracks, strict=True)
                for track in window.tracks
            ]
        )

    def _links(self, place: Place) -> list[bodies.LinkLine]:
        """The links of a window's objects to other windows, the doubtful first."""
        layout, seen = self.windows.layout, self.windows.seen()
        if not layout.links.is_file():
            return []
        table = read_table(layout.links)
        rows = table.filter(pc.equal(table["video"], place.video.name)).to_pylist()
        columns = ["sample_id", "clip_id", "object_id", "prompt"]
        objects: dict[str, tuple[str, int, str]] = {}
        windows = {
            clip.id: name
            for name, each in seen.places.items()
            if each.video.name == place.video.name
            for clip in each.window.clips
        }
        for path in (layout.samples, layout.rejected):
            table = read_table(path, ["video", *columns])
            for row in table.filter(pc.equal(table["video"], place.video.name)).to_pylist():
                if row["clip_id"] in windows and row["sample_id"] is not None:
                    objects[row["sample_id"]] = windows[row["clip_id"]], row["object_id"], row["prompt"]
        found = []
        for row in rows:
            ends = [objects.get(row["first_sample"]), objects.get(row["second_sample"])]
            for here, there in (ends, ends[::-1]):
                if here is not None and there is not None and here[0] == place.window.id != there[0]:
                    start = place.chunk.grid.seconds(seen.places[there[0]].window.clips[0].start, place.video)
                    found.append(
                        bodies.LinkLine(
                            object=here[1],
                            prompt=here[2],
                            other=there[1],
                            other_prompt=there[2],
                            window=there[0],
                            start_s=start,
                            by=row["by"],
                            score=row["score"],
                            state=row["state"],
                        )
                    )
        return sorted(found, key=lambda line: (line.state != "open", line.start_s, line.object))

    def crop_file(self, place: Place, sample: str) -> Path:
        """The video of a crop of a window. Raises StudioError (404)."""
        root = self.windows.layout.root
        for row in self._rows(self.windows.layout.samples, place, ["sample_id", "clip_id", "path"]):
            path: Path = root / row["path"]
            if row["sample_id"] == sample and path.resolve().is_relative_to(root.resolve()) and path.is_file():
                return path
        raise StudioError(404, f"there is no crop {sample[:64]!r} of this window")

    def window_of(self, place: Place, prompt: str | None) -> WindowTracks:
        """What one prompt found. Raises StudioError (422) for a prompt that is not there."""
        if prompt is None and len(place.prompts) > 1:
            raise StudioError(422, f"prompt must be one of {', '.join(place.prompts)}")
        if prompt not in (None, *place.prompts):
            raise StudioError(422, f"prompt must be one of {', '.join(place.prompts)}, got {prompt!r}")
        tracks, _ = self.windows.tracks(place)
        return tracks[0 if prompt is None else place.prompts.index(prompt)]

    def _clicks(self) -> bodies.ClickState:
        settings = self.windows.seen().settings
        assert settings.tracker is not None, "a dataset is built with a tracker"
        build = {"points", "box"} <= settings.tracker.build().understands
        shows = isinstance(self._tracker, DialogueTracker)
        why = None
        if not shows:
            name = self._tracker.name
            why = f"the studio's tracker={name} takes no clicks: start it with studio.tracker=grabcut or sam2"
        return bodies.ClickState(show=shows, build=build, tracker=self._tracker.name, why=why)

    def _crops(self, place: Place) -> list[bodies.Crop]:
        layout = self.windows.layout
        columns = ["sample_id", "clip_id", "object_id", "prompt"]
        found = [
            bodies.Crop(**row, crop=f"/dataset/windows/{place.window.id}/crops/{row['sample_id']}", reason=None)
            for row in self._rows(layout.samples, place, columns)
        ]
        found += [
            bodies.Crop(**row, crop=None)
            for row in self._rows(layout.rejected, place, [*columns, "reason"])
            if row["sample_id"] is not None and row["object_id"] is not None
        ]
        return found

    def _rows(self, path: Path, place: Place, columns: Sequence[str]) -> list[dict[str, Any]]:
        if not path.is_file():
            return []
        clips = [clip.id for clip in place.window.clips]
        table = read_table(path, list(columns))
        return list(table.filter(pc.is_in(table["clip_id"], _values(clips))).to_pylist())


def raw_entry(body: bodies.Correct) -> dict[str, Any]:
    """A body as an entry of a corrections file. Raises StudioError (422) for what the entry lacks or cannot have."""
    raw: dict[str, Any] = {"do": body.do, "frame": body.frame}
    if body.object is not None:
        raw["object"] = body.object
    elif body.do not in ("add", "draw"):
        raise StudioError(422, f"object: {body.do} needs the object it is about")
    if body.do in OTHER:
        if body.other is not None:
            raw[OTHER[body.do]] = body.other
        elif body.do != "split":
            raise StudioError(422, f"other: {body.do} needs a second object")
    elif body.other is not None:
        raise StudioError(422, f"other: {body.do} has no second object")
    if body.do in SAID:
        if body.at is None or body.at_window is None:
            raise StudioError(422, f"at_window: {body.do} needs the window of the other object")
        raw["at"] = body.at
    elif body.at is not None or body.at_window is not None:
        raise StudioError(422, f"at, at_window: {body.do} is about one window")
    if (body.masks is not None) != (body.do in DRAWN):
        which = "needs the name of masks that were shown" if body.do in DRAWN else "takes no masks"
        raise StudioError(422, f"masks: {body.do} {which}")
    places: Mapping[str, Any] = {"points": body.points, "labels": body.labels, "box": body.box}
    given = {key: value for key, value in places.items() if value}
    if given and body.do not in CLICKS:
        raise StudioError(422, f"{', '.join(given)}: {body.do} takes no places")
    more = {key: value for key, value in (("masks", body.masks), ("note", body.note)) if value}
    return raw | given | more


def plain_masks(masks: Mapping[int, Mask | None]) -> tuple[list[bodies.MaskOn], list[int]]:
    """Masks by session frame as answers say them, and the frames without."""
    seen = [_plain_mask(n, mask) for n, mask in masks.items() if mask is not None]
    return seen, [n for n, mask in masks.items() if mask is None]


def frame_in(window: WindowTracks, frame: int) -> int:
    """The session frame of a source frame. Raises StudioError (422) for one that is not tracked in the window."""
    at = int(np.searchsorted(window.indices, frame))
    if at == len(window.indices) or window.indices[at] != frame:
        near = window.indices[max(0, at - 1) : at + 1].tolist()
        raise StudioError(422, f"frame {frame} is not tracked in this window; near it are {near}")
    return at


def _plain(track: Track) -> list[bodies.MaskOn]:
    return [_plain_mask(n, mask) for n, mask in zip(track.frames.tolist(), track.masks, strict=True)]


def _plain_mask(frame: int, mask: Mask) -> bodies.MaskOn:
    return bodies.MaskOn(frame=frame, box=list(mask.box), counts=mask.counts.decode())


def _why(doubts: Doubts) -> list[str]:
    """The doubts in words."""
    said = []
    if doubts.failure is not None:
        said.append(f"failed: {doubts.failure}")
    if doubts.links:
        said.append(f"{doubts.links} doubtful link{'s' if doubts.links > 1 else ''}")
    if doubts.about is not None and doubts.worst >= 0.25:
        said.append(f"worst crop: {doubts.about}")
    return said


def _values(names: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.array(names, pa.string())
