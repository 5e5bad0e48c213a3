"""The API of the page that corrects a dataset: windows, frames, masks, corrections, and the build that follows them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from pipeline.corrections import written
from sam.prompts import check_place
from sam.types import Mask, Prompt
from studio import correct_bodies as bodies
from studio.api import InRooms, refusals
from studio.bodies import Deleted
from studio.click_preview import preview
from studio.correcting import Correcting, frame_in, plain_masks, raw_entry
from studio.edits import key_of
from studio.errors import StudioError
from studio.events import HEARTBEAT_S, POLL_S
from studio.jobs import Job, ModelThread, Steps
from studio.windows import Place

PREVIEWS = "preview"  # under which names the model thread queues them
GONE_S = 0.5  # how often to see whether somebody still waits
KEPT_S = 3600

_NUMBERS = itertools.count()
router = APIRouter(prefix="/dataset", responses=refusals(404, 409))


def correcting_of(request: Request) -> Correcting:
    """The dataset under correction."""
    found: Correcting = request.app.state.correcting
    return found


In = Annotated[Correcting, Depends(correcting_of)]


def place_of(dataset: In, window: Annotated[str, Path(description="an id of GET /dataset/windows")]) -> Place:
    """The window that a path names."""
    return dataset.windows.find(window)


InWindow = Annotated[Place, Depends(place_of)]


@router.get("/windows")
def list_windows(
    dataset: In,
    order: Annotated[Literal["doubt", "time"], Query(description="doubt: what to look at first")] = "doubt",
    video: Annotated[str | None, Query(description="only of this video")] = None,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> bodies.WindowList:
    """The windows of the dataset: failed ones, then doubtful links, then the worst crops; or by time."""
    return dataset.listed(order, video, offset, limit)


@router.get("/windows/{window}")
def inspect_window(dataset: In, place: InWindow) -> bodies.WindowInfo:
    """A window: its frames, corrections and crops."""
    return dataset.info(place)


@router.get("/windows/{window}/masks")
def window_masks(dataset: In, place: InWindow) -> bodies.WindowMasks:
    """Every mask of a window, with its corrections."""
    return dataset.masks(place)


@router.get(
    "/windows/{window}/frames/{idx}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}},
)
def window_frame(
    dataset: In,
    place: InWindow,
    idx: Annotated[int, Path(description="session frame, from 0")],
    side: Annotated[int, Query(ge=16, le=8192, description="pixels of the longer side, about")] = 960,
) -> Response:
    """A frame of a window as JPEG at display size, from the source video."""
    window = dataset.windows.tracks(place)[0][0]
    if not 0 <= idx < len(window.positions):
        raise StudioError(404, f"this window has frames 0 to {len(window.positions) - 1}, got {idx}")
    data = dataset.pictures.jpeg(place, int(window.positions[idx]), side)
    return Response(data, media_type="image/jpeg", headers={"cache-control": f"private, max-age={KEPT_S}"})


@router.get(
    "/windows/{window}/crops/{sample}",
    response_class=FileResponse,
    responses={200: {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}}},
)
def window_crop(
    dataset: In, place: InWindow, sample: Annotated[str, Path(description="sample_id of the window's crops")]
) -> FileResponse:
    """A crop of a window, as video; parts of it on request."""
    return FileResponse(dataset.crop_file(place, sample), media_type="video/mp4")


@router.post("/windows/{window}/corrections", status_code=201, responses=refusals(404, 409, 507))
def correct(dataset: In, place: InWindow, body: bodies.Correct) -> bodies.Entry:
    """Write a correction. It is on disk when this is answered; the crops follow with the next build."""
    there = None if body.at_window is None else dataset.windows.find(body.at_window)
    if there is not None and body.at is None:
        body = body.model_copy(update={"at": int(dataset.windows.tracks(there)[0][0].indices[0])})
    raw = raw_entry(body)
    drawing = None if body.masks is None else dataset.shown.find(place, body.masks)
    entry = dataset.edits.add(place, body.prompt, raw, body.author, there, drawing)
    return bodies.Entry(id=key_of(entry), entry=written(entry))


@router.delete("/windows/{window}/corrections/{correction}", responses=refusals(404, 409, 507))
def undo_correction(
    dataset: In, place: InWindow, correction: Annotated[str, Path(description="id of a correction of this window")]
) -> Deleted:
    """Take a correction back."""
    return Deleted(deleted=key_of(dataset.edits.remove(place, correction)))


@router.post("/windows/{window}/preview", responses=refusals(404, 409))
async def preview_clicks(
    dataset: In, rooms: InRooms, place: InWindow, request: Request, body: bodies.Clicks
) -> bodies.Preview:
    """What clicks make of an object, by the studio's tracker; redraw and draw write what was shown."""
    window = await asyncio.to_thread(dataset.window_of, place, body.prompt)
    frame = frame_in(window, body.frame)
    mask: Mask | None = None
    if body.object is not None:
        track = next((each for each in window.tracks if each.object_id == body.object), None)
        if track is None:
            raise StudioError(422, f"there is no object {body.object} in this window")
        mask = dict(zip(track.frames.tolist(), track.masks, strict=True)).get(frame)
    try:
        points, labels = tuple(body.points), tuple(body.labels or [1] * len(body.points))
        clicks = Prompt(frame=frame, object_id=1, points=points, labels=labels, box=body.box)
    except ValueError as error:
        raise StudioError(422, str(error)) from error
    check_place(clicks, place.video.width, place.video.height)

    def steps(job: Job) -> Steps:
        return preview(job, rooms.model.tracker, place, window, dataset.windows.settings, clicks, mask, body.reach)

    count = len(window.positions)
    total = {"frame": 1, "onward": count - frame, "window": count}[body.reach]
    found = await _unless_gone(request, rooms.model, steps, total)
    masks, empty = plain_masks(found)
    name = None if body.reach == "frame" else await asyncio.to_thread(dataset.shown.keep, place, window, found)
    return bodies.Preview(masks=masks, empty=empty, name=name)


async def _unless_gone(request: Request, model: ModelThread, steps: Callable[[Job], Steps], total: int) -> Any:
    """What a job of the model thread comes to; it is cancelled when nobody waits for it any more."""
    name = f"{PREVIEWS} {next(_NUMBERS)}"  # previews take turns with one another
    job = model.submit(name, "preview", steps, total)
    job.future.add_done_callback(lambda _: model.forget(name))
    waiting = asyncio.wrap_future(job.future)
    try:
        while not (await asyncio.wait([waiting], timeout=GONE_S))[0]:
            if await request.is_disconnected():
                model.cancel(name)
        return waiting.result()
    finally:
        model.cancel(name)


@router.post("/apply", status_code=202, responses=refusals(409, 507))
def apply(dataset: In) -> bodies.Applied:
    """Build the dataset with its corrections: crops, filters, splits and exports follow."""
    return bodies.Applied(**asdict(dataset.applying.start(dataset.windows.corrections)))


@router.post("/apply/cancel", responses=refusals(409))
def cancel_apply(dataset: In) -> bodies.Applied:
    """Stop the build; what it has made stays, and the next one goes on from there."""
    return bodies.Applied(**asdict(dataset.applying.cancel()))


@router.get("/apply")
def apply_state(dataset: In) -> bodies.Applied:
    """How the build is, or how the last one ended."""
    return bodies.Applied(**asdict(dataset.applying.progress()))


_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {"event": {"const": "progress"}, "data": {"type": "string", "description": "JSON, as GET gives it"}},
}


@router.get(
    "/apply/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "server-sent events"}},
)
async def apply_events(
    dataset: In,
    request: Request,
    follow: Annotated[bool, Query(description="false: end when no build runs")] = True,
) -> StreamingResponse:
    """How the build is as server-sent events, whenever that changes."""
    stream = _events(dataset, request, follow)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _events(dataset: Correcting, request: Request, follow: bool) -> AsyncIterator[bytes]:
    told, quiet = None, 0.0
    while not await request.is_disconnected():
        now = await asyncio.to_thread(dataset.applying.progress)
        if now != told:
            told, quiet = now, 0.0
            yield b"event: progress\ndata: " + orjson.dumps(asdict(now)) + b"\n\n"
        if now.state != "running" and not follow:
            return
        if quiet >= HEARTBEAT_S:
            quiet = 0.0
            yield b": still here\n\n"
        await asyncio.sleep(POLL_S)
        quiet += POLL_S
