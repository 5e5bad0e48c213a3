"""A Hydra launcher that turns every job of a sweep into jobs of a Lightning AI studio.

    python main.py -m hydra/launcher=lightning hydra.launcher.machine=L40S hydra.launcher.shards=4 prompt=cow,calf ...

Each job of the sweep is checked here first, as if it ran here; what is submitted is its own command line, once per
shard. Hydra looks for launchers in packages of this name only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from pipeline.lightning import LightningConfig, submissions_of, submit
from pipeline.settings import Settings

ConfigStore.instance().store(group="hydra/launcher", name="lightning", node=LightningConfig)


class LightningLauncher(Launcher):
    """Submits, and does not wait: the datasets' folders tell how far the jobs are."""

    def __init__(self, **options: Any) -> None:
        self._options = LightningConfig(**options)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._config = config
        self._loader = hydra_context.config_loader

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        submissions = [
            submission
            for number, overrides in enumerate(job_overrides, start=initial_job_idx)
            for submission in submissions_of(self._settings(overrides, number), overrides, self._options)
        ]
        if self._options.dry_run:
            for each in submissions:
                print(f"{each.name} on {self._options.machine}:\n  {each.command}")
        else:
            submit(submissions, self._options)
        done = JobReturn(_return_value=0, status=JobStatus.COMPLETED)
        return [done] * len(job_overrides)

    def _settings(self, overrides: Sequence[str], number: int) -> Settings:
        """The job's settings, checked as they are when it runs here."""
        from pipeline.config import load

        cfg = self._loader.load_sweep_config(self._config, list(overrides))
        with open_dict(cfg):
            cfg.hydra.job.id, cfg.hydra.job.num = str(number), number
        HydraConfig.instance().set_config(cfg)
        sweep = str(cfg.hydra.job.override_dirname)
        with open_dict(cfg):
            del cfg["hydra"]
        return load(cfg, sweep, overrides)
