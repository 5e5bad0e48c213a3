"""What it takes to have a file of a dataset: nothing where the dataset is a folder, which is what is said here.

For a dataset on a server `pipeline.mirror.layout` says it otherwise; nobody else asks which of the two it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.records import ChunkRecord


class Place:
    """Files of a dataset by their path on this machine, whether they are there or elsewhere."""

    __slots__ = ()

    def here(self, path: Path) -> Path:
        """A file that is about to be read."""
        return path

    def bring(self, paths: Iterable[Path]) -> None:
        """Files that are about to be read, all at once. Raises DatasetError when one cannot be had."""

    @contextmanager
    def borrowed(self, path: Path) -> Iterator[Path]:
        """A file as those have it who share the dataset. Raises OSError when there is none."""
        yield path

    def has(self, path: Path) -> bool:
        """Whether there is such a file or folder."""
        return path.exists()

    def size(self, path: Path) -> int | None:
        """Bytes of a file; None where there is none."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def files(self, folder: Path) -> set[Path]:
        """Every file below a folder."""
        return {path for path in folder.rglob("*") if path.is_file()}

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def replaced(self, folder: Path) -> None:
        """Say that a folder was written anew: what is not in it now is superseded."""

    def attach(self) -> None:
        """Learn which files there are, on a machine that knows nothing of them yet. Raises DatasetError."""

    def committed(self, record: ChunkRecord, track_keys: Iterable[str]) -> None:
        """Say that a chunk is done, with all its files."""

    def settle(self) -> None:
        """Wait until others see what was committed, or it is clear that they will not for now."""

    def publish(self, paths: Sequence[Path]) -> None:
        """Let others see these files at once. Raises ConfigError when that cannot be done."""

    def tell(self, path: Path) -> None:
        """Let others see how far a run is, if it can be done."""

    def exchange(self) -> None:
        """Let others see the chunks done here, and see theirs. Raises DiskError."""

    def deliver(self) -> bool:
        """Let others see all that was made; whether it was made from all that they have done. Raises DiskError."""
        return True

    @contextmanager
    def holding(self) -> Iterator[None]:
        """While the block runs, what is here stays here."""
        yield
