"""task=segment: follow what points and boxes name through one video; without any, say what the video is.

Frames are decoded when the tracker asks for them and results are written as they come, so memory does not grow with
the video: it holds two blocks of frames, the tracker's reach, and of a prompt in the middle the run-length codes of the
masks before it. What is written appears complete or not at all.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.cache import Cache
from pipeline.clicks import read_prompts
from pipeline.errors import ConfigError
from pipeline.executors.local import cores
from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.stages.source_frames import full_frames, last_frame, session_frames
from pipeline.tasks.mask_files import MaskFiles
from pipeline.tasks.output_files import KINDS, Item, OutputFiles, Shown, write
from pipeline.writing import writing_folder
from sam.errors import TrackingFailed, WrongPrompt
from sam.session import SAMSession
from sam.tracker import DialogueTracker, Tracker
from sam.types import Prompt
from video.source import find
from video.types import Video

log = logging.getLogger(__name__)


def describe(settings: Settings) -> str:
    """What the video is, and how to say what to follow in it."""
    video = _only_video(settings)
    rows = {
        "video": video.name,
        "size": f"{video.width}x{video.height}" + (f" (rotated by {video.rotation})" if video.rotation else ""),
        "frames": f"0 to about {video.frames - 1}",
        "rate": f"{float(video.fps):.6g} frames a second",
        "seconds": f"{video.duration:.3f}",
        "codec": video.codec,
        "colours": video.color,
    }
    x, y = video.width // 2, video.height // 2
    lines = [f"{name + ':':<10}{value}" for name, value in rows.items()]
    lines += [
        "",
        "Say what to follow with source pixels of one frame, for example:",
        f"  python main.py task=segment videos={video.origin} tracker=sam2 "
        f"'segment.points=[[{x},{y}]]' segment.frame=0",
    ]
    return "\n".join(lines)


def segment(settings: Settings, layout: Layout) -> int:
    """Write masks.json and what outputs.* asks for; returns the exit status. Raises the errors of reading, tracking."""
    with Cache(settings.cache) as cache, cache.hold(_only_video(settings)) as video:
        return _segment(settings, layout, video)


def _segment(settings: Settings, layout: Layout, video: Video) -> int:
    prompts = read_prompts(settings.segment)
    tracker = _tracker(settings)
    first, last = tracked_range(video, settings)
    folder = layout.segment(video.name)
    with (
        session_frames(video, first, last, tracker.max_side, settings.reader) as frames,
        SAMSession(tracker, frames, disjoint=settings.disjoint) as session,
    ):
        for prompt in prompts:
            _add(session, prompt, first, last)
        try:
            with tracker, writing_folder(folder) as part:
                visible = _write(part, video, settings, tracker, session, prompts, last)
        except TrackingFailed as error:
            log.error("%s", error)
            return 3
    for object_id, count in sorted(visible.items()):
        log.info("object %d: in %d of %d frames", object_id, count, last - first + 1)
    log.info("%s in %s", ", ".join([*(KINDS[kind] for kind in settings.outputs.kinds), "masks.json"]), folder)
    log.info("crop them: python main.py videos=%s tracker=file tracker.path=%s prompt=NAME", video.origin, folder / "masks.json")  # fmt: skip  # noqa: E501
    return 0


def _only_video(settings: Settings) -> Video:
    found = find(settings.videos, settings.include, settings.exclude)
    if len(found) != 1:
        names = ", ".join(each.name for each in found[:3])
        raise ConfigError(f"task=segment works on one video, and videos names {len(found)}: {names}, ...")
    with Cache(settings.cache) as cache:
        return cache.probe(found[0])


def tracked_range(video: Video, settings: Settings) -> tuple[int, int]:
    """The first and last frame to track."""
    first, last, end = settings.segment.start, settings.segment.end, last_frame(video, settings.reader)
    for key, value in (("start", first), ("end", last)):
        if value is not None and value > end:
            raise ConfigError(f"segment.{key}={value}: {video.name} has frames 0 to {end}")
    return first, end if last is None else last


def _tracker(settings: Settings) -> Tracker:
    assert settings.tracker is not None
    tracker = settings.tracker.build()
    if not isinstance(tracker, DialogueTracker):
        raise ConfigError(
            f"task=segment needs a tracker that follows points and boxes: tracker=sam2, tracker=sam3_tracker or "
            f"tracker=grabcut, "
            f"got tracker={settings.tracker_name}"
        )
    return tracker


def _add(session: SAMSession, prompt: Prompt, first: int, last: int) -> None:
    """Add a prompt, which counts frames of the video, to a session, which counts its own."""
    if not first <= prompt.frame <= last:
        raise WrongPrompt(f"frames {first} to {last} are tracked, and a prompt is for frame {prompt.frame}")
    session.add_prompt(replace(prompt, frame=prompt.frame - first))


def _write(
    folder: Path,
    video: Video,
    settings: Settings,
    tracker: Tracker,
    session: SAMSession,
    prompts: tuple[Prompt, ...],
    last: int,
) -> dict[int, int]:
    """Track and write everything at once; returns in how many frames each object is seen."""
    start, options = settings.segment.start, settings.outputs
    visible = dict.fromkeys(session.objects, 0)
    items = {number: Item(number, str(number), str(number)) for number in session.objects}
    about = {"tracker": tracker.identity(), "video": video.origin, "prompts": [_plain(p) for p in prompts]}

    def shown() -> Iterator[Shown]:
        source = full_frames(video, settings.reader, start, last)
        counted = tqdm(source, unit="frame", disable=not sys.stderr.isatty(), total=last - start + 1)
        for frame, seen in zip(counted, session.propagate(), strict=True):
            for object_id in seen.object_ids:
                visible[object_id] += 1
            tracks.write(frame, seen)
            if (frame.index - start) % options.every == 0:
                masks = {items[n]: mask for n, mask in zip(seen.object_ids, seen.masks, strict=True)}
                yield Shown(frame.index, frame.rgb, masks, tuple(p for p in prompts if p.frame == frame.index))

    places = {kind: folder / KINDS[kind] for kind in options.kinds}
    size = video.width, video.height
    files = OutputFiles(places, [*items.values()], options, settings.encode, video.fps / options.every, size)
    together = [opening for group in files.rounds() for opening in group]  # it is tracked only once
    with MaskFiles(folder, video, about) as tracks:
        write(together, shown(), settings.executor.workers or cores())
    return visible


def _plain(prompt: Prompt) -> dict[str, Any]:
    """A prompt as `segment.clicks` takes it."""
    given = asdict(prompt)
    given["object"] = given.pop("object_id")
    return {key: value for key, value in given.items() if value not in (None, ()) or key == "frame"}
