"""Finding the official SAM3 package: a checkout in `sam3/` at the repository's root, or an installed package.

A folder named `sam3/` beside main.py shadows an editable install of that very folder: Python then imports an empty
namespace instead of the package inside. `Package.load` puts the checkout itself on the path, so that the package inside
it is found, and takes an empty namespace out again. Only `load` imports anything, and nothing here changes the
package's files.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import logging
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from sam.backends.access import OTHERS, missing, unavailable
from sam.checks import Check
from sam.errors import TrackerUnavailable

ROOT = Path(__file__).parents[2]
EXTRA = "sam3"
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
ADVICE = {
    "pkg_resources": "pip install 'setuptools<82'",
    "triton": "install a torch built for CUDA, which brings it (https://pytorch.org/get-started/locally)",
    "cv2": "pip install opencv-python-headless",
    "skimage": "pip install scikit-image",
}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Package:
    """The official package as found. folder: where its `__init__.py` lies. label: its version, for the identity."""

    folder: Path
    label: str
    checkout: bool

    def requirements(self) -> list[str]:
        """What it asks for, as in package metadata."""
        if not self.checkout:
            return metadata.requires("sam3") or [] if _installed() else []
        project = self.folder.parent / "pyproject.toml"
        content = tomllib.loads(project.read_text()) if project.is_file() else {}
        return list(content.get("project", {}).get("dependencies", []))

    def importable(self, version: str) -> str:
        """Import it and say so; raises TrackerUnavailable naming what it lacks for this version of the model."""
        self.load()
        if version == "3.1":
            multiplex()
        return f"sam3 can be imported and builds SAM {version}"

    def load(self) -> None:
        """Import it; raises TrackerUnavailable naming the package it lacks."""
        if self.checkout and sys.path[:1] != [str(self.folder.parent)]:
            sys.path.insert(0, str(self.folder.parent))
        there = sys.modules.get("sam3")
        if there is not None and there.__file__ is None:
            del sys.modules["sam3"]  # the empty namespace
        importlib.invalidate_caches()
        try:
            found = importlib.import_module("sam3")
            importlib.import_module("sam3.model_builder")
        except ModuleNotFoundError as error:
            name = (error.name or "").partition(".")[0]
            fix = ADVICE.get(name, f"pip install {name}")
            raise TrackerUnavailable(f"sam3 in {self.folder} cannot be imported without {name}: {fix}") from error
        except Exception as error:  # it runs code of many libraries when it is imported
            raise TrackerUnavailable(f"sam3 in {self.folder} cannot be imported: {error}; {OTHERS['sam3']}") from error
        if Path(found.__file__ or "").parent != self.folder:
            raise TrackerUnavailable(
                f"sam3 was already imported from {found.__file__}, so {self.folder} cannot be used in this process"
            )
        log.info("tracker=sam3 uses the %s sam3 in %s", "checked-out" if self.checkout else "installed", self.folder)


def look() -> tuple[Check, Package | None]:
    """`find` for `task=doctor`; also says when the checkout hides an installed package."""
    try:
        package = find()
    except TrackerUnavailable as error:
        return Check("package", "NO", str(error)), None
    text = f"sam3 {package.label} in {package.folder}"
    if package.checkout and (other := _installed()):
        return Check("package", "note", f"{text}; it hides the installed sam3 {other}"), package
    return Check("package", "ok", text), package


def _installed() -> str:
    """The version of the installed distribution; empty if there is none."""
    try:
        return metadata.version("sam3")
    except metadata.PackageNotFoundError:
        return ""


def multiplex() -> Any:
    """The builder of SAM 3.1's predictor; raises TrackerUnavailable where the imported package has none."""
    import sam3.model_builder as builder

    if not hasattr(builder, "build_sam3_multiplex_video_predictor"):
        raise TrackerUnavailable(
            "tracker.version=3.1 needs a newer sam3 than the one installed: clone "
            "https://github.com/facebookresearch/sam3 into sam3/ beside main.py, or use tracker.version=3.0"
        )
    return builder.build_sam3_multiplex_video_predictor


def find() -> Package:
    """The checkout in `sam3/` if there is one, else the installed package; raises TrackerUnavailable."""
    inside = ROOT / "sam3" / "sam3"
    if (inside / "__init__.py").is_file():
        return Package(inside, f"checkout {_digest(inside)}", checkout=True)
    if (ROOT / "sam3").is_dir() and not (ROOT / "sam3" / "__init__.py").is_file() and any((ROOT / "sam3").iterdir()):
        raise unavailable(
            "sam3", f"{ROOT / 'sam3'} is no checkout of https://github.com/facebookresearch/sam3 (no sam3/__init__.py)"
        )
    spec = find_spec("sam3") if "sam3" not in sys.modules else sys.modules["sam3"].__spec__
    if spec is None or spec.origin is None:
        raise missing("sam3", "the official package sam3", EXTRA)
    label = _installed() or _digest(Path(spec.origin).parent)
    return Package(Path(spec.origin).parent, label, checkout=False)


def _digest(folder: Path) -> str:
    """Of the package's own source: a checkout has no version that changes with it."""
    total = hashlib.sha256()
    for file in sorted([*folder.glob("*.py"), *folder.glob("model/**/*.py"), *folder.glob("sam/**/*.py")]):
        total.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes())
    return f"sha256:{total.hexdigest()[:16]}"


def vocabulary(given: str | None, package: Package) -> Path:
    """The vocabulary of SAM3's text encoder: the given file, else the package's, else open_clip's copy of it."""
    if given is not None:
        file = Path(given).expanduser().absolute()
        if not file.is_file():
            raise TrackerUnavailable(f"tracker.vocabulary={given} does not exist; SAM3 needs {VOCABULARY}")
        return _whole(file)
    places = [package.folder / "assets", package.folder.parent / "assets"]
    clip = find_spec("open_clip")
    if clip is not None and clip.origin is not None:
        places.append(Path(clip.origin).parent)
    for place in places:
        if (place / VOCABULARY).is_file():
            return _whole(place / VOCABULARY)
    raise TrackerUnavailable(
        f"tracker=sam3 needs the vocabulary {VOCABULARY}, which the PyPI package lacks: pip install open_clip_torch, "
        f"which has the same file, or tracker.vocabulary=/path/{VOCABULARY}"
    )


def _whole(file: Path) -> Path:
    with file.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            raise TrackerUnavailable(f"{file} is no gzip file, so it is not SAM3's vocabulary {VOCABULARY}")
    return file


def checkpoint(place: Path, version: str) -> Path:
    """The .pt file of a model version in a folder, or the file itself; raises TrackerUnavailable."""
    if place.is_file():
        return place
    name = {"3.0": "sam3.pt", "3.1": "sam3.1_multiplex.pt"}[version]
    files = sorted(place.glob("*.pt"))
    if (place / name).is_file():
        return place / name
    if len(files) == 1:
        return files[0]
    found = ", ".join(f.name for f in files) or "none"
    raise unavailable("sam3", f"{place} should hold {name}; it has these .pt files: {found}")


def offloads(model: Any) -> bool:
    """Whether the objects' memory of this model can be kept in main memory."""
    start = getattr(getattr(model, "tracker", None), "init_state", None)
    return start is not None and "offload_state_to_cpu" in inspect.signature(start).parameters


@contextmanager
def state_in_main_memory(model: Any) -> Iterator[None]:
    """While entered, objects that the model starts to track keep their memory of each frame in main memory.

    SAM 3.0's tracking part has a parameter for it that the predictor's requests do not reach; it is given here.
    """
    if not offloads(model):  # SAM 3.1 takes it with the request
        yield
        return
    own = vars(model.tracker).get("init_state")
    model.tracker.init_state = partial(model.tracker.init_state, offload_state_to_cpu=True)
    try:
        yield
    finally:
        if own is None:
            del model.tracker.init_state
        else:
            model.tracker.init_state = own


def hush() -> Callable[[], None]:
    """Keep the package's progress bars, one per prompt and window, and its chatter out; returns what undoes it."""
    bars: list[tuple[ModuleType, Any]] = []
    for name, module in list(sys.modules.items()):
        if name.startswith("sam3.model.") and hasattr(module, "tqdm"):
            bars.append((module, module.tqdm))
            module.tqdm = _no_bar  # type: ignore[attr-defined]
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.split(".")[0] == "sam3"]
    levels = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)

    def restore() -> None:
        for module, bar in bars:
            module.tqdm = bar  # type: ignore[attr-defined]
        for logger, level in levels:
            logger.setLevel(level)

    return restore


def _no_bar(steps: Any, *args: object, **options: object) -> Any:
    return steps
