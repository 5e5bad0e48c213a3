"""Which windows a run's corrections touch: files to videos, entries to windows. Reads no video and no tracks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.corrections import CLICKS, DRAWN, SAID, Correction, Corrections
from pipeline.errors import ConfigError
from pipeline.footage import Footage
from pipeline.settings import Settings
from pipeline.span_table import VideoNames
from pipeline.task_table import TASKS
from sam.errors import WrongPrompt
from sam.prompts import check_place
from video.types import Chunk, Clip, Video, Window, digest

log = logging.getLogger(__name__)

Touched = Mapping[str, tuple[tuple[str, Correction], ...]]  # window id -> entries, each with its name for messages


def corrections_of(settings: Settings, footage: Footage) -> dict[str, dict[str, Touched]]:
    """What is corrected: by video and prompt, the entries of each window. Raises ConfigError for what cannot be."""
    if settings.corrections is None or settings.task == "clip":
        return {}
    found = {}
    of_video = _by_video(footage)
    for name, given in read_corrections(settings.corrections, footage.videos).items():
        chunks = of_video[name]
        found[name] = windows_touched(given, chunks, footage.prompts[name])
        if not TASKS[settings.task].dataset:
            assert settings.tracker is not None
            check_clicks(found[name], settings.tracker.build().understands, settings.tracker_name)
    return found


def _by_video(footage: Footage) -> dict[str, list[Chunk]]:
    found: dict[str, list[Chunk]] = {video.name: [] for video in footage.videos}
    for chunk in footage.chunks:
        found[chunk.video.name].append(chunk)
    return found


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says of two objects in two windows of a video. first, second: (window id, prompt, object id).
    where: the entry, for messages."""

    first: tuple[str, str, int]
    second: tuple[str, str, int]
    same: bool
    where: str


def said_of(settings: Settings, footage: Footage) -> dict[str, tuple[Said, ...]]:
    """By fingerprint of the video, what is said of individuals. Raises ConfigError for what cannot be."""
    if settings.corrections is None or settings.task == "clip" or not settings.linking.enabled:
        return {}
    found = {}
    videos, of_video = {video.name: video for video in footage.videos}, _by_video(footage)
    for name, given in read_corrections(settings.corrections, footage.videos).items():
        chunks = of_video[name]
        said = said_in(given, chunks, footage.prompts[name])
        if said:
            found[videos[name].fingerprint] = said
    return found


def said_in(given: Corrections, chunks: Sequence[Chunk], prompts: Sequence[str]) -> tuple[Said, ...]:
    """What a file says of individuals. chunks: all of the video. Raises ConfigError."""
    found = []
    for entry in given.entries:
        if entry.do in SAID:
            where = given.where(entry)
            here, there = (_window(each, chunks, where).id for each in (entry, entry.there))
            if here == there:
                raise ConfigError(f"{where}: both objects are in one window: merge says they are one")
            assert entry.other is not None
            prompt = _prompt(entry, prompts, where)
            first, second = (here, prompt, entry.object_id), (there, prompt, entry.other)
            found.append(Said(first, second, entry.do == "same", where))
    return tuple(found)


def read_corrections(place: Path, videos: Sequence[Video]) -> dict[str, Corrections]:
    """The corrections of each video by its name. Raises ConfigError; files of other videos are named in the log."""
    if not place.exists():
        raise ConfigError(
            f"corrections={place} does not exist; it is a JSON file, or a folder with one for every video"
        )
    files = sorted(place.rglob("*.json")) if place.is_dir() else [place]
    found: dict[str, Corrections] = {}
    strange = []
    known = {video.name: video for video in videos}
    names = VideoNames(known)
    for path in files:
        name = path.relative_to(place).as_posix().removesuffix(".json") if place.is_dir() else None
        given = Corrections.load(path)
        meant = [name] if name in known else names.meant(given.video)
        if len(meant) != 1 or meant[0] is None:
            strange.append(f"{path} ({given.video})")
            continue
        video = known[meant[0]]
        if given.fingerprint not in (None, video.fingerprint):
            raise ConfigError(f"{path} was made for another file than {video.path}: their fingerprints differ")
        if video.name in found:
            raise ConfigError(f"{path} and {found[video.name].source} are both corrections of {video.name}")
        found[video.name] = given
    if strange:
        log.warning("corrections of no video of this run, or of several: %s", ", ".join(strange[:5]))
    if not place.is_dir() and not found:
        raise ConfigError(f"corrections={strange[0]} is about none of the {len(videos)} videos of this run")
    return found


def windows_touched(given: Corrections, chunks: Sequence[Chunk], prompts: Sequence[str]) -> dict[str, Touched]:
    """By prompt, the entries of each window that has any, without those of `SAID`, which change no track.

    chunks: all of the video. Raises ConfigError.
    """
    said_in(given, chunks, prompts)
    by_prompt: dict[str, dict[str, tuple[tuple[str, Correction], ...]]] = {prompt: {} for prompt in prompts}
    for entry in given.entries:
        if entry.do in SAID:
            continue
        where = given.where(entry)
        window = _window(entry, chunks, where)
        touched = by_prompt[_prompt(entry, prompts, where)]
        touched[window.id] = (*touched.get(window.id, ()), (where, entry))
        try:
            if entry.do in CLICKS:
                check_place(entry.prompt_on(0), chunks[0].video.width, chunks[0].video.height)
        except WrongPrompt as error:
            raise ConfigError(f"{where}: {error}") from error
        if entry.do in DRAWN:
            check_drawing(entry, chunks[0], window, where)
    return by_prompt  # type: ignore[return-value]


def check_drawing(entry: Correction, chunk: Chunk, window: Window, where: str) -> None:
    """Raise ConfigError when an entry's masks are of another picture size, or reach out of its window."""
    drawing, video = entry.drawing, chunk.video
    assert drawing is not None, "an entry of DRAWN has a drawing"
    if (drawing.width, drawing.height) != (video.width, video.height):
        raise ConfigError(
            f"{where}: its masks are for pictures of {drawing.width}x{drawing.height} pixels, and {video.name} has "
            f"{video.width}x{video.height}"
        )
    if chunk.grid.fps is None:  # else the frames of a window are known when it is decoded
        stride = chunk.grid.stride
        first, last = window.start * stride, (window.stop - 1) * stride
        outside = [frame for frame in drawing.frames if not first <= frame <= last]
        if outside:
            raise ConfigError(
                f"{where}: its masks reach to frame {outside[0]}, and its window is from frame {first} to {last}: "
                "windows were cut otherwise when it was made. Correct it once more, or remove the entry"
            )


def touching(touched: Touched, chunk: Chunk) -> str | None:
    """What the entries of a chunk's windows add to its key; None if there are none."""
    if not touched:
        return None
    mine = [(w, [entry.deciding for _, entry in touched[w]]) for w in chunk.window_ids if w in touched]
    return digest("corrections", mine) if mine else None


def check_clicks(touched: Mapping[str, Touched], understands: frozenset[str], tracker: str) -> None:
    """Raise ConfigError when an entry needs clicks and the tracker takes none."""
    for windows in touched.values():
        for where, entry in (each for entries in windows.values() for each in entries):
            if entry.do in CLICKS and not {"points", "box"} <= understands:
                raise ConfigError(
                    f"{where}: tracker={tracker} takes no points or boxes; sam2_auto does, and so do sam2 and "
                    "sam3_tracker with tracker.boxes. All but refine and add work with every tracker"
                )


def _prompt(entry: Correction, prompts: Sequence[str], where: str) -> str:
    if entry.prompt is None and len(prompts) == 1:
        return prompts[0]
    if entry.prompt not in prompts:
        raise ConfigError(f"{where}: prompt must be one of {', '.join(prompts)}, got {entry.prompt!r}")
    return str(entry.prompt)


def _window(entry: Correction, chunks: Sequence[Chunk], where: str) -> Window:
    """The window an entry is about."""
    video, grid = chunks[0].video, chunks[0].grid
    windows = [window for chunk in chunks for window in chunk.windows]
    if entry.window is not None:
        named = [w for w in windows if entry.window == w.id or entry.window in [clip.id for clip in w.clips]]
        if not named:
            raise ConfigError(f"{where}: {video.name} has no window or clip {entry.window} with these settings")
        if grid.fps is None and entry.frame // grid.stride not in named[0].positions:
            last = (named[0].stop - 1) * grid.stride
            span = f"{named[0].start * grid.stride} to {last}"
            raise ConfigError(f"{where}: window {entry.window} is from frame {span}, got frame {entry.frame}")
        return named[0]
    if grid.fps is not None:
        raise ConfigError(f"{where}: with clip.fps it must name its window: a window_id or clip_id of samples.parquet")
    if entry.frame >= video.frames:
        raise ConfigError(
            f"{where}: frame {entry.frame} is beyond the end: {video.name} has frames 0 to {video.frames - 1}"
        )
    position, off = divmod(entry.frame, grid.stride)
    if off:
        near = f"{position * grid.stride} or {(position + 1) * grid.stride}"
        raise ConfigError(f"{where}: frame {entry.frame} is not tracked with clip.stride={grid.stride}: say {near}")
    holding = [w for w in windows if any(position in range(clip.start, clip.stop) for clip in w.clips)]
    if len(holding) != 1:
        many = f"{len(holding)} windows hold frame {entry.frame}: say which with window" if holding else None
        raise ConfigError(f"{where}: {many or f'no clip of {video.name} holds frame {entry.frame}'}{_ids(holding)}")
    return holding[0]


def _ids(windows: Sequence[Window]) -> str:
    clips: Iterator[Clip] = (window.clips[0] for window in windows)
    return f": {', '.join(clip.id for clip in clips)}" if windows else ""
