"""The pages: plain files of `studio/static`. What they show, they ask of the API.

A page has a file of its own for what is in it, `<name>.html`, and a script, `<name>.js`; all share `page.html` around
it. Scripts and styles are served as they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
FRAME = "page.html"


@dataclass(frozen=True, slots=True)
class Page:
    """One page. styles: besides that of all pages, in order."""

    name: str
    title: str
    styles: tuple[str, ...]

    def html(self) -> str:
        """As it is sent; read from its files, so that an edit is seen by a reload."""
        links = (f'<link rel="stylesheet" href="/static/{style}.css">' for style in ("style", *self.styles))
        frame = Template((STATIC / FRAME).read_text("utf-8"))
        body = (STATIC / f"{self.name}.html").read_text("utf-8")
        return frame.substitute(title=self.title, styles="\n".join(links), name=self.name, body=body)


PAGES = {
    "/": Page("index", "clipcrop", ("index",)),
    "/label": Page("label", "Label", ("filters", "label")),
    "/browse": Page("browse", "Browse", ("filters", "browse")),
    "/correct": Page("correct", "Correct", ("correct",)),
}
FRESH = {"cache-control": "no-cache"}  # a page and its scripts are of one version


def add_pages(app: FastAPI) -> None:
    """Serve every page at its address, and the files they load under /static."""
    router = APIRouter(include_in_schema=False)
    for address, page in PAGES.items():
        router.add_api_route(address, _answering(page), methods=["GET", "HEAD"])
    app.include_router(router)
    app.mount("/static", _Fresh(directory=STATIC))


def _answering(page: Page) -> Callable[[], HTMLResponse]:
    def answer() -> HTMLResponse:
        return HTMLResponse(page.html(), headers=FRESH)

    return answer


class _Fresh(StaticFiles):
    """Files that a browser asks about again each time; unchanged ones are not sent again."""

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Any, status_code: int = 200
    ) -> Response:
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers.update(FRESH)
        return answer
