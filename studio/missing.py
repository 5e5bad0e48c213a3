"""Which videos of a dataset are not at hand, and why: their windows cannot be shown until they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pyarrow.compute as pc

from pipeline.footage import Footage
from pipeline.layout import Layout
from pipeline.ledger import Ledger
from pipeline.tables import read_table
from video.connection import is_remote


def missing_videos(layout: Layout, sources: Sequence[str], footage: Footage | None, why: str = "") -> dict[str, str]:
    """By name, why. sources: what `videos=` said. footage: what was found there; None for nothing, for the reason
    `why`."""
    here = set() if footage is None else {video.name for video in footage.videos}
    failed = {} if footage is None else {each.video: each.error for each in footage.failures}
    known: set[str] = set()
    for path in (layout.samples, layout.rejected):
        if path.is_file():
            known |= set(pc.unique(read_table(path, ["video"])["video"]).to_pylist())
    gone = sorted(known - here)
    probed = [(video.name, video.path) for video in Ledger(layout).known_videos()] if gone else []
    found = {}
    for name in gone:
        paths = [*_expected(name, sources), *(path for each, path in probed if each == name)]
        lost = next((path for path in paths if not is_remote(path) and not os.path.isfile(path)), None)
        found[name] = f"source video not found: {lost}" if lost else failed.get(name, why) or "source video not found"
    return found


def _expected(name: str, sources: Sequence[str]) -> Iterator[str]:
    """Where a video of this name lies, as far as the sources tell: files by their names, folders by what is in them."""
    for source in sources:
        if not (is_remote(source) or source.endswith(".txt") or any(sign in source for sign in "*?[")):
            path = os.path.expanduser(source)
            yield path if os.path.basename(path) == name else os.path.join(path, name)
