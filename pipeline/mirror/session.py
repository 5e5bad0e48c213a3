"""A task on a dataset on a server: what it needs is brought before, what it changed is sent after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.layout import Layout
from pipeline.mirror.kinds import RECORDS
from pipeline.mirror.layout import close, mirror_of, sent_or_said
from pipeline.settings import Settings
from video import store
from video.connection import shown
from video.errors import FetchError, NotThere, SourceError
from video.types import digest

READERS = frozenset({"status", "verify"})  # tasks that write nothing
BUILDERS = frozenset({"build", "track", "crop", "clip", "demo"})  # that make room as they go


def folder_of(url: str, cache: Path) -> Path:
    """The folder that stands for a dataset on a server; it has the name that the dataset has there."""
    named = shown(url).rstrip("/")
    return cache / "datasets" / digest("mirror", named) / named.rpartition("/")[2]


@contextmanager
def exchanged(settings: Settings) -> Iterator[None]:
    """Run a task inside. Raises ConfigError when the server cannot be reached at all, and DiskError when what was made
    cannot be sent; it then stays here."""
    assert settings.url is not None
    mirror = mirror_of(settings.url, settings.out, settings.cache)
    layout = Layout(settings.out, settings.tracks)
    try:
        try:
            mirror.pull()
            if settings.task == "status":
                mirror.pull(lambda path: Path(path).name == "status.json")
            if settings.task not in (*READERS, "plan"):
                mirror.push(RECORDS)  # what an earlier run could not send
        except (FetchError, SourceError) as error:
            raise ConfigError(f"out={mirror} cannot be used: {error}") from error
        with nullcontext() if settings.task in BUILDERS else mirror.holding():
            yield
        if settings.task == "plan":
            with sent_or_said(mirror):
                mirror.send([layout.plan])
        elif settings.task not in READERS:
            with sent_or_said(mirror):
                mirror.push()
            mirror.trim()
    finally:
        close(settings.url, settings.out)


def settings_there(url: str, root: Path) -> Path:
    """The dataset.yaml of a dataset on a server, beside the folder that stands for it. Raises ConfigError."""
    name = Layout(root, root).dataset_yaml.name
    target = root.parent / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        store.get(f"{url.rstrip('/')}/{name}", target)
    except NotThere:
        with suppress(FileNotFoundError):
            target.unlink()
    except (FetchError, SourceError) as error:
        raise ConfigError(f"out={shown(url)} cannot be used: {error}") from error
    return target
