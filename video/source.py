"""What `videos=` names, as a list of files: folders, globs, lists, in one order that does not depend on the machine.

Only looks at names and folders; opening the files is `probe.py`, and what URLs name, `listing.py`. Every file appears
once, under a name relative to the source that named it, which patterns, splits and prompts match. Whatever is wrong is
a `SourceError` that says which value and what would be right.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from video.connection import is_remote, shown
from video.errors import SourceError
from video.found import Found
from video.listing import Named, entries_of, expand, listed_url
from video.probe import probe, recorded_at
from video.types import Video, digest

__all__ = ["EXTENSIONS", "Found", "find", "matches", "probe", "recorded_at", "select", "unique"]

EXTENSIONS = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v", ".flv"),
        *(".mkv", ".webm", ".avi", ".divx", ".wmv", ".asf", ".ogv", ".mxf", ".dv"),
        *(".ts", ".mts", ".m2ts", ".m2t", ".mpg", ".mpeg", ".m2v", ".vob", ".mod", ".tod"),
        *(".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".y4m", ".mjpeg", ".mjpg"),
    }
)
_WILD = re.compile(r"[*?\[]")


def find(videos: Sequence[str], include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Found]:
    """The files that `videos` names, sorted by name, each once.

    An entry is a file, a folder (searched recursively for known extensions, hidden files left out), a glob (`**`
    too) or a `.txt` list with one entry per line, or a URL of one of these; `~` is expanded, and a path that exists is
    never taken for a glob.
    `include` and `exclude` are globs on the name, its last part, or any folder it lies in. Raises SourceError.
    """
    if not videos:
        raise SourceError("videos: nothing given; name a file, a folder, a glob or a .txt list of these")
    files: dict[str, Named] = {}
    for value in videos:
        for named in _expand(value):
            files.setdefault(named[0] if is_remote(named[0]) else os.path.realpath(named[0]), named)
    return select(sorted(_distinct(list(files.values())), key=lambda f: f.name), include, exclude)


def select(found: Sequence[Found], include: Sequence[str], exclude: Sequence[str]) -> list[Found]:
    """Those of the files that `include` and `exclude` leave, see `find`. Raises SourceError when none are left."""
    kept = [
        f
        for f in found
        if (not include or any(matches(f.name, p) for p in include)) and not any(matches(f.name, p) for p in exclude)
    ]
    if not kept:
        rules = " and ".join(f"select.{k}={list(v)}" for k, v in (("include", include), ("exclude", exclude)) if v)
        raise SourceError(f"{rules} leaves none of {len(found)} videos; their names begin with {found[0].name!r}")
    return kept


def matches(name: str, pattern: str) -> bool:
    """Whether a glob matches a name, its last part, or the path or name of any folder it lies in."""
    path = PurePosixPath(name)
    folders = [p for p in path.parents if p.name]
    return any(fnmatchcase(part, pattern) for part in (name, path.name, *(f.as_posix() for f in folders))) or any(
        fnmatchcase(f.name, pattern) for f in folders
    )


def unique(videos: Sequence[Video]) -> tuple[list[Video], list[tuple[Video, Video]]]:
    """(videos with different bytes, pairs of a duplicate and the earlier video it repeats), in the order given."""
    first: dict[str, Video] = {}
    duplicates = []
    for video in videos:
        original = first.setdefault(video.fingerprint, video)
        if original is not video:
            duplicates.append((video, original))
    return list(first.values()), duplicates


def _expand(value: str) -> Iterator[Named]:
    """The (path, name, stat) one entry names."""
    value = value.removeprefix("file://")
    if is_remote(value):
        yield from expand(value, EXTENSIONS)
        return
    path = Path(value).expanduser()
    try:
        if path.is_dir():
            yield from _folder(path)
        elif path.suffix.lower() == ".txt" and path.is_file():
            yield from _listed(path)
        elif path.exists():
            yield str(path), path.name, None
        elif _WILD.search(value):
            yield from _globbed(str(path))
        else:
            raise SourceError(f"videos={value}: there is no such file or folder ({path.absolute()})")
    except OSError as error:
        raise SourceError(f"videos={value}: {error.strerror or error}") from None


def _folder(folder: Path) -> Iterator[Named]:
    names = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        names += [Path(root, f) for f in files if not f.startswith(".") and Path(f).suffix.lower() in EXTENSIONS]
    if not names:
        looked = " ".join(sorted(EXTENSIONS))
        raise SourceError(f"videos={folder}: the folder holds no video; looked in all its folders for {looked}")
    for path in sorted(names):
        yield str(path), path.relative_to(folder).as_posix(), None


def _globbed(pattern: str) -> Iterator[Named]:
    hits = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]
    files = [p for p in hits if p.is_file()]
    if not files:
        folders = f"; it matches {len(hits)} folders, which need a trailing /**" if hits else ""
        raise SourceError(f"videos={pattern}: the glob matches no file{folders}")
    # Where the glob matches everything (`cam*/**`), only what looks like a video is meant.
    known = [p for p in files if p.suffix.lower() in EXTENSIONS] or files
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if _WILD.search(part))
    base = Path(*parts[:fixed])
    for path in known:
        yield str(path), path.relative_to(base).as_posix(), None


def _listed(file: Path) -> Iterator[Named]:
    entries = entries_of(file.read_text(encoding="utf-8-sig"))
    if not entries:
        raise SourceError(f"videos={file}: the list names no video; write one path or URL per line")
    for number, entry in entries:
        entry = entry.removeprefix("file://")
        if is_remote(entry):
            yield from listed_url(entry, f"{file}, line {number}", "", EXTENSIONS)
            continue
        path = Path(os.path.normpath(file.parent / Path(entry).expanduser()))
        if not path.is_file():
            raise SourceError(f"{file}, line {number}: there is no file {path}")
        inside = path.is_relative_to(file.parent)
        yield str(path), path.relative_to(file.parent).as_posix() if inside else path.name, None


def _distinct(files: list[Named]) -> list[Found]:
    """Different files get different names: those that share one get parent folders in front until they differ."""
    parts = [len(PurePosixPath(name).parts) for _, name, _ in files]
    names = [name for _, name, _ in files]
    while True:
        shared = {name for name, times in Counter(names).items() if times > 1}
        if not shared:
            return [Found(path, name, stat) for (path, _, stat), name in zip(files, names, strict=True)]
        for at, (path, _, _) in enumerate(files):
            if names[at] in shared:
                absolute = _parts(path)
                parts[at] = min(parts[at] + 1, len(absolute))
                names[at] = PurePosixPath(*absolute[-parts[at] :]).as_posix().lstrip("/")


def _parts(path: str) -> tuple[str, ...]:
    """The parts of an absolute path; of a URL without what is secret in it, and a digest where nothing else differs."""
    if is_remote(path):
        return digest(path, length=8), *PurePosixPath(shown(path).partition("://")[2]).parts
    return Path(path).absolute().parts
