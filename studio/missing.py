"""Which videos of a dataset are not at hand, and why: their windows cannot be shown until they are."""

from __future__ import annotations

import os

import pyarrow.compute as pc

from pipeline.footage import Footage
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.tables import read_table
from video.remote import is_remote


def missing_videos(layout: Layout, footage: Footage | None, why: str = "") -> dict[str, str]:
    """By name, why. footage: what was found of the sources; None where nothing was, for the reason `why`."""
    here = set() if footage is None else {video.name for video in footage.videos}
    failed = {} if footage is None else {each.video: each.error for each in footage.failures}
    known: set[str] = set()
    for path in (layout.samples, layout.rejected):
        if path.is_file():
            known |= set(pc.unique(read_table(path, ["video"])["video"]).to_pylist())
    gone = sorted(known - here)
    paths = {video.name: video.path for video in Ledger(layout).known_videos()} if gone else {}
    return {name: _why(name, paths.get(name), failed.get(name, why)) for name in gone}


def _why(name: str, path: str | None, error: str) -> str:
    if path is not None and not is_remote(path) and not os.path.isfile(path):
        return f"source video not found: {path}"
    return error or f"source video not found: {path or name}"
