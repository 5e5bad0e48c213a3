"""Trackers that follow what points, boxes and masks name: what SAM2 and the tracker inside SAM3 have in common.

The model is loaded once, when the tracker is entered; every window gets a state of its own, of which nothing survives
the window. Coordinates are of the source's pixels, whatever size the tracker sees. It never looks for anything by
itself, unless a file of boxes names the objects, and never chooses another device, number format or model than it says.

Source of the behaviour described here: transformers `Sam2VideoModel` and `Sam3TrackerVideoModel` 5.23.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam.backends import access, device, preflight, promptable_image, weights
from sam.backends.boxes import BoxFile
from sam.backends.found import nothing
from sam.backends.hf_need import promptable_need
from sam.backends.hf_window import Engine
from sam.backends.limits import Limits, check_limits, failure, quiet
from sam.backends.need import Need
from sam.backends.outlook import outlook
from sam.backends.promptable_window import PromptableWindow
from sam.backends.room import Fit, Room, check_memory
from sam.checks import Check, look
from sam.errors import TrackerError, WrongPrompt
from sam.image import ImageMask
from sam.memory import release_cuda
from sam.tracker import Dialogue
from sam.types import FrameMasks, Prompt, SessionFrames

log = logging.getLogger(__name__)

VERSION = 1  # raise it when the same weights, library and prompts give other masks
FILES = ("*.json", "model*.safetensors")
PROMPTABLE = frozenset({"points", "box", "mask"})


@dataclass
class PromptableConfig:
    """The options that these trackers share; `Sam2Config` says what they mean. weights: each has its own default."""

    device: str = "auto"
    dtype: str = "auto"
    weights: str = ""
    max_side: int | None = 1280
    fill_holes: int = 8
    state_on_cpu: bool = False
    memory_gb: float | None = None
    release: str = "window"

    def __post_init__(self) -> None:
        device.check_options(self.device, self.dtype)
        check_memory(self.memory_gb)
        check_limits(self.max_side, self.limits, self.release)
        if self.fill_holes < 0:
            raise ValueError(f"tracker.fill_holes is a number of cells from 0, got {self.fill_holes}")

    @property
    def limits(self) -> Limits:
        return Limits()


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model. kinds: model types of its config.json, in words. read: the model and its processor from a
    folder, given torch's number format. importable: the name of the model's class, imported. shape: the config in a
    folder, and the class that is made from it."""

    name: str
    extra: str
    kinds: Mapping[str, str]
    read: Callable[[Path, Any], tuple[Any, Any]]
    importable: Callable[[], str]
    shape: Callable[[Path], tuple[Any, Any]]


def memory_of(config: PromptableConfig, family: Family, frames: int) -> Iterator[Check]:
    """See `sam.checks.Budgeted`; makes the model's shape from its config, without weights."""

    def need(folder: Path, dtype: Any) -> Need:
        shape, made_by = family.shape(folder)
        return promptable_need(shape, dtype, made_by)

    yield from outlook(family.name, config, frames, need)


def preflight_of(config: PromptableConfig, family: Family) -> Iterator[Check]:
    """See `sam.checks.Preflight`; imports torch and transformers where they are installed."""

    def importable() -> str:
        try:
            return family.importable()
        except ImportError as error:
            text = f"transformers {metadata.version('transformers')} cannot import it: {error}"
            raise access.unavailable(family.name, f"{text}; make setup EXTRAS={family.extra}") from error

    def fits(folder: Path) -> Path:
        weights.check_transformers_folder(folder, family.name, family.kinds, tokenizer=False)
        return folder

    yield from preflight.transformers_model(family.name, family.extra, config, importable, fits)
    if getattr(config, "boxes", None):
        yield look("boxes", BoxFile(config.boxes).described)  # type: ignore[attr-defined]


class PromptableTracker:
    """See the module docstring; implements `Tracker`, `DialogueTracker`, `ModelTracker` and `ImageTracker`."""

    understands = PROMPTABLE
    context = 0

    def __init__(self, config: PromptableConfig, family: Family, boxes: BoxFile | None = None) -> None:
        self.name = family.name
        self._boxes = boxes
        if boxes is not None:
            self.understands = PROMPTABLE | {"text"}  # the text is only the label
        self._config = config
        self._family = family
        self._device, self._dtype = device.resolve(config.device, config.dtype)
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._weights = ""
        self._room = Room(self.name, config.memory_gb, self._device, config.state_on_cpu, caps=False)
        self.max_side = config.max_side
        self.release = config.release
        self.degraded = False
        self.found_by: Mapping[int, str] = {}

    def identity(self) -> dict[str, Any]:
        version = access.installed(self.name, "transformers", self._family.extra)
        self._weights = self._weights or weights.identify(self._config.weights, self.name, self._family.extra)
        return {
            "tracker": self.name,
            "version": VERSION,
            "transformers": version,
            "weights": self._weights,
            "dtype": self._dtype,
            "fill_holes": self._config.fill_holes,
            **(self._boxes.identity() if self._boxes else {}),
        }

    def __enter__(self) -> Self:
        """Load the model; raises TrackerUnavailable naming what is missing and the next step."""
        if self._boxes is not None:
            self._boxes.identity()  # reads the files before anything large is loaded
        with ExitStack() as stack:
            stack.callback(release_cuda)
            stack.callback(self._drop)
            self._engine = self._load(stack)
            self._room.admit(self._need)
            self._stack = stack.pop_all()
        return self

    def _load(self, stack: ExitStack) -> Engine:
        extra = self._family.extra
        for package in ("transformers", "torch", "torchvision"):
            access.installed(self.name, package, extra)
        import torch

        device.check(torch, self.name, self._config.device, self._device, self._dtype)
        folder = weights.locate(self._config.weights, self.name, extra, FILES)
        weights.check_transformers_folder(folder, self.name, self._family.kinds, tokenizer=False)
        dtype = getattr(torch, self._dtype)
        stack.callback(self._room.release, torch)
        self._room.reserve(torch)
        with quiet("transformers"), no_bars():
            try:
                model, processor = self._family.read(folder, dtype)
            except Exception as error:
                raise access.unavailable(self.name, f"the weights in {folder} cannot be loaded: {error}") from error
        log.info("tracker=%s runs on %s in %s, weights from %s", self.name, self._device, self._dtype, folder)
        return Engine(model.to(device=self._device).eval(), processor, self._device, dtype)

    def _drop(self) -> None:
        self._engine = None

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def engine(self) -> Engine:
        """The loaded model."""
        if self._engine is None:
            raise RuntimeError("enter the tracker before tracking")
        return self._engine

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        """A place has nothing to learn from; there is nothing to see."""

    def named(self, frames: SessionFrames) -> list[Prompt]:
        """The objects of a window that a text asks for: those of the file of boxes, whatever the text says."""
        return self._boxes.prompts(frames) if self._boxes is not None else []

    def begin(self, frames: SessionFrames) -> Dialogue:
        """A window that takes prompts and corrections one by one; keeps the state of all its frames."""
        options = self._config
        window = PromptableWindow(self.engine, frames, options.state_on_cpu, True, options.fill_holes)
        return _Explained(window, self.name, frames.video, lambda: self.named(frames))

    def segment(self, image: NDArray[np.uint8], prompts: Sequence[Prompt], multimask: bool) -> list[list[ImageMask]]:
        """See `sam.image.segment_image`."""
        with explained(self.name, "the picture"):
            return promptable_image.segment(self.engine, image, prompts, multimask)

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The objects of each frame; scores are the model's belief that the object is there, frame by frame.

        Raises OutOfMemory when memory ran out, TrackingFailed when this window cannot be tracked.
        """
        yield from self._fitted(frames, prompts, self._room.fit(self._room.window(frames), frames.video))

    def track_smaller(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The same with state in main memory; no object is left out."""
        yield from self._fitted(frames, prompts, self._room.smaller(self._room.window(frames), frames.video))

    def keep(self, frames: SessionFrames | None, last: int | None = None) -> None:
        """Every frame is looked at once, whatever the prompts: there is nothing to keep."""

    def _need(self, careful: bool) -> Need:
        """What the loaded model takes; it goes from object to object anyway."""
        return promptable_need(self.engine.model.config, self.engine.dtype, type(self.engine.model))

    def _fitted(self, frames: SessionFrames, prompts: Sequence[Prompt], fit: Fit) -> Iterator[FrameMasks]:
        """Track a window in the way chosen for it, and remember how that went."""
        objects = 0
        try:
            for seen in self._run(frames, prompts, fit.state_on_cpu):
                objects = max(objects, len(seen.object_ids))
                self._room.check(fit, objects, frames.video)
                yield seen
        except TrackerError as error:
            self._room.failed(objects, error)
            raise
        self._room.done(fit, objects)

    def _run(self, frames: SessionFrames, prompts: Sequence[Prompt], state_on_cpu: bool) -> Iterator[FrameMasks]:
        given = [prompt for prompt in prompts if prompt.text is None]
        with explained(self.name, frames.video):
            if len(given) < len(prompts):
                given = [*self.named(frames), *given]
            yield from self._follow(self._window(frames, state_on_cpu), frames, given)

    def _window(self, frames: SessionFrames, state_on_cpu: bool) -> PromptableWindow:
        return PromptableWindow(self.engine, frames, state_on_cpu, False, self._config.fill_holes)

    def _follow(
        self, window: PromptableWindow, frames: SessionFrames, prompts: Sequence[Prompt]
    ) -> Iterator[FrameMasks]:
        """Track what the prompts name; nothing where there are none."""
        named: set[int | None] = set()
        for prompt in prompts:
            if prompt.kinds == {"points"} and 1 not in prompt.labels and prompt.object_id not in named:
                raise WrongPrompt(
                    f"{frames.video}: there is no object {prompt.object_id} to take something from; there are "
                    f"{', '.join(map(str, sorted(filter(None, named)))) or 'none'}"
                )
            named.add(prompt.object_id)
            window.add(prompt)
        yield from window.propagate() if prompts else map(nothing, range(len(frames)))


class _Explained:
    """A window whose errors say what they mean for it. named: what a text asks for."""

    def __init__(
        self, window: PromptableWindow, tracker: str, video: str, named: Callable[[], Sequence[Prompt]]
    ) -> None:
        self._window = window
        self._of = (tracker, video)
        self._named = named

    def add(self, prompt: Prompt) -> FrameMasks:
        with explained(*self._of):
            shown = nothing(prompt.frame)
            for each in [prompt] if prompt.text is None else self._named():
                shown = self._window.add(each)
            return shown

    def propagate(self, direction: str, start: int | None, end: int | None) -> Iterator[FrameMasks]:
        with explained(*self._of):
            yield from self._window.propagate(direction, start, end)

    def remove(self, object_id: int) -> None:
        self._window.remove(object_id)


@contextmanager
def explained(tracker: str, video: str) -> Iterator[None]:
    """Raise what a model's exception means for its window instead of the exception."""
    try:
        yield
    except Exception as error:
        raise failure(error, tracker, video) from None


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars while a model loads."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
