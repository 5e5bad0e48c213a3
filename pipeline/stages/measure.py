"""Measure: the tracks of a window -> one draft per object and clip: placed, measured, judged, not yet cropped.

It sees masks and times, never pixels, so it runs on stored tracks as well as on fresh ones, with equal results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.duplicates import duplicates
from pipeline.extractor import Placement, place_object
from pipeline.judge import Judge
from pipeline.records import Figures, Sample
from pipeline.settings import Settings
from pipeline.stages.quality import mask_figures
from pipeline.track_store import WindowTracks, degraded_key
from sam.types import Mask, Track
from video.types import Clip, Window, digest


@dataclass(frozen=True, slots=True)
class Draft:
    """One object in one clip. wanted: its crop is admitted by the filters and has to be made."""

    sample: Sample
    clip: Clip
    placement: Placement
    wanted: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """How windows are measured. made: by sample id, what an earlier run of these settings knows about it, with the
    files that are on disk."""

    settings: Settings
    judge: Judge
    made: Mapping[str, Sample]

    def drafts(self, window: Window, found: Sequence[WindowTracks], track_keys: Sequence[str]) -> list[Draft]:
        """Every object of every clip of the window. found, track_keys: per prompt."""
        same = duplicates([w.tracks for w in found]) if len(found) > 1 else {}
        shown = _masks_by_frame(found, same)
        drafts = []
        for clip in window.clips:
            for p, tracks in enumerate(found):
                key = degraded_key(track_keys[p]) if tracks.degraded else track_keys[p]
                frames = tracks.frames_of(clip)
                if tracks.error is not None or is_short(clip, frames, self.settings.clip.whole):
                    continue
                for track in tracks.tracks:
                    placement = place_object(track, frames.start, len(frames), self.settings.crop)
                    if placement is not None:
                        me = p, track.object_id
                        others = [[m for who, m in shown.get(n, ()) if who != me and me not in same] for n in frames]
                        corrupt = sum(n in frames for n in tracks.corrupt)
                        if self.settings.crop.foreign == "black":
                            placement = replace(placement, hidden=tuple(map(tuple, others)))
                        figures = mask_figures(placement, (clip.video.width, clip.video.height), corrupt, others)
                        sample = self._sample(window, clip, tracks, key, track, placement, frames, figures)
                        sample = replace(sample, duplicate_of=same.get(me))
                        drafts.append(self._judged(sample, clip, placement))
        return drafts

    def _judged(self, sample: Sample, clip: Clip, placement: Placement) -> Draft:
        made = self.made.get(sample.sample_id)
        if made is not None:
            sample = replace(sample, pixels=made.pixels, colours=made.colours, phash=made.phash, files=made.files)
        return Draft(sample, clip, placement, wanted=not sample.files and self.judge.refusal(sample) is None)

    def _sample(
        self,
        window: Window,
        clip: Clip,
        found: WindowTracks,
        track_key: str,
        track: Track,
        placement: Placement,
        frames: range,
        figures: Figures,
    ) -> Sample:
        video = clip.video
        times = found.times_s[frames.start : frames.stop]
        lasts = float(times[-1] - times[0])
        return Sample(
            sample_id=digest("sample", track_key, clip.id, track.object_id),
            video=video.name,
            video_fingerprint=video.fingerprint,
            recorded_at=video.recorded_at.isoformat() if video.recorded_at else None,
            clip_id=clip.id,
            window_id=window.id,
            track_key=track_key,
            tracker=self.settings.tracker_name,
            object_id=track.object_id,
            prompt=track.prompt,
            first_score=track.first_score,
            start_frame=int(found.indices[frames.start]),
            stride=None if clip.grid.fps is not None else clip.grid.stride,
            num_frames=len(frames),
            fps=(len(frames) - 1) / lasts if lasts > 0 else clip.rate,
            frame_indices=tuple(found.indices[frames.start : frames.stop].tolist()),
            timestamps_s=tuple(times.tolist()),
            boxes=tuple(None if m is None else m.box for m in placement.masks),
            crop_windows=tuple(tuple(w) for w in placement.windows.tolist()),
            source_width=video.width,
            source_height=video.height,
            degraded=found.degraded,
            duplicate_of=None,
            figures=figures,
            pixels=None,
            colours=None,
            phash=None,
            files=(),
            corrected=track.object_id in found.corrected,
        )


def _masks_by_frame(
    found: Sequence[WindowTracks], same: Mapping[tuple[int, int], int]
) -> dict[int, list[tuple[tuple[int, int], Mask]]]:
    """By session frame, the masks of everything in it, each thing once: ((prompt number, object id), mask)."""
    shown: dict[int, list[tuple[tuple[int, int], Mask]]] = {}
    for p, tracks in enumerate(found):
        for track in tracks.tracks:
            if (p, track.object_id) not in same:
                for n, mask in zip(track.frames.tolist(), track.masks, strict=True):
                    shown.setdefault(n, []).append(((p, track.object_id), mask))
    return shown


def is_short(clip: Clip, frames: range, whole: bool) -> bool:
    """Whether a clip has too few frames. The whole video as one clip has as many as there are, but not none."""
    return len(frames) < (1 if whole else clip.num_frames)
