"""Where a tracker's weights are and which ones they are: a local folder or file, or a Hugging Face repository.

`identify` names the weights without loading them, for the key under which tracks are stored: the commit of a
repository, or a digest of local files. `locate` returns the local folder to load from, downloading exactly that commit
if it is missing. Neither imports torch, and both raise `TrackerUnavailable` with the next step.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sam.backends.access import explain, missing, unavailable
from sam.errors import TrackerUnavailable

SAMPLES, SAMPLE = 512, 2**12  # blocks, and bytes in each, that are read of a large weights file for its digest
SMALL = (".json", ".txt")
LARGE = (".safetensors", ".pt")
SAM3_VIDEO = {"sam3_video": "SAM3 video"}
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


def is_local(weights: str) -> bool:
    """Whether `tracker.weights` names something on this machine: it exists, or it is written like a path."""
    path = Path(weights).expanduser()
    return path.exists() or path.is_absolute() or weights.startswith((".", "~")) or path.suffix in LARGE


def identify(weights: str, tracker: str, extra: str) -> str:
    """`sha256:...` of local weights, or `repo@commit`; asks the hub only if the commit is not in the local cache."""
    if is_local(weights):
        return f"sha256:{digest(local(weights, tracker))}"
    return f"{weights}@{commit(weights, tracker, extra)}"


def local(weights: str, tracker: str) -> Path:
    """The path that `tracker.weights` names; raises TrackerUnavailable if nothing is there."""
    path = Path(weights).expanduser().absolute()
    if not path.exists():
        near = next(parent for parent in path.parents if parent.exists())
        raise unavailable(tracker, f"tracker.weights={weights} does not exist ({near} does)")
    return path


def digest(path: Path) -> str:
    """Hash of a file or folder of weights: small files whole, large ones by size, both ends and blocks spread between.

    Weights that were trained further differ all over; a change of less than a few megabytes may go unseen.
    """
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix in SMALL + LARGE)
    total = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        total.update(f"{'' if path.is_file() else file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            if file.suffix in SMALL or size <= SAMPLES * SAMPLE:
                total.update(stream.read())
                continue
            for n in range(SAMPLES):
                stream.seek(n * (size - SAMPLE) // (SAMPLES - 1))
                total.update(stream.read(SAMPLE))
    return total.hexdigest()[:32]


def checked_name(repo: str, tracker: str) -> str:
    """The name of a repository; raises TrackerUnavailable if it cannot be one."""
    if not _REPO.fullmatch(repo):
        raise unavailable(tracker, f"tracker.weights={repo} is neither a path that exists nor a repository owner/name")
    return repo


def commit(repo: str, tracker: str, extra: str) -> str:
    """The commit of a repository that is or would be loaded: the cached one, else the hub's newest."""
    checked_name(repo, tracker)
    try:
        from huggingface_hub import HfApi, constants
    except ImportError:
        raise missing(tracker, "huggingface_hub", extra) from None

    known = _reference(repo, constants.HF_HUB_CACHE)
    if known.is_file():
        return known.read_text().strip()
    try:
        found: str | None = HfApi().model_info(repo).sha
    except Exception as error:
        raise explain(error, repo, tracker) from error
    if found is None:
        raise unavailable(tracker, f"Hugging Face names no commit for {repo}")
    return found


def locate(weights: str, tracker: str, extra: str, patterns: Sequence[str]) -> Path:
    """The local folder or file to load from; downloads the files of a repository that match `patterns`."""
    if is_local(weights):
        return local(weights, tracker)
    revision = commit(weights, tracker, extra)
    from huggingface_hub import constants, snapshot_download

    try:
        folder = Path(snapshot_download(weights, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:
        raise explain(error, weights, tracker) from error
    known = _reference(weights, constants.HF_HUB_CACHE)
    if not known.is_file():  # a download by commit leaves it out, and offline runs need it
        known.parent.mkdir(parents=True, exist_ok=True)
        part = known.with_name(f"main.{os.getpid()}.part")
        part.write_text(revision)
        os.replace(part, known)
    return folder


def cached(repo: str) -> Path | None:
    """The folder with the files of a repository that were fetched, complete or not; None if there is none."""
    known = _reference(repo, str(cache()))
    folder = known.parents[1] / "snapshots" / known.read_text().strip() if known.is_file() else None
    return folder if folder is not None and folder.is_dir() else None


def broken_off(repo: str) -> int:
    """Bytes of a repository's files that were being downloaded when a process was killed, or are right now."""
    blobs = _reference(repo, str(cache())).parents[1] / "blobs"
    return sum(part.stat().st_size for part in blobs.glob("*.incomplete"))


def cache() -> Path:
    """Where Hugging Face keeps what it downloads."""
    try:
        from huggingface_hub import constants
    except ImportError:
        home = os.environ.get("HF_HOME", "~/.cache/huggingface")
        return Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
    return Path(constants.HF_HUB_CACHE)


def _reference(repo: str, cache: str) -> Path:
    """Where the Hugging Face cache notes the commit that a repository's main branch was at."""
    return Path(cache) / f"models--{repo.replace('/', '--')}" / "refs" / "main"


def check_transformers_folder(
    folder: Path, tracker: str, kinds: Mapping[str, str] = SAM3_VIDEO, tokenizer: bool = True
) -> None:
    """Refuse a folder that transformers could not load; says which file is missing or half there.

    kinds: model types of config.json that the tracker runs, with their names in words. tokenizer: whether it needs one.
    """
    if not folder.is_dir():
        raise unavailable(tracker, f"tracker.weights must be a folder with config.json, but {folder} is a file")
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors*")):
        if list(folder.glob("*.pt")):
            raise unavailable(
                tracker,
                f"{folder} holds the official package's weights (.pt) alone; {tracker} loads config.json and "
                "model.safetensors of the same repository, and tracker=sam3 loads the .pt file",
            )
        raise unavailable(tracker, f"{folder} has no config.json with *.safetensors beside it: it holds no checkpoint")
    kind = _json(folder / "config.json", tracker).get("model_type")
    if kind not in kinds:
        known = ", ".join(f"{words} ({name!r})" for name, words in kinds.items())
        raise unavailable(tracker, f"{folder} holds a {kind!r} model, not {known}")
    index = folder / "model.safetensors.index.json"
    names = (
        set(_json(index, tracker)["weight_map"].values())
        if index.is_file()
        else {p.name for p in folder.glob("*.safetensors")}
    )
    for name in sorted(names):
        check_safetensors(folder / name, tracker)
    needed = [("processor_config.json", "preprocessor_config.json")]
    if tokenizer:
        needed.append(("tokenizer.json", "vocab.json"))
    for names_of_one in needed:
        if not any((folder / name).is_file() for name in names_of_one):
            raise unavailable(
                tracker, f"{folder} is incomplete: {names_of_one[0]} is missing; download the whole repository"
            )


def check_safetensors(file: Path, tracker: str) -> None:
    """Refuse a file that is shorter than its own header says: an interrupted download."""
    promised = size = file.stat().st_size if file.is_file() else 0
    if size >= 8:
        with file.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            promised = 8 + length
            if promised <= size:
                header = json.loads(stream.read(length))
                ends = [t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"]
                promised += max(ends, default=0)
    if size < 8 or size != promised:
        raise _half(file, size, promised, tracker)


def check_torch_file(file: Path, tracker: str) -> None:
    """Refuse a .pt file without the directory that torch writes at its end: an interrupted download."""
    if not zipfile.is_zipfile(file):
        raise _half(file, file.stat().st_size, 0, tracker)


def _half(file: Path, size: int, promised: int, tracker: str) -> TrackerUnavailable:
    expected = f" of {promised}" if promised > size else ""
    where = file.resolve() if file.is_symlink() else file
    return unavailable(
        tracker,
        f"{where} is only partly there ({size}{expected} bytes), so its download was cut off: delete it and download "
        "it again",
    )


def _json(file: Path, tracker: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except ValueError:
        raise unavailable(tracker, f"{file} is damaged: delete it and download it again") from None
    assert isinstance(content, dict)
    return content
