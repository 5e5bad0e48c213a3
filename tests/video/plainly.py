"""Which clips are planned and which are taken, written down clip by clip: too slow for a million of them, and plain to
see that it is right. What a dataset was made from must not change, so the planner is held against this."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import PurePosixPath

import numpy as np

from video.clipper import ClipConfig, starts_of_span
from video.types import MAX_WINDOWS_PER_CHUNK, Chunk, Clip, Video, Window

Cell = tuple[str, str, int, str]


def chunks_of(
    video: Video,
    config: ClipConfig,
    hours: tuple[float, float] | None = None,
    spans: Sequence[tuple[float, float]] | None = None,
    chosen: set[str] | None = None,
) -> list[Chunk]:
    """The chunks of one video. chosen: ids of the clips that are taken; None for all."""
    grid, hop, length = config.grid, config.hop or config.num_frames, config.num_frames
    if spans is None:
        numbered = list(enumerate(range(0, grid.positions(video) - length + 1, hop)))
    else:
        starts = sorted({start for span in spans for start in starts_of_span(video, config, span)})
        numbered = [(start // length, start) for start in starts]
    if hours is not None:
        numbered = [(n, start) for n, start in numbered if _within(Clip(video, grid, start, length), hours)]
    if config.sampling == "random" and len(numbered) > config.per_video:
        numbered = sorted(random.Random(f"{config.seed}/{video.fingerprint}").sample(numbered, config.per_video))
    windows: dict[int, list[Clip]] = {}
    for place, (number, start) in enumerate(numbered):
        at = {"random": place}.get(config.sampling, number if spans is None else place + 10**6 * number)
        windows.setdefault(at // config.per_window, []).append(Clip(video, grid, start, length))
    made: dict[int, list[Window]] = {}
    for number, clips in windows.items():
        number = number if spans is None else number // 10**6
        if chosen is None or clips[0].id in chosen:
            made.setdefault(number // MAX_WINDOWS_PER_CHUNK, []).append(Window(tuple(clips), config.lead))
    return [Chunk.of(*group) for group in made.values()]


def _within(clip: Clip, hours: tuple[float, float]) -> bool:
    assert clip.video.recorded_at is not None
    moment = clip.video.recorded_at + timedelta(seconds=clip.grid.seconds(clip.start, clip.video))
    hour = moment.hour + moment.minute / 60 + moment.second / 3600
    first, second = hours
    return first <= hour < second if first <= second else hour >= first or hour < second


def taken(clips: Sequence[Clip], rates: Mapping[str, np.ndarray], total: int, seed: int) -> set[str]:
    """The ids of the clips that a budget takes. rates: by fingerprint."""
    means = {clip.id: _mean(clip, rates[clip.video.fingerprint]) for clip in clips}
    by_camera: dict[str, list[Clip]] = {}
    for clip in clips:
        folder = PurePosixPath(clip.video.name).parent.as_posix()
        by_camera.setdefault("(top folder)" if folder == "." else folder, []).append(clip)
    cells: dict[Cell, list[str]] = {}
    for camera, own in by_camera.items():
        thirds = np.quantile([means[clip.id] for clip in own], [1 / 3, 2 / 3])
        for clip in own:
            level = int((means[clip.id] > thirds).sum())
            cells.setdefault((camera, _hour(clip), level, clip.video.name), []).append(clip.id)
    return _share(cells, total, seed, 0)


def _mean(clip: Clip, rates: np.ndarray) -> float:
    first, last = (clip.grid.seconds(p, clip.video) for p in (clip.start, clip.stop - 1))
    seconds = np.clip([int(first), int(last)], 0, len(rates) - 1)
    return float(rates[seconds[0] : seconds[1] + 1].mean())


def _hour(clip: Clip) -> str:
    start = clip.grid.seconds(clip.start, clip.video)
    if clip.video.recorded_at is None:
        return f"{int(start // 3600)} h after the start"
    return f"{(clip.video.recorded_at + timedelta(seconds=start)).hour:02}:00"


def _share(cells: Mapping[Cell, list[str]], budget: int, seed: int, level: int) -> set[str]:
    def order(text: str) -> str:
        return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()

    if level == 4:
        return set(sorted((name for names in cells.values() for name in names), key=order)[:budget])
    groups: dict[str, dict[Cell, list[str]]] = {}
    for cell, names in cells.items():
        key = ("quiet", "medium", "lively")[cell[2]] if level == 2 else str(cell[level])
        groups.setdefault(key, {})[cell] = names
    left = {group: sum(map(len, groups[group].values())) for group in sorted(groups, key=order)}
    shares = dict.fromkeys(left, 0)
    while budget and any(left.values()):  # one clip to each in turn
        for group in [group for group, more in left.items() if more][:budget]:
            shares[group], left[group], budget = shares[group] + 1, left[group] - 1, budget - 1
    return set().union(*(_share(groups[group], share, seed, level + 1) for group, share in shares.items()))
