"""The pages: plain files of `studio/static`, served as they are. What they show, they ask of the API."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
PAGES = {"/": "index.html"} | {f"/{path.stem}": path.name for path in STATIC.glob("*.html") if path.stem != "index"}
FRESH = {"cache-control": "no-cache"}  # a page and its scripts are of one version


def add_pages(app: FastAPI) -> None:
    """Serve every page of `studio/static` at its name, and the files they load under /static."""
    router = APIRouter(include_in_schema=False)
    for address, name in PAGES.items():
        router.add_api_route(address, _page(STATIC / name), methods=["GET", "HEAD"])
    app.include_router(router)
    app.mount("/static", _Fresh(directory=STATIC))


def _page(path: Path) -> Callable[[], FileResponse]:
    def page() -> FileResponse:
        return FileResponse(path, media_type="text/html; charset=utf-8", headers=FRESH)

    return page


class _Fresh(StaticFiles):
    """Files that a browser asks about again each time; unchanged ones are not sent again."""

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Any, status_code: int = 200
    ) -> Response:
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers.update(FRESH)
        return answer
