"""Progress of a session's jobs as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request

from studio.jobs import Job
from studio.rooms import Rooms
from studio.session import Session

POLL_S, HEARTBEAT_S = 0.2, 15.0


async def progress(rooms: Rooms, session: Session, request: Request, follow: bool) -> AsyncIterator[bytes]:
    """Events until the client goes or the session ends; without `follow`, until nothing runs or waits."""
    last = rooms.model.last(session.id)
    known: dict[int, Job] = {} if last is None else {last.id: last}
    told: dict[int, dict[str, Any]] = {}
    quiet = HEARTBEAT_S
    busy: bool | None = None
    while not session.closed and rooms.model.alive:
        for job in rooms.model.jobs(session.id):
            known[job.id] = job
        for number, job in list(known.items()):
            now = job.describe()
            if told.get(number) != now:
                told[number], quiet = now, 0.0
                yield b"event: progress\ndata: " + orjson.dumps(now) + b"\n\n"
            if job.future.done():
                known.pop(number), told.pop(number)
        if busy is not bool(known):
            busy, quiet = bool(known), 0.0
            if not busy:
                yield b"event: idle\ndata: {}\n\n"
        if not busy and not follow:
            return
        if quiet >= HEARTBEAT_S:
            quiet = 0.0
            session.touch()
            yield b": still here\n\n"
        if await request.is_disconnected():
            return
        await asyncio.sleep(POLL_S)
        quiet += POLL_S
    yield b"event: closed\ndata: {}\n\n"
