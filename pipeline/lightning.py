"""Jobs of a Lightning AI studio: what to submit for a dataset, and submitting it.

Jobs meet on the shared folder that `out` names, commit chunk by chunk, and may be interrupted and tried again.
`hydra/launcher=lightning` (hydra_plugins/lightning.py) turns a sweep into them.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.quoting import hydra_word
from pipeline.settings import Settings

STUDIO = Path("/teamspace/studios/this_studio")
IN_STUDIO = "LIGHTNING_CLOUD_SPACE_ID"  # a variable that is set there


@dataclass
class LightningConfig:
    """Where and how the jobs run.

    machine: a name of lightning_sdk.Machine. shards: jobs that share the work of each dataset. interruptible: cheaper
    machines that may be taken away. attempts: how often an interrupted or failed job is started in all. env: variables
    of this process that the jobs get. setup: what a job runs first, in the folder this runs in; with `studio`, in its
    home. studio, teamspace: null for the ones this runs in. dry_run: print what would be submitted.
    """

    _target_: str = "hydra_plugins.lightning.LightningLauncher"
    machine: str = "L4"
    shards: int = 1
    interruptible: bool = False
    attempts: int = 3
    env: list[str] = field(default_factory=lambda: ["HF_TOKEN"])
    setup: str = "make setup EXTRAS=sam3"
    python: str = ".venv/bin/python"
    name: str = "clipcrop"
    studio: str | None = None
    teamspace: str | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        for key in ("shards", "attempts"):
            if getattr(self, key) < 1:
                raise ValueError(f"hydra.launcher.{key} must be at least 1, got {getattr(self, key)}")


@dataclass(frozen=True, slots=True)
class Submission:
    """One job to submit: its name and its command line."""

    name: str
    command: str


def submissions_of(settings: Settings, overrides: Sequence[str], options: LightningConfig) -> list[Submission]:
    """What to submit for one dataset: one job per shard. Raises ConfigError for a folder that jobs do not share."""
    if settings.url is None:
        _check_shared("out", settings.out)
    for video in settings.videos:
        if "://" not in video:
            _check_shared("videos", Path(video))
    ours = ("out", "tracks.path", "shard.index", "shard.count", "videos")
    words = [word for word in overrides if word.split("=", 1)[0] not in ours and not word.startswith("hydra")]
    videos = [hydra_word(video) for video in settings.videos]
    words.append(f"videos={videos[0]}" if len(videos) == 1 else f"videos=[{','.join(videos)}]")
    words.append(f"out={hydra_word(settings.url or str(settings.out))}")
    if settings.url is None:
        words.append(f"tracks.path={hydra_word(str(settings.tracks))}")
    stem = re.sub(r"[^a-z0-9]+", "-", f"{options.name}-{settings.out.name}".lower()).strip("-")[:50]
    when = f"{datetime.now():%m%d-%H%M%S}"
    # A job begins in the home of its studio, where seldom anybody keeps a checkout.
    here = [f"cd {shlex.quote(os.getcwd())}"] if options.studio is None and IN_STUDIO in os.environ else []
    made = []
    for shard in range(options.shards):
        own = [f"shard.index={shard}", f"shard.count={options.shards}"] if options.shards > 1 else []
        call = shlex.join([*shlex.split(options.python), "main.py", *words, *own])
        command = " && ".join([*here, *([options.setup] if options.setup else []), call])
        made.append(Submission("-".join([stem, *([str(shard)] if own else []), when]), command))
    return made


def _check_shared(key: str, path: Path) -> None:
    if path.is_relative_to(STUDIO):
        raise ConfigError(
            f"{key}={path} lies in this studio, and a job works on a copy of it: use a folder that jobs share, such as "
            f"{key}=/teamspace/shared/..."
        )


def submit(submissions: Sequence[Submission], options: LightningConfig) -> None:
    sdk = _sdk()
    known = [name for name in dir(sdk.Machine) if name.isupper()]
    if options.machine not in known:
        raise ConfigError(f"hydra.launcher.machine must be one of {', '.join(known)}, got {options.machine!r}")
    missing = [name for name in options.env if name not in os.environ and name != "HF_TOKEN"]
    if missing:
        raise ConfigError(f"hydra.launcher.env names {', '.join(missing)}, which is not set here: export it first")
    env = {name: os.environ[name] for name in options.env if name in os.environ}
    for number, each in enumerate(submissions):
        try:
            sdk.Job.run(
                name=each.name,
                machine=getattr(sdk.Machine, options.machine),
                command=each.command,
                studio=options.studio,
                teamspace=options.teamspace,
                env=env,
                interruptible=options.interruptible,
                max_run_attempts=options.attempts,
            )
        except Exception as error:  # of the SDK or its service: what is submitted stays submitted
            raise ConfigError(
                f"Lightning refused {each.name} after {number} of {len(submissions)} jobs were submitted: {error}"
            ) from error
        print(f"submitted {each.name} on {options.machine}")


def _sdk() -> Any:
    try:
        import lightning_sdk
    except ModuleNotFoundError:
        raise ConfigError(
            "hydra/launcher=lightning needs lightning-sdk, which is not installed: make setup EXTRAS=lightning (or "
            "pip install '.[lightning]'); hydra.launcher.dry_run=true only prints what would be submitted"
        ) from None
    return lightning_sdk
