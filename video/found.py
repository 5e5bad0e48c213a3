"""A file that `videos=` names, before anybody has opened it."""

from __future__ import annotations

from dataclasses import dataclass

from video.remote import RemoteStat


@dataclass(frozen=True, slots=True)
class Found:
    """A file a source names. `name` is relative to that source, with forward slashes; no two have the same.

    path: or a URL. stat: of a URL, where a listing told it."""

    path: str
    name: str
    stat: RemoteStat | None = None
