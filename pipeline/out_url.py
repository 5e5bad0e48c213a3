"""Whether `out` can be the URL that it is: which kinds of servers take files, and which tasks work on one."""

from __future__ import annotations

from pipeline.errors import ConfigError
from video.connection import connect, is_remote, patiently, shown
from video.errors import FetchError, SourceError

BY_URL = ("build", "plan", "track", "crop", "clip", "export", "report", "label", "status", "verify", "demo")


def refuse_remote_tracks(path: str | None) -> None:
    """Tracks travel with their dataset alone."""
    if path and is_remote(path):
        raise ConfigError(
            f"tracks.path={shown(path)}: tracks are kept on a server only inside of a dataset there: leave tracks.path "
            "out with out=URL, or name a folder of this machine, or a mounted one"
        )


def dataset_url(out: str, task: str, sweeps: bool) -> str | None:
    """The URL of a dataset on a server; None for a path. Raises ConfigError where this cannot be written, and for what
    needs a folder of this machine."""
    if not is_remote(out):
        return None
    scheme = out.partition("://")[0]
    here = "use a folder of this machine, such as out=/data/cows"
    if scheme in ("file", "local"):
        raise ConfigError(f"out={out}: a folder of this machine is named without {scheme}://, such as out=/data/cows")
    if scheme in ("http", "https"):
        raise ConfigError(
            f"out={shown(out)}: a web server takes no files; {here}, or what can be written: sftp://, s3:// or gs://"
        )
    if scheme == "hf":
        raise ConfigError(
            f"out={shown(out)}: the Hub takes commits of whole folders and not single files as they are done; {here}, "
            "and send an export there with task=upload"
        )
    if task not in (*BY_URL, "doctor"):
        raise ConfigError(
            f"out={shown(out)}: task={task} works on a folder of this machine: copy the dataset to one "
            f"(docs/remote.md), or mount the storage. With a URL go {', '.join(BY_URL)}"
        )
    if sweeps:
        raise ConfigError(
            f"out={shown(out)}: a sweep's datasets share their tracks in one folder: {here}, or run each with an "
            "out of its own"
        )
    try:
        patiently(out, lambda: connect(out))
    except (FetchError, SourceError) as error:
        raise ConfigError(f"out={error}") from error
    return out
