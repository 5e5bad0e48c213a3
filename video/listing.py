"""What a URL in `videos=` names: one file, a folder or glob where its server can list, or a `.txt` list.

Only names are asked for; nothing of a video is read. A file that is named in full costs no request at all: whether it
is there, probing tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from video.connection import connect, patiently, shown
from video.errors import FetchError, SourceError
from video.remote import RemoteStat, stat_of

BY_FOLDER = frozenset({"http", "https", "sftp", "ssh"})  # a request lists one folder and not all below it
Named = tuple[str, str, RemoteStat | None]


def expand(url: str, extensions: frozenset[str]) -> Iterator[Named]:
    """The (URL, name, what the listing says of it) of each video that one entry names. Raises SourceError.

    extensions: in lower case, with their dot; what has another one is no video where a folder is searched.
    """
    path = urlsplit(url).path
    suffix = PurePosixPath(path).suffix.lower()
    if _wild(url).search(path):
        yield from _globbed(url, extensions)
    elif suffix == ".txt":
        yield from _listed(url, extensions)
    elif suffix in extensions and not path.endswith("/"):
        connect(url)  # says at once what is missing
        yield url, unquoted(url, path.rpartition("/")[2]), None
    else:
        yield from _folder(url, extensions)


def entries_of(text: str) -> list[tuple[int, str]]:
    """(line number, entry) of a list of videos; empty lines and comments left out."""
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()[:1] not in ("", "#")]


def unquoted(url: str, name: str) -> str:
    """A name from a URL as its file has it: over HTTP alone %20 stands for a space."""
    return unquote(name) if _is_http(url) else name


def _is_http(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")


def _wild(url: str) -> re.Pattern[str]:
    # In the URLs of the web a question mark begins the query.
    return re.compile(r"\*" if _is_http(url) else r"[*?\[]")


def _folder(url: str, extensions: frozenset[str]) -> Iterator[Named]:
    found = list(_found(url, extensions))
    if not found:
        raise SourceError(
            f"videos={shown(url)}: nothing found: no video with an ending such as .mp4 or .mkv is listed there; not "
            "every server lists its folders, a .txt list of URLs works with all"
        )
    yield from found


def _globbed(url: str, extensions: frozenset[str]) -> Iterator[Named]:
    parts = url.split("/")
    first = next(i for i, part in enumerate(parts) if i > 2 and _wild(url).search(part))
    base = "/".join(parts[:first])
    pattern = _regex("/".join(parts[first:]), _wild(url))
    hits = [named for named in _found(base, None) if pattern.fullmatch(named[1])]
    if not hits:
        raise SourceError(f"videos={shown(url)}: nothing found: the glob matches no file that {shown(base)} lists")
    known = [named for named in hits if PurePosixPath(named[1]).suffix.lower() in extensions]
    yield from known or hits


def _regex(glob: str, wild: re.Pattern[str]) -> re.Pattern[str]:
    """A glob as Python's own reads it: `**` is any number of folders, `*` and `?` stay within one."""
    regex = ""
    for piece in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]/]+\])", glob):
        if piece == "**/":
            regex += "(?:[^/]+/)*"
        elif piece == "**":
            regex += ".*"
        elif piece == "*":
            regex += "[^/]*"
        elif piece == "?" and wild.search("?"):
            regex += "[^/]"
        elif piece.startswith("[") and len(piece) > 2 and wild.search("["):
            inside = piece[1:-1].replace("\\", r"\\")
            regex += f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
        else:
            regex += re.escape(piece)
    return re.compile(regex)


def _found(url: str, extensions: frozenset[str] | None) -> Iterator[Named]:
    """Every file under a folder, hidden ones left out, by name. Raises SourceError where nothing can be listed."""

    def attempt() -> tuple[str, Mapping[str, Mapping[str, Any]]]:
        fs, root = connect(url)
        entries = fs.find(root, detail=True)
        if not entries and not fs.exists(root):
            raise FileNotFoundError(root)
        return root.rstrip("/"), entries

    try:
        root, entries = _walked(url) if urlsplit(url).scheme in BY_FOLDER else patiently(url, attempt)
    except FetchError as error:
        raise SourceError(f"videos={error}") from error
    base = url.rstrip("/")
    for place, info in sorted(entries.items()):
        rest = str(place).removeprefix(root).lstrip("/")
        name = unquoted(url, rest.partition("?")[0] if _is_http(url) else rest)
        path = PurePosixPath(name)
        if not name or any(part.startswith(".") for part in path.parts):
            continue
        if extensions is None or path.suffix.lower() in extensions:
            there = f"{base}/{rest}"
            yield there, name, stat_of(there, info) if info.get("size") is not None else None


def _walked(url: str) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """The path of a folder and all files in it, asked for folder by folder. Raises FetchError if one is not listed;
    fsspec's own walk leaves such a folder out."""
    top = connect(url)[1].rstrip("/")
    entries: dict[str, Mapping[str, Any]] = {}
    waiting, seen = [f"{top}/"], {f"{top}/"}
    while waiting:
        folder = waiting.pop()
        for info in patiently(url, lambda folder=folder: connect(url)[0].ls(folder, detail=True)):  # type: ignore[misc]
            place, kind = str(info["name"]), info["type"]
            if kind == "link":  # said of the link and not of what it leads to; folders are not followed
                info = patiently(url, lambda place=place: connect(url)[0].info(place))  # type: ignore[misc]
            below = f"{place.rstrip('/')}/"
            if info["type"] == "file":
                entries[place] = info
            elif kind == "directory" and below not in seen and below.startswith(folder) and not _hidden(below):
                seen.add(below)
                waiting.append(below)
    return top, entries


def _hidden(folder: str) -> bool:
    return PurePosixPath(folder).name.startswith(".")


def _listed(url: str, extensions: frozenset[str]) -> Iterator[Named]:
    def attempt() -> bytes:
        fs, path = connect(url)
        return bytes(fs.cat_file(path))

    try:
        text = patiently(url, attempt).decode("utf-8")
    except (FetchError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, FetchError) else f"{shown(url)}: it is no UTF-8 text ({error})"
        raise SourceError(f"videos={reason}") from error
    entries = entries_of(text)
    if not entries:
        raise SourceError(f"videos={shown(url)}: the list names no video; write one URL per line")
    above = url.rpartition("/")[0]
    for number, entry in entries:
        there = entry if "://" in entry else f"{above}/{entry.removeprefix('./')}"
        if "://" not in entry and entry.startswith("/"):
            there = urljoin(url, entry) if _is_http(url) else f"{url.split('/', 3)[0]}//{urlsplit(url).netloc}{entry}"
        yield from listed_url(there, f"{shown(url)}, line {number}", above, extensions)


def listed_url(url: str, where: str, above: str, extensions: frozenset[str]) -> Iterator[Named]:
    """A line of a list that is a URL, named relative to `above` if it lies in there. Raises SourceError."""
    path = urlsplit(url).path
    if PurePosixPath(path).suffix.lower() not in extensions:
        raise SourceError(f"{where}: {shown(url)}: a line names one video, with an ending such as .mp4")
    try:
        connect(url)
    except SourceError as error:
        raise SourceError(f"{where}: {error}") from error
    inside = above and url.startswith(f"{above}/")
    name = path.rpartition("/")[2] if not inside else url.partition("?")[0].removeprefix(f"{above}/")
    yield url, unquoted(url, name), None
