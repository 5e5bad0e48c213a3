"""A composed config, before it is made into dataclasses: what is refused in it, and its paths."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from pipeline.errors import ConfigError
from pipeline.vision_model import ModelName


def refuse_added(node: DictConfig, above: str = "") -> None:
    """Refuse keys that `+key=value` put beside the known ones: they would do nothing."""
    kind = OmegaConf.get_type(node)
    known = [f.name for f in fields(kind)] if is_dataclass(kind) else [str(key) for key in node]
    for key in map(str, node):
        if key not in known:
            section = above.rstrip(".") or "the config"
            raise ConfigError(f"there is no key {above}{key}: {section} has {', '.join(known)}")
        if OmegaConf.is_interpolation(node, key) or OmegaConf.is_missing(node, key):
            continue
        value = node[key]
        if isinstance(value, DictConfig):
            refuse_added(value, f"{above}{key}.")


def plain_values(cfg: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


def make_absolute(cfg: DictConfig) -> None:
    """Spell out every path, so that `dataset.yaml` means the same from any folder. URLs stay."""
    videos = OmegaConf.select(cfg, "videos")
    if isinstance(videos, str) and videos:
        cfg.videos = _place(videos)
    elif isinstance(videos, ListConfig):
        cfg.videos = [_place(v) if isinstance(v, str) and v else v for v in videos]
    files = ("prompts_file", "select.roi", "tracker.path", "tracker.boxes", "labels", "corrections", "clip.spans")
    for key in (*files, "tracks.path", "cache.path", "split.by"):
        path = OmegaConf.select(cfg, key)
        if path and (key != "split.by" or path.endswith(".csv")):
            OmegaConf.update(cfg, key, str(absolute(path)))
    with suppress(ValueError):  # what names no model is refused with the other values
        if embedding := OmegaConf.select(cfg, "link.embedding"):
            OmegaConf.update(cfg, "link.embedding", str(ModelName.of(embedding)))


def _place(video: str) -> str:
    return video if "://" in video else str(absolute(video))


def plain(error: BaseException) -> str:
    """The first line of an OmegaConf or validation error, without its machinery."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    where = [line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")]
    text = re.sub(r"^Error instantiating '[\w.]+' : ", "", lines[0]) if lines else type(error).__name__
    return f"{where[0]}: {text}" if where and where[0] and where[0] not in text else text
