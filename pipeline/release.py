"""`release.json`: what someone who gets the dataset must know to trust it, use it and name it.

Where it comes from (the source videos with their fingerprints), what made it (config, versions, the tracker's weights
by their revision or digest), and what one may do with it (licence, rights). It lies in the dataset and in every export
made to be passed on, and is covered by their checksums. It holds no path of this machine and nothing that changes from
run to run, so equal datasets have equal files.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from pipeline.layout import Layout
from pipeline.settings import Settings
from pipeline.tables import read_table
from pipeline.writing import write_bytes
from video.types import digest

PACKAGES = ("clipcrop", "av", "numpy", "opencv-python-headless", "pycocotools", "pyarrow")
MACHINE = ("videos", "out", "labels", "executor", "shard", "demo", "segment", "outputs", "hub", "task", "release")
PRETTY = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS


def write_release(settings: Settings, layout: Layout) -> None:
    """Bring `release.json` up to date."""
    document = orjson.dumps(release(settings, layout), option=PRETTY | orjson.OPT_APPEND_NEWLINE)
    if not layout.release.is_file() or layout.release.read_bytes() != document:
        write_bytes(layout.release, document)


def release_stamp(settings: Settings, layout: Layout) -> str:
    """Changes with what `release.json` is made from besides the samples. Who runs it with other versions of libraries
    later has not made it with them."""
    return digest(settings.digest, asdict(settings.release), _tracker(settings, layout))


def release(settings: Settings, layout: Layout) -> dict[str, Any]:
    """What `release.json` says."""
    return asdict(settings.release) | {
        "config": {key: _portable(value) for key, value in settings.values.items() if key not in MACHINE},
        "made_with": {"python": platform.python_version(), **_versions()},
        "tracker": _tracker(settings, layout),
        "sources": _sources(layout),
    }


def read_release(layout: Layout) -> dict[str, Any]:
    """What `release.json` says; nothing where there is none, as in a dataset made before there were any."""
    try:
        found = orjson.loads(layout.release.read_bytes())
    except FileNotFoundError:
        return {}
    assert isinstance(found, dict)
    return found


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a checkout that was never installed
            continue
    return found


def _tracker(settings: Settings, layout: Layout) -> dict[str, Any]:
    """The tracker's own words when it made the tracks: version, thresholds, and weights by revision or digest."""
    said = None
    if settings.tracker is not None:
        from pipeline.track_store import TrackStore

        said = TrackStore(layout).remembered_identity(settings.tracker_name, settings.tracker)
    return {"name": settings.tracker_name} | dict(said or {})


def _sources(layout: Layout) -> list[dict[str, Any]]:
    """The videos that crops come from: name, fingerprint, time of recording and number of crops, by name."""
    rows = read_table(layout.samples, ["video", "video_fingerprint", "recorded_at"]).to_pylist()
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = {"video": row["video"], "fingerprint": row["video_fingerprint"], "recorded_at": row["recorded_at"]}
        found.setdefault(row["video"], entry | {"crops": 0})["crops"] += 1
    return [found[name] for name in sorted(found)]


def _portable(value: Any) -> Any:
    """A value of the config with the last part of absolute paths alone: a release tells nobody's folders."""
    if isinstance(value, Mapping):
        return {str(key): _portable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
