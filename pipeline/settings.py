"""The settings of a run: checked values that everything behind the command line works with.

It knows neither Hydra nor OmegaConf: `pipeline.config.load` makes a `Settings`, and so can a test or a notebook.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipeline.extractor import CropConfig
from pipeline.linking.vision_model import ModelName
from pipeline.prompts_file import PromptsFile
from pipeline.studio_config import StudioConfig
from pipeline.task_options import DemoConfig, HubConfig, OutputsConfig, PlanConfig, ReleaseConfig, SegmentConfig
from sam.tracker import TrackerConfig
from video.clipper import ClipConfig
from video.connection import shown
from video.encoder import EncodeConfig

GB = 10**9
SPLITS = ("train", "val", "test")
UNDECISIVE = frozenset(
    {"task", "executor", "shard", "retry_failed", "out", "tracks", "demo", "labels", "segment", "outputs", "studio"}
    | {"release", "hub", "plan", "cache"}
)
UNDECISIVE_OF_TRACKERS = frozenset({"device", "memory_gb", "state_on_cpu", "release"})


@dataclass
class SplitConfig:
    """Which videos stay together, and the shares of train, val and test.

    by: video; folder; day (of recording); a table (.csv with the columns video and group); a regular expression whose
    first group names the group, on the video's name; time, which cuts every video into stretches; or individual, which
    keeps together what shows the same animals. assign: {glob on the video's name: train, val or test}. stratify: share
    out every label like the clips, as soon as there are labels. embargo: seconds left out on either side of a border
    between stretches; with by=individual, clips nearer than this stay together.
    """

    by: str = "video"
    fractions: Any = (0.8, 0.1, 0.1)
    assign: Any = None
    stratify: bool = True
    embargo: float = 60.0

    def __post_init__(self) -> None:
        shares = list(self.fractions) if isinstance(self.fractions, list | tuple) else None
        if shares is None or len(shares) != 3 or any(not isinstance(s, int | float) or s < 0 for s in shares):
            raise ValueError(f"split.fractions must be three shares [train,val,test], got {self.fractions}")
        if not abs(sum(shares) - 1) <= 1e-6:
            raise ValueError(f"split.fractions must add up to 1, got {shares} = {sum(shares):g}")
        if self.assign is not None and not isinstance(self.assign, Mapping):
            raise ValueError(f"split.assign must be patterns and splits such as {{farm3/*: test}}, got {self.assign}")
        for pattern, split in (self.assign or {}).items():
            if split not in SPLITS:
                raise ValueError(f"split.assign.{pattern} must be one of {', '.join(SPLITS)}, got {split!r}")
        if not 0 <= self.embargo < math.inf:
            raise ValueError(f"split.embargo must be 0 or more seconds, got {self.embargo}")

    @property
    def name(self) -> str:
        """What settled groups are kept under; a table may lie elsewhere tomorrow."""
        return f"table {Path(self.by).name}" if self.by.endswith(".csv") else self.by


@dataclass
class LinkConfig:
    """How the same individual is found again in other windows of its video.

    min_iou: of the masks over the frames that two windows share. max_gap: seconds without a shared frame.
    min_score: how likely a link over a gap is on its own, 0.5 is even. margin: how much likelier the best assignment
    is with it than without it, 0..1. individuals: how many a video shows, if that is known: a number, or
    {glob on the video's name: number}. embedding: a vision model whose vectors stand for colours, such as timm:FOLDER
    (`pipeline.linking.vision_model`); device: where it runs, auto, cpu, cuda or cuda:N.
    """

    enabled: bool = True
    min_iou: float = 0.5
    max_gap: float = 30.0
    min_score: float = 0.8
    margin: float = 0.6
    individuals: Any = None
    embedding: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.embedding is not None:
            ModelName.of(self.embedding)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"link.device must be auto, cpu, cuda or cuda:N, got {self.device!r}")
        for key in ("min_iou", "min_score", "margin"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"link.{key} must be between 0 and 1, got {getattr(self, key)}")
        if not 0 <= self.max_gap < math.inf:
            raise ValueError(f"link.max_gap must be 0 or more seconds, got {self.max_gap}")
        given = self.individuals.values() if isinstance(self.individuals, Mapping) else [self.individuals or 1]
        if self.individuals == 0 or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in given):
            raise ValueError(
                "link.individuals must be how many a video shows, such as 5, or {pen1*: 5, pen2*: 7} by pattern, got "
                f"{self.individuals}"
            )

    @property
    def decisive(self) -> dict[str, Any]:
        """What the index depends on: everything but the device, and the state of a local model's files."""
        files = [p.stat() for p in (ModelName.of(self.embedding).files() if self.embedding else ())]
        return asdict(self) | {"device": None, "files": [(each.st_size, each.st_mtime_ns) for each in files]}

    def count(self, video: str) -> int | None:
        """How many individuals this video is said to show; the first pattern that matches."""
        if not isinstance(self.individuals, Mapping):
            return None if self.individuals is None else int(self.individuals)
        return next((int(n) for pattern, n in self.individuals.items() if fnmatch(video, pattern)), None)


@dataclass
class ShardConfig:
    """Which share of the work this run takes; shards may run at once on one `out`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.index < self.count:
            raise ValueError(f"shard.index must be from 0 to shard.count-1, got {self.index} of {self.count}")

    def takes(self, digest: str) -> bool:
        """Whether what has this (hexadecimal) digest is done by this shard."""
        return int(digest, 16) % self.count == self.index


@dataclass
class CacheConfig:
    """Where videos of servers lie while they are used, and how much of the disk they may take together."""

    path: str = "~/.cache/clipcrop"
    max_gb: float = 50.0  # 1 GB is 10^9 bytes
    results_gb: float = 50.0  # of what a remote `out` has: crops, tracks and exports that may stay here too

    def __post_init__(self) -> None:
        if not 0 < self.max_gb < math.inf:
            raise ValueError(f"cache.max_gb must be more than 0, got {self.max_gb}")
        if not 0 <= self.results_gb < math.inf:
            raise ValueError(f"cache.results_gb must be 0 or more, got {self.results_gb}")


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked config. Paths are absolute; `videos`, `prompts` and `exports` are tuples.

    url: of a dataset on a server; `out` is then the folder that stands for it here.

    prompts: of every video, or empty with a prompts_file, which says it for each.
    """

    task: str
    videos: tuple[str, ...]
    prompts: tuple[str, ...]
    prompts_file: PromptsFile | None
    out: Path
    url: str | None
    tracks: Path
    cache: CacheConfig
    keep_tracks: bool
    disjoint: bool
    corrections: Path | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    hours: tuple[float, float] | None
    time_pattern: str | None
    roi: Path | None
    clip: ClipConfig
    tracker_name: str
    tracker: TrackerConfig | None
    reader: str
    crop: CropConfig
    encode: EncodeConfig
    filters: Mapping[str, Any]
    split: SplitConfig
    linking: LinkConfig
    exports: Mapping[str, Any]
    link: str
    classes: str
    labels: Path | None
    executor: Any
    shard: ShardConfig
    plan: PlanConfig
    release: ReleaseConfig
    hub: HubConfig
    demo: DemoConfig
    segment: SegmentConfig
    outputs: OutputsConfig
    studio: StudioConfig
    retry_failed: bool
    values: Mapping[str, Any]  # the whole config as plain dicts, lists and scalars
    document: str  # the same as YAML

    @property
    def digest(self) -> str:
        """Changes with anything that decides the dataset; not with shards, executors, memory or the task."""
        kept = {key: value for key, value in self.values.items() if key not in UNDECISIVE}
        if isinstance(self.values.get("tracker"), Mapping):
            options = self.values["tracker"].items()
            kept["tracker"] = {key: value for key, value in options if key not in UNDECISIVE_OF_TRACKERS}
        kept["link"] = {key: value for key, value in self.values["link"].items() if key != "device"}
        if self.prompts_file is not None:
            kept["prompts_file"] = [(line.video, line.prompts) for line in self.prompts_file.lines]
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def place(self) -> str:
        """The dataset's folder or URL, for people."""
        return str(self.out) if self.url is None else shown(self.url)

    @property
    def dataset_document(self) -> str:
        """What `dataset.yaml` holds: the config and the tracker's name, readable by `load` again. Crops that were made
        anew are a dataset like any other."""
        document = self.document.replace("task: crop\n", "task: build\n", 1)
        return f"# The settings this dataset was made with.\n{document}tracker_name: {self.tracker_name}\n"
