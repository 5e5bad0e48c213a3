"""task=doctor: what this machine has and lacks for each tracker, and the fix. Loads no model; writes nothing.

Each tracker says itself what it needs (`sam.checks.Preflight`); here are the checks of what every run needs, and the
one table of them all.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import MISSING, fields
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.settings import Settings
from pipeline.vision_model import ModelName
from sam.checks import Budgeted, Check, Preflight, look
from sam.tracker import TrackerConfig, trackers

DISTRIBUTION = "clipcrop"
PYTHONS = ((3, 11), (3, 14))  # from, and below
CLASHES = (("opencv-python", "opencv-python-headless"), ("decord", "decord2"))
LITTLE_DISK = 5 * 2**30
WIDTH = 120


def doctor(settings: Settings) -> tuple[int, str]:
    """The exit status and the table: 2 when a run with these settings could not start here, else 0."""
    chosen = settings.tracker_name
    machine = list(_machine(settings))
    groups = {"machine": machine}
    for name, entry in trackers().items():
        options = settings.tracker if name == chosen else None
        found = list(_tracker(name, options, entry.config))
        if isinstance(options, Budgeted) and all(check.state != "NO" for check in found):
            with _quiet():
                found += list(options.memory(settings.clip.window_frames))
        groups[f"{name} (chosen)" if name == chosen else name] = found
    needed = [*machine, *groups.get(f"{chosen} (chosen)", [])]
    lacking = [check.name for check in needed if check.state == "NO"]
    if lacking:
        verdict = f"tracker={chosen} cannot run here yet: see {', '.join(lacking)}."
    else:
        verdict = f"tracker={chosen} can run here."
    return (2 if lacking else 0), f"{_table(groups)}\n\n{verdict}"


def _tracker(name: str, chosen: TrackerConfig | None, kind: type[Any]) -> Iterator[Check]:
    """What one tracker needs: with the options of the command line if it is the chosen one, else as it comes."""
    if chosen is None:
        unset = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
        if unset:
            keys = " ".join(f"tracker.{key}=..." for key in unset)
            yield Check("options", "note", f"say what it works on: tracker={name} {keys}")
            return
    options = chosen if chosen is not None else kind()
    if not isinstance(options, Preflight):
        yield look("tracker", lambda: _nothing_missing(options))
        return
    with _quiet():
        found = list(options.preflight())
    yield from found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what libraries say when they are imported out of the table."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _nothing_missing(options: TrackerConfig) -> str:
    options.build().identity()  # raises TrackerUnavailable, for instance for a file that is not there
    return "nothing is missing"


def _machine(settings: Settings) -> Iterator[Check]:
    """What every run needs."""
    first, end = PYTHONS
    fits = first <= sys.version_info[:2] < end
    wanted = "" if fits else f"; {first[0]}.{first[1]} to {end[0]}.{end[1] - 1} is needed: make PYTHON=python3.12"
    yield Check("Python", "ok" if fits else "NO", f"{platform.python_version()} in {sys.prefix}{wanted}")
    yield from _packages()
    yield Check("processor", "ok", f"{platform.machine()}, {os.cpu_count()} cores, {_memory()}")
    yield _graphics()
    yield _encoder()
    yield from _decoders(settings)
    yield _disk(settings)
    yield _token()
    yield from _vision_model(settings)


def _packages() -> Iterator[Check]:
    """Our own requirements, and packages that overwrite each other's files."""
    from sam.backends.preflight import wishes

    try:
        asked = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        asked = []  # run from the folder without being installed: what is missing has been said by Python
    broken = list(wishes("this project", asked, f"{sys.executable} -m pip install -e . (or make setup)"))
    for first, second in CLASHES:
        if _version(first) and _version(second):
            again = f"{sys.executable} -m pip uninstall -y {first} {second}, then pip install {second}"
            broken.append(Check("conflict", "note", f"{first} and {second} overwrite each other's files: {again}"))
    yield from broken or [Check("packages", "ok", "they go together")]


def _memory() -> str:
    """Main memory, and how much of it is free, where the system says so."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "memory unknown"
    text = f"{total / 2**30:.1f} GiB of main memory"
    linux = Path("/proc/meminfo")
    lines = linux.read_text().splitlines() if linux.is_file() else []
    free = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]  # KiB
    return f"{text}, {free[0] / 2**20:.1f} GiB available" if free else text


def _graphics() -> Check:
    from sam.backends.device import gpus

    found = [f"{g.name}, {g.free / 2**30:.0f} of {g.total / 2**30:.0f} GiB free" for g in gpus()]
    return Check("GPU", "ok" if found else "note", "; ".join(found) or "no NVIDIA driver or GPU was found (nvidia-smi)")


def _encoder() -> Check:
    import av.codec

    if "libx264" in av.codec.codecs_available:
        return Check("encoder", "ok", f"libx264, in PyAV {av.__version__}")
    return Check(
        "encoder", "NO", f"PyAV {av.__version__} was built without libx264: {sys.executable} -m pip install -U av"
    )


def _decoders(settings: Settings) -> Iterator[Check]:
    import av

    decord = _version("decord") or _version("decord2")
    if settings.reader == "decord" and find_spec("decord") is None:
        yield Check("decoder", "NO", "reader=decord is not installed: make setup EXTRAS=decord, or reader=pyav")
        return
    others = f"; decord {decord} (reader=decord)" if decord else "; decord is not installed (make setup EXTRAS=decord)"
    yield Check("decoder", "ok", f"PyAV {av.__version__} (reader=pyav){others}")


def _disk(settings: Settings) -> Check:
    place = next(p for p in (settings.out, *settings.out.parents) if p.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 2**30:.1f} GiB free at out={settings.out}"
    if not os.access(place, os.W_OK | os.X_OK):
        return Check("disk", "NO", f"{place} is not writable for this user: choose another out=...")
    return Check("disk", "note" if free < LITTLE_DISK else "ok", text)


def _token() -> Check:
    try:
        from huggingface_hub import get_token
    except ImportError:
        return Check("token", "note", "huggingface_hub is not installed; only SAM3's weights need it")
    if get_token():
        return Check("token", "ok", "this machine is logged in to Hugging Face")
    return Check("token", "note", "none; only downloads of gated weights need one: hf auth login, or set HF_TOKEN")


def _vision_model(settings: Settings) -> Iterator[Check]:
    """The model of `link.embedding`, if one is asked for: its packages and its folder, not what it would download."""
    if settings.linking.embedding is None:
        return
    name = ModelName.of(settings.linking.embedding)
    try:
        name.check()
    except ConfigError as error:
        yield Check("link", "NO", str(error))
        return
    where = "from its folder" if name.folder is not None else "its weights are downloaded when it is first used"
    yield Check("link", "ok", f"link.embedding={name}, {where}")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _table(groups: dict[str, list[Check]]) -> str:
    """All checks in three narrow columns and a wide one, which is wrapped."""
    columns = max(map(len, groups)), max(len(check.name) for checks in groups.values() for check in checks), 4
    left = sum(columns) + 2 * len(columns)
    width = max(left + 40, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))

    def row(*cells: str) -> str:
        start = "  ".join(cell.ljust(n) for cell, n in zip(cells[:-1], columns, strict=True))
        wrapped = textwrap.wrap(cells[-1], width - left, break_long_words=False, break_on_hyphens=False)
        return f"{start}  " + f"\n{' ' * left}".join(wrapped)

    lines = [row("for", "what", "", "found, or what to do")]
    for group, checks in groups.items():
        lines.append("")
        lines += [row("" if n else group, check.name, check.state, check.detail) for n, check in enumerate(checks)]
    return "\n".join(lines)
