"""The command line around Hydra: arguments in, messages and exit statuses out.

0 everything done. 2 the configuration or the input is wrong. 3 finished, but something failed. 130 interrupted.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Self

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from pipeline.config_tree import plain
from pipeline.errors import ConfigError, DatasetError, DiskError, PipelineError
from pipeline.layout import Layout
from pipeline.quoting import hydra_word
from pipeline.schema import keys_under
from sam.errors import TrackerError
from video.errors import VideoError

if TYPE_CHECKING:
    from pipeline.build import Summary

WRONG, FAILED, INTERRUPTED = 2, 3, 130
QUOTES = "'\""
EXPECTED = (PipelineError, TrackerError, VideoError, HydraException, OmegaConfBaseException)


def prepare_arguments(arguments: Sequence[str], scratch: str) -> list[str]:
    """Under -m, name each job's folder after what is swept alone; elsewhere the arguments as they are.

    scratch: a folder for what Hydra writes about a sweep by itself. Raises ConfigError where that is asked of another
    machine.
    """
    if not {"-m", "--multirun"} & set(arguments):
        return list(arguments)
    parser = OverridesParser.create()
    constant = []
    for word in arguments:
        if "=" in word and not word.startswith("-"):
            try:
                override = parser.parse_override(word)
            except HydraException:
                continue  # Hydra says what is wrong with it
            if not override.is_sweep_override():
                constant.append(override.get_key_element().lstrip("+~"))
    names = ",".join(f'"{name}"' for name in constant)
    ours = [f"hydra.job.config.override_dirname.exclude_keys=[{names}]"]
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    launcher = given.get("hydra/launcher", "")
    if "hydra.sweep.dir" not in given:
        if launcher == "submitit_slurm":
            raise ConfigError(
                "hydra/launcher=submitit_slurm hands its jobs over in files: say hydra.sweep.dir=..., a folder that "
                "this machine and the nodes share"
            )
        ours.append(f"hydra.sweep.dir={scratch}")
    if launcher.startswith("submitit_") and "hydra.launcher.submitit_folder" not in given:
        # By default each job has a folder of its own, which submitit makes after it has started the job that writes
        # there. One for all jobs is there before.
        ours.append("hydra.launcher.submitit_folder=${hydra.sweep.dir}/.submitit")
    return [*arguments, *ours]


def addresses_hydra(arguments: Sequence[str]) -> bool:
    """Whether Hydra itself is spoken to, by a flag such as -m or --cfg or by one of its own settings."""
    return any(word.startswith(("-", "hydra.", "hydra/", "+hydra", "~hydra")) for word in arguments)


def dashed_key(arguments: Sequence[str]) -> str | None:
    """What to write instead of the first key that is written like a flag, `--videos /data`; None: there is none."""
    known = set(keys_under(""))
    for n, word in enumerate(arguments):
        key, assigned, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and re.split(r"[./]", key)[0] in known:
            value = value if assigned else next(iter(arguments[n + 1 : n + 2]), "...")
            return f"{word} cannot be read: keys have no dashes, write {shlex.quote(f'{key}={value}')}"
    return None


class JobFailed(Exception):
    """A job of a sweep that a launcher ran in another process, with its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Statuses:
    """The statuses and summaries of the jobs of this run. Some launchers of a sweep take a copy of it to other
    processes: what happens there comes back as an error alone."""

    def __init__(self) -> None:
        self._jobs: list[tuple[str | None, int, Summary | None]] = []
        self._process = os.getpid()

    def hand_back(self) -> int:
        """The last job's status, to whoever launched it. Raises JobFailed in another process, which would lose it."""
        status = self._jobs[-1][1] if self._jobs else 0
        if status and os.getpid() != self._process:
            raise JobFailed(status)
        return status

    def add(self, sweep: str | None, status: int, summary: Summary | None) -> None:
        self._jobs.append((sweep, status, summary))

    @contextmanager
    def catching(self, sweep: str | None) -> Iterator[None]:
        """One job's error ends that job alone; the others of a sweep still run."""
        try:
            yield
        except Exception as error:
            self.add(sweep, explain(error, sweep), None)

    def interrupted(self) -> int:
        print("Interrupted. Run the same command again to continue; what is done stays done.", file=sys.stderr)
        return INTERRUPTED

    def finish(self) -> int:
        """Print a sweep's summary table; returns the worst status."""
        if len(self._jobs) > 1:
            print(_table(self._jobs))
            for lines in _prompts(self._jobs):
                print(f"\n{lines}")
        return max((status for _, status, _ in self._jobs), default=0)


class Interrupt:
    """Ends like Ctrl-C when told to stop (SIGTERM), so that a preempted job cleans up too; frees the model.

    Told once more, it ends at once: a second KeyboardInterrupt would leave threads at work while Python takes itself
    apart, which FFmpeg answered with a segmentation fault.
    """

    def __enter__(self) -> Self:
        self._told = False
        # SIGINT too: a shell starts its background jobs with it ignored.
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        tracking = sys.modules.get("pipeline.stages.tracking")  # not imported, so not loaded: nothing to free
        if tracking is not None:
            tracking.leave()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._told:
            with suppress(OSError):
                os.write(2, b"Stopped at once. Run the same command again to continue.\n")
            os._exit(INTERRUPTED)
        self._told = True
        raise KeyboardInterrupt


def explain(error: Exception, sweep: str | None = None) -> int:
    """Print one clear message for an error; returns its exit status. An error nobody expected keeps its traceback."""
    where = f"{sweep}: " if sweep else ""
    if isinstance(error, JobFailed):
        print(f"a job of the sweep ended with status {error.status}; its log says why", file=sys.stderr)
        return error.status
    if isinstance(error, OverrideParseException):
        print(f"{where}{_grammar(error)}", file=sys.stderr)
    elif isinstance(error, HydraException):
        print(f"{where}{_composition(error)}", file=sys.stderr)
    elif isinstance(error, EXPECTED):
        print(f"{where}{plain(error)}", file=sys.stderr)
    elif isinstance(error, ValueError) and str(error).startswith("Config group override"):  # Hydra's, of tracker=null
        print(f"{where}tracker, crop, executor and experiment take a name. {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
        return FAILED
    return FAILED if isinstance(error, DiskError | DatasetError) else WRONG


def _grammar(error: OverrideParseException) -> str:
    """Hydra's grammar refused a value: show the quoted form that works."""
    word = error.override
    key, assigned, value = word.partition("=")
    if not assigned:
        return (
            f"{word!r} cannot be read: write key=value, such as videos=/data/barn, without spaces around =; a value "
            "with spaces stands in quotes: 'prompt=brown cow'"
        )
    reason = next((line for line in str(error).splitlines() if line.strip()), "")
    works = shlex.quote(f"{key}={hydra_word(value.strip(QUOTES))}")
    return (
        f"{word!r} cannot be read ({reason.strip()}).\nQuote the value for Hydra inside quotes for the shell:  {works}"
    )


def _composition(error: HydraException) -> str:
    """Hydra could not compose the config: name the key and what would be right."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        return f"{group} must be one of {', '.join(error.options)}, got {choice!r}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    ambiguous = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'", lines[0])
    if ambiguous:
        key, values = ambiguous.groups()
        listed = shlex.quote(f"{key}=[{values}]")
        return f"{key}={values} is several values: add -m for a dataset of each, or write {listed} for a list"
    preset = re.match(r"In '([\w]+)/([\w-]+)': ConfigKeyError", lines[0])
    unknown = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), None)
    if preset and unknown:
        section = unknown.split(".")[0]
        return (
            f"{preset[1]}={preset[2]} sets {unknown}, which the chosen {section}=... does not have: leave {section} to "
            f"the preset, or leave the preset out and set what you need of it key by key"
        )
    found = re.match(r"Could not override '([\w.]+)'", lines[0])
    if found is None:
        return plain(error.__cause__ or error)
    parts = found.group(1).split(".")
    for depth, name in enumerate(parts):
        parent = ".".join(parts[:depth])
        known = keys_under(parent)
        if known and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f": did you mean {'.'.join([*parts[:depth], close[0], *parts[depth + 1 :]])}?" if close else "."
            return f"there is no key {found.group(1)}{guess} {parent or 'The config'} has {', '.join(known)}"
    return plain(error.__cause__ or error)


def _table(jobs: Sequence[tuple[str | None, int, Summary | None]]) -> str:
    """A sweep's datasets side by side."""
    head = ("job", "status", "videos", "clips", "crops", "rejected", "failed", "tracked", "reused")
    rows: list[tuple[str, ...]] = [head]
    for sweep, status, s in jobs:
        counts = (
            (s.videos, s.clips, s.crops, s.rejected, s.failures, s.tracked_windows, s.reused_windows)
            if s is not None
            else ("-",) * 7
        )
        rows.append((sweep or "", str(status), *map(str, counts)))
    return _aligned(rows)


def _prompts(jobs: Sequence[tuple[str | None, int, Summary | None]]) -> Iterator[str]:
    """How the prompts of a sweep compare; nothing when it did not change the prompt."""
    datasets = {
        sweep or "": (s.root, s.prompts)
        for sweep, _, s in jobs
        if s is not None and s.prompts and Layout(s.root, s.root).rejected.is_file()
    }
    if len({prompts for _, prompts in datasets.values()}) < 2:
        return
    from pipeline.prompt_scores import HEAD, agreements, read, rows

    found = read(datasets)
    if found is not None:
        yield _aligned([HEAD, *rows(found)])
        yield _aligned([("prompt", "and", "agreement"), *agreements(found)])


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns of text: the first to the left, the others to the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(lines)
