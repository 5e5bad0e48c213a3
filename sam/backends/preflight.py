"""Checks that the SAM3 trackers share: packages, their wishes about each other, access to weights, weights on disk.

Every message of a refusal is the one a run would stop with (`access.py`, `weights.py`). At most one short request goes
to Hugging Face, and none where the weights are here or HF_HUB_OFFLINE is set.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Protocol

from sam.backends import access, device, weights
from sam.backends.limits import COMPILER
from sam.checks import Check, look

SECONDS = 10  # that a hub may take to answer


class ModelOptions(Protocol):
    """The options of a tracker that say where its model runs and where it comes from."""

    device: str
    dtype: str
    weights: str


def packages(tracker: str, names: Sequence[str], extra: str) -> Check:
    """Whether the packages are installed, with their versions."""

    def versions() -> str:
        return ", ".join(f"{name} {access.installed(tracker, name, extra)}" for name in names)

    return look("packages", versions)


def transformers_model(
    tracker: str, extra: str, options: ModelOptions, importable: Callable[[], str], fits: Callable[[Path], Path]
) -> Iterator[Check]:
    """Everything a model of transformers needs. importable: import the model's code, raising TrackerUnavailable.
    fits: the folder of weights that would be loaded, raising TrackerUnavailable if it cannot be."""
    there = packages(tracker, ("transformers", "torch", "torchvision"), extra)
    yield there
    if there.state == "ok":
        fix = f"make setup EXTRAS={extra} installs versions that were tested together"
        yield from wishes("transformers", metadata.requires("transformers") or (), fix)
        yield look("import", importable)
    on, dtype = device.resolve(options.device, options.dtype)
    yield look("device", lambda: device.usable(tracker, options.device, on, dtype))
    yield from weights_there(options.weights, tracker, extra, ("config.json", "model*.safetensors"), fits)


def compiler() -> Iterator[Check]:
    """A note where triton would find no C compiler, which kernels need that were not compiled here before."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        yield Check("compiler", "note", f"this machine has none for GPU kernels; {COMPILER}")


def wishes(who: str, requirements: Iterable[str], fix: str) -> Iterator[Check]:
    """A note for each requirement of `who` that the installed packages do not meet.

    requirements: as in package metadata; those of extras and of other platforms do not count.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requirements:
        try:
            wish = Requirement(text)
        except InvalidRequirement:
            continue  # a link or a path, which no version can meet or miss
        if wish.marker is not None and not wish.marker.evaluate({"extra": ""}):
            continue
        wanted = f"{wish.name}{wish.specifier}"
        try:
            there = metadata.version(wish.name)
        except metadata.PackageNotFoundError:
            yield Check("conflict", "note", f"{who} asks for {wanted}, which is not installed: {fix}")
            continue
        if not wish.specifier.contains(there, prereleases=True):
            yield Check("conflict", "note", f"{who} asks for {wanted}, and {wish.name} {there} is installed: {fix}")


def weights_there(
    where: str, tracker: str, extra: str, needed: Sequence[str], fits: Callable[[Path], Path]
) -> Iterator[Check]:
    """Weights from disk, or access to the repository a run would download them from.

    where: `tracker.weights`. needed: patterns of the files without which nothing is there yet. fits: the file or folder
    that would be loaded from the one found; raises TrackerUnavailable if it is damaged or no such model.
    """
    if weights.is_local(where):
        yield look("weights", lambda: _found(fits(weights.local(where, tracker))))
        return
    folder = weights.cached(where)
    if folder is not None and all(any(folder.glob(pattern)) for pattern in needed):
        yield look("weights", lambda: f"{where}, {_found(fits(folder))}")
        return
    asked = look("access", lambda: _ask(where, tracker, extra))
    yield asked
    cache = weights.cache()
    near = next(p for p in (cache, *cache.parents) if p.exists())
    room = f"{shutil.disk_usage(near).free / 2**30:.1f} GiB free"
    if part := weights.broken_off(where):
        room += f"; {part / 2**30:.2f} GiB in *.incomplete are of a download that runs or was killed"
    if asked.state == "ok":
        yield Check("weights", "note", f"not here yet: the first run downloads them into {cache} ({room})")
    else:
        yield Check("weights", "NO", f"{where} is not in {cache} ({room})")


def _ask(repo: str, tracker: str, extra: str) -> str:
    """Ask for one small file of a repository as a download would; raises TrackerUnavailable."""
    weights.checked_name(repo, tracker)
    try:
        from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url
    except ImportError:
        raise access.missing(tracker, "huggingface_hub", extra) from None
    try:
        get_hf_file_metadata(hf_hub_url(repo, "config.json"), timeout=SECONDS)
    except Exception as error:
        raise access.explain(error, repo, tracker) from error
    return f"{repo} may be downloaded ({'with the token of this machine' if get_token() else 'without a token'})"


def _found(path: Path) -> str:
    files = [path] if path.is_file() else [p for p in path.iterdir() if p.suffix in weights.LARGE]
    return f"{path} ({sum(p.stat().st_size for p in files) / 2**30:.2f} GiB)"
