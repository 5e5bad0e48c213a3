"""Vision models that turn a picture into a vector: any of timm or transformers, by name or from a folder.

    timm:resnet18                       pretrained weights of timm, from the model hub
    timm:hf-hub:OWNER/NAME              the same of anybody's model for timm
    timm:FOLDER                         config.json and weights, as timm saves them; nothing is downloaded
    transformers:facebook/dinov2-small  a vision model of transformers, from the model hub
    transformers:FOLDER                 the same from a folder

torch is imported when a model is opened, not before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
NEEDS = {"timm": ("timm", "torch", "torchvision"), "transformers": ("transformers", "torch", "torchvision")}
MEAN, STD, SIDE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224  # of ImageNet, for a model that does not say
AT_ONCE = 64  # pictures that a model sees in one batch


@dataclass(frozen=True, slots=True)
class ModelName:
    """`link.embedding` taken apart. where: a model's name, or a folder's absolute path."""

    library: str
    where: str

    @classmethod
    def of(cls, text: str) -> ModelName:
        """Raises ValueError for a text that names no model."""
        library, _, where = str(text).partition(":")
        if library not in NEEDS or not where.strip():
            raise ValueError(
                f"link.embedding must be timm:NAME, timm:FOLDER, transformers:NAME or transformers:FOLDER, got {text}"
            )
        if where.startswith((".", "~", "/")) or (Path(where) / "config.json").is_file():
            where = str(Path(where).expanduser().absolute())
        return cls(library, where)

    def __str__(self) -> str:
        return f"{self.library}:{self.where}"

    @property
    def folder(self) -> Path | None:
        """None for a model from the hub."""
        return Path(self.where) if Path(self.where).is_absolute() else None

    def files(self) -> list[Path]:
        """The files of the folder, sorted; none for a model from the hub."""
        return [] if self.folder is None else sorted(p for p in self.folder.glob("*") if p.is_file())

    def key(self) -> str:
        """Equal for equal models: the contents of the folder, wherever it lies; for a model from the hub, its name."""
        digest = hashlib.sha256(f"{self.library}:{'' if self.folder else self.where}".encode())
        for path in self.files():
            with open(path, "rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:24]

    def check(self) -> None:
        """Raises ConfigError where its packages or its folder are missing; imports nothing."""
        lacking = [name for name in NEEDS[self.library] if find_spec(name) is None]
        if lacking:
            raise ConfigError(
                f"link.embedding={self} needs {' and '.join(lacking)}, not installed here: pip install -e "
                "'.[embed]' (or make setup EXTRAS=embed), or leave link.embedding=null"
            )
        if self.folder is not None and not (self.folder / "config.json").is_file():
            raise ConfigError(
                f"link.embedding={self}: there is no {self.folder / 'config.json'}; name a folder with a saved model, "
                "or a model's name without a leading / or ."
            )


@dataclass(frozen=True, slots=True)
class VisionModel:
    """An opened model. weights: their sha256. embed: (n, S, S, 3) uint8 RGB to (n, D) float32 of length 1."""

    device: str
    weights: str
    embed: Callable[[U8], F32]


def open_model(name: ModelName, device: str) -> VisionModel:
    """Open a model for looking. device: auto, cpu, cuda or cuda:N.

    Pictures are resized to the model's own side (bicubic) and normalised as it wants. Raises ConfigError when its
    packages, its weights or the device are not there.
    """
    name.check()
    import torch

    chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"link.device={device}: this machine has no GPU that torch can use; use link.device=cpu")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"link.device={device} does not exist: this machine shows {torch.cuda.device_count()} GPUs, the first is "
            "cuda:0"
        )
    try:
        opened = (_timm if name.library == "timm" else _transformers)(name)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"link.embedding={name} cannot be opened ({first}): check the name, download it where there is a network, "
            "or name a folder that holds it"
        ) from error
    model, side = opened.model.eval().requires_grad_(False).to(chosen), opened.side
    centre, scale = (torch.tensor(values, device=chosen).view(1, 3, 1, 1) for values in (opened.mean, opened.std))

    def embed(pictures: U8) -> F32:
        found = []
        with torch.inference_mode():
            for first in range(0, len(pictures), AT_ONCE):
                part = torch.from_numpy(pictures[first : first + AT_ONCE]).to(chosen).permute(0, 3, 1, 2).float() / 255
                if part.shape[2:] != (side, side):
                    part = torch.nn.functional.interpolate(part, (side, side), mode="bicubic", antialias=True)
                vectors = opened.see((part.clamp(0, 1) - centre) / scale).float()
                found.append(torch.nn.functional.normalize(vectors, dim=1).cpu().numpy())
        return np.concatenate(found)

    return VisionModel(str(chosen), _digest_of(model, opened.made_up), embed)


@dataclass(frozen=True, slots=True)
class _Opened:
    """see: (n, 3, side, side) normalised with mean and std, to (n, D). made_up: names of weights that the files lack
    and `see` does not use."""

    model: Any
    see: Callable[[Any], Any]
    side: int
    mean: Sequence[float]
    std: Sequence[float]
    made_up: frozenset[str] = frozenset()


def _timm(name: ModelName) -> _Opened:
    import timm

    where = name.where if name.folder is None else f"local-dir:{name.folder}"
    model = timm.create_model(where, pretrained=True, num_classes=0)
    wants = timm.data.resolve_model_data_config(model)
    return _Opened(model, model, int(wants["input_size"][1]), wants["mean"], wants["std"])


def _transformers(name: ModelName) -> _Opened:
    from transformers import AutoImageProcessor, AutoModel

    offline = {"local_files_only": True} if name.folder else {}
    model, loaded = AutoModel.from_pretrained(name.where, output_loading_info=True, **offline)
    made_up = frozenset(loaded["missing_keys"])
    if lacking := sorted(key for key in made_up if "pooler" not in key):
        raise ValueError(f"its weights lack {', '.join(lacking[:3])}{' and more' if len(lacking) > 3 else ''}")
    config = getattr(model.config, "vision_config", model.config)
    side = getattr(config, "image_size", SIDE)
    mean, std = MEAN, STD
    if name.folder is None or (name.folder / "preprocessor_config.json").is_file():
        wants = AutoImageProcessor.from_pretrained(name.where, **offline)
        mean, std = (getattr(wants, f"image_{key}", None) or own for key, own in (("mean", MEAN), ("std", STD)))

    def see(pictures: Any) -> Any:
        """The image features of a model of images and texts, else the mean over all tokens or places: pooling layers
        are often not among the weights."""
        if hasattr(model, "get_image_features"):
            found = model.get_image_features(pixel_values=pictures)
            return getattr(found, "pooler_output", found)
        last = model(pixel_values=pictures).last_hidden_state
        return last.flatten(2).mean(dim=2) if last.ndim == 4 else last.mean(dim=1)

    return _Opened(model, see, int(side if isinstance(side, int) else side[0]), mean, std, made_up)


def _digest_of(model: Any, made_up: Collection[str]) -> str:
    import torch

    digest = hashlib.sha256()
    for key, value in sorted((k, v) for k, v in model.state_dict().items() if k not in made_up):
        digest.update(key.encode() + value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
