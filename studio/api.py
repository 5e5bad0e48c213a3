"""The REST API: what each request asks of a session. Every place is in source pixels, every frame a source frame."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pycocotools import mask as coco
from starlette.requests import ClientDisconnect

from sam.types import FrameMasks, Prompt
from studio import bodies
from studio.errors import StudioError
from studio.events import progress
from studio.exports import FORMATS
from studio.jobs import Job
from studio.prompting import check_frame, prompt_of, range_of
from studio.rooms import Rooms
from studio.session import Session, plain_prompt
from studio.uploads import receive


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a request that is refused, for the description."""
    always = (400, 401, 403, 422, 500, 503)
    return {status: {"model": bodies.Problem, "description": "Refused"} for status in (*always, *statuses)}


router = APIRouter(responses=refusals())


def rooms_of(request: Request) -> Rooms:
    """The server's sessions."""
    rooms: Rooms = request.app.state.rooms
    return rooms


InRooms = Annotated[Rooms, Depends(rooms_of)]


def session_of(rooms: InRooms, session: Annotated[str, Path(description="session_id of the upload")]) -> Session:
    """The session that a path names."""
    return rooms.find(session)


InSession = Annotated[Session, Depends(session_of)]
Index = Annotated[int, Path(description="source frame, from 0")]


@router.get("/health")
def health(request: Request, rooms: InRooms) -> bodies.Health:
    """Whether the server and its model thread live."""
    if not rooms.model.alive:
        raise StudioError(503, "the model thread has ended: restart the studio")
    dataset = request.app.state.dataset
    named = None if dataset is None else dataset.layout.root.name
    return bodies.Health(status="ok", tracker=rooms.model.tracker.name, sessions=len(rooms.all()), dataset=named)


_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary", "description": "a video"}},
                }
            }
        },
    }
}


@router.post("/upload-video", openapi_extra=_UPLOAD, responses=refusals(408, 413, 415, 429, 507))
async def upload_video(request: Request, rooms: InRooms) -> bodies.SessionInfo:
    """Upload a video and open a session of it."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > rooms.options.upload_gb * 2**30 + 2**17:
        raise StudioError(413, f"the video is larger than {rooms.options.upload_gb:g} GB: see studio.upload_gb")
    with rooms.admit() as admission:
        kind = request.headers.get("content-type", "")
        try:
            name = await receive(request.stream(), kind, admission.upload, rooms.options)
        except ClientDisconnect as error:
            raise StudioError(400, "the connection was closed before the video was complete") from error
        session = await asyncio.to_thread(rooms.open, admission.identity, admission.upload, name)
    return described(rooms, session)


@router.get("/sessions")
def list_sessions(rooms: InRooms) -> bodies.Sessions:
    """All sessions."""
    return bodies.Sessions(sessions=[described(rooms, session) for session in rooms.all()])


@router.get("/sessions/{session}", responses=refusals(404))
def inspect_session(rooms: InRooms, session: InSession) -> bodies.SessionInfo:
    """What a session holds."""
    return described(rooms, session)


@router.delete("/sessions/{session}", responses=refusals(404))
def delete_session(rooms: InRooms, session: InSession) -> bodies.Deleted:
    """End a session; its video, masks and exports are deleted."""
    rooms.end(session)
    return bodies.Deleted(deleted=session.id)


_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}, "description": "JPEG"}
}


@router.get("/frame/{session}/{idx}", response_class=Response, responses={**_JPEG, **refusals(404)})
def get_frame(rooms: InRooms, session: InSession, idx: Index) -> Response:
    """A frame as JPEG."""
    check_frame(session, idx)
    picture = rooms.pictures.frame(session, idx)
    return Response(picture, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})


@router.get("/overlay/{session}/{idx}", response_class=Response, responses={**_JPEG, **refusals(404)})
def get_overlay(rooms: InRooms, session: InSession, idx: Index) -> Response:
    """A frame with masks, object ids and clicks, as JPEG."""
    check_frame(session, idx)
    picture = rooms.pictures.overlay(session, idx)
    return Response(picture, media_type="image/jpeg", headers={"cache-control": "no-store"})


@router.post("/annotate-frame/{session}", responses=refusals(404, 507))
async def annotate_frame(rooms: InRooms, session: InSession, body: bodies.Annotation) -> bodies.Shown:
    """Say what an object is on a frame; answers with its mask there at once."""
    return await _point(rooms, session, body)


@router.post("/refine-mask/{session}", responses=refusals(404, 409, 507))
async def refine_mask(rooms: InRooms, session: InSession, body: bodies.Refinement) -> bodies.Shown:
    """Correct an object on any frame; propagate from there for the others."""
    if body.object_id not in session.objects:
        named = ", ".join(map(str, session.objects)) or "none"
        raise StudioError(409, f"there is no object {body.object_id} to refine; annotated are {named}")
    return await _point(rooms, session, body)


async def _point(rooms: Rooms, session: Session, body: bodies.Clicks) -> bodies.Shown:
    check_frame(session, body.frame_idx, 422)
    prompt = prompt_of(session, body)
    if prompt.kinds == {"points"} and 1 not in prompt.labels and body.object_id not in session.objects:
        raise StudioError(422, f"object {body.object_id} is new: give it a point inside (label 1), a box or a mask")
    job = rooms.submit(session, "annotate", lambda tracking, job: tracking.point(job, prompt))
    seen: FrameMasks = await result(job)
    found = dict(zip(seen.object_ids, zip(seen.masks, seen.scores, strict=True), strict=True)).get(body.object_id)
    shown = bodies.Shown(
        session_id=session.id,
        frame_idx=body.frame_idx,
        object_id=body.object_id,
        score=0.0,
        area=0,
        box=None,
        mask=None,
        overlay=f"/overlay/{session.id}/{body.frame_idx}",
    )
    if found is None:
        return shown
    mask, score = found
    rle = coco.encode(np.asfortranarray(mask.full(session.video.width, session.video.height)))
    code = bodies.Rle(size=tuple(rle["size"]), counts=rle["counts"].decode())
    return shown.model_copy(update={"score": score, "area": mask.area, "box": mask.box, "mask": code})


@router.post("/prompt-text/{session}", responses=refusals(404, 507))
async def prompt_text(rooms: InRooms, session: InSession, body: bodies.Text) -> bodies.SessionInfo:
    """Say what to look for, with a tracker that takes text; propagate then finds it."""
    text = " ".join(body.text.split())
    if not text:
        raise StudioError(422, "text: say what to look for, such as cow; got only spaces")
    await result(rooms.submit(session, "text", lambda tracking, job: tracking.text(job, Prompt(text=text))))
    return described(rooms, session)


@router.post(
    "/propagate/{session}",
    responses={**refusals(404, 409, 507), 202: {"model": bodies.Propagated, "description": "Started (wait=false)"}},
)
async def propagate(
    rooms: InRooms, session: InSession, body: bodies.Propagation, response: Response
) -> bodies.Propagated:
    """Track the objects through the video, from start_frame to end_frame inclusive."""
    if body.session_id not in (None, session.id):
        raise StudioError(422, f"session_id {body.session_id!r} in the body is not the path's {session.id!r}")
    start, end = range_of(session, body)
    total = abs(end - start) + 1
    job = rooms.submit(
        session, "propagate", lambda tracking, job: tracking.propagate(job, body.direction, start, end), total
    )
    objects: dict[int, int] = {}
    if body.wait:
        objects = await result(job)
    else:
        response.status_code = 202
    return bodies.Propagated(
        session_id=session.id,
        start_frame=start,
        end_frame=end,
        direction=body.direction,
        frames=total,
        state=job.state,
        job=job.id,
        objects=objects,
    )


@router.delete("/sessions/{session}/objects/{object_id}", responses=refusals(404, 507))
async def remove_object(
    rooms: InRooms, session: InSession, object_id: Annotated[int, Path(description="object_id of an annotation")]
) -> bodies.SessionInfo:
    """Forget an object: its prompts and its masks in all frames."""
    if object_id not in session.found():
        raise StudioError(404, f"there is no object {object_id}; there are {_named(session)}")
    await result(rooms.submit(session, "remove", lambda tracking, job: tracking.remove(job, object_id)))
    return described(rooms, session)


@router.post("/sessions/{session}/undo", responses=refusals(404, 409, 507))
async def undo(rooms: InRooms, session: InSession) -> bodies.SessionInfo:
    """Take back the last annotation, refinement, text, propagation or removal."""
    await result(rooms.submit(session, "undo", lambda tracking, job: tracking.undo(job)))
    return described(rooms, session)


@router.post("/sessions/{session}/cancel", responses=refusals(404))
def cancel(rooms: InRooms, session: InSession) -> bodies.Cancelled:
    """Stop what runs and waits for a session; frames that are tracked stay."""
    return bodies.Cancelled(cancelled=rooms.model.cancel(session.id))


_EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "enum": ["progress", "idle", "closed"]},
        "data": {"type": "string", "description": "JSON: a job's state, or {}"},
    },
}


@router.get(
    "/sessions/{session}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "server-sent events"},
        **refusals(404),
    },
)
async def events(
    rooms: InRooms,
    session: InSession,
    request: Request,
    follow: Annotated[bool, Query(description="false: end when nothing runs or waits")] = True,
) -> StreamingResponse:
    """Progress as server-sent events: `progress` with a job's state whenever it changes, `idle` when none is left.

    Begins with the job that ended last."""
    stream = progress(rooms, session, request, follow)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})


_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the file",
        "content": {each.media: {"schema": {"type": "string", "format": "binary"}} for each in FORMATS.values()},
    }
}


@router.get("/export/{session}", response_class=FileResponse, responses={**_FILES, **refusals(404, 409, 507)})
async def export(
    rooms: InRooms,
    session: InSession,
    format: Annotated[Literal["mp4", "masks", "alpha", "coco"], Query()] = "mp4",
) -> FileResponse:
    """The whole video with what was found: MP4 with overlays, PNG masks (ZIP), WebM with transparency, COCO JSON."""
    path = await asyncio.wrap_future(rooms.exports.make(session, format))
    kind = FORMATS[format]
    stem = re.sub(r"\.[^.]*$", "", session.video.name)
    return FileResponse(path, media_type=kind.media, filename=f"{stem}_{kind.file}")


async def result(job: Job) -> Any:
    """What a job came to. Raises what it failed with."""
    return await asyncio.shield(asyncio.wrap_future(job.future))


def described(rooms: Rooms, session: Session) -> bodies.SessionInfo:
    """A session as answers say it."""
    video, tracker = session.video, rooms.model.tracker
    last = rooms.model.last(session.id)
    return bodies.SessionInfo(
        session_id=session.id,
        name=video.name,
        width=video.width,
        height=video.height,
        fps=float(video.fps),
        frames=session.frames,
        duration=float(session.frames / video.fps),
        created=session.created,
        expires=session.used + rooms.options.ttl,
        objects=session.found(),
        prompts=[{k: v for k, v in plain_prompt(p).items() if v not in (None, ())} for p in session.prompts],
        undoable=session.undoable,
        jobs=[bodies.JobState(**job.describe()) for job in rooms.model.jobs(session.id)],
        last_job=None if last is None else bodies.JobState(**last.describe()),
        tracker=tracker.name,
        understands=sorted(tracker.understands),
    )


def _named(session: Session) -> str:
    return ", ".join(map(str, session.found())) or "none"
