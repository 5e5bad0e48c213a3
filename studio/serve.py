"""task=studio: the application behind a server on this machine."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.studio_config import MODELS, StudioConfig
from sam.tracker import Tracker, TrackerConfig, trackers

if TYPE_CHECKING:
    from studio.dataset import Dataset

log = logging.getLogger(__name__)

NEEDED = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}
GRACE_S = 5


def serve(settings: Settings, overrides: Sequence[str]) -> int:
    """Serve until told to stop; returns the exit status. Raises ConfigError, TrackerUnavailable."""
    missing = [name for module, name in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ConfigError(f"task=studio needs {', '.join(missing)}: make setup EXTRAS=studio")
    import uvicorn
    from filelock import FileLock, Timeout

    from studio.app import create_app

    options = replace(settings.studio, folder=str(Path(settings.studio.folder).expanduser().absolute()))
    folder = Path(options.folder)
    if (folder / "dataset.yaml").exists():
        raise ConfigError(f"studio.folder={folder} is a dataset: the studio needs a folder of its own")
    tracker = chosen_tracker(settings, overrides)
    dataset = opened_dataset(settings, overrides)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "studio.lock", timeout=0)
        with lock:
            app = create_app(options, tracker, settings.reader, settings.encode, dataset)
            config = uvicorn.Config(
                app,
                host=options.host,
                port=options.port,
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="on",
                timeout_graceful_shutdown=GRACE_S,
            )
            app.state.rooms.start()  # before anything listens, so that what it lacks is said in plain words
            return _run(uvicorn.Server(config), options, tracker, dataset)
    except Timeout:
        raise ConfigError(
            f"another studio works in studio.folder={folder}: stop it, or choose another folder"
        ) from None
    except OSError as error:
        raise ConfigError(f"studio.folder={folder}: {error.strerror or error}") from error


def _run(server: object, options: StudioConfig, tracker: Tracker, dataset: Dataset | None) -> int:
    import uvicorn

    assert isinstance(server, uvicorn.Server)
    sockets = [_bound(options)]
    host, port = sockets[0].getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("studio: http://%s:%d  tracker=%s  files in %s", shown, port, tracker.name, options.folder)
    if dataset is not None:
        log.info("%d crops of %s: see /label, /browse and /correct", len(dataset), dataset.layout.root)
    if tracker.name == "grabcut":
        log.info(
            "grabcut knows colours, not things: for masks of a model, make setup EXTRAS=sam2 and studio.model=tiny"
        )
    try:
        server.run(sockets=sockets)
    except KeyboardInterrupt:
        log.info("the studio has ended; its sessions are kept")
        return 0
    return 0 if server.started else 2


def _bound(options: StudioConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # The protocol is named, for asyncio turns off the wait for more data (Nagle) only where it is.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"studio.host={options.host} studio.port={options.port} cannot be used ({error.strerror}): is another "
            "studio running? Choose another port, such as studio.port=8001"
        ) from error
    return bound


def opened_dataset(settings: Settings, overrides: Sequence[str]) -> Dataset | None:
    """The dataset that `out=...` of the command line names; None without. Raises ConfigError where there is none."""
    if not _said("out", overrides):
        return None
    from studio.dataset import Dataset

    layout = Layout(settings.out, settings.tracks)
    if not layout.samples.is_file():
        raise ConfigError(
            f"out={settings.out} has no samples.parquet: build the dataset first, with task=build; task=studio without "
            "out=... serves single videos"
        )
    return Dataset(layout, settings.studio)


def _said(key: str, overrides: Sequence[str]) -> bool:
    """Whether the command line names a key."""
    return any(override.split("=")[0].lstrip("+") == key for override in overrides)


def chosen_tracker(settings: Settings, overrides: Sequence[str]) -> Tracker:
    """What follows the clicks: studio.tracker, or tracker=... of the command line, or sam2 for a model, or grabcut."""
    options = settings.studio
    named = settings.tracker_name if _said("tracker", overrides) else None
    name = options.tracker or named or ("sam2" if options.model else "grabcut")
    entry = trackers().get(name)
    if entry is None:
        raise ConfigError(f"studio.tracker must be one of {', '.join(trackers())}, got {name!r}")
    if options.model is not None and name != "sam2":
        raise ConfigError(f"studio.model={options.model} is a size of SAM2, and tracker={name} is not it")
    try:
        config: TrackerConfig = settings.tracker if settings.tracker_name == name else entry.config()  # type: ignore[assignment]
    except TypeError as error:
        raise ConfigError(
            f"studio.tracker={name} needs options: give them with tracker={name} tracker.KEY=..."
        ) from error
    if options.model is not None:
        config = replace(config, weights=f"facebook/sam2.1-hiera-{MODELS[options.model]}")  # type: ignore[type-var]
    return config.build()
