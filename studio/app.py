"""The studio as an ASGI application: its parts put together, and every error said as JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from pipeline.errors import ConfigError, DatasetError, DiskError
from pipeline.studio_config import StudioConfig
from sam.errors import TrackerError, TrackerUnavailable, TrackingFailed, UnknownPrompt, WrongPrompt
from sam.memory import OutOfMemory
from sam.tracker import Tracker
from studio.api import router
from studio.browse_api import router as browse_router
from studio.correct_api import router as correct_router
from studio.correcting import Correcting
from studio.dataset import Dataset
from studio.errors import Cancelled, StudioError
from studio.guard import Guard
from studio.label_api import router as label_router
from studio.pages import add_pages
from studio.rooms import Rooms
from video.encoder import EncodeConfig
from video.errors import UnreadableVideo

log = logging.getLogger(__name__)

STATUSES: dict[type[Exception], int] = {
    UnknownPrompt: 422,
    WrongPrompt: 422,
    OutOfMemory: 503,
    TrackingFailed: 500,
    TrackerUnavailable: 503,
    TrackerError: 500,
    UnreadableVideo: 422,
    DiskError: 507,
    DatasetError: 503,
    ConfigError: 503,
    Cancelled: 409,
}


def create_app(
    options: StudioConfig,
    tracker: Tracker,
    reader: str = "pyav",
    encode: EncodeConfig | None = None,
    dataset: Dataset | None = None,
) -> FastAPI:
    """The application. It loads the tracker when it starts, and frees it when it ends; sessions stay on disk.

    Other pages are routers that find the sessions under `request.app.state.rooms`, and the dataset under
    `request.app.state.dataset`. Without a dataset there is only what serves single videos.
    """
    rooms = Rooms(options, tracker, reader, encode or EncodeConfig())
    correcting = None if dataset is None else Correcting(dataset.layout.root, options, rooms.model)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(rooms.start)
        try:
            yield
        finally:
            if correcting is not None:
                await asyncio.to_thread(correcting.stop)
            await asyncio.to_thread(rooms.stop)

    app = FastAPI(
        title="clipcrop studio",
        summary="Interactive video segmentation: upload, click, propagate, refine, export.",
        version="1",
        lifespan=lifespan,
        docs_url=None,  # the pages FastAPI brings load their scripts from elsewhere
        redoc_url=None,
    )
    app.state.rooms = rooms
    app.state.dataset = dataset
    app.include_router(router)
    if dataset is not None:
        app.state.correcting = correcting
        app.include_router(browse_router)
        app.include_router(label_router)
        app.include_router(correct_router)
    add_pages(app)
    _explain_errors(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(options.origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["authorization", "content-type"],
        max_age=600,
    )
    app.add_middleware(Guard, options=options)
    return app


def _explain_errors(app: FastAPI) -> None:
    def said(status: int, message: str) -> JSONResponse:
        return JSONResponse({"detail": message}, status)

    @app.exception_handler(StudioError)
    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StudioError)
        return said(error.status, error.message)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = str(error.detail)
        if error.status_code == 404:
            message = f"there is no {request.method} {request.url.path[:200]}; /openapi.json says what there is"
        return JSONResponse({"detail": message}, error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return said(422, "; ".join(_wrong(each) for each in error.errors()[:5]))

    for kind, status in STATUSES.items():

        async def known(request: Request, error: Exception, status: int = status) -> JSONResponse:
            return said(status, str(error))

        app.add_exception_handler(kind, known)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return said(500, f"this request failed ({type(error).__name__}); the studio's log says why")


def _wrong(error: dict[str, Any]) -> str:
    """One of pydantic's complaints as a sentence: where, what would be right, what was given."""
    where = ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0])
    given = "" if error["type"] in ("missing", "json_invalid") else f", got {str(error.get('input'))[:60]!r}"
    return f"{where}: {error['msg']}{given}"
