"""task=preview: a few windows across the videos, tracked with every prompt, in one page: choose before days of work.

It tracks outside the ledger and the track store, and writes nothing but `preview/index.html`.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from pipeline.cache import Cache
from pipeline.footage import survey
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.settings import Settings
from pipeline.tasks.overlay import paint
from pipeline.writing import write_bytes
from sam.session import SAMSession
from sam.tracker import Tracker
from sam.types import Prompt, SessionFrames, Track
from video.reader import open_reader
from video.readers.contract import VideoReader, shrink
from video.types import Frame, Video, Window

log = logging.getLogger(__name__)

WINDOWS = 8
PICTURE_SIDE = 640


@dataclass(frozen=True, slots=True)
class Cell:
    """One window with one prompt: how many objects, and the middle frame with their masks as a JPEG data URL."""

    prompt: str
    objects: int
    picture: str


@dataclass(frozen=True, slots=True)
class Row:
    """One window: which video, from which second, and a cell per prompt."""

    video: str
    time_s: float
    cells: tuple[Cell, ...]


def preview(settings: Settings, layout: Layout) -> int:
    """Write the page; returns the exit status. Raises the errors of reading and tracking."""
    footage = survey(settings, Ledger(layout), remember=False)
    windows = [w for chunk in footage.chunks for w in chunk.windows]
    if not windows:
        log.warning("nothing to preview: %s", "; ".join(f.error for f in footage.failures) or "no clips are left")
        return 2
    chosen = [windows[round(n)] for n in np.linspace(0, len(windows) - 1, min(WINDOWS, len(windows)))]
    assert settings.tracker is not None
    rows = []
    with settings.tracker.build() as tracker, Cache(settings.cache) as cache:
        for window in chosen:
            video = window.clips[0].video
            with cache.hold(video) as here:
                rows.append(_row(window, here, tracker, settings, footage.prompts[video.name]))
            found = ", ".join(f"{cell.prompt} {cell.objects}" for cell in rows[-1].cells)
            log.info("%d of %d: %s from %.1f s: %s", len(rows), len(chosen), video.name, rows[-1].time_s, found)
    template = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("preview.html.j2")
    prompts = list(dict.fromkeys(cell.prompt for row in rows for cell in row.cells))
    columns = max(len(row.cells) for row in rows)
    counts = {p: [cell.objects for row in rows for cell in row.cells if cell.prompt == p] for p in prompts}
    totals = [f"{prompt}: {sum(asked)} objects in {len(asked)} windows" for prompt, asked in counts.items()]
    page = template.render(prompts=prompts, totals=totals, columns=columns, rows=rows, tracker=settings.tracker_name)
    write_bytes(layout.preview, page.encode())
    for total in totals:
        log.info("%s", total)
    log.info("preview: %s", layout.preview)
    return 0


def _row(window: Window, video: Video, tracker: Tracker, settings: Settings, prompts: Sequence[str]) -> Row:
    with open_reader(video, settings.reader) as reader:
        if tracker.context:
            tracker.prepare(reader.spread(tracker.context, tracker.max_side))
        frames = _frames(reader, window)
    seen = SessionFrames(
        images=[shrink(f.rgb, tracker.max_side) for f in frames],
        indices=np.array([f.index for f in frames], np.int64),
        times_s=np.array([f.time_s for f in frames], np.float64),
        width=video.width,
        height=video.height,
        video=video.name,
    )
    middle = len(frames) // 2
    cells = []
    for prompt in prompts:
        with SAMSession(tracker, seen, disjoint=settings.disjoint) as session:
            session.add_prompt(Prompt(text=prompt))
            tracks = session.tracks()
        cells.append(Cell(prompt, len(tracks), _jpeg(overlay(frames[middle].rgb, tracks, middle))))
    return Row(video.name, frames[0].time_s, tuple(cells))


def _frames(reader: VideoReader, window: Window) -> list[Frame]:
    return list(reader.read(window.clips[0].grid, [window.positions]))


def overlay(rgb: NDArray[np.uint8], tracks: Sequence[Track], frame: int) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with the masks that the tracks have in session frame `frame`, each with its object id."""
    shown = [(track, np.flatnonzero(track.frames == frame)) for track in tracks]
    return paint(rgb, [(track.object_id, track.masks[int(at[0])]) for track, at in shown if len(at)])


def _jpeg(rgb: NDArray[np.uint8]) -> str:
    bgr = cv2.cvtColor(shrink(rgb, PICTURE_SIDE), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done, "encoding a JPEG in memory cannot fail"
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
