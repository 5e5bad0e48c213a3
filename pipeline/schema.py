"""Every key with its type and default, as Hydra sees them.

The defaults live in the dataclasses here and in the packages they configure; `conf/` holds presets only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from pipeline.executors.executor import executors
from pipeline.exports.export import exports
from pipeline.extractor import CropConfig
from pipeline.filters.filter import filters
from pipeline.settings import CacheConfig, LinkConfig, ShardConfig, SplitConfig
from pipeline.studio_config import StudioConfig
from pipeline.task_options import DemoConfig, HubConfig, OutputsConfig, PlanConfig, ReleaseConfig, SegmentConfig
from sam.tracker import trackers
from video.clipper import ClipConfig
from video.encoder import EncodeConfig


@dataclass
class SelectConfig:
    """Which videos, hours and regions are used."""

    include: Any = None  # glob or list of globs on the path relative to the source
    exclude: Any = None
    hours: Any = None  # [6, 18]: clips recorded from 6:00 to 18:00; may wrap midnight
    time_pattern: str | None = None  # strptime pattern that finds the recording time in the file name
    roi: str | None = None  # JSON file of polygons to keep or ignore, per camera pattern


@dataclass
class TracksConfig:
    """Where the content-addressed tracks lie."""

    path: str | None = None  # null: <out>/tracks, under -m the sweep's
    keep: bool = True  # false: removed once the crops are made


def _options(name: str, registry: Mapping[str, type[Any]]) -> type[Any]:
    members = [(key, options, field(default_factory=options)) for key, options in registry.items()]
    return make_dataclass(name, members)


FiltersConfig = _options("FiltersConfig", filters())
ExportConfig = make_dataclass(
    "ExportConfig", [("link", str, "hard"), ("classes", str, "auto")], bases=(_options("Exports", exports()),)
)


@dataclass
class Config:
    """Every key. `pipeline.config.load` fills in what the task needs and refuses what is missing."""

    task: str = "build"
    videos: Any = None
    prompt: Any = None
    prompts_file: str | None = None  # instead of prompt: a line for every video
    out: str = "dataset"
    select: SelectConfig = field(default_factory=SelectConfig)
    tracks: TracksConfig = field(default_factory=TracksConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    clip: ClipConfig = field(default_factory=ClipConfig)
    tracker: Any = None
    disjoint: bool = False  # no pixel in two masks of one prompt: it goes to the higher score, then the smaller object
    corrections: str | None = None  # a JSON file, or a folder with one for every video
    reader: str = "pyav"
    crop: CropConfig = field(default_factory=CropConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    filters: FiltersConfig = field(default_factory=FiltersConfig)  # type: ignore[valid-type]
    split: SplitConfig = field(default_factory=SplitConfig)
    link: LinkConfig = field(default_factory=LinkConfig)
    exports: Any = ("videofolder",)
    export: ExportConfig = field(default_factory=ExportConfig)  # type: ignore[valid-type]
    executor: Any = MISSING
    shard: ShardConfig = field(default_factory=ShardConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    release: ReleaseConfig = field(default_factory=ReleaseConfig)
    hub: HubConfig = field(default_factory=HubConfig)
    demo: DemoConfig = field(default_factory=DemoConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)
    outputs: OutputsConfig = field(default_factory=OutputsConfig)
    studio: StudioConfig = field(default_factory=StudioConfig)
    retry_failed: bool = True
    labels: str | None = None  # task=label: a table, or what an annotation tool exported


def register() -> None:
    """Put the schema and every tracker and executor where Hydra finds them."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for name, entry in trackers().items():
        store.store(group="tracker", name=name, node=entry.config)
    for name, options in executors().items():
        store.store(group="executor", name=name, node=options)


def keys_under(parent: str) -> list[str]:
    """The keys of a section of the config ("" for the top); none where a choice such as the tracker decides them."""
    node = OmegaConf.structured(Config)
    section = OmegaConf.select(node, parent) if parent else node
    return [str(key) for key in section] if isinstance(section, DictConfig) else []
