"""Measure: the tracks of a window -> one draft per object and clip: placed, measured, judged, not yet cropped.

It sees masks and times, never pixels, so it runs on stored tracks as well as on fresh ones, with equal results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.duplicates import duplicates
from pipeline.extractor import Placement, place_object
from pipeline.index import judge
from pipeline.records import CropFile, Figures, Sample
from pipeline.roi import Regions
from pipeline.settings import Settings
from pipeline.track_store import WindowTracks, degraded_key
from sam.types import Track
from video.types import Clip, Video, Window, digest


@dataclass(frozen=True, slots=True)
class Draft:
    """One object in one clip. wanted: its crop is admitted by the filters and has to be made."""

    sample: Sample
    clip: Clip
    placement: Placement
    wanted: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """How windows are measured. made: crops that are on disk already, by sample id."""

    settings: Settings
    regions: Regions
    made: Mapping[str, tuple[CropFile, ...]]

    def drafts(self, window: Window, found: Sequence[WindowTracks], track_keys: Sequence[str]) -> list[Draft]:
        """Every object of every clip of the window. found, track_keys: per prompt."""
        same = duplicates([w.tracks for w in found]) if len(found) > 1 else {}
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
                        twin = same.get((p, track.object_id))
                        sample = self._sample(window, clip, tracks, key, track, placement, frames, twin)
                        drafts.append(self._judged(sample, clip, placement))
        return drafts

    def _judged(self, sample: Sample, clip: Clip, placement: Placement) -> Draft:
        enabled = [f for f in self.settings.filters.values() if f.enabled]
        files = self.made.get(sample.sample_id, ())
        wanted = not files and judge(sample, enabled, self.regions) is None
        return Draft(replace(sample, files=files), clip, placement, wanted)

    def _sample(
        self,
        window: Window,
        clip: Clip,
        found: WindowTracks,
        track_key: str,
        track: Track,
        placement: Placement,
        frames: range,
        twin: int | None,
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
            duplicate_of=twin,
            figures=_figures(placement, video, sum(n in frames for n in found.corrupt)),
            files=(),
        )


def is_short(clip: Clip, frames: range, whole: bool) -> bool:
    """Whether a clip has too few frames. The whole video as one clip has as many as there are, but not none."""
    return len(frames) < (1 if whole else clip.num_frames)


def _figures(placement: Placement, video: Video, corrupt: int) -> Figures:
    boxes = placement.boxes[placement.visible]
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    touches = (boxes[:, :2] <= 0).any(1) | (boxes[:, 2] >= video.width) | (boxes[:, 3] >= video.height)
    return Figures(
        visible_share=float(placement.visible.mean()),
        side=float(np.median(longer)),
        area=float(np.median([mask.area for mask in placement.masks if mask is not None])),
        truncated=float(touches.mean()),
        scale_outliers=int(placement.scale_outlier.sum()),
        corrupt_frames=corrupt,
    )
