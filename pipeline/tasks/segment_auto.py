"""task=segment with a tracker that names its objects itself: every video becomes masks, overlay, clicks and results.

Which objects there are is known when the video has been tracked, so masks go to a file first and the pictures are made
from it: memory does not grow with the video. The model is loaded once for all videos; what is there, made with the
same settings, is not made again; a video that cannot be done is named, and the others go on.
"""

from __future__ import annotations

import logging
import pickle
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.cache import Cache
from pipeline.errors import ConfigError
from pipeline.executors.local import cores
from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.stages.source_frames import full_frames, session_frames
from pipeline.tasks.mask_files import MaskFiles
from pipeline.tasks.output_files import KINDS, Item, OutputFiles, Shown, write
from pipeline.tasks.proposal_files import ProposalFiles
from pipeline.tasks.segment import tracked_range
from pipeline.writing import writing_folder
from sam.errors import TrackingFailed
from sam.proposals import ProposingTracker
from sam.session import SAMSession
from sam.tracker import Tracker
from sam.types import FrameMasks, Prompt
from video.errors import VideoError
from video.source import find
from video.types import Video, digest

log = logging.getLogger(__name__)

RESULT = "video_result.json"
LABEL = "object"


def segment_auto(settings: Settings, layout: Layout) -> int:
    """Do every video; returns the exit status. Raises ConfigError, SourceError, TrackerUnavailable, DiskError."""
    found = find(settings.videos, settings.include, settings.exclude)
    folders: dict[Path, str] = {}
    for each in found:
        other = folders.setdefault(layout.segment(each.name), each.name)
        if other != each.name:
            raise ConfigError(f"{other} and {each.name} would share {layout.segment(each.name)}: use select.include")
    assert settings.tracker is not None
    tracker = settings.tracker.build()
    failures = []
    with ExitStack() as stack:
        cache = stack.enter_context(Cache(settings.cache))
        loaded = False
        for each in found:
            try:
                video = cache.probe(each)
                stamp = _stamp(settings, tracker, video)
                if _made_from(layout.segment(video.name)) == stamp:
                    log.info("%s is there already", layout.segment(video.name))
                    continue
                if not loaded:
                    stack.enter_context(tracker)
                    loaded = True
                with cache.hold(video) as here:
                    _one(settings, layout.segment(video.name), tracker, here, stamp)
            except (VideoError, TrackingFailed) as error:
                failures.append(str(error) if each.name in str(error) else f"{each.name}: {error}")
    for failure in failures:
        log.error("failed: %s", failure)
    return 3 if failures else 0


def _stamp(settings: Settings, tracker: Tracker, video: Video) -> str:
    """Changes with anything that decides the files."""
    asked = settings.segment.start, settings.segment.end, settings.reader, settings.disjoint
    options = asdict(settings.outputs), asdict(settings.encode)
    return digest(video.fingerprint, tracker.identity(), tracker.max_side, asked, options)


def _made_from(folder: Path) -> str | None:
    try:
        result = orjson.loads((folder / RESULT).read_bytes())
    except (OSError, ValueError):
        return None
    return str(result.get("made_from")) if isinstance(result, dict) else None


def _one(settings: Settings, folder: Path, tracker: Tracker, video: Video, stamp: str) -> None:
    first, last = tracked_range(video, settings)

    def picture(index: int) -> NDArray[np.uint8]:
        return next(full_frames(video, settings.reader, index, index)).rgb

    with ExitStack() as stack:
        part = stack.enter_context(writing_folder(folder))
        spool = stack.enter_context(tempfile.TemporaryFile())
        part.mkdir(parents=True, exist_ok=True)
        proposals = ProposalFiles(part, video, first, picture)
        assert isinstance(tracker, ProposingTracker)
        tracker.on_proposed = proposals.write
        stack.callback(setattr, tracker, "on_proposed", None)
        visible = _track(settings, part, tracker, video, (first, last), spool)
        proposals.finish()
        _outputs(settings, part, video, (first, last), proposals.prompts, spool)
        result = _result(settings, video, (first, last), proposals, visible) | {"made_from": stamp}
        (part / RESULT).write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    log.info("%s: %d objects; %s", video.name, len(proposals.prompts), folder)


def _track(
    settings: Settings, part: Path, tracker: Tracker, video: Video, span: tuple[int, int], spool: IO[bytes]
) -> dict[int, int]:
    """Track everything into masks.json and the spool; returns in how many frames each object is seen."""
    visible: dict[int, int] = {}
    about = {"tracker": tracker.identity(), "video": video.origin}
    with (
        session_frames(video, *span, tracker.max_side, settings.reader) as frames,
        SAMSession(tracker, frames, disjoint=settings.disjoint) as session,
        MaskFiles(part, video, about) as tracks,
    ):
        session.add_prompt(Prompt(text=LABEL))
        source = full_frames(video, settings.reader, *span)
        counted = tqdm(source, unit="frame", disable=not sys.stderr.isatty(), total=span[1] - span[0] + 1)
        for frame, seen in zip(counted, session.propagate(), strict=True):
            pickle.dump(seen, spool)
            tracks.write(frame, seen)
            for object_id in seen.object_ids:
                visible[object_id] = visible.get(object_id, 0) + 1
    return visible


def _outputs(
    settings: Settings, part: Path, video: Video, span: tuple[int, int], prompts: list[Prompt], spool: IO[bytes]
) -> None:
    options = settings.outputs
    items = {p.object_id: Item(p.object_id, str(p.object_id), str(p.object_id)) for p in prompts if p.object_id}

    def shown() -> Iterator[Shown]:
        spool.seek(0)
        for frame in full_frames(video, settings.reader, *span):
            seen: FrameMasks = pickle.load(spool)
            if (frame.index - span[0]) % options.every == 0:
                masks = {items[n]: mask for n, mask in zip(seen.object_ids, seen.masks, strict=True)}
                yield Shown(frame.index, frame.rgb, masks, tuple(p for p in prompts if p.frame == frame.index))

    places = {kind: part / KINDS[kind] for kind in options.kinds}
    size = video.width, video.height
    files = OutputFiles(places, [*items.values()], options, settings.encode, video.fps / options.every, size)
    for group in files.rounds():
        if group:
            write(group, shown(), settings.executor.workers or cores())


def _result(
    settings: Settings, video: Video, span: tuple[int, int], proposals: ProposalFiles, visible: dict[int, int]
) -> dict[str, Any]:
    """What `video_result.json` says."""
    return {
        "video": video.origin,
        "width": video.width,
        "height": video.height,
        "fps": float(video.fps),
        "frames": list(span),
        "tracker": settings.tracker_name,
        "objects": [
            {
                "object_id": f"obj_{prompt.object_id}",
                "track_id": prompt.object_id,
                "found_on_frame": prompt.frame,
                "seen_in_frames": visible.get(prompt.object_id or 0, 0),
            }
            for prompt in proposals.prompts
        ],
        "left_out": proposals.left_out,
        "outputs": {kind: KINDS[kind] for kind in settings.outputs.kinds} | {"tracks": "masks.json"},
    }
