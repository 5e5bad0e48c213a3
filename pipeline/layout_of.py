"""Where the dataset of a run lies: in a folder, or on a server with a folder that stands for it."""

from __future__ import annotations

from pipeline.layout import Layout
from pipeline.settings import Settings


def layout_of(settings: Settings) -> Layout:
    """The paths of the dataset that a run works on."""
    if settings.url is None:
        return Layout(settings.out, settings.tracks)
    from pipeline.mirror.layout import mirrored

    return mirrored(settings)
