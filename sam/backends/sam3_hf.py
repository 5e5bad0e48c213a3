"""SAM3 through transformers: any number of text prompts in one pass, on CUDA or on the CPU.

The model is loaded once, when the tracker is entered, and stays until it is left; every window gets a session of its
own, of which nothing survives the window but what the encoders made of frames and texts that come again. Frames come
from memory, results depend on no download at run time, and masks of one prompt are disjoint in each frame. It never
chooses another device, number format or model than it says.

Source of the behaviour described here: transformers `Sam3VideoModel` 5.23.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam.backends import access, device, preflight, weights
from sam.backends.hf_features import Features
from sam.backends.hf_kernel import OnDevice
from sam.backends.hf_kernel import installed as local_kernel
from sam.backends.hf_masks import Encoder
from sam.backends.hf_need import sam3_need
from sam.backends.hf_objects import Together
from sam.backends.hf_window import Engine, Window
from sam.backends.limits import Limits, check_limits, failure, quiet
from sam.backends.need import Need
from sam.backends.outlook import outlook
from sam.backends.room import Fit, Room, check_memory
from sam.checks import Check
from sam.memory import release_cuda
from sam.tracker import tracker
from sam.types import FrameMasks, Prompt, SessionFrames

log = logging.getLogger(__name__)

VERSION = 1  # raise it when the same weights, library and options give other masks
EXTRA = "sam3-hf"
PACKAGES = ("transformers", "torch", "torchvision")
FILES = ("*.json", "*.txt", "model*.safetensors")


@tracker("sam3_hf", one_phrase=True)
@dataclass
class Sam3HfConfig:
    """SAM3 by transformers: finds and tracks what the prompt names; CUDA, or the CPU (slow).

    device: auto (cuda if there is one, else cpu), cpu, cuda or cuda:N. dtype: auto (bfloat16 on CUDA, float32 on the
    CPU), float32, bfloat16, float16 (CUDA only). weights: Hugging Face repository or local folder. max_side: frames are
    scaled down to this longer side; null for full size. max_objects: at most so many objects at once, the surest first.
    detection_threshold: score from which the detector confirms an object. new_object_threshold: score from which an
    object that appears after the first frame is tracked. hotstart_delay: frames within which a new object must be
    confirmed; 0 keeps all. state_on_cpu: keep the objects' memory in main memory, slower. encode_batch: frames that
    the image encoder sees at a time. object_batch: objects that the tracker follows in one step. clean_on_device: find
    holes and specks in masks without taking them off the device. compile: the image encoder by torch.compile, which
    takes a minute or more when it first runs. memory_gb: GiB that the model and a window may take together; null for
    what the GPU has, on the CPU for any. release: window | never.
    A null threshold, delay or limit is the model's own.
    """

    device: str = "auto"
    dtype: str = "auto"
    weights: str = "facebook/sam3"
    max_side: int | None = 1280
    max_objects: int | None = None
    detection_threshold: float | None = None
    new_object_threshold: float | None = None
    hotstart_delay: int | None = None
    state_on_cpu: bool = False
    encode_batch: int = 1
    object_batch: int = 1
    clean_on_device: bool = False
    compile: bool = False
    memory_gb: float | None = None
    release: str = "window"

    def __post_init__(self) -> None:
        device.check_options(self.device, self.dtype)
        check_memory(self.memory_gb)
        if self.encode_batch < 1:
            raise ValueError(f"tracker.encode_batch is at least 1 frame, got {self.encode_batch}")
        if self.object_batch < 1:
            raise ValueError(f"tracker.object_batch is at least 1 object, got {self.object_batch}")
        check_limits(self.max_side, self.limits, self.release)

    @property
    def limits(self) -> Limits:
        return Limits(self.max_objects, self.detection_threshold, self.new_object_threshold, self.hotstart_delay)

    def build(self) -> Sam3HfTracker:
        return Sam3HfTracker(self)

    def preflight(self) -> Iterator[Check]:
        """See `sam.checks.Preflight`; imports torch and transformers where they are installed."""
        yield from preflight.transformers_model(Sam3HfTracker.name, EXTRA, self, _importable, _fits)
        if self.compile:
            yield from preflight.compiler()

    def memory(self, frames: int) -> Iterator[Check]:
        """See `sam.checks.Budgeted`; makes the model's shape from its config, without weights."""

        def need(folder: Path, dtype: Any) -> Need:
            from transformers import Sam3VideoConfig

            config = Sam3VideoConfig.from_pretrained(folder)
            delay = config.hotstart_delay if self.hotstart_delay is None else self.hotstart_delay
            return sam3_need(config, dtype, delay, self.encode_batch, self.object_batch)

        yield from outlook(Sam3HfTracker.name, self, frames, need, self.max_objects)


class Sam3HfTracker:
    """See the module docstring; implements `sam.tracker.Tracker` and `sam.memory.ModelTracker`."""

    name = "sam3_hf"
    understands = frozenset({"text"})
    context = 0

    def __init__(self, config: Sam3HfConfig) -> None:
        self._config = config
        self._device, self._dtype = device.resolve(config.device, config.dtype)
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._weights = ""
        self._most = 0  # objects tracked at once in the last window
        self._room = Room(self.name, config.memory_gb, self._device, config.state_on_cpu, config.max_objects)
        self._features: Features | None = None
        self._encoder: Encoder | None = None
        self._together: Together | None = None
        self.max_side = config.max_side
        self.release = config.release
        self.degraded = False
        self.found_by: Mapping[int, str] = {}

    def identity(self) -> dict[str, Any]:
        version = access.installed(self.name, "transformers", EXTRA)
        self._weights = self._weights or weights.identify(self._config.weights, self.name, EXTRA)
        return {
            "tracker": self.name,
            "version": VERSION,
            "transformers": version,
            "weights": self._weights,
            "dtype": self._dtype,
            **self._config.limits.identity(),
        }

    def __enter__(self) -> Self:
        """Load the model; raises TrackerUnavailable naming what is missing and the next step."""
        with ExitStack() as stack:
            stack.callback(release_cuda)
            stack.callback(self._drop)
            self._engine = self._load(stack)
            backbone = self._engine.model.detector_model.vision_encoder.backbone
            self._features, self._encoder = Features(backbone, compiled=self._config.compile), Encoder()
            self._together = Together(self._engine.model.tracker_model, self._config.object_batch)
            self._room.admit(self._need)
            self._stack = stack.pop_all()
        return self

    def _load(self, stack: ExitStack) -> Engine:
        for package in PACKAGES:
            access.installed(self.name, package, EXTRA)
        import torch

        device.check(torch, self.name, self._config.device, self._device, self._dtype)
        if self._config.compile:
            stack.callback(torch.compiler.reset)
        folder = _fits(weights.locate(self._config.weights, self.name, EXTRA, FILES))
        dtype = getattr(torch, self._dtype)
        stack.callback(self._room.release, torch)
        self._room.reserve(torch)
        with quiet("transformers"):
            from transformers.models.sam3_video import modeling_sam3_video

            stack.enter_context(local_kernel(modeling_sam3_video))
            try:
                model, processor = _read(folder, self._device, dtype)
            except Exception as error:
                raise access.unavailable(self.name, f"the weights in {folder} cannot be loaded: {error}") from error
        if self._config.clean_on_device:
            stack.enter_context(local_kernel(modeling_sam3_video, OnDevice(model.fill_hole_area)))
        self._config.limits.apply(model)
        log.info("tracker=%s runs on %s in %s, weights from %s", self.name, self._device, self._dtype, folder)
        return Engine(model, processor, self._device, dtype)

    def _drop(self) -> None:
        self._engine = self._features = self._together = None
        if self._encoder is not None:
            self._encoder.close()
        self._encoder = None

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        """SAM3 learns nothing about a place; there is nothing to see."""

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The objects of each frame. Object ids count from 0 over all prompts; scores are of the first detection.

        A frame comes when the model has done the next one, with which its masks are encoded at the same time. Raises
        OutOfMemory when memory ran out, TrackingFailed when this window cannot be tracked.
        """
        features = self._loaded[1]
        features.room = None
        keeps = features.allowed if features.wanted else 0
        yield from self._run(frames, prompts, self._room.fit(self._room.window(frames), frames.video, keeps))

    def track_smaller(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The same with state in main memory, frame by frame, and as many objects as should fit then."""
        yield from self._run(frames, prompts, self._room.smaller(self._room.window(frames), frames.video))

    def keep(self, frames: SessionFrames | None, last: int | None = None) -> None:
        """Keep what the image backbone makes of these frames, for passes and windows that follow."""
        self._loaded[1].keep(frames, last)

    @property
    def _loaded(self) -> tuple[Engine, Features, Encoder]:
        if self._engine is None or self._features is None or self._encoder is None:
            raise RuntimeError("enter the tracker before tracking")
        return self._engine, self._features, self._encoder

    def _need(self, careful: bool) -> Need:
        """What the loaded model takes. careful: frame by frame and object by object."""
        engine = self._loaded[0]
        batches = (1, 1) if careful else (self._config.encode_batch, self._config.object_batch)
        return sam3_need(engine.model.config, engine.dtype, engine.model.hotstart_delay, *batches)

    def _run(self, frames: SessionFrames, prompts: Sequence[Prompt], fit: Fit) -> Iterator[FrameMasks]:
        engine, features, encoder = self._loaded
        found_by = dict[int, str]()
        self.degraded, self.found_by, self._most = False, found_by, 0
        window: Window | None = None
        encoded: Future[FrameMasks] | None = None
        try:
            with self._prepared(frames, fit) as batch:
                texts = [p.text or "" for p in prompts]
                window = Window(engine, frames.images, texts, fit.state_on_cpu, features, batch)
                for result in window.results():
                    self._room.check(fit, window.most_objects, frames.video)
                    found_by.update(result.texts)
                    previous, encoded = encoded, encoder.encode(result.found, frames)
                    del result
                    if previous is not None:
                        yield previous.result()
                if encoded is not None:
                    yield encoded.result()
            self.degraded = self._room.done(fit, window.most_objects)
        except Exception as error:
            failed = failure(error, self.name, frames.video)
            self._room.failed(window.most_objects if window is not None else 0, failed)
            raise failed from None
        finally:
            self._most = window.most_objects if window is not None else 0
            del engine, window, features, encoder, encoded

    @contextmanager
    def _prepared(self, frames: SessionFrames, fit: Fit) -> Iterator[int]:
        """While entered, the model is set up for these frames; gives how many of them to encode at a time."""
        engine, features, _ = self._loaded
        before = engine.model.max_num_objects
        with ExitStack() as stack:
            stack.callback(setattr, engine.model, "max_num_objects", before)
            stack.callback(features.close)
            features.room = fit.kept
            if fit.kept == 0:
                features.keep(None)
            features.open(frames)
            if fit.most is not None:
                engine.model.max_num_objects = fit.most
            if not fit.careful and self._together is not None and self._together.batch > 1:
                stack.enter_context(self._together.installed())
            yield 1 if fit.careful else self._config.encode_batch


def _fits(folder: Path) -> Path:
    """The folder, if transformers can load it; raises TrackerUnavailable."""
    weights.check_transformers_folder(folder, Sam3HfTracker.name)
    return folder


def _importable() -> str:
    """Import the library's SAM3; raises TrackerUnavailable."""
    try:
        from transformers.models.sam3_video import modeling_sam3_video
    except ImportError as error:
        text = f"transformers {metadata.version('transformers')} cannot import SAM3 video: {error}"
        raise access.unavailable(Sam3HfTracker.name, f"{text}; make setup EXTRAS={EXTRA}") from error
    with local_kernel(modeling_sam3_video):
        return "Sam3VideoModel, with its own clean-up of masks instead of the downloaded kernel"


def _read(folder: Path, where: str, dtype: Any) -> tuple[Any, Any]:
    """The model, on its device, and its processor from a local folder; without a progress bar."""
    from transformers import Sam3VideoModel, Sam3VideoProcessor
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        processor = Sam3VideoProcessor.from_pretrained(folder)
        model = Sam3VideoModel.from_pretrained(folder, dtype=dtype)
    finally:
        if shown:
            bars.enable_progress_bar()
    return model.to(device=where).eval(), processor
