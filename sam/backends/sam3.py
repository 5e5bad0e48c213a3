"""SAM3 through its official package: CUDA only, one pass over the window per prompt.

The predictor is built once, when the tracker is entered, and stays; every window is a session of the predictor that is
closed again also after an error. Frames come from memory as pictures, never from an mp4 file, whose values the
package's own loader gets wrong. Masks of one prompt are disjoint in each frame. It never edits the package's source and
runs in the thread that entered it, because the package keeps its number format per thread.

Source of the behaviour described here: sam3 0.1.4 (SAM 3.0). SAM 3.1 follows its documented requests and has never
been run with this file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sam.backends import access, device, official, preflight, weights
from sam.backends.found import gather, nothing
from sam.backends.limits import Limits, check_limits, failure
from sam.backends.need import Need
from sam.backends.official_need import official_need
from sam.backends.room import Fit, Room, check_memory
from sam.checks import Check, look
from sam.errors import TrackerUnavailable, TrackingFailed
from sam.memory import release_cuda
from sam.tracker import tracker
from sam.types import FrameMasks, Prompt, SessionFrames

log = logging.getLogger(__name__)

VERSION = 1  # raise it when the same weights, package and options give other masks
REPOSITORIES = {"3.0": "facebook/sam3", "3.1": "facebook/sam3.1"}
PACKAGES = ("torch", "torchvision")
FILES = ("*.pt", "config.json")
MOST_31 = 16  # objects that SAM 3.1 tracks by default


@tracker("sam3", one_phrase=True)
@dataclass
class Sam3Config:
    """SAM3 by its official package: finds and tracks what the prompt names; needs an NVIDIA GPU.

    version: 3.0, or 3.1 (multiplex; needs a newer sam3 package; not verified). device: auto, cuda or cuda:N. weights:
    Hugging Face repository, folder or .pt file; null for the version's own repository. vocabulary: bpe file; null for
    the one of the package or of open_clip. max_side: frames are scaled down to this longer side; null for full size.
    max_objects: at most so many objects at once, the surest first. detection_threshold: score from which the detector
    confirms an object. new_object_threshold: score from which an object that appears after the first frame is tracked.
    hotstart_delay: frames within which a new object must be confirmed; 0 keeps all. state_on_cpu: keep the objects'
    memory in main memory, slower. memory_gb: GiB that the model and a window may take together; null for what the GPU
    has. release: window | never. A null threshold, delay or limit is the model's own.
    """

    version: str = "3.0"
    device: str = "auto"
    weights: str | None = None
    vocabulary: str | None = None
    max_side: int | None = 1280
    max_objects: int | None = None
    detection_threshold: float | None = None
    new_object_threshold: float | None = None
    hotstart_delay: int | None = None
    state_on_cpu: bool = False
    memory_gb: float | None = None
    release: str = "window"

    def __post_init__(self) -> None:
        check_memory(self.memory_gb)
        if self.version not in REPOSITORIES:
            raise ValueError(f"tracker.version must be one of {', '.join(REPOSITORIES)}, got {self.version!r}")
        device.check_options(self.device, "auto")
        if self.device == "cpu":
            raise ValueError("tracker=sam3 runs on CUDA only, got tracker.device=cpu; tracker=sam3_hf runs on the CPU")
        check_limits(self.max_side, self.limits, self.release)

    @property
    def limits(self) -> Limits:
        return Limits(self.max_objects, self.detection_threshold, self.new_object_threshold, self.hotstart_delay)

    @property
    def where(self) -> str:
        """The repository, folder or file that the weights come from."""
        return self.weights or REPOSITORIES[self.version]

    def build(self) -> Sam3Tracker:
        return Sam3Tracker(self)

    def preflight(self) -> Iterator[Check]:
        """See `sam.checks.Preflight`; imports torch and the package where they are installed."""
        name = Sam3Tracker.name
        found, package = official.look()
        yield found
        packages = preflight.packages(name, PACKAGES, official.EXTRA)
        yield packages
        on = "cuda" if self.device == "auto" else self.device
        yield look("device", lambda: device.usable(name, self.device, on, "bfloat16"))
        if package is not None:
            fix = f"make setup EXTRAS={official.EXTRA} installs versions that were tested together"
            yield from preflight.wishes(f"sam3 {package.label}", package.requirements(), fix)
            if packages.state == "ok":
                yield look("import", lambda: package.importable(self.version))
            yield from preflight.compiler()
            yield look("vocabulary", lambda: str(official.vocabulary(self.vocabulary, package)))
        yield from preflight.weights_there(self.where, name, official.EXTRA, ("*.pt",), self.checkpoint_in)

    def checkpoint_in(self, place: Path) -> Path:
        """The file to load from a folder of weights, or the file itself; raises TrackerUnavailable."""
        file = official.checkpoint(place, self.version)
        weights.check_torch_file(file, Sam3Tracker.name)
        return file


class Sam3Tracker:
    """See the module docstring; implements `sam.tracker.Tracker` and `sam.memory.ModelTracker`."""

    name = "sam3"
    understands = frozenset({"text"})
    context = 0

    def __init__(self, config: Sam3Config) -> None:
        self._config = config
        self._device = "cuda" if config.device == "auto" else config.device
        self._stack = ExitStack()
        self._predictor: Any = None
        self._thread = 0
        self._weights = ""
        self._most = 0  # objects tracked at once in the last window
        self._room = Room(self.name, config.memory_gb, self._device, config.state_on_cpu, config.max_objects)
        self.max_side = config.max_side
        self.release = config.release
        self.degraded = False
        self.found_by: Mapping[int, str] = {}

    def identity(self) -> dict[str, Any]:
        package = official.find()
        file = official.vocabulary(self._config.vocabulary, package)
        self._weights = self._weights or weights.identify(self._config.where, self.name, official.EXTRA)
        return {
            "tracker": self.name,
            "version": VERSION,
            "model": self._config.version,
            "package": package.label,
            "weights": self._weights,
            "vocabulary": sha256(file.read_bytes()).hexdigest()[:16],
            **self._config.limits.identity(),
        }

    def __enter__(self) -> Self:
        """Build the predictor in this thread; raises TrackerUnavailable naming what is missing and the next step."""
        with ExitStack() as stack:
            stack.callback(release_cuda)
            self._predictor = self._load(stack)
            if self._config.version == "3.0":
                self._room.admit(self._need)
            self._thread = threading.get_ident()
            self._stack = stack.pop_all()
        return self

    def _load(self, stack: ExitStack) -> Any:
        package = official.find()
        for needed in PACKAGES:
            access.installed(self.name, needed, official.EXTRA)
        import torch

        device.check(torch, self.name, self._config.device, self._device, "bfloat16")
        words = official.vocabulary(self._config.vocabulary, package)
        file = self._config.checkpoint_in(weights.locate(self._config.where, self.name, official.EXTRA, FILES))
        package.load()
        stack.callback(self._leave)
        stack.callback(self._room.release, torch)
        self._room.reserve(torch)
        try:
            predictor = self._build(torch, str(file), str(words))
        except TrackerUnavailable:
            raise
        except Exception as error:
            raise access.unavailable(self.name, f"the weights in {file} cannot be loaded: {error}") from error
        self._config.limits.apply(predictor.model)
        if self._config.state_on_cpu and self._config.version == "3.0" and not official.offloads(predictor.model):
            raise TrackerUnavailable(
                f"sam3 {package.label} cannot keep its state in main memory: leave tracker.state_on_cpu=false"
            )
        stack.callback(official.hush())
        log.info("tracker=sam3 %s runs on %s, weights from %s", self._config.version, self._device, file)
        return predictor

    def _build(self, torch: Any, checkpoint: str, words: str) -> Any:
        if ":" in self._device:
            torch.cuda.set_device(self._device)
        if self._config.version == "3.0":
            from sam3.model.sam3_video_predictor import Sam3VideoPredictor

            return Sam3VideoPredictor(checkpoint_path=checkpoint, bpe_path=words)
        return official.multiplex()(
            checkpoint_path=checkpoint,
            bpe_path=words,
            max_num_objects=self._config.max_objects or MOST_31,
            use_fa3=False,
            async_loading_frames=False,
        )

    def _leave(self) -> None:
        """Drop the predictor and leave the bfloat16 autocast that its constructor enters and keeps."""
        predictor, self._predictor = self._predictor, None
        for part in predictor.model.modules() if predictor is not None else ():
            entered = getattr(part, "bf16_context", None)
            if entered is not None:
                entered.__exit__(None, None, None)

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def prepare(self, context: Sequence[NDArray[np.uint8]]) -> None:
        """SAM3 learns nothing about a place; there is nothing to see."""

    def track(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The objects of each frame. Object ids count from 0 over all prompts; scores are of the first detection.

        With several prompts nothing is yielded before the last one's pass. Raises OutOfMemory when memory ran out,
        TrackingFailed when this window cannot be tracked.
        """
        yield from self._run(frames, prompts, self._room.fit(self._room.window(frames), frames.video))

    def track_smaller(self, frames: SessionFrames, prompts: Sequence[Prompt]) -> Iterator[FrameMasks]:
        """The same with as many objects as should fit and, where the package can, state in main memory."""
        yield from self._run(frames, prompts, self._room.smaller(self._room.window(frames), frames.video))

    def keep(self, frames: SessionFrames | None, last: int | None = None) -> None:
        """The package keeps nothing between prompts: a text starts its session anew."""

    def _need(self, careful: bool) -> Need:
        """What the loaded model takes. It holds nothing of the model, which is to be freed when the tracker is left."""
        return official_need(self._predictor.model)

    def _run(self, frames: SessionFrames, prompts: Sequence[Prompt], fit: Fit) -> Iterator[FrameMasks]:
        if self._predictor is None:
            raise RuntimeError("enter the tracker before tracking")
        if threading.get_ident() != self._thread:
            raise RuntimeError("tracker=sam3 tracks in the thread that entered it")
        model = self._predictor.model
        before, self.degraded, self._most, self.found_by = model.max_num_objects, False, 0, {}
        try:
            model.max_num_objects = before if fit.most is None else fit.most
            spare = fit.state_on_cpu or self._config.state_on_cpu
            texts = [p.text or "" for p in prompts]
            with ExitStack() as stack:
                if spare:
                    stack.enter_context(official.state_in_main_memory(model))
                for found in stack.enter_context(closing(self._passes(frames, texts, spare))):
                    self._room.check(fit, self._most, frames.video)
                    yield found
            self.degraded = self._room.done(fit, self._most)
        except Exception as error:
            failed = failure(error, self.name, frames.video)
            self._room.failed(self._most, failed)
            raise failed from None
        finally:
            model.max_num_objects = before

    def _passes(self, frames: SessionFrames, texts: Sequence[str], spare: bool) -> Generator[FrameMasks]:
        """One pass per text in one session; yields each frame once the last pass has seen it."""
        from PIL import Image

        predictor, found_by = self._predictor, dict[int, str]()
        self.found_by = found_by
        opened = predictor.handle_request(
            {
                "type": "start_session",
                "resource_path": [Image.fromarray(image) for image in frames.images],
                "offload_video_to_cpu": spare,  # SAM 3.1 reads these two, SAM 3.0 overlooks them
                "offload_state_to_cpu": spare,
            }
        )
        session = opened["session_id"]
        try:
            earlier: list[list[FrameMasks]] = [[] for _ in frames.images]
            for number, text in enumerate(texts):
                first = max(found_by, default=-1) + 1
                with closing(self._one_pass(session, text, frames, first)) as results:
                    for result in results:
                        found_by.update(dict.fromkeys(result.object_ids, text))
                        earlier[result.frame].append(result)
                        if number == len(texts) - 1:
                            yield _joined(result.frame, earlier[result.frame])
        finally:
            predictor.handle_request({"type": "close_session", "session_id": session})

    def _one_pass(self, session: str, text: str, frames: SessionFrames, first: int) -> Generator[FrameMasks]:
        """The objects of one text, every frame in order; their ids count from `first`."""
        asked = {"session_id": session, "frame_index": 0, "text": text}
        self._predictor.handle_request({"type": "add_prompt", **asked})
        stream = self._predictor.handle_stream_request(
            {
                "type": "propagate_in_video",
                "session_id": session,
                "propagation_direction": "forward",
                "start_frame_index": 0,
            }
        )
        due = 0
        with closing(stream):
            for response in stream:
                frame, output = int(response["frame_index"]), response["outputs"]
                if frame != due:
                    raise TrackingFailed(f"{frames.video}: sam3 answered for frame {frame} when {due} was due")
                due += 1
                if output is None:
                    yield nothing(frame)
                    continue
                ids = [first + int(i) for i in output["out_obj_ids"]]
                self._most = max(self._most, len(ids))
                yield gather(frame, ids, output["out_probs"].tolist(), output["out_binary_masks"], frames)
        if due != len(frames):
            raise TrackingFailed(f"{frames.video}: sam3 answered for {due} of {len(frames)} frames")


def _joined(frame: int, parts: Sequence[FrameMasks]) -> FrameMasks:
    """What several passes found in one frame; their ids differ."""
    return FrameMasks(
        frame,
        tuple(i for part in parts for i in part.object_ids),
        tuple(m for part in parts for m in part.masks),
        tuple(s for part in parts for s in part.scores),
    )
