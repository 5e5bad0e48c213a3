"""`load`: from a composed config (`pipeline.schema`) to checked values.

Everything behind it gets plain dataclasses and knows neither Hydra nor OmegaConf.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config_tree import absolute, make_absolute, plain, plain_values, refuse_added
from pipeline.errors import ConfigError
from pipeline.executors.executor import executors
from pipeline.exports.export import CLASSES, LINKS
from pipeline.filters.filter import filters
from pipeline.out_url import dataset_url, refuse_remote_tracks
from pipeline.prompts_file import read_prompts_file
from pipeline.quoting import shell_word
from pipeline.requirements import require, tracker_name
from pipeline.roi import load_regions
from pipeline.schema import Config
from pipeline.settings import Settings
from pipeline.task_table import TASKS
from pipeline.values import exports_named, hours, one_of, prompts, texts
from sam.tracker import trackers
from video.connection import shown
from video.reader import READERS
from video.types import digest


def load(cfg: DictConfig, sweep_folder: str | None = None, overrides: Sequence[str] = ()) -> Settings:
    """Check a composed config once, before any video or model is opened; raises ConfigError.

    sweep_folder: under -m, what distinguishes this job: its dataset root is `<out>/<sweep_folder>`.
    overrides: the command line's `key=value` words, laid over `out/dataset.yaml` for tasks that work on a dataset.
    """
    task = str(cfg.task)
    if task not in TASKS:
        raise ConfigError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    if not str(cfg.out or "").strip():
        raise ConfigError("out must name the dataset's folder, such as out=/data/cows, got an empty text")
    url = dataset_url(str(cfg.out), task, bool(sweep_folder))
    base = absolute(str(cfg.out)) if url is None else _folder_of(url, absolute(str(cfg.cache.path)))
    out = base / _job_folder(sweep_folder) if sweep_folder else base
    file = next((folder for folder in (out, *out.parents) if folder.is_file()), None)
    if file is not None:
        what = "is a file" if file == out else f"lies under {file}, which is a file"
        raise ConfigError(f"out={out} {what}; the dataset needs a folder")
    place = str(out) if url is None else shown(url)
    if TASKS[task].dataset:
        saved_at = out / "dataset.yaml" if url is None else _settings_there(url, out)
        cfg = _from_dataset(cfg, saved_at, place, overrides)
        cfg.task = task
    if TASKS[task].dataset or url is not None:
        cfg.out = place
    refuse_remote_tracks(cfg.tracks.path)
    refuse_added(cfg)
    make_absolute(cfg)
    try:
        document = OmegaConf.to_yaml(cfg, resolve=True)
        config = OmegaConf.to_object(cfg)
    except (ValueError, TypeError, OmegaConfBaseException) as error:
        raise ConfigError(plain(error)) from error
    assert isinstance(config, Config)
    require(config)
    if url is not None and getattr(config.export, "videomae").absolute:  # noqa: B009 - a generated class
        raise ConfigError(
            f"export.videomae.absolute=true writes paths of this machine into out={place}: set it to false"
        )
    tracks = Path(config.tracks.path) if config.tracks.path else _default_tracks(task, base)
    name = tracker_name(config.tracker)
    one_phrase = name != "" and trackers()[name].one_phrase
    lines = Path(config.prompts_file) if config.prompts_file and (TASKS[task].tracker or task == "outputs") else None
    roi = Path(config.select.roi) if config.select.roi else None
    load_regions(roi)
    return Settings(
        task=task,
        videos=texts("videos", config.videos),
        prompts=prompts(config.prompt, one_phrase),
        prompts_file=read_prompts_file(lines, one_phrase) if lines else None,
        out=out,
        url=url,
        tracks=tracks,
        cache=config.cache,
        keep_tracks=config.tracks.keep,
        disjoint=config.disjoint,
        corrections=Path(config.corrections) if config.corrections else None,
        include=texts("select.include", config.select.include),
        exclude=texts("select.exclude", config.select.exclude),
        hours=hours(config.select.hours),
        time_pattern=config.select.time_pattern,
        roi=roi,
        clip=config.clip,
        tracker_name=name,
        tracker=config.tracker,
        reader=one_of("reader", config.reader, READERS),
        crop=config.crop,
        encode=config.encode,
        filters={name: getattr(config.filters, name) for name in filters()},
        split=config.split,
        linking=config.link,
        exports={name: getattr(config.export, name) for name in exports_named(config.exports)},
        link=one_of("export.link", getattr(config.export, "link"), LINKS),  # noqa: B009 - a generated class
        classes=one_of("export.classes", getattr(config.export, "classes"), CLASSES),  # noqa: B009
        labels=Path(config.labels) if config.labels else None,
        executor=config.executor,
        shard=config.shard,
        plan=config.plan,
        release=config.release,
        hub=config.hub,
        demo=config.demo,
        segment=config.segment,
        outputs=config.outputs,
        studio=config.studio,
        retry_failed=config.retry_failed,
        values=plain_values(cfg),
        document=document,
    )


def of_dataset(out: Path, task: str, corrections: Path | None = None) -> Settings:
    """The settings that a dataset was built with, without a command line. corrections: others than it had.

    Raises ConfigError when `out` holds no dataset, or one of another version.
    """
    cfg = OmegaConf.structured(Config)
    cfg.executor = OmegaConf.structured(executors()["local"])
    cfg.task = task
    cfg = _from_dataset(cfg, out / "dataset.yaml", str(out), ())
    cfg.task, cfg.out = task, str(out)
    if corrections is not None:
        cfg.corrections = str(corrections)
    return load(cfg)


def _folder_of(url: str, cache: Path) -> Path:
    from pipeline.mirror.session import folder_of

    return folder_of(url, cache)


def _settings_there(url: str, out: Path) -> Path:
    from pipeline.mirror.session import settings_there

    return settings_there(url, out)


def _job_folder(overrides: str) -> str:
    """The folder of a sweep's job: what distinguishes it, as a name that no other job has."""
    name = re.sub(r"[^\w.,=+@-]+", "_", overrides)
    plain_enough = name == overrides and len(name.encode()) <= 200
    return name if plain_enough else f"{name[:60]}-{digest(overrides, length=8)}"


def _default_tracks(task: str, base: Path) -> Path:
    """Where tracks lie unless said: in the dataset, or for a dataset made by a sweep, beside it."""
    own, swept = base / "tracks", base.parent / "tracks"
    return swept if TASKS[task].dataset and not own.is_dir() and swept.is_dir() else own


def _from_dataset(cfg: DictConfig, saved_at: Path, place: str, overrides: Sequence[str]) -> DictConfig:
    """The settings a dataset was made with, with the command line on top. place: where it is, for people."""
    if not saved_at.is_file():
        raise ConfigError(
            f"task={cfg.task} works on a dataset, and there is no {place}/{saved_at.name}: build one first with "
            f"python main.py videos=... out={shell_word(place)}"
        )
    saved = OmegaConf.load(saved_at)
    assert isinstance(saved, DictConfig)
    name = saved.pop("tracker_name", None)
    base = OmegaConf.structured(Config)
    entry = trackers().get(name) if name else None
    if entry is not None:
        base.tracker = OmegaConf.structured(entry.config)
    base.executor = cfg.executor
    try:
        merged = OmegaConf.merge(base, saved)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{saved_at} does not fit this version: {plain(error)}") from error
    assert isinstance(merged, DictConfig)
    for override in overrides:
        key = override.split("=", 1)[0].lstrip("+~")
        if key in ("experiment", "task", "out"):
            continue
        OmegaConf.update(merged, key, OmegaConf.select(cfg, key), merge=not key.startswith("tracker"), force_add=True)
    return merged
