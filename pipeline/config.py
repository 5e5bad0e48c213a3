"""The settings: every key with its type and default, and `load`, which turns a composed config into checked values.

The defaults live in the dataclasses here and in the packages they configure; `conf/` holds presets only. Only this
file and `main.py` know Hydra and OmegaConf: everything behind `load` gets plain dataclasses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.errors import ConfigError
from pipeline.executors.executor import executors
from pipeline.exports.export import CLASSES, LINKS, exports
from pipeline.extractor import CropConfig
from pipeline.filters.filter import filters
from pipeline.out_url import dataset_url, refuse_remote_tracks
from pipeline.prompts_file import read_prompts_file
from pipeline.quoting import shell_word
from pipeline.roi import load_regions
from pipeline.settings import (
    FROM_DATASET,
    CacheConfig,
    DemoConfig,
    HubConfig,
    LinkConfig,
    OutputsConfig,
    PlanConfig,
    ReleaseConfig,
    SegmentConfig,
    Settings,
    ShardConfig,
    SplitConfig,
)
from pipeline.studio_config import StudioConfig
from pipeline.values import exports_named, hours, one_of, prompts, texts
from pipeline.vision_model import ModelName
from sam.tracker import trackers
from video.clipper import ClipConfig
from video.connection import shown
from video.encoder import EncodeConfig
from video.types import digest

TASKS = {
    "build": "plan, track, crop, filter, split, export, report (the default)",
    "plan": "what a build would do and need; writes nothing",
    "doctor": "what this machine has and lacks for each tracker, and the fix; writes nothing",
    "preview": "a few windows across the videos and prompts in one page, to choose a prompt before days of work",
    "batch": "whole videos by text: NAME_segmented.mp4 and NAME_metadata.json of each (experiment=batch_segmentation)",
    "clip": "only cut the clips into H.264 files under clips/",
    "track": "only track; crop later, or on another machine",
    "crop": "only crop, from tracks that are already there",
    "export": "only write the exports of a finished dataset",
    "report": "only write the report of a finished dataset",
    "label": "take labels from a table or an annotation tool into a finished dataset, and write its exports anew",
    "status": "how far the runs over a dataset are, from any shell or machine that sees it; writes nothing",
    "verify": "prove with checksums that a dataset, copied perhaps, is complete and unchanged; writes nothing",
    "upload": "put an export on the Hugging Face Hub, private unless said; resumes",
    "outputs": "masks, overlays and alpha videos of a finished dataset, from its stored tracks",
    "segment": "follow what points or boxes name through one video; without any, print what the video is",
    "studio": "a web server on this machine: videos segmented by clicks, over a REST API",
    "demo": "generate footage with known truth, build a dataset from it, and score the tracks",
}
NEEDS_TRACKER = frozenset({"build", "plan", "preview", "track", "crop", "demo", "batch"})
READERS = ("pyav", "decord")


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
    """Every key. `load` fills in what the task needs and refuses what is missing."""

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
    base = _absolute(str(cfg.out)) if url is None else _folder_of(url, _absolute(str(cfg.cache.path)))
    out = base / _job_folder(sweep_folder) if sweep_folder else base
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out={out} is a file; the dataset needs a folder")
    place = str(out) if url is None else shown(url)
    if task in FROM_DATASET:
        saved_at = out / "dataset.yaml" if url is None else _settings_there(url, out)
        cfg = _from_dataset(cfg, saved_at, place, overrides)
        cfg.task = task
    if task in FROM_DATASET or url is not None:
        cfg.out = place
    refuse_remote_tracks(cfg.tracks.path)
    _refuse_added(cfg)
    _make_absolute(cfg)
    try:
        document = OmegaConf.to_yaml(cfg, resolve=True)
        config = OmegaConf.to_object(cfg)
    except (ValueError, TypeError, OmegaConfBaseException) as error:
        raise ConfigError(plain(error)) from error
    assert isinstance(config, Config)
    _require(config)
    if url is not None and getattr(config.export, "videomae").absolute:  # noqa: B009 - a generated class
        raise ConfigError(
            f"export.videomae.absolute=true writes paths of this machine into out={place}: set it to false"
        )
    tracks = Path(config.tracks.path) if config.tracks.path else _default_tracks(task, base)
    name = _tracker_name(config.tracker)
    one_phrase = name != "" and trackers()[name].one_phrase
    lines = Path(config.prompts_file) if config.prompts_file and task in NEEDS_TRACKER | {"outputs"} else None
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
        values=_plain_values(cfg),
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
    return swept if task in FROM_DATASET and not own.is_dir() and swept.is_dir() else own


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


def _refuse_added(node: DictConfig, above: str = "") -> None:
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
            _refuse_added(value, f"{above}{key}.")


def _plain_values(cfg: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _require(config: Config) -> None:
    """Refuse a config that lacks what its task needs; all missing keys in one message."""
    needs_videos = config.task in ("build", "plan", "preview", "clip", "track", "segment", "batch")
    needs_tracker = config.task in NEEDS_TRACKER
    if config.labels and config.task != "label":
        raise ConfigError(f"labels={config.labels} is taken in by task=label, once the dataset is built")
    if config.prompt is not None and config.prompts_file:
        raise ConfigError(
            f"prompt={config.prompt} and prompts_file={config.prompts_file} both say what to track: give one of them, "
            "and set the other to null where a preset has it"
        )
    if config.task == "batch" and not config.clip.whole:
        raise ConfigError("task=batch tracks whole videos: use experiment=batch_segmentation, or set clip.whole=true")
    missing = []
    if needs_videos and not config.videos:
        missing.append("videos=... (a file, folder, glob or list file)")
    if config.task == "outputs" and not config.outputs.kinds:
        missing.append("outputs.masks=png, outputs.overlay=true or outputs.alpha=webm: nothing else is left to make")
    if needs_tracker and config.tracker is None:
        missing.append(f"tracker=... (one of {', '.join(trackers())})")
    if needs_tracker and not config.prompt and not config.prompts_file:
        missing.append(
            "prompt=... (what to track, such as cow; with tracker=motion and tracker=file only a label), or "
            "prompts_file=... (a line for every video)"
        )
    if missing:
        raise ConfigError(f"task={config.task} needs " + " and ".join(missing))
    if config.split.by == "individual" and not config.link.enabled:
        raise ConfigError("split.by=individual needs the individuals that link.enabled=true finds; it is false")
    if config.link.embedding and config.link.enabled and "black" not in config.crop.backgrounds:
        raise ConfigError(
            f"link.embedding={config.link.embedding} looks at the crops on black, and there are only "
            f"{', '.join(config.crop.backgrounds)}: set crop.variants=[{','.join(config.crop.backgrounds)},black]"
        )
    name = _tracker_name(config.tracker)
    if needs_tracker and "text" not in config.tracker.build().understands:
        by = f"prompts_file={config.prompts_file}" if config.prompts_file else f"prompt={config.prompt}"
        raise ConfigError(
            f"tracker={name} follows what points, boxes or masks name and finds nothing by {by}: use "
            f"tracker=sam3_hf or tracker=grounded_sam2 for task={config.task}, or name them with tracker.boxes=FILE"
        )


def _tracker_name(tracker: Any) -> str:
    if tracker is None:
        return ""
    for name, entry in trackers().items():
        if type(tracker) is entry.config:
            return name
    raise ConfigError(f"tracker must be one of {', '.join(trackers())}, got {tracker!r}")


def _absolute(path: str) -> Path:
    return Path(path).expanduser().absolute()


def _make_absolute(cfg: DictConfig) -> None:
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
            OmegaConf.update(cfg, key, str(_absolute(path)))
    with suppress(ValueError):  # what names no model is refused with the other values
        if embedding := OmegaConf.select(cfg, "link.embedding"):
            OmegaConf.update(cfg, "link.embedding", str(ModelName.of(embedding)))


def _place(video: str) -> str:
    return video if "://" in video else str(_absolute(video))


def plain(error: BaseException) -> str:
    """The first line of an OmegaConf or validation error, without its machinery."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    where = [line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")]
    text = re.sub(r"^Error instantiating '[\w.]+' : ", "", lines[0]) if lines else type(error).__name__
    return f"{where[0]}: {text}" if where and where[0] and where[0] not in text else text


def keys_under(parent: str) -> list[str]:
    """The keys of a section of the config ("" for the top); none where a choice such as the tracker decides them."""
    node = OmegaConf.structured(Config)
    section = OmegaConf.select(node, parent) if parent else node
    return [str(key) for key in section] if isinstance(section, DictConfig) else []
