"""A real browser for the tests that walk the pages, and a studio in a process of its own that can be killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

ROOT = Path(__file__).parents[2]
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, without a window. Skips the test where it or playwright is missing; FAIL_WITHOUT_BROWSER=1 fails it."""
    lacking = "there is no chromium on this machine: apt-get install chromium" if CHROMIUM is None else ""
    if find_spec("playwright") is None:
        lacking = "playwright is not installed: make dev"
    if lacking and os.environ.get("FAIL_WITHOUT_BROWSER") == "1":
        pytest.fail(f"FAIL_WITHOUT_BROWSER=1, and {lacking}")
    if lacking:
        pytest.skip(lacking)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def page(opened: Any, **options: Any) -> Iterator[Any]:
    """A tab that fails the test when a page's script fails, or when it asks for anything elsewhere."""
    context = opened.new_context(viewport={"width": 1280, "height": 860}, **options)
    made = context.new_page()
    made.set_default_timeout(30_000)
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("console", lambda said: "Security Policy" in said.text and faults.append(said.text))
    made.on(
        "request",
        lambda asked: asked.url.startswith(("http://127.0.0.1", "data:", "blob:")) or faults.append(asked.url),
    )
    try:
        yield made
        assert faults == []
    finally:
        context.close()


def until(tab: Any, expression: str, seconds: float = 30) -> None:
    """Wait until an expression is true in the page. (Playwright's own way is forbidden by the pages' policy.)"""
    end = time.monotonic() + seconds
    while not tab.evaluate(expression):
        assert time.monotonic() < end, f"not within {seconds:g} s: {expression}"
        tab.wait_for_timeout(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Studio:
    """task=studio in a process of its own."""

    def __init__(self, *words: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._words = [sys.executable, "main.py", "task=studio", f"studio.port={self.port}", *words]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, cwd=ROOT, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while True:
            try:
                requests.get(f"{self.address}/health", timeout=5).raise_for_status()
                return
            except requests.RequestException:
                assert self._process.poll() is None and time.monotonic() < until, "the studio did not start"
                time.sleep(0.05)

    def kill(self) -> None:
        """Without a chance to finish anything."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(timeout=30)
            self._process = None
