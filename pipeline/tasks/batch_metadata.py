"""`<name>_metadata.json` of task=batch: what was asked, what was found and where, from the stored tracks alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.job import Job
from pipeline.settings import Settings
from pipeline.track_store import WindowTracks

PARAMETERS = ("box_threshold", "text_threshold", "prompt_type")


def metadata(settings: Settings, job: Job, windows: Sequence[WindowTracks]) -> dict[str, Any]:
    """The document.

    A detection is what the detector found before anything was tracked; of a tracker that has none, what each object
    looks like where it first appears. bbox: x0, y0, x1, y1 in source pixels. frame: the source frame it lies on.
    Parameters that the tracker does not have are null. windows: of each prompt.
    """
    video = job.chunk.video
    window = windows[0]
    every = job.chunk.grid.fps is None and job.chunk.grid.stride == 1
    return {
        "video_path": video.origin,
        "prompts": ", ".join(job.prompts),
        "detections": [each for found in windows for each in _detections(found, video.width, video.height)],
        "video_info": {
            "fps": float(video.fps),
            "width": video.width,
            "height": video.height,
            "frame_count": int(window.indices[-1]) + 1 if every and len(window.indices) else video.frames,
        },
        "parameters": {name: getattr(settings.tracker, name, None) for name in PARAMETERS},
    }


def _detections(found: WindowTracks, width: int, height: int) -> Iterator[dict[str, Any]]:
    if found.detected:
        for each in found.detected:
            x0, y0, x1, y1 = (round(v) for v in each.box)
            box = [max(0, x0), max(0, y0), min(width, x1), min(height, y1)]
            yield _entry(box, each.phrase, each.score, each.object_id, int(found.indices[each.frame]))
        return
    for track in found.tracks:
        frame = int(found.indices[track.frames[0]])
        yield _entry(list(track.masks[0].box), track.prompt, track.first_score, track.object_id, frame)


def _entry(box: list[int], label: str, score: float, object_id: int, frame: int) -> dict[str, Any]:
    return {"bbox": box, "label": label, "score": round(score, 4), "object_id": object_id, "frame": frame}
