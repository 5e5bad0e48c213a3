"""What a task needs of the settings: refused here, all at once, before anything is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.task_table import TASKS
from sam.tracker import trackers

if TYPE_CHECKING:
    from pipeline.schema import Config


def require(config: Config) -> None:
    """Refuse a config that lacks what its task needs; all missing keys in one message."""
    task = TASKS[config.task]
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
    if task.videos and not config.videos:
        missing.append("videos=... (a file, folder, glob or list file)")
    if config.task == "outputs" and not config.outputs.kinds:
        missing.append("outputs.masks=png, outputs.overlay=true or outputs.alpha=webm: nothing else is left to make")
    if task.tracker and config.tracker is None:
        missing.append(f"tracker=... (one of {', '.join(trackers())})")
    if task.tracker and not config.prompt and not config.prompts_file:
        missing.append(
            "prompt=... (what to track, such as cow; with tracker=motion and tracker=file only a label), or "
            "prompts_file=... (a line for every video)"
        )
    if missing:
        raise ConfigError(
            f"task={config.task} needs {' and '.join(missing)}. All tasks and keys: python main.py --help"
        )
    if config.split.by == "individual" and not config.link.enabled:
        raise ConfigError("split.by=individual needs the individuals that link.enabled=true finds; it is false")
    if config.link.embedding and config.link.enabled and "black" not in config.crop.backgrounds:
        raise ConfigError(
            f"link.embedding={config.link.embedding} looks at the crops on black, and there are only "
            f"{', '.join(config.crop.backgrounds)}: set crop.variants=[{','.join(config.crop.backgrounds)},black]"
        )
    name = tracker_name(config.tracker)
    if task.tracker and "text" not in config.tracker.build().understands:
        by = f"prompts_file={config.prompts_file}" if config.prompts_file else f"prompt={config.prompt}"
        raise ConfigError(
            f"tracker={name} follows what points, boxes or masks name and finds nothing by {by}: use "
            f"tracker=sam3_hf or tracker=grounded_sam2 for task={config.task}, or name them with tracker.boxes=FILE"
        )


def tracker_name(tracker: Any) -> str:
    if tracker is None:
        return ""
    for name, entry in trackers().items():
        if type(tracker) is entry.config:
            return name
    raise ConfigError(f"tracker must be one of {', '.join(trackers())}, got {tracker!r}")
