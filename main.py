"""Compose the config, load it, run the task. What each exit status means: docs/usage.md, "Exit status"."""

from __future__ import annotations

import os
import sys
from tempfile import TemporaryDirectory

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pipeline.cli import Interrupt, Statuses, explain, prepare_arguments
from pipeline.config import load, register
from pipeline.help import help_text

statuses = Statuses()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def job(cfg: DictConfig) -> int:
    """One job: the only one of a run, or one of a sweep's. Never exits; remembers its status."""
    runtime = HydraConfig.get()
    sweep = runtime.job.override_dirname if runtime.mode == RunMode.MULTIRUN else None
    with statuses.catching(sweep):
        overrides = list(runtime.overrides.task)
        settings = load(cfg, sweep, overrides)
        if settings.task == "studio":
            from studio.serve import serve

            statuses.add(sweep, serve(settings, overrides), None)
        else:
            from pipeline.run import run

            statuses.add(sweep, *run(settings, overrides))
    return statuses.last


def main() -> int:
    """Run the command line; returns the exit status."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())  # Hydra's own takes a second to list what is in ours
        return 0
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach `explain` instead of Hydra's own exit
    register()
    with Interrupt(), TemporaryDirectory(prefix="clipcrop-") as scratch:
        sys.argv[1:] = prepare_arguments(sys.argv[1:], scratch)
        try:
            job()
        except Exception as error:
            return explain(error)
        except KeyboardInterrupt:
            return statuses.interrupted()
    return statuses.finish()


if __name__ == "__main__":
    sys.exit(main())
