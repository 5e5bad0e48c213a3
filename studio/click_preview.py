"""What clicks make of an object in a window of a dataset, by the studio's own tracker, before it is written down.

It runs in the model thread, as a job of its own: a click on a window is answered between the steps of other work.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from pipeline.cache import Cache
from pipeline.settings import Settings
from pipeline.stages.source_frames import SourceFrames
from pipeline.track_store import WindowTracks
from sam.errors import UnknownPrompt
from sam.session import SAMSession
from sam.tracker import DialogueTracker, Tracker
from sam.types import Mask, Prompt, SessionFrames
from studio.jobs import Job
from studio.windows import Place

OBJECT = 1


def preview(
    job: Job,
    tracker: Tracker,
    place: Place,
    window: WindowTracks,
    settings: Settings,
    clicks: Prompt,
    mask: Mask | None,
    reach: str,
) -> Generator[None, None, dict[int, Mask | None]]:
    """The masks of one object by session frame, every frame of the reach; None where it is not seen.

    clicks: points and a box in source pixels on a session frame. mask: what the object looks like there so far. reach:
    frame, that of the clicks; onward, from there to the end; window, all of it, both ways from there.
    """
    yield
    if not isinstance(tracker, DialogueTracker):
        raise UnknownPrompt(
            f"tracker={tracker.name} takes no clicks: start the studio with studio.tracker=grabcut or sam2"
        )
    grid = place.chunk.grid
    found: dict[int, Mask | None] = {}
    with (
        Cache(settings.cache) as cache,
        cache.hold(place.video) as video,
        SourceFrames(video, settings.reader, window.positions.tolist(), tracker.max_side, grid) as images,
    ):
        frames = SessionFrames(images, window.indices, window.times_s, video.width, video.height, video.name)
        with SAMSession(tracker, frames, release="never") as session:
            if mask is not None and clicks.box is None and "mask" in tracker.understands:
                plane = mask.full(video.width, video.height).astype(np.bool_)
                session.add_prompt(Prompt(frame=clicks.frame, object_id=OBJECT, mask=plane))
            seen = session.refine(clicks)
            found[clicks.frame] = dict(zip(seen.object_ids, seen.masks, strict=True)).get(OBJECT)
            job.done = 1
            yield
            ends = {"frame": (), "onward": (len(frames) - 1,), "window": (0, len(frames) - 1)}[reach]
            for end in [end for end in ends if end != clicks.frame]:
                found |= dict.fromkeys(range(min(end, clicks.frame), max(end, clicks.frame) + 1)) | found
                way = "backward" if end < clicks.frame else "forward"
                for seen in session.propagate(way, clicks.frame, end):
                    found[seen.frame] = dict(zip(seen.object_ids, seen.masks, strict=True)).get(OBJECT)
                    job.done = min(job.done + 1, job.total)
                    yield
    return dict(sorted(found.items()))
