"""Compose the config, load it, run the task. What each exit status means: docs/usage.md, "Exit status"."""

from __future__ import annotations

import os
import sys
from tempfile import TemporaryDirectory

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from pipeline.cli import WRONG, Interrupt, Statuses, addresses_hydra, dashed_key, explain, prepare_arguments
from pipeline.config import load
from pipeline.help import help_text, version_text
from pipeline.schema import register

HYDRA = "1.3"  # the version whose behaviour is asked for
statuses = Statuses()


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
    return statuses.hand_back()


def compose_once(arguments: list[str]) -> None:
    """Run one job. `hydra.main` does the same and composes twice, first to learn whether it is asked for a sweep."""
    with hydra.initialize(version_base=HYDRA, config_path="conf", job_name="main"):
        cfg = hydra.compose("config", overrides=arguments, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        configure_log(cfg.hydra.job_logging, cfg.hydra.verbose)
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        job(cfg)


def main() -> int:
    """Run the command line; returns the exit status."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())  # Hydra's own takes a second to list what is in ours
        return 0
    if "--version" in sys.argv[1:]:
        print(version_text())
        return 0
    register()
    mistake = dashed_key(sys.argv[1:])
    if mistake:
        print(mistake, file=sys.stderr)
        return WRONG
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach `explain` instead of Hydra's own exit
    with Interrupt(), TemporaryDirectory(prefix="clipcrop-") as scratch:
        try:
            sys.argv[1:] = prepare_arguments(sys.argv[1:], scratch)
            if addresses_hydra(sys.argv[1:]):
                hydra.main(version_base=HYDRA, config_path="conf", config_name="config")(job)()
            else:
                compose_once(sys.argv[1:])
        except Exception as error:
            return explain(error)
        except KeyboardInterrupt:
            return statuses.interrupted()
    return statuses.finish()


if __name__ == "__main__":
    sys.exit(main())
