"""`checksums.sha256`: what a finished dataset consists of, and task=verify, which proves that a copy is complete.

The format is that of the common tool: `sha256sum --check checksums.sha256` in the dataset's folder does the same for
whoever has no Python. Listed are the crops, the tables, the settings, the labels, release.json, and what exports add
to the crops. An export that is passed on by itself has a list of its own. Tracks, records, reports and runs are not
part of a release and not listed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DatasetError
from pipeline.layout import Layout
from pipeline.tables import read_table
from pipeline.writing import write_bytes

LINE = re.compile(r"([0-9a-f]{64})  (.+)")
AT_ONCE = 4
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the listed files, by path relative to the dataset. more: crops that are not listed."""

    listed: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    more: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not self.missing and not self.changed and not self.more


def write_checksums(layout: Layout) -> None:
    """List every file of the dataset as it is now. The digests of crops come from the index, not from the disk."""
    rows = read_table(layout.samples, ["path", "sha256", "variants"])
    digests = dict(zip(rows["path"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    variants = rows["variants"].combine_chunks().flatten()
    digests |= dict(zip(variants.field("path").to_pylist(), variants.field("sha256").to_pylist(), strict=True))
    others = list(_others(layout))
    layout.bring(others)
    digests |= {layout.relative(path): _digest(path) for path in others}
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(digests.items()))
    write_bytes(layout.checksums, lines.encode())


def write_checksums_of(folder: Path, known: Mapping[str, str]) -> None:
    """List every file of a folder that is passed on by itself, in the folder. known: digests by path in the folder."""
    target = Layout(folder, folder).checksums
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p != target)
    target.write_text(
        "".join(f"{known.get(name) or _digest(folder / name)}  {name}\n" for name in files), encoding="utf-8"
    )


def _others(layout: Layout) -> Iterator[Path]:
    """The files besides the crops. The videos of an export are the crops under other names."""
    tables = (layout.samples, layout.rejected, layout.failures, layout.links, layout.splits)
    said = (layout.labels, layout.dataset_yaml, layout.release)
    yield from (path for path in (*tables, *said) if path.is_file())
    yield from sorted(path for path in layout.files(layout.exports) if path.suffix != ".mp4")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(layout: Layout) -> Verdict:
    """Compare the files on disk with the list; writes nothing. Raises DatasetError when there is no list."""
    try:
        text = layout.checksums.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DatasetError(
            f"{layout.named}/{layout.checksums.name} is missing: copy the whole dataset, or build it again where it "
            "came from"
        ) from None
    listed: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = LINE.fullmatch(line)
        if match is None or not _inside(match[2]):
            raise DatasetError(f"{layout.checksums}, line {number} is not a checksum and a path: {line[:80]!r}")
        listed[match[2]] = match[1]

    def look(path: str) -> bool | None:
        try:
            with layout.borrowed(layout.root / path) as file:
                return _digest(file) == listed[path]
        except OSError:
            return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(listed, pool.map(look, listed), strict=True))
    return Verdict(
        listed=len(listed),
        missing=tuple(path for path, same in found.items() if same is None),
        changed=tuple(path for path, same in found.items() if same is False),
        more=tuple(sorted(path for path in layout.crop_paths() if path not in listed)),
    )


def _inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in path.split("/")


def described(verdict: Verdict, layout: Layout) -> str:
    """The verdict as text."""
    if verdict.whole:
        return f"{layout.named}: all {verdict.listed} files are there and unchanged"
    parts = [
        f"{len(paths)} {what}: {', '.join(paths[:SHOWN])}{' ...' if len(paths) > SHOWN else ''}"
        for what, paths in (("missing", verdict.missing), ("changed", verdict.changed), ("not listed", verdict.more))
        if paths
    ]
    return f"{layout.named}: of {verdict.listed} files " + "\n  ".join(parts)
