"""The masks of one session: run-length codes in blocks of frames on disk, of which a few are in memory.

A block's file is written once and never changed: what changes gets a new version, and whoever holds the numbers of the
versions (`versions`) holds a state of all masks. So a state can be gone back to, and a killed server loses nothing that
was committed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from pipeline.writing import write_bytes
from sam.types import Mask

BLOCK = 256  # frames
KEPT = 4  # blocks in memory that are on disk too
DIRTY = 2  # blocks in memory that are not on disk yet

Masks = dict[int, tuple[Mask, float]]  # of one frame: object id -> mask and score


class MaskBlocks:
    """See the module docstring. Not to be used from two threads at once.

    versions: block -> version; what is not there is empty.
    """

    def __init__(self, folder: Path, versions: Mapping[int, int] | None = None) -> None:
        self._folder = folder
        self.versions: dict[int, int] = dict(versions or {})
        self._clean: OrderedDict[int, dict[int, Masks]] = OrderedDict()
        self._dirty: OrderedDict[int, dict[int, Masks]] = OrderedDict()
        self._counts: dict[int, Counter[int]] = {}  # by version
        self._next = 1 + max(
            (int(path.name.split(".")[1]) for path in folder.glob("*.json") if path.name.split(".")[1].isdigit()),
            default=0,
        )

    def __getitem__(self, frame: int) -> Masks:
        """The masks of a frame; not to be changed."""
        return self._block(frame // BLOCK).get(frame, {})

    def update(self, frame: int, changes: Mapping[int, tuple[Mask, float] | None]) -> None:
        """Set objects' masks in a frame; None takes one away."""
        number = frame // BLOCK
        before = self._block(number)
        block = self._dirty.get(number)
        if block is None:
            block = self._dirty[number] = dict(before)
            self._clean.pop(number, None)
        masks = {**block.get(frame, {}), **{n: m for n, m in changes.items() if m is not None}}
        kept = {n: masks[n] for n in sorted(masks) if not (n in changes and changes[n] is None)}
        if kept:
            block[frame] = kept
        else:
            block.pop(frame, None)
        self._dirty.move_to_end(number)
        while len(self._dirty) > DIRTY:
            self._write(next(iter(self._dirty)))

    def flush(self) -> None:
        """Write what is not on disk yet; `versions` then says all. Raises DiskError."""
        for number in list(self._dirty):
            self._write(number)

    def go_to(self, versions: Mapping[int, int]) -> None:
        """Go back to another state; what is not on disk is dropped."""
        self.versions = dict(versions)
        self._clean.clear()
        self._dirty.clear()

    def keep_only(self, states: list[Mapping[int, int]]) -> None:
        """Delete the files of versions that none of these states has."""
        wanted = {self._path(block, version).name for state in states for block, version in state.items()}
        for path in self._folder.glob("*.json"):
            if path.name not in wanted:
                path.unlink(missing_ok=True)
        kept = {version for state in states for version in state.values()}
        self._counts = {version: counts for version, counts in self._counts.items() if version in kept}

    def frames(self) -> Iterator[tuple[int, Masks]]:
        """Every frame that has masks, ascending."""
        for number in sorted({*self.versions, *self._dirty}):
            yield from sorted(self._block(number).items())

    def counts(self) -> Counter[int]:
        """Object id -> in how many frames it has a mask. What is on disk is counted once."""
        total: Counter[int] = Counter()
        for number in {*self.versions, *self._dirty}:
            version = self.versions.get(number)
            if number in self._dirty or version is None:
                total += _counted(self._block(number))
                continue
            if version not in self._counts:
                self._counts[version] = _counted(self._block(number))
            total += self._counts[version]
        return total

    def _block(self, number: int) -> dict[int, Masks]:
        for held in (self._dirty, self._clean):
            if number in held:
                return held[number]
        version = self.versions.get(number)
        block = {} if version is None else _decoded(self._path(number, version).read_bytes())
        self._clean[number] = block
        while len(self._clean) > KEPT:
            self._clean.popitem(last=False)
        return block

    def _write(self, number: int) -> None:
        block = self._dirty[number]
        write_bytes(self._path(number, self._next), _encoded(block))
        self.versions[number] = self._next
        self._next += 1
        del self._dirty[number]
        self._clean[number] = block

    def _path(self, number: int, version: int) -> Path:
        return self._folder / f"{number * BLOCK:06}.{version}.json"


def _counted(block: Mapping[int, Masks]) -> Counter[int]:
    return Counter(number for masks in block.values() for number in masks)


def _encoded(block: Mapping[int, Masks]) -> bytes:
    return orjson.dumps(
        {
            str(frame): [[n, *mask.box, mask.counts.decode(), score] for n, (mask, score) in masks.items()]
            for frame, masks in block.items()
        }
    )


def _decoded(data: bytes) -> dict[int, Masks]:
    rows: dict[str, list[list[Any]]] = orjson.loads(data)
    return {
        int(frame): {n: (Mask((x0, y0, x1, y1), counts.encode()), score) for n, x0, y0, x1, y1, counts, score in each}
        for frame, each in rows.items()
    }
